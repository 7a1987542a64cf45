"""The variants of a bundle: each has all parts, in a folder of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Variant = Literal["cpu", "tensorrt"]
CPU: Final = "cpu"
TENSORRT: Final = "tensorrt"


@dataclass(frozen=True)
class VariantRecord:
    """A variant: its name in manifests and reports, and its folder in a bundle."""

    name: Variant
    folder: str

    def file(self, part: str) -> str:
        """Path of a part's ONNX file inside a bundle."""
        return f"{self.folder}/{part}.onnx"


def role_of(part: str) -> str:
    """What a part does: `face_encoder` of `face_encoder-int8`, which is that part in a further precision."""
    return part.partition("-")[0]


VARIANTS: Final[Mapping[Variant, VariantRecord]] = {
    # any CPU, by ONNX Runtime: INT8 with unsigned activations; FP16 means FP32
    CPU: VariantRecord(CPU, "cpu"),
    # NVIDIA GPUs, by TensorRT: INT8 with symmetric activations; FP16 between casts
    TENSORRT: VariantRecord(TENSORRT, "tensorrt"),
}
