"""The variants of a bundle: every part is written once for each, into a folder of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Variant = Literal["cpu", "tensorrt"]
CPU: Final = "cpu"
TENSORRT: Final = "tensorrt"


@dataclass(frozen=True)
class VariantRecord:
    """A variant.

    Attributes:
        name: what manifests and reports call it.
        folder: where its parts lie in a bundle.
        purpose: what it is for.
        reader: what reads it.
    """

    name: Variant
    folder: str
    purpose: str
    reader: str

    def file(self, part: str) -> str:
        """Path of a part's ONNX file inside a bundle."""
        return f"{self.folder}/{part}.onnx"


VARIANTS: Final[Mapping[Variant, VariantRecord]] = {
    CPU: VariantRecord(
        name=CPU,
        folder="cpu",
        purpose="any CPU: INT8 with unsigned activations; FP16 means FP32",
        reader="ONNX Runtime",
    ),
    TENSORRT: VariantRecord(
        name=TENSORRT,
        folder="tensorrt",
        purpose="NVIDIA GPUs: INT8 with symmetric activations; FP16 between casts",
        reader="TensorRT",
    ),
}
