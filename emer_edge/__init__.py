"""Read a face video and an eye tracker together, on a small device.

Names resolve on first use, so that `import emer_edge` costs nothing but the standard library.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["Bundle", "MachineOptions", "Pipeline", "Result", "Session", "Source", "load_bundle"]

# ONNX Runtime 1.29 and later send telemetry from Linux too, unless this is set before they are imported. Nothing may
# leave the device without consent: set the variable to an empty text to enable it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_HOMES = {
    "Bundle": "emer_edge.bundle",
    "MachineOptions": "emer_edge.runtime.options",
    "Pipeline": "emer_edge.runtime.pipeline",
    "Result": "emer_edge.core.results",
    "Session": "emer_edge.runtime.session",
    "Source": "emer_edge.runtime.options",
    "load_bundle": "emer_edge.bundle",
}

if TYPE_CHECKING:
    from emer_edge.bundle import Bundle, load_bundle
    from emer_edge.core.results import Result
    from emer_edge.runtime.options import MachineOptions, Source
    from emer_edge.runtime.pipeline import Pipeline
    from emer_edge.runtime.session import Session


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'emer_edge' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
