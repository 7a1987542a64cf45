"""How sensitive each layer is: the network with that layer alone in INT8, held against FP32.

Measured in the cpu variant's style on a window of each of a few selection clips (calibration clips where there are no
others). A layer of the encoder is described by the signal to noise of the embedding and by the change of every head, a
product of fusion by the latter. As in the exported encoder, the constant part of an embedding's error is taken off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from emer_edge.bundle import CPU
from emer_edge.calibration.choice import choose_clips
from emer_edge.calibration.session import model_session
from emer_edge.errors import GateError
from emer_edge.export.choosing.method_trial import shift_of
from emer_edge.export.judging.evidence import Evidence, read_evidence
from emer_edge.export.judging.gate import agreement
from emer_edge.export.judging.verify import noise_db
from emer_edge.export.precision.dynamic import quantisable_products, quantise_products
from emer_edge.export.precision.int8 import quantisable_layers, quantise
from emer_edge.export.precision.macs import count_macs
from emer_edge.export.precision.quantiser import GRID_OF, EncoderQuantiser
from emer_edge.export.workshop import Workshop

__all__ = ["WINDOWS", "LayerSensitivity", "all_layers", "measure_sensitivity"]

WINDOWS: Final = 16
"""Windows, a clip each: 128 crops through the encoder for every one of its layers, half a minute on two cores."""

_ENCODE_AT_ONCE: Final = 16


@dataclass(frozen=True)
class LayerSensitivity:
    """What quantising one layer alone does.

    Attributes:
        layer: its name.
        part: `face_encoder` or `fusion`.
        macs: its multiply-accumulate operations for one crop or window; 0 for a residual sum.
        embedding_db: signal to noise of the embedding, dB; None for a product of fusion.
        shift: mean movement of all heads, 0 to 1 (`emer_edge.export.choosing.method_trial.shift_of`): what layers
            are sorted by.
        heads: head -> the same of this head: mean base-2 Jensen-Shannon distance of the class probabilities, or mean
            absolute difference of the value as a share of its label's range.
        agreement: class head -> share of windows whose best class stays.
    """

    layer: str
    part: str
    macs: int
    embedding_db: float | None
    shift: float
    heads: Mapping[str, float]
    agreement: Mapping[str, float]

    def to_builtins(self) -> dict[str, Any]:
        """A plain dictionary, ready for JSON."""
        return {
            "layer": self.layer,
            "part": self.part,
            "macs": self.macs,
            "embedding_db": None if self.embedding_db is None else round(self.embedding_db, 2),
            "shift": round(self.shift, 6),
            "heads": {name: round(each, 6) for name, each in self.heads.items()},
            "agreement": {name: round(each, 4) for name, each in self.agreement.items()},
        }


def all_layers(shop: Workshop) -> tuple[str, ...]:
    """Names of all layers that INT8 is for: those of the encoder, then the products of fusion."""
    return (*quantisable_layers(shop.encoder), *quantisable_products(shop.fusion))


def measure_sensitivity(shop: Workshop, quantiser: EncoderQuantiser) -> tuple[LayerSensitivity, ...]:
    """Measure every layer, the most sensitive first.

    Args:
        shop: the export; selection windows, or else training clips, must be there.
        quantiser: holds the calibrated ranges.

    Raises:
        GateError: no clips.
        DataError: a clip can't be read.
    """
    evidence = shop.evidence if shop.evidence is not None else _calibration_windows(shop)
    windows = evidence.first_of_clips(WINDOWS)
    faces = evidence.faces(windows)
    # A clip of few frames fills its slots with the same crops again and again.
    crops, place = np.unique(faces.reshape(-1, *faces.shape[2:]), axis=0, return_inverse=True)
    places = np.asarray(place).reshape(len(windows), -1)
    rows = {"eye": evidence.eye[windows], "gaze": evidence.gaze[windows]}
    fuse = model_session(shop.fusion, shop.threads)
    expected = _encoded(shop.encoder, crops, shop.threads)
    before = _fused(fuse, {"embeddings": expected[places], **rows})
    macs = {each.name: each.macs for part in (shop.encoder, shop.fusion) for each in count_macs(part)}
    layers, products = quantisable_layers(shop.encoder), quantisable_products(shop.fusion)
    found = []
    for done, layer in enumerate((*layers, *products)):
        shop.progress("measuring the sensitivity of layers", done, len(layers) + len(products))
        decibels = None
        if layer in layers:
            ranges = quantiser.ranges[GRID_OF[CPU]]
            got = _encoded(quantise(shop.encoder, ranges, CPU, set(layers) - {layer}), crops, shop.threads)
            got = (got - (got - expected).mean(axis=0)).astype(np.float32)
            decibels = noise_db(got, expected)
            after = _fused(fuse, {"embeddings": got[places], **rows})
        else:
            alone = model_session(quantise_products(shop.fusion, set(products) - {layer}), shop.threads)
            after = _fused(alone, {"embeddings": expected[places], **rows})
        part = "face_encoder" if layer in layers else "fusion"
        heads = {name: shift_of({name: before[name]}, {name: after[name]}) for name in before}
        found.append(
            LayerSensitivity(
                layer, part, macs.get(layer, 0), decibels, shift_of(before, after), heads, agreement(before, after)
            )
        )
    shop.progress("measuring the sensitivity of layers", len(found), len(found))
    return tuple(sorted(found, key=lambda each: -each.shift))


def _calibration_windows(shop: Workshop) -> Evidence:
    if shop.slices is None:
        raise GateError("the sensitivity of layers needs clips to measure it on")
    clips = choose_clips(shop.slices.training, WINDOWS, shop.options.seed)
    return read_evidence(clips, (), shop.metadata.window, shop.metadata.events, shop.progress, draws=0)


def _encoded(encoder: onnx.ModelProto, crops: NDArray[np.float32], threads: int) -> NDArray[np.float32]:
    session = model_session(encoder, threads)
    parts = [
        session.run(None, {"face": crops[at : at + _ENCODE_AT_ONCE]})[0] for at in range(0, len(crops), _ENCODE_AT_ONCE)
    ]
    return np.concatenate(parts)


def _fused(session: Any, given: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(given)), strict=True))
