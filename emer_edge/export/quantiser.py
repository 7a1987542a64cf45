"""The face encoder in INT8: ranges measured once, then as many mixes of precision as the gate asks for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from emer_edge.calibration.methods import Range
from emer_edge.calibration.ranges import collect_histograms, ranges_of
from emer_edge.export.precision.correction import shift_constant
from emer_edge.export.precision.int8 import Style, activations_to_quantise, quantisable_layers, quantise
from emer_edge.export.verify import noise_db
from emer_edge.spec.progress import Progress, silent

__all__ = ["EncoderQuantiser"]

_PROBES: Final = 12
"""Batches that are kept in memory for the bias."""
_SENSITIVITY_PROBES: Final = 2
"""How many of them show how sensitive a layer is: 28 layers are tried one by one."""

Faces = Mapping[str, NDArray[np.float32]]


class EncoderQuantiser:
    """Quantises one FP32 face encoder.

    Args:
        encoder: the FP32 part.
        batches: calibration batches `{"face": (B, 3, 112, 112)}`.
        method: a method of `emer_edge.calibration.methods`.
        total: number of batches, for progress.
        progress: told of each batch.

    Attributes:
        ranges: tensor -> low, high.
        crops: number of calibration crops.

    Raises:
        DataError: no crops, or activations that are not finite.
        ConfigurationError: an unknown method.
    """

    def __init__(
        self,
        encoder: onnx.ModelProto,
        batches: Iterable[Faces],
        method: str,
        total: int = 0,
        progress: Progress = silent,
    ) -> None:
        ranges_of({}, method)
        self._encoder = encoder
        self._probes: list[NDArray[np.float32]] = []
        self.crops = 0
        styles: tuple[Style, Style] = ("cpu", "tensorrt")
        tensors = sorted({each for style in styles for each in activations_to_quantise(encoder, style)})
        histograms = collect_histograms(encoder, tensors, self._counted(batches), total, progress)
        self.ranges: dict[str, Range] = ranges_of(histograms, method)
        self._expected = self._embed(encoder)

    def build(self, style: Style, keep: Collection[str] = ()) -> onnx.ModelProto:
        """Quantise all layers but those named by `keep`, the constant part of the error taken off the last bias."""
        rough = quantise(self._encoder, self.ranges, style, keep)
        error = (self._expected - self._embed(rough)).astype(np.float64).mean(axis=0)
        return shift_constant(rough, "projection.bias", error)

    def sensitivities(self, progress: Progress = silent) -> dict[str, float]:
        """Signal to noise, dB, of the embedding with one layer quantised at a time, the most sensitive layer first."""
        layers = quantisable_layers(self._encoder)
        found = {}
        for done, layer in enumerate(layers, start=1):
            alone = quantise(self._encoder, self.ranges, "cpu", keep=set(layers) - {layer})
            got = self._embed(alone, _SENSITIVITY_PROBES)
            expected = self._expected[: len(got)]
            found[layer] = noise_db(got - (got - expected).mean(axis=0), expected)
            progress("measuring layers", done, len(layers))
        return dict(sorted(found.items(), key=lambda item: item[1]))

    def _counted(self, batches: Iterable[Faces]) -> Iterable[Faces]:
        """Pass batches on, keeping a random sample of them."""
        rng = np.random.default_rng(0)
        for number, batch in enumerate(batches):
            self.crops += len(batch["face"])
            place = number if number < _PROBES else int(rng.integers(number + 1))
            if place == len(self._probes):
                self._probes.append(batch["face"])
            elif place < _PROBES:
                self._probes[place] = batch["face"]
            yield batch

    def _embed(self, model: onnx.ModelProto, probes: int = _PROBES) -> NDArray[np.float32]:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        session: Any = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return np.concatenate([session.run(None, {"face": each})[0] for each in self._probes[:probes]])
