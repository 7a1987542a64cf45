"""The face encoder in INT8: ranges measured once, then as many mixes of precision as the gate asks for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from emer_edge.bundle import CPU, TENSORRT, Variant
from emer_edge.calibration.methods import Range
from emer_edge.calibration.mse import Grid
from emer_edge.calibration.session import model_session
from emer_edge.export.judging.verify import noise_db
from emer_edge.export.precision.blocks import first_convolution_on_blocks
from emer_edge.export.precision.correction import shift_constant
from emer_edge.export.precision.int8 import activations_to_quantise, quantisable_layers, quantise
from emer_edge.spec.progress import Progress, silent

__all__ = ["GRID_OF", "PROBES", "EncoderQuantiser", "tensors_to_measure"]

PROBES: Final = 12
"""Batches of calibration crops that show the constant error of an embedding."""
_SENSITIVITY_PROBES: Final = 2
"""How many of them show how sensitive a layer is: 28 layers are tried one by one."""

GRID_OF: Final[dict[Variant, Grid]] = {CPU: "unsigned", TENSORRT: "signed"}
"""How each style's 8 bits lie on a range."""


class EncoderQuantiser:
    """Quantises one FP32 face encoder.

    Args:
        encoder: the FP32 part.
        ranges: grid -> tensor -> low, high, for every tensor of `tensors_to_measure`.
        probes: batches of calibration crops, (B, 3, 112, 112) float32 each.
    """

    def __init__(
        self,
        encoder: onnx.ModelProto,
        ranges: Mapping[Grid, Mapping[str, Range]],
        probes: Sequence[NDArray[np.float32]],
    ) -> None:
        self.ranges = ranges
        self._encoder = encoder
        self._probes = probes
        self._expected = self._embed(encoder)

    def using(self, ranges: Mapping[Grid, Mapping[str, Range]]) -> EncoderQuantiser:
        """The same with other ranges."""
        other = copy(self)
        other.ranges = ranges
        return other

    def build(self, style: Variant, keep: Collection[str] = ()) -> onnx.ModelProto:
        """Quantise all layers but those named by `keep`, the constant part of the error taken off the last bias."""
        rough = quantise(self._encoder, self.ranges[GRID_OF[style]], style, keep)
        if style == CPU:
            rough = first_convolution_on_blocks(rough)
        error = (self._expected - self._embed(rough)).astype(np.float64).mean(axis=0)
        return shift_constant(rough, "projection.bias", error)

    def sensitivities(self, progress: Progress = silent) -> dict[str, float]:
        """Signal to noise, dB, of the embedding with one layer quantised at a time, the most sensitive layer first."""
        layers = quantisable_layers(self._encoder)
        found = {}
        for done, layer in enumerate(layers, start=1):
            alone = quantise(self._encoder, self.ranges["unsigned"], CPU, keep=set(layers) - {layer})
            got = self._embed(alone, _SENSITIVITY_PROBES)
            expected = self._expected[: len(got)]
            found[layer] = noise_db(got - (got - expected).mean(axis=0), expected)
            progress("measuring layers", done, len(layers))
        return dict(sorted(found.items(), key=lambda item: item[1]))

    def _embed(self, model: onnx.ModelProto, probes: int = PROBES) -> NDArray[np.float32]:
        session = model_session(model)
        return np.concatenate([session.run(None, {"face": each})[0] for each in self._probes[:probes]])


def tensors_to_measure(encoder: onnx.ModelProto) -> list[str]:
    """Names of the tensors that either style quantises, sorted."""
    return sorted({name for style in GRID_OF for name in activations_to_quantise(encoder, style)})
