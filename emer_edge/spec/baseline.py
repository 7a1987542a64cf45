"""What a person's pupils, face and gap are like before anything happens, and how far a result is from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Baseline", "FromBaseline", "PupilBaseline"]


@dataclass(frozen=True, slots=True)
class PupilBaseline:
    """One eye's pupil.

    Attributes:
        median_mm: median diameter.
        mad_mm: median absolute deviation from it, not scaled.
        samples: how many it rests on.
    """

    median_mm: float
    mad_mm: float
    samples: int


@dataclass(frozen=True, slots=True)
class Baseline:
    """The beginning of a session, in seconds of valid data.

    Valid data are what windows in state `ok` cover; a stretch that several cover counts once.

    Attributes:
        seconds: how much there was.
        from_ns, to_ns: its first and last moment, host monotonic time.
        windows: windows in state `ok` in it.
        heads: head -> mean class probabilities, or mean value, over these windows.
        gap_distance: mean gap, None where there is none.
        pupils: `left`, `right` -> that eye's pupil; an eye without pupils is left out.
    """

    seconds: float
    from_ns: int
    to_ns: int
    windows: int
    heads: dict[str, dict[str, float] | float]
    gap_distance: float | None = None
    pupils: dict[str, PupilBaseline] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class FromBaseline:
    """A result beside the baseline; the result's own numbers stay as they are.

    Attributes:
        heads: value head -> value minus its baseline.
        gap_distance: gap minus its baseline, None where either is missing.
        pupil_mm: `left`, `right` -> median diameter in the window.
        pupil_change_mm: `left`, `right` -> that minus the baseline's median.
    """

    heads: Mapping[str, float]
    gap_distance: float | None
    pupil_mm: Mapping[str, float]
    pupil_change_mm: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, ready for JSON."""
        return asdict(self)
