"""What a session holds besides its results: markers, the baseline, and the gaze validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final


class _Plain:
    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, ready for JSON."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]


@dataclass(frozen=True, slots=True)
class Marker(_Plain):
    """A named moment.

    Attributes:
        label: what it is called, for example `key a` or `stimulus 3`.
        stamp_ns: when it was, host monotonic time.
        source: `keyboard`, `lines`, `program`, or an LSL stream as `lsl NAME`.
        clock: where the stamp comes from: `host`, `lsl` (the stream's own, mapped), or `arrival`.
    """

    label: str
    stamp_ns: int
    source: str = "program"
    clock: str = "host"


@dataclass(frozen=True, slots=True)
class PupilBaseline:
    """One eye's pupil.

    Attributes:
        median_mm: median diameter.
        mad_mm: median absolute deviation from it, not scaled.
        samples: number of samples.
    """

    median_mm: float
    mad_mm: float
    samples: int


@dataclass(frozen=True, slots=True)
class Baseline(_Plain):
    """The beginning of a session, in seconds of valid data.

    Valid data are what windows in state `ok` cover; a stretch that several windows cover counts once.

    Attributes:
        seconds: valid data in it.
        from_ns, to_ns: its start and end, host monotonic time.
        windows: number of windows in state `ok`.
        heads: head -> mean class probabilities, or mean value, over these windows.
        gap_distance: mean gap, None where there is none.
        pupils: `left`, `right` -> pupil, of the eyes that have one.
    """

    seconds: float
    from_ns: int
    to_ns: int
    windows: int
    heads: dict[str, dict[str, float] | float]
    gap_distance: float | None = None
    pupils: dict[str, PupilBaseline] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FromBaseline(_Plain):
    """A result relative to the baseline.

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


_POOR_ACCURACY_DEG: Final = 2.0  # mean offset above which results have a note
_POOR_LOSS: Final = 0.25  # share of lost samples above which they have one


@dataclass(frozen=True, slots=True)
class TargetMeasure:
    """The gaze at one validation target. Numbers are None where no sample was valid.

    Attributes:
        x_px, y_px: the target, display pixels.
        gaze_x_px, gaze_y_px: median gaze, mean of both eyes.
        offset_px, offset_mm, offset_deg: from target to median gaze.
        rms_deg: root mean square of the angles between one sample and the next.
        sd_deg: root of the summed variances in x and y, as an angle.
        samples: valid samples.
        expected: samples that were due.
    """

    x_px: float
    y_px: float
    gaze_x_px: float | None
    gaze_y_px: float | None
    offset_px: float | None
    offset_mm: float | None
    offset_deg: float | None
    rms_deg: float | None
    sd_deg: float | None
    samples: int
    expected: int


@dataclass(frozen=True, slots=True)
class Validation(_Plain):
    """A gaze validation.

    Attributes:
        targets: in the order they were shown.
        accuracy_px, accuracy_mm, accuracy_deg: mean offset over the targets with gaze, None without any.
        rms_deg, sd_deg: mean precision over them.
        data_loss: share of the due samples that were missing or invalid, 0 to 1.
        distance_mm: eye to display, median.
        distance_known: whether the tracker measured it; else `distance_mm` is assumed.
        presented: how the targets were shown: `window` or `terminal`.
    """

    targets: tuple[TargetMeasure, ...]
    accuracy_px: float | None
    accuracy_mm: float | None
    accuracy_deg: float | None
    rms_deg: float | None
    sd_deg: float | None
    data_loss: float
    distance_mm: float
    distance_known: bool
    presented: str

    def __str__(self) -> str:
        if self.accuracy_deg is None:
            return f"no gaze on any of {len(self.targets)} targets"
        distance = f"{self.distance_mm:.0f} mm {'away' if self.distance_known else 'assumed'}"
        precision = "" if self.rms_deg is None else f"; precision {self.rms_deg:.2f} RMS, {self.sd_deg:.2f} SD degrees"
        return (
            f"accuracy {self.accuracy_deg:.2f} degrees ({self.accuracy_px:.0f} px, {self.accuracy_mm:.1f} mm, "
            f"{distance}){precision}; data loss {self.data_loss:.0%}; {len(self.targets)} targets"
        )

    def notes(self) -> tuple[str, ...]:
        """Sentences for the reader of results where the validation was poor; else empty."""
        poor = []
        unseen = sum(target.samples == 0 for target in self.targets)
        if unseen:
            poor.append(f"gaze validation: no gaze on {unseen} of {len(self.targets)} targets")
        if self.accuracy_deg is not None and self.accuracy_deg > _POOR_ACCURACY_DEG:
            poor.append(
                f"gaze validation: {self.accuracy_deg:.1f} degrees off on average, more than {_POOR_ACCURACY_DEG:g}: "
                "calibrate the tracker again, and check --display"
            )
        if self.data_loss > _POOR_LOSS and unseen < len(self.targets):
            poor.append(f"gaze validation: {self.data_loss:.0%} of the samples were missing or invalid")
        return tuple(poor)
