"""The console for people on stderr: lines, and progress bars for long work."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any, Final, cast

from rich.console import Console
from rich.control import Control
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.segment import Segment
from rich.text import Text

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.progress import Progress as Report
from emer_edge.core.public_text import one_is_singular, printable, public
from emer_edge.core.standard_streams import Unfailing

_STARTED_S: Final = time.monotonic()
_VERSIONS: Final = ("emer-edge", "numpy", "onnxruntime", "opencv-python", "opencv-python-headless", "torch", "tensorrt")


class CleanConsole(Console):
    """A console in which nothing but the console itself steers the terminal, whatever text it is given.

    Attributes:
        verbose: lines begin with the seconds since the start, and errors say where in the code they arose.
    """

    verbose = False
    _log: Console | None = None

    def render(self, *given: Any, **more: Any) -> Iterator[Segment]:
        """The segments of a renderable, their text printable."""
        made = super().render(*given, **more)
        return (one if one.control else Segment(printable(one.text), one.style) for one in made)

    def print(self, *objects: Any, **how: Any) -> None:
        """Print, and write it to the log, if there is one; what merely steers the terminal is not logged."""
        if self._log is not None and objects and not isinstance(objects[0], Control):
            self._log.print(datetime.now(timezone.utc).isoformat(timespec="milliseconds"), *objects, **how)
        super().print(*objects, **how)

    def tell_more(self) -> None:
        """Say when each line came, and first the versions in use."""
        self.verbose, self.quiet = True, False
        found = []
        for package in _VERSIONS:
            try:
                found.append(f"{package} {version(package)}")
            except PackageNotFoundError:
                continue
        say(f"Python {sys.version.split()[0]}, {', '.join(found)}")

    def tell_errors_alone(self) -> None:
        """Say nothing but errors from now on."""
        self.quiet, self.verbose = True, False

    def log_to(self, path: Path) -> None:
        """Append all that is said to a file, made with mode 0600 where it is missing; ConfigurationError on failure."""
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY, 0o600)
        except OSError as error:
            raise ConfigurationError(f"--log-file: can't write {path}: {error.strerror}") from None
        log = cast(
            "IO[str]", _LogFile(path, os.fdopen(file, "w", encoding="utf-8", errors="backslashreplace", buffering=1))
        )
        self._log = CleanConsole(file=log, highlight=False, width=160, no_color=True)

    def as_at_first(self) -> None:
        """Forget the three options, and close the log."""
        if self._log is not None:
            self._log.file.close()
        self._log, self.quiet, self.verbose = None, False, False

    def say_error(self, text: str) -> None:
        """Print why a command ends, whatever was asked for; with `verbose`, the place in the code where it arose."""
        quiet, self.quiet = self.quiet, False
        if self.verbose:
            say(traceback.format_exc().rstrip())
        say(text)
        self.quiet = quiet


class _LogFile:
    """The log; where it can't be written, which is said once, the command goes on without."""

    def __init__(self, path: Path, file: IO[str]) -> None:
        self._path, self._file, self._lost = path, file, False

    def write(self, text: str) -> int:
        if not self._lost:
            try:
                self._file.write(text)
            except OSError as error:
                self._lost = True
                say(f"--log-file: can't write {self._path} any more: {error.strerror}; the command goes on")
        return len(text)

    def flush(self) -> None:
        pass  # lines are written as they come

    def close(self) -> None:
        with suppress(OSError):
            self._file.close()


console = CleanConsole(file=cast("IO[str]", Unfailing("stderr")), highlight=False)
"""Stderr; silent once it can't be written, as on a full disk or a terminal that has gone."""


def say(text: str) -> None:
    """Print one line for people; nothing where stderr can't be written any more."""
    when = f"[{time.monotonic() - _STARTED_S:8.3f} s] " if console.verbose else ""
    console.print(when + one_is_singular(public(text)), soft_wrap=True, markup=False)


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


class _Time(ProgressColumn):
    """How long is left, as far as that is known; of what is done, how long it took."""

    def render(self, task: Task) -> Text:
        seconds = task.elapsed if task.finished else task.time_remaining
        if seconds is None:
            return Text()
        minutes, seconds = divmod(round(seconds), 60)
        return Text(f"{minutes}:{seconds:02}" + ("" if task.finished else " left"), style="progress.remaining")


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
                _Time(),
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
