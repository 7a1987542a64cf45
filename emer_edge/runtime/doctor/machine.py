"""What a run needs of the machine: Python, its packages, an engine, its share of the processor."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from emer_edge import __version__
from emer_edge.runtime.board import read_l4t
from emer_edge.runtime.doctor.finding import Finding
from emer_edge.runtime.engines import tensorrt_engine
from emer_edge.runtime.engines.tensorrt.driver import find_gpu

__all__ = ["look_at_machine"]

_AUTOGROUP: Final = "proc/sys/kernel/sched_autogroup_enabled"
_BASE = ("numpy", "onnxruntime", "msgspec", "pyserial")


def look_at_machine(root: Path = Path("/")) -> Iterator[Finding]:
    """Findings about Python, the base packages, OpenCV, the GPU, TensorRT and the scheduler.

    `root` holds the machine's `etc` and `proc`.
    """
    yield Finding(
        "python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}, {platform.node()}"
    )
    yield Finding("emer-edge", "ok", f"{__version__}; {', '.join(f'{name} {_version(name)}' for name in _BASE)}")
    jetson = read_l4t(root) is not None
    yield _opencv(jetson)
    gpu = find_gpu()
    if gpu is not None:
        told = f"{gpu.name}, compute capability {gpu.compute_capability}, driver for CUDA up to {gpu.cuda}"
        yield Finding("gpu", "ok", told)
    elif jetson:
        mend = "in a container: docker run --runtime nvidia; else: sudo apt install nvidia-jetpack"
        yield Finding("gpu", "problem", "this is a Jetson, and no NVIDIA driver answers", mend)
    else:
        yield Finding("gpu", "ok", "none that NVIDIA's driver knows: parts run on the CPU")
    reason = tensorrt_engine.why_not()
    if reason is None:
        yield Finding("tensorrt", "ok", f"{_version('tensorrt')}, usable")
    elif find_spec("tensorrt") is not None:
        yield Finding("tensorrt", "warning", f"installed but not usable: {reason}", "pip install 'emer-edge[jetson]'")
    elif jetson:
        mend = "sudo apt install nvidia-jetpack, and a virtual environment made with --system-site-packages"
        yield Finding("tensorrt", "warning", f"not here, parts run in ONNX Runtime on the CPU: {reason}", mend)
    else:
        yield Finding("tensorrt", "ok", f"not here, parts run in ONNX Runtime on the CPU: {reason}")
    yield _priority(root)


def _opencv(jetson: bool) -> Finding:
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
    told = f"{cv2.__version__}, GStreamer {gstreamer[0] if gstreamer else 'unknown'}"
    if jetson and gstreamer and gstreamer[0].startswith("NO"):
        told += ": a wheel hides the system's OpenCV, and CSI cameras and hardware decoding with it"
        return Finding("opencv", "warning", told, "pip uninstall opencv-python opencv-python-headless")
    return Finding("opencv", "ok", told)


def _priority(root: Path) -> Finding:
    """What `--nice` ranks a run against; see sched(7), the autogroup feature."""
    try:
        autogroup = (root / _AUTOGROUP).read_text().strip() == "1"
    except (OSError, ValueError):
        autogroup = False
    if not autogroup:
        return Finding("priority", "ok", "--nice ranks a run against every process of its cgroup")
    told = "--nice ranks a run within its login session only (autogroup); a service is ranked by its CPUWeight="
    return Finding("priority", "ok", told)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"
