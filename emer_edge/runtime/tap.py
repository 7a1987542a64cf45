"""Listening to a run from inside: every item as the pipeline takes it, in its own order."""

from __future__ import annotations

from typing import Protocol

from emer_edge.runtime.faces.looks import Look
from emer_edge.spec.results import Result
from emer_edge.spec.samples import Frame, TrackerSample

__all__ = ["Tap"]


class Tap(Protocol):
    """Told of everything, in the thread that takes the steps: it must return at once and never raise."""

    def on_origin(self, origin_ns: int) -> None:
        """The lattice begins here."""
        ...

    def on_frame(self, frame: Frame, look: Look | None, taken_ns: int) -> None:
        """A camera frame was taken.

        Args:
            frame: its image must not be changed.
            look: what was seen in it; None where it was not looked at.
            taken_ns: its arrival, or, where a step was taken before it that should have seen it, a moment after that
                step was due: played with these times, a recording gives each step what it had.
        """
        ...

    def on_sample(self, sample: TrackerSample, taken_ns: int) -> None:
        """A tracker sample was taken; `taken_ns` as for frames."""
        ...

    def on_step(self, result: Result) -> None:
        """A step was taken."""
        ...
