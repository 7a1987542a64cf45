"""What a run needs of the machine: Python, its packages, an engine."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from emer_edge import __version__
from emer_edge.runtime.doctor.finding import Finding
from emer_edge.runtime.engines import tensorrt_engine

__all__ = ["look_at_machine"]

_BASE = ("numpy", "onnxruntime", "msgspec", "pyserial")


def look_at_machine() -> Iterator[Finding]:
    """Findings about Python, the base packages, OpenCV and TensorRT."""
    yield Finding(
        "python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}, {platform.node()}"
    )
    yield Finding("emer-edge", "ok", f"{__version__}; {', '.join(f'{name} {_version(name)}' for name in _BASE)}")
    yield _opencv()
    reason = tensorrt_engine.why_not()
    if reason is None:
        yield Finding("tensorrt", "ok", f"{_version('tensorrt')}, usable")
    elif find_spec("tensorrt") is not None:
        yield Finding("tensorrt", "warning", f"installed but not usable: {reason}", "pip install 'emer-edge[jetson]'")
    else:
        yield Finding("tensorrt", "ok", f"not here, parts run in ONNX Runtime on the CPU: {reason}")


def _opencv() -> Finding:
    mend = "pip install 'emer-edge[desktop]', or on a Jetson a virtual environment with --system-site-packages"
    if find_spec("cv2") is None:
        return Finding("opencv", "problem", "not installed, so there are no cameras, no videos and no faces", mend)
    try:
        import cv2
    except ImportError as error:
        return Finding("opencv", "problem", f"can't be imported: {error}", mend)
    gstreamer = [
        each.partition(":")[2].strip() for each in cv2.getBuildInformation().splitlines() if "GStreamer" in each
    ]
    return Finding("opencv", "ok", f"{cv2.__version__}, GStreamer {gstreamer[0] if gstreamer else 'unknown'}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"
