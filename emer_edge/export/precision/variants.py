"""The variants of a bundle: what each part computes in, and writing it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal

import onnx

from emer_edge.bundle import CPU, TENSORRT, VARIANTS
from emer_edge.export.parts.fusion import high_precision_nodes
from emer_edge.export.precision.dynamic import quantisable_products, quantise_products
from emer_edge.export.precision.fp16 import to_fp16
from emer_edge.export.precision.quantiser import EncoderQuantiser

__all__ = ["PartPrecision", "Parts", "precisions_of", "write_parts"]

PartPrecision = Literal["fp32", "fp16", "int8"]
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
    quick: PartPrecision = "fp16" if asked != "fp32" else "fp32"
    return {
        f"{CPU}/face_encoder": "int8" if asked == "int8" else "fp32",
        f"{CPU}/fusion": "int8" if asked == "int8" and quantisable_products(fusion) else "fp32",
        f"{CPU}/face_detector": "fp32",
        f"{CPU}/face_detector_near": "fp32",
        f"{TENSORRT}/face_encoder": asked,
        f"{TENSORRT}/fusion": quick,
        f"{TENSORRT}/face_detector": "fp32",
        f"{TENSORRT}/face_detector_near": "fp32",
    }


def write_parts(
    target: Callable[[str], Path],
    encoder: onnx.ModelProto,
    fusion: onnx.ModelProto,
    asked: PartPrecision,
    quantiser: EncoderQuantiser | None,
    keep: Collection[str] = (),
) -> Parts:
    """Write encoder and fusion of both variants.

    Args:
        target: gives the file for a path inside the bundle.
        encoder: the FP32 encoder.
        fusion: the FP32 fusion.
        asked: precision.
        quantiser: needed for int8.
        keep: layers of either part that stay in floating point: names of `quantisable_layers` and
            `quantisable_products`.
    """
    precisions = precisions_of(asked, fusion)
    products = set(quantisable_products(fusion))
    kept = {"face_encoder": set(keep) - products, "fusion": set(keep) & products}
    parts: Parts = {}
    for variant in VARIANTS:
        for name, full in (("face_encoder", encoder), ("fusion", fusion)):
            key = f"{variant}/{name}"
            model = full
            if precisions[key] == "fp16":
                model = to_fp16(full, {"projection"} if name == "face_encoder" else high_precision_nodes(full))
            elif precisions[key] == "int8" and name == "fusion":
                model = quantise_products(full, kept[name])
            elif precisions[key] == "int8" and quantiser is not None:
                model = quantiser.build(variant, kept[name])
            parts[key] = target(f"{key}.onnx")
            onnx.checker.check_model(model, full_check=True)
            parts[key].write_bytes(model.SerializeToString())
    return parts
