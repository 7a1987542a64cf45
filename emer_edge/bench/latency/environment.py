"""What machine the figures are from: without it a latency means nothing."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from emer_edge import __version__
from emer_edge.bench.records import Environment
from emer_edge.runtime.board import read_heat

__all__ = ["describe", "temperature_c"]

_PACKAGES: Final = ("numpy", "onnxruntime", "opencv-python", "opencv-python-headless", "tensorrt")


def describe() -> Environment:
    """Describe this machine now; `temperature_after_c` is left to the end of a run."""
    found = {"emer-edge": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    board = _read("/proc/device-tree/model") or platform.machine()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return Environment(
        machine=f"{board}, {platform.system()} {platform.release()}",
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        governor=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        memory_mb=_memory_mb(),
        load_average=load,
        temperature_before_c=temperature_c(),
        temperature_after_c=None,
        versions=found,
    )


def temperature_c() -> float | None:
    """The hottest thermal zone, or None where there is none."""
    return read_heat().hottest_c


def _cpu() -> str | None:
    fields = _fields("/proc/cpuinfo")
    if "model name" in fields:
        return fields["model name"]
    if "CPU part" in fields:  # ARM names its cores by number
        return f"ARM implementer {fields.get('CPU implementer', '?')} part {fields['CPU part']}"
    return platform.processor() or None


def _memory_mb() -> float | None:
    total = _fields("/proc/meminfo").get("MemTotal", "").split()
    return int(total[0]) * 1024 / 1e6 if total else None


def _fields(path: str) -> dict[str, str]:
    """`name: value` lines, the first of each name."""
    found: dict[str, str] = {}
    for line in (_read(path) or "").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(errors="replace").strip("\0\n ") or None
    except OSError:
        return None
