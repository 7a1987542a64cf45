"""The session's beginning as a yardstick: pupils, expression and gap in the first seconds of valid data."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.results import Result, State
from emer_edge.core.samples import EyeReading, TrackerSample
from emer_edge.core.session_facts import Baseline, FromBaseline, PupilBaseline
from emer_edge.core.window import NANOSECONDS
from emer_edge.runtime.options import BaselineOptions

_WINDOWS_KEPT: Final = 2  # of pupils: more than any window, whatever the nominal rate says
_EYES: Final = ("left", "right")


class BaselineMeter:
    """Measures a baseline, and how far results are from it.

    Only what windows in state `ok` cover counts, and each moment once: a baseline of 30 s rests on 30 s of data,
    however long it took to get them, and never on less than one window.

    Args:
        options: how many `seconds` of valid data; whether results carry their distance once there is a baseline.
        length_ns: of a window.
        rate_hz: the tracker's nominal rate.

    Attributes:
        baseline: None until it is complete.
    """

    def __init__(self, options: BaselineOptions, length_ns: int, rate_hz: float) -> None:
        self.baseline: Baseline | None = None
        self._seconds, self._length_ns, self._apply = options.seconds or 0.0, length_ns, options.apply
        kept = ceil(_WINDOWS_KEPT * length_ns / NANOSECONDS * max(rate_hz, 1.0))
        self._stamps_ns = np.full(kept, np.iinfo(np.int64).min)  # a ring, as are the pupils beside it
        self._recent_mm = np.full((kept, len(_EYES)), np.nan)
        self._next = 0
        self._pupils = {eye: array("d") for eye in _EYES}
        self._windows: list[Result] = []
        self._covered_ns = 0
        self._from_ns = self._to_ns = 0

    def notes(self) -> tuple[str, ...]:
        """What the reader of results should know about it now."""
        if self.baseline is None:
            return (f"baseline: {self._covered_ns / NANOSECONDS:.1f} of {self._seconds:g} s of valid data",)
        if self._apply:
            return (f"from_baseline: minus the first {self.baseline.seconds:.1f} s of valid data",)
        return ()

    def listen(self, kind: str, *item: Any) -> None:
        """Take what the evidence tells its listeners: the tracker samples among it, in order of time."""
        if kind == "sample":
            self.on_sample(item[0])

    def on_sample(self, sample: TrackerSample) -> None:
        """Take a tracker sample, in order of time."""
        if self.baseline is None or self._apply:
            at, self._next = self._next, (self._next + 1) % len(self._stamps_ns)
            self._stamps_ns[at] = sample.stamp_ns
            self._recent_mm[at] = _pupil(sample.left), _pupil(sample.right)

    def on_result(self, result: Result) -> Result:
        """Take a result, in order of time; return it, with its distance from the baseline where that applies."""
        if result.state is not State.OK:
            return result
        if self.baseline is None:
            self._add(result)
            return result
        return replace(result, from_baseline=self._beside(result, self.baseline)) if self._apply else result

    def _add(self, result: Result) -> None:
        start_ns = result.end_ns - self._length_ns
        if not self._windows:
            self._from_ns = start_ns
        new_ns = max(start_ns, self._to_ns) if self._windows else start_ns
        self._covered_ns += result.end_ns - new_ns
        self._to_ns = result.end_ns
        self._windows.append(result)
        for eye, values in zip(_EYES, self._between(new_ns, result.end_ns), strict=True):
            self._pupils[eye].frombytes(values.tobytes())
        if self._covered_ns >= self._seconds * NANOSECONDS:
            self.baseline = self._measured()
            self._windows.clear()

    def _measured(self) -> Baseline:
        gaps = [window.gap.distance for window in self._windows if window.gap is not None]
        return Baseline(
            seconds=self._covered_ns / NANOSECONDS,
            from_ns=self._from_ns,
            to_ns=self._to_ns,
            windows=len(self._windows),
            heads={name: _mean([window.heads[name] for window in self._windows]) for name in self._windows[0].heads},
            gap_distance=sum(gaps) / len(gaps) if gaps else None,
            pupils={eye: _spread(values) for eye, values in self._pupils.items() if values},
        )

    def _beside(self, result: Result, baseline: Baseline) -> FromBaseline:
        heads = {}
        for name, value in result.heads.items():
            base = baseline.heads.get(name)
            if isinstance(value, float) and isinstance(base, float):
                heads[name] = value - base
        usual = baseline.gap_distance
        gap = None if result.gap is None or usual is None else result.gap.distance - usual
        window = self._between(result.end_ns - self._length_ns, result.end_ns)
        pupils = {eye: float(np.median(values)) for eye, values in zip(_EYES, window, strict=True) if len(values)}
        change = {eye: at - baseline.pupils[eye].median_mm for eye, at in pupils.items() if eye in baseline.pupils}
        return FromBaseline(heads, gap, pupils, change)

    def _between(self, from_ns: int, to_ns: int) -> list[NDArray[np.float64]]:
        """Pupils of the left and of the right eye stamped after `from_ns` and up to `to_ns`, missing ones left out."""
        rows = self._recent_mm[(self._stamps_ns > from_ns) & (self._stamps_ns <= to_ns)]
        return [pupils[~np.isnan(pupils)] for pupils in rows.T]


def _pupil(eye: EyeReading) -> float:
    return eye.pupil_mm if eye.valid else float("nan")


def _spread(values: array[float]) -> PupilBaseline:
    all_mm = np.frombuffer(values, np.float64)
    middle_mm = float(np.median(all_mm))
    return PupilBaseline(middle_mm, float(np.median(np.abs(all_mm - middle_mm))), len(all_mm))


def _mean(values: Sequence[dict[str, float] | float]) -> dict[str, float] | float:
    shares = [value for value in values if isinstance(value, dict)]
    if shares:
        return {name: sum(share[name] for share in shares) / len(shares) for name in shares[0]}
    numbers = [value for value in values if not isinstance(value, dict)]
    return sum(numbers) / len(numbers)
