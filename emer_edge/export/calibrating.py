"""The INT8 ranges of an export: which clips they are measured on, and by which method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from emer_edge.bundle.manifest import CalibrationRecord
from emer_edge.calibration.choice import ENOUGH_WINDOWS, choose_clips
from emer_edge.calibration.crops import BATCH, crop_batches
from emer_edge.errors import GateError
from emer_edge.export.quantiser import EncoderQuantiser
from emer_edge.export.workshop import FullOutputs, Workshop

__all__ = ["Calibrated", "calibrate"]

_FACES_PER_WINDOW: Final = 2


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A calibration.

    Attributes:
        quantiser: quantises the encoder by the chosen method's ranges; `build(variant, keep)` gives a part.
        record: for the manifest.
        notes: for the user, a sentence each.
    """

    quantiser: EncoderQuantiser
    record: CalibrationRecord
    notes: tuple[str, ...]


def calibrate(shop: Workshop, full: FullOutputs | None = None) -> Calibrated:
    """Measure the ranges of the encoder's activations on windows of the training slice.

    Args:
        shop: the export; its `slices` must be there.
        full: FP32 results on `shop.evidence`, which the method `auto` compares with.

    Raises:
        GateError: no clips.
        DataError: clips can't be read, none calibrate, or an activation is not finite.
        ConfigurationError: an unknown method.
    """
    slices, options = shop.slices, shop.options
    if slices is None:
        raise GateError("int8 needs clips to measure ranges on")
    clips = choose_clips(slices.training, options.calibration_windows, options.seed)
    notes = []
    if len(clips) < ENOUGH_WINDOWS:
        notes.append(
            f"calibrated on {len(clips)} windows only; below {ENOUGH_WINDOWS} the ranges depend on who was drawn"
        )
    batches = crop_batches(clips, shop.metadata.window, shop.metadata.events, _FACES_PER_WINDOW, options.seed)
    total = -(-len(clips) * _FACES_PER_WINDOW // BATCH)
    quantiser = EncoderQuantiser(shop.encoder, batches, options.calibration_method, total, shop.progress)
    record = CalibrationRecord(
        method=options.calibration_method,
        windows=len(clips),
        clip_hashes=slices.hashes(clips),
        source="synthetic" if slices.made_up else "data",
    )
    return Calibrated(quantiser, record, tuple(notes))
