"""What a plan belongs to: the GPU and the versions of everything between it and us."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

from emer_edge.runtime.board.jetson import read_l4t
from emer_edge.runtime.engines.tensorrt.driver import Gpu
from emer_edge.runtime.engines.tensorrt.packages import Capabilities

__all__ = ["UNKNOWN", "Machine", "describe_machine", "difference"]

UNKNOWN: Final = "unknown"
_TOLD: Final = {
    "gpu": "GPU",
    "compute_capability": "compute capability",
    "tensorrt": "",  # its value names it
    "cuda": "CUDA",
    "driver": "driver",
    "l4t": "L4T",
}


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A machine as far as a plan is concerned; `unknown` where something can't be known.

    Attributes:
        gpu: its name.
        compute_capability: for example `8.7`.
        tensorrt: package and version.
        cuda: the newest CUDA version that the driver knows.
        driver: version of the kernel's NVIDIA driver.
        l4t: version of Jetson Linux, for example `36.3.0`.
    """

    gpu: str = UNKNOWN
    compute_capability: str = UNKNOWN
    tensorrt: str = UNKNOWN
    cuda: str = UNKNOWN
    driver: str = UNKNOWN
    l4t: str = UNKNOWN


def describe_machine(capabilities: Capabilities, gpu: Gpu | None, root: Path = Path("/")) -> Machine:
    """Describe this machine.

    Args:
        capabilities: of the package in use.
        gpu: from `find_gpu`.
        root: where /etc and /proc are found.
    """
    return Machine(
        gpu=gpu.name if gpu else UNKNOWN,
        compute_capability=gpu.compute_capability if gpu else UNKNOWN,
        tensorrt=capabilities.told,
        cuda=gpu.cuda if gpu else UNKNOWN,
        driver=_driver(root / "proc/driver/nvidia/version"),
        l4t=read_l4t(root) or UNKNOWN,
    )


def difference(built: Machine, here: Machine) -> str | None:
    """Name what differs, both sides, in one sentence; None where nothing that is known differs."""
    parts = []
    for name, told in _TOLD.items():
        then, now = getattr(built, name), getattr(here, name)
        if then != now and UNKNOWN not in (then, now):
            parts.append((f"{told} {then}".strip(), f"{told} {now}".strip()))
    if not parts:
        return None
    then, now = (", ".join(each) for each in zip(*parts, strict=True))
    return f"it was built with {then}, and this machine has {now}"


def _driver(path: Path) -> str:
    """`NVRM version: NVIDIA UNIX ... Kernel Module  540.3.0  ...` -> `540.3.0`."""
    found = re.search(r"NVRM version:.*?\s(\d+\.\d+(?:\.\d+)?)\s", _text(path))
    return found[1] if found else UNKNOWN


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
