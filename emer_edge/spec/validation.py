"""How far from known targets a tracker's gaze falls.

Accuracy and precision as defined by Holmqvist, Nystrom and Mulvey, "Eye tracker data quality: what it is and how to
measure it" (ETRA 2012): accuracy is the offset of the gaze from the target, precision the spread of the gaze itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

__all__ = ["POOR_ACCURACY_DEG", "POOR_LOSS", "TargetMeasure", "Validation"]

POOR_ACCURACY_DEG: Final = 2.0
"""A mean offset above this is said."""

POOR_LOSS: Final = 0.25
"""A share of lost samples above this is said."""


@dataclass(frozen=True, slots=True)
class TargetMeasure:
    """What was seen while somebody looked at one target. Numbers are None where no sample was valid.

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
class Validation:
    """A gaze validation.

    Attributes:
        targets: in the order they were shown.
        accuracy_px, accuracy_mm, accuracy_deg: mean offset over the targets with gaze, None without any.
        rms_deg, sd_deg: mean precision over them.
        data_loss: share of the due samples that were missing or invalid, 0 to 1.
        distance_mm: eye to display, median.
        distance_known: whether the tracker said so; else `distance_mm` is assumed.
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
        """Sentences for the reader of results where the validation was poor; empty where it was good."""
        poor = []
        unseen = sum(each.samples == 0 for each in self.targets)
        if unseen:
            poor.append(f"gaze validation: no gaze on {unseen} of {len(self.targets)} targets")
        if self.accuracy_deg is not None and self.accuracy_deg > POOR_ACCURACY_DEG:
            poor.append(
                f"gaze validation: {self.accuracy_deg:.1f} degrees off on average, more than {POOR_ACCURACY_DEG:g}: "
                "calibrate the tracker again, and check --display"
            )
        if self.data_loss > POOR_LOSS and unseen < len(self.targets):
            poor.append(f"gaze validation: {self.data_loss:.0%} of the samples were missing or invalid")
        return tuple(poor)

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, ready for JSON."""
        return asdict(self)
