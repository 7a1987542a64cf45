"""The console for people on stderr: lines, and progress bars for long work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.segment import Segment

from emer_edge.core.progress import Progress as Report
from emer_edge.core.public_text import printable, public
from emer_edge.core.standard_streams import Unfailing


class CleanConsole(Console):
    """A console in which nothing but the console itself steers the terminal, whatever text it is given."""

    def render(self, *given: Any, **more: Any) -> Iterator[Segment]:
        """The segments of a renderable, their text printable."""
        made = super().render(*given, **more)
        return (one if one.control else Segment(printable(one.text), one.style) for one in made)


console = CleanConsole(file=cast("IO[str]", Unfailing("stderr")), highlight=False)
"""Stderr; silent once it can't be written, as on a full disk or a terminal that has gone."""


def say(text: str) -> None:
    """Print one line for people; nothing where stderr can't be written any more."""
    console.print(public(text), soft_wrap=True, markup=False)


@contextmanager
def progress_bars() -> Iterator[Report]:
    """Yield a progress callback: one bar per label on a terminal; elsewhere one line when a label is done.

    The screen is given back whenever every bar is full, so that a live view can follow.
    """
    bars = _Bars()
    try:
        yield bars.report if console.is_terminal else _Lines().report
    finally:
        bars.stop()


class _Bars:
    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def report(self, label: str, done: int, total: int) -> None:
        if self._progress is None:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=32),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=console,
            )
            self._progress.start()
        if label not in self._tasks:
            self._tasks[label] = self._progress.add_task(label, total=total)
        self._progress.update(self._tasks[label], completed=done, total=total)
        if self._progress.finished:
            self.stop()

    def stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
        self._progress = None
        self._tasks = {}


class _Lines:
    def __init__(self) -> None:
        self._said: set[str] = set()

    def report(self, label: str, done: int, total: int) -> None:
        if done >= total and label not in self._said:
            self._said.add(label)
            say(f"{label}: {total} done")
