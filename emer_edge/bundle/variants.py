"""The variants of a bundle: each has all parts, in a folder of its own name."""

from __future__ import annotations

from typing import Final, Literal

Variant = Literal["cpu", "tensorrt"]
CPU: Final = "cpu"
"""Any CPU, by ONNX Runtime: INT8 with unsigned activations; FP16 means FP32."""
TENSORRT: Final = "tensorrt"
"""NVIDIA GPUs, by TensorRT: INT8 with symmetric activations; FP16 between casts."""
VARIANTS: Final[tuple[Variant, ...]] = (CPU, TENSORRT)


def file_of(variant: Variant, part: str) -> str:
    """Path of a part's ONNX file inside a bundle."""
    return f"{variant}/{part}.onnx"


def role_of(part: str) -> str:
    """What a part does: `face_encoder` of `face_encoder-int8`, which is that part in a further precision."""
    return part.partition("-")[0]
