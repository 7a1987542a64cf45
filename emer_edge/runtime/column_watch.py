"""Watches a tracker's columns during a run and names what can't be right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.samples import Display
from emer_edge.core.window import EYE_COLUMN_COUNT, NANOSECONDS
from emer_edge.signals.column_faults import Fault, TrainedColumns, find_faults

UNWATCHED: Final = "the bundle does not say what its eye columns held in training: wrong units would go unnoticed"
"""The note of a run whose bundle has no column quantiles."""

_SPAN_NS: Final = 8 * NANOSECONDS  # of rows that are judged
_FIRST_NS: Final = 5 * NANOSECONDS  # of rows before the first judgement
_EVERY_NS: Final = NANOSECONDS
_AGREEING: Final = 2  # judgements in a row that make a fault, or unmake it
_MOST_ROWS: Final = 600  # 75 a second are plenty; faster trackers are thinned
_FEWEST_ROWS: Final = 100


class ColumnWatch:
    """Judges the last seconds of rows, once a second.

    A fault is a fault when two judgements in a row find it, at most ten seconds after data that show it began, and is
    over when two in a row don't.

    Args:
        quantiles: column key -> seven quantiles, as a manifest has them; empty means there is nothing to compare with.
        display: that the run's pixels and millimetres refer to.

    Attributes:
        watching: whether there is anything to compare with.
    """

    def __init__(self, quantiles: Mapping[str, Sequence[float]], display: Display) -> None:
        self._trained = TrainedColumns.of(quantiles)
        self._display = display
        self._rows = np.full((_MOST_ROWS, EYE_COLUMN_COUNT), np.nan)
        self._times_ns = np.full(_MOST_ROWS, np.iinfo(np.int64).min)
        self._count = 0
        self._judged_ns: int | None = None
        self._began_ns = 0
        self._runs: dict[str, int] = {}  # fault -> judgements in a row that found it, negative once they don't
        self._texts: dict[str, str] = {}
        self.watching = self._trained.known

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is wrong now; a fault keeps the words it was first told in."""
        return tuple(Fault(key, text) for key, text in self._texts.items())

    def notes(self, trained: Display | None) -> tuple[str, ...]:
        """What holds for the whole run.

        Args:
            trained: the display in training, None where that is unknown.
        """
        other = _display_note(self._display, trained)
        return (*(() if self.watching else (UNWATCHED,)), *(() if other is None else (other,)))

    def add(self, cells: NDArray[np.float64], time_ns: int) -> None:
        """Take one row.

        Args:
            cells: (39,) from `raw_row` of a sample in which an eye is seen, NaN where missing.
            time_ns: its time.
        """
        if not self.watching:
            return
        newest_ns = int(self._times_ns[(self._count - 1) % _MOST_ROWS]) if self._count else None
        if newest_ns is not None and time_ns - newest_ns < _SPAN_NS // _MOST_ROWS:
            return
        if newest_ns is None or time_ns - newest_ns > _SPAN_NS:
            self._began_ns = time_ns  # after a long silence the old rows say nothing
        at = self._count % _MOST_ROWS
        self._rows[at], self._times_ns[at] = cells, time_ns
        self._count += 1
        if time_ns - self._began_ns < _FIRST_NS:
            return
        if self._judged_ns is None or time_ns - self._judged_ns >= _EVERY_NS:
            self._judged_ns = time_ns
            self._judge(time_ns)

    def _judge(self, time_ns: int) -> None:
        recent = self._rows[self._times_ns > time_ns - _SPAN_NS]
        if len(recent) < _FEWEST_ROWS:
            return
        found = {each.key: each for each in find_faults(recent, self._trained, self._display)}
        for key in {*found, *self._runs}:
            run = self._runs.get(key, 0)
            self._runs[key] = max(run, 0) + 1 if key in found else min(run, 0) - 1
            if self._runs[key] >= _AGREEING and key in found:
                self._texts.setdefault(key, found[key].text)
            elif self._runs[key] <= -_AGREEING:
                self._runs.pop(key)
                self._texts.pop(key, None)


def _display_note(display: Display, trained: Display | None) -> str | None:
    """Say where the display of a run is another one than in training; None where it is the same or unknown."""
    if trained is None or (
        (display.width_px, display.height_px) == (trained.width_px, trained.height_px)
        and abs(display.width_mm / trained.width_mm - 1) < 0.05
        and abs(display.height_mm / trained.height_mm - 1) < 0.05
    ):
        return None
    return (
        f"the display is {_size(display)}, the one in training was {_size(trained)}: "
        "gaze in pixels and millimetres spans another range"
    )


def _size(display: Display) -> str:
    return f"{display.width_px}x{display.height_px} px, {display.width_mm:g}x{display.height_mm:g} mm"
