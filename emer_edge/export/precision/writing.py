"""The variants of a bundle: the precision of each part, the INT8 encoder, and the files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import copy, deepcopy
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from emer_edge.bundle import CPU, TENSORRT, VARIANTS, Variant
from emer_edge.calibration.measurement import model_session
from emer_edge.calibration.methods import Grid, Range
from emer_edge.core.errors import ConfigurationError
from emer_edge.export.parts.fusion import high_precision_nodes
from emer_edge.export.parts.unrolled_lstms import unroll_lstms
from emer_edge.export.precision.dynamic import quantisable_products, quantise_products
from emer_edge.export.precision.fp16 import overflows, to_fp16
from emer_edge.export.precision.int8 import activations_to_quantise, first_convolution_on_blocks, quantise
from emer_edge.export.report.export_report import PartPrecision

Parts = dict[str, Path]
"""`cpu/face_encoder` and so on -> ONNX file."""

PROBES: Final = 12
"""Batches of calibration crops that show the constant error of an embedding."""
GRID_OF: Final[dict[Variant, Grid]] = {CPU: "unsigned", TENSORRT: "signed"}
"""How the 8 bits of each variant lie on a range."""


def shift_constant(model: onnx.ModelProto, name: str, by: NDArray[np.float64]) -> onnx.ModelProto:
    """Return a copy in which `by` was added to the float32 constant `name`.

    INT8 moves the mean of an embedding, which calibration crops show and a bias can undo at no cost (as Nagel et al.,
    "Data-free quantization through weight equalization and bias correction", 2019, do for each layer).

    Raises:
        ConfigurationError: the model has no such constant.
    """
    shifted = deepcopy(model)
    for constant in shifted.graph.initializer:
        if constant.name == name:
            values = numpy_helper.to_array(constant).astype(np.float64) + by
            constant.CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))
            return shifted
    raise ConfigurationError(f"the graph {model.graph.name} has no constant called {name}")


class EncoderQuantiser:
    """Quantises one FP32 face encoder.

    Args:
        encoder: the FP32 part.
        ranges: grid -> tensor -> low, high, for every tensor of `tensors_to_measure`.
        probes: batches of calibration crops, (B, 3, 112, 112) float32 each.

    Attributes:
        beyond: what FP16 can't hold of these crops, in the words of `emer_edge.export.precision.fp16.overflows`.
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
        self.beyond = overflows(encoder, {"projection"}, {"face": np.concatenate(probes[:PROBES])}) if probes else ()

    def using(self, ranges: Mapping[Grid, Mapping[str, Range]]) -> EncoderQuantiser:
        """The same with other ranges."""
        other = copy(self)
        other.ranges = ranges
        return other

    def build(self, style: Variant, keep: Collection[str] = ()) -> onnx.ModelProto:
        """Quantise all layers but those named by `keep`, the constant part of the error taken off the last bias.

        For TensorRT what lies between INT8 is FP16, kept layers included; FP32 where FP16 can't hold it (`beyond`).
        """
        rough = quantise(self._encoder, self.ranges[GRID_OF[style]], style, keep)
        if style == CPU:
            rough = first_convolution_on_blocks(rough)
        error = (self._expected - self._embed(rough)).astype(np.float64).mean(axis=0)
        shifted = shift_constant(rough, "projection.bias", error)
        return to_fp16(shifted, {"projection"}) if style == TENSORRT and not self.beyond else shifted

    def _embed(self, model: onnx.ModelProto) -> NDArray[np.float32]:
        session = model_session(model)
        return np.concatenate([session.run(None, {"face": crops})[0] for crops in self._probes[:PROBES]])


def tensors_to_measure(encoder: onnx.ModelProto) -> list[str]:
    """Names of the tensors that either style quantises, sorted."""
    return sorted({name for style in GRID_OF for name in activations_to_quantise(encoder, style)})


def precisions_of(precision: PartPrecision, fusion: onnx.ModelProto) -> dict[str, PartPrecision]:
    """Precision of each part of each variant, given that of the whole and the FP32 fusion.

    FP16 is no faster than FP32 on a CPU, so there it means FP32. With INT8 the encoder is quantised in both variants,
    and fusion in the cpu variant if it standardises its columns: 8 bits can't hold raw ones. TensorRT has no INT8 LSTM.
    TensorRT's detectors are FP16 with either: INT8 moves landmarks by 3.6 px, FP16 by 0.1.
    """
    small: PartPrecision = "int8" if precision == "int8" else "fp32"
    half: PartPrecision = "fp32" if precision == "fp32" else "fp16"
    fused: PartPrecision = small if quantisable_products(fusion) else "fp32"
    parts = ("face_encoder", "fusion", "face_detector", "face_detector_near")
    own: dict[str, tuple[PartPrecision, ...]] = {
        CPU: (small, fused, "fp32", "fp32"),
        TENSORRT: (precision, half, half, half),
    }
    return {f"{variant}/{part}": kind for variant in own for part, kind in zip(parts, own[variant], strict=True)}


def write_parts(
    folder: Path,
    full: tuple[onnx.ModelProto, onnx.ModelProto],
    precision: PartPrecision,
    *,
    quantiser: EncoderQuantiser | None = None,
    keep: Collection[str] = (),
) -> Parts:
    """Write encoder and fusion of both variants.

    Args:
        folder: for `cpu/face_encoder.onnx` and so on.
        full: the FP32 encoder and the FP32 fusion.
        precision: of the whole.
        quantiser: needed for int8.
        keep: layers of either part that stay in floating point: names of `quantisable_layers` and
            `quantisable_products`.
    """
    encoder, fusion = full
    precisions = precisions_of(precision, fusion)
    products = set(quantisable_products(fusion))
    parts: Parts = {}
    for variant in VARIANTS:
        (folder / variant).mkdir(parents=True, exist_ok=True)
        fused = unroll_lstms(fusion) if variant == TENSORRT else fusion
        for name, model in (("face_encoder", encoder), ("fusion", fused)):
            key = f"{variant}/{name}"
            if precisions[key] == "fp16":
                model = to_fp16(model, {"projection"} if name == "face_encoder" else high_precision_nodes(model))
            elif precisions[key] == "int8" and name == "fusion":
                model = quantise_products(model, set(keep) & products)
            elif precisions[key] == "int8" and quantiser is not None:
                model = quantiser.build(variant, set(keep) - products)
            parts[key] = folder / f"{key}.onnx"
            onnx.checker.check_model(model, full_check=True)
            parts[key].write_bytes(model.SerializeToString())
    return parts
