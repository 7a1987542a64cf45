"""The variants of a bundle: what each part computes in, and writing it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import onnx

from emer_edge.bundle import CPU, TENSORRT, VARIANTS
from emer_edge.export.parts.fusion import high_precision_nodes
from emer_edge.export.precision.dynamic import quantisable_products, quantise_products
from emer_edge.export.precision.fp16 import to_fp16
from emer_edge.export.precision.quantiser import EncoderQuantiser
from emer_edge.export.report.export_report import PartPrecision

Parts = dict[str, Path]
"""`cpu/face_encoder` and so on -> ONNX file."""


def precisions_of(asked: PartPrecision, fusion: onnx.ModelProto) -> dict[str, PartPrecision]:
    """What each part of each variant computes in.

    FP16 is no faster than FP32 on a CPU, so there it means FP32. With INT8 the encoder is quantised in both variants,
    and fusion in the cpu variant if it standardises its columns: 8 bits can't hold raw ones. TensorRT has no INT8 LSTM.

    Args:
        asked: precision of the whole.
        fusion: the FP32 fusion part.
    """
    small: PartPrecision = "int8" if asked == "int8" else "fp32"
    detectors: dict[str, PartPrecision] = {"face_detector": "fp32", "face_detector_near": "fp32"}
    found: dict[str, dict[str, PartPrecision]] = {
        CPU: {"face_encoder": small, "fusion": small if quantisable_products(fusion) else "fp32", **detectors},
        TENSORRT: {"face_encoder": asked, "fusion": "fp32" if asked == "fp32" else "fp16", **detectors},
    }
    return {f"{variant}/{part}": each for variant, parts in found.items() for part, each in parts.items()}


def write_parts(
    folder: Path,
    full: tuple[onnx.ModelProto, onnx.ModelProto],
    asked: PartPrecision,
    *,
    quantiser: EncoderQuantiser | None = None,
    keep: Collection[str] = (),
) -> Parts:
    """Write encoder and fusion of both variants.

    Args:
        folder: gets `cpu/face_encoder.onnx` and so on.
        full: the FP32 encoder and the FP32 fusion.
        asked: precision.
        quantiser: needed for int8.
        keep: layers of either part that stay in floating point: names of `quantisable_layers` and
            `quantisable_products`.
    """
    encoder, fusion = full
    precisions = precisions_of(asked, fusion)
    products = set(quantisable_products(fusion))
    parts: Parts = {}
    for variant in VARIANTS:
        (folder / variant).mkdir(parents=True, exist_ok=True)
        for name, model in (("face_encoder", encoder), ("fusion", fusion)):
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
