"""What makes a whole source doubtful, whatever its values: too few rows, no eye ever valid, faces without colour."""

from __future__ import annotations

import math
from collections import deque
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.samples import TrackerSample
from emer_edge.core.window import NANOSECONDS
from emer_edge.signals.gaze_faults import Fault
from emer_edge.signals.time_units import PLAUSIBLE_RATES_HZ, too_slow

_FEWEST_HZ: Final = 0.7 * PLAUSIBLE_RATES_HZ[0]  # of a window three quarters of which may be covered
_UNSEEN_NS: Final = 5 * NANOSECONDS  # of samples without a valid eye
_FACES: Final = 5
_COLOURLESS: Final = 3  # of 255: the largest difference of channels in an infrared camera's JPEG


class SourceDoubts:
    """Collects them from what both sources send.

    Args:
        window_ns: length of a window.
    """

    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._rows_ns: deque[int] = deque(maxlen=ceil(_FEWEST_HZ * window_ns / NANOSECONDS))
        self._few: str = ""
        self._seen = False
        self._first_ns: int | None = None
        self._samples = self._with_gaze = self._faces = 0
        self._colour = False

    def on_sample(self, sample: TrackerSample) -> None:
        """Take a sample."""
        self._rows_ns.append(sample.stamp_ns)
        if self._seen:
            return
        self._seen = sample.left.valid or sample.right.valid
        self._first_ns = sample.stamp_ns if self._first_ns is None else self._first_ns
        self._samples += 1
        self._with_gaze += math.isfinite(sample.left.gaze_px[0]) or math.isfinite(sample.right.gaze_px[0])

    def on_face(self, crop: NDArray[np.uint8]) -> None:
        """Take a face's crop (H, W, 3)."""
        if self._faces < _FACES:
            self._faces += 1
            self._colour = self._colour or int(np.ptp(crop, axis=2).max()) > _COLOURLESS

    def too_few(self, end_ns: int) -> bool:
        """Whether the window that ends at `end_ns` has fewer rows than any eye tracker gives."""
        rows = sum(row_ns > end_ns - self._window_ns for row_ns in self._rows_ns)
        few = rows < (self._rows_ns.maxlen or 0)
        self._few = too_slow(rows * NANOSECONDS / self._window_ns) if few and rows else ""
        return few

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is doubtful now."""
        doubts = {"rows": f"the tracker gives {self._few}" if self._few else ""}
        if not self._seen and self._first_ns is not None and self._rows_ns[-1] - self._first_ns > _UNSEEN_NS:
            doubts["validity"] = f"the tracker has called no eye valid in {self._samples} samples" + (
                f", {self._with_gaze} of which have a gaze point: is its validity coded otherwise?"
                if self._with_gaze
                else ", none of which has a gaze point: does it see the eyes?"
            )
        if self._faces == _FACES and not self._colour:
            doubts["colour"] = "the camera's images have no colour, the faces in training had"
        return tuple(Fault(key, text) for key, text in doubts.items() if text)
