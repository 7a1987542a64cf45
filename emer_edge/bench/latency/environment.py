"""What machine the figures are from: without it a latency means nothing."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from emer_edge import __version__
from emer_edge.bench.records import Environment
from emer_edge.runtime.board import read_heat, read_jetson, read_number, read_text

__all__ = ["describe", "temperature_c"]

_PACKAGES: Final = (
    "numpy", "onnxruntime", "onnxruntime-gpu", "opencv-python", "opencv-python-headless", "tensorrt", "tensorrt-rtx",
    "pycuda",
)  # fmt: skip
_FLAGS: Final = (
    *("sse4_2", "f16c", "fma", "avx", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16"),  # x86
    *("asimd", "asimdhp", "asimddp", "asimdrdm", "i8mm", "bf16", "sve", "sve2", "sme"),  # ARM
)
_CPU: Final = "sys/devices/system/cpu"


def describe(root: Path = Path("/")) -> Environment:
    """Describe this machine now; `temperature_after_c` is left to the end of a run.

    Args:
        root: holds `etc`, `proc` and `sys`.
    """
    cpu, jetson = _fields(root / "proc/cpuinfo"), read_jetson(root)
    flags = set((cpu.get("flags") or cpu.get("Features") or "").split())
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    mode = None if jetson is None else jetson.mode
    return Environment(
        machine=read_text(root / "proc/device-tree/model") or platform.machine(),
        kernel=f"{platform.system()} {platform.release()}",
        cpu=_model(cpu),
        cpu_flags=tuple(each for each in _FLAGS if each in flags),
        hypervisor="hypervisor" in flags if "flags" in cpu else None,
        cores=len(allowed) if allowed is not None else os.cpu_count() or 1,
        affinity=None if allowed is None else _spans(allowed),
        governor=read_text(root / _CPU / "cpu0/cpufreq/scaling_governor"),
        boost=_boost(root),
        memory_mb=_memory_mb(root),
        l4t=None if jetson is None else jetson.l4t,
        jetpack=None if jetson is None else jetson.jetpack,
        power_mode=None if mode is None else f"{mode.number} {mode.name}",
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        temperature_before_c=temperature_c(root),
        temperature_after_c=None,
        versions=_versions(),
    )


def temperature_c(root: Path = Path("/")) -> float | None:
    """The hottest thermal zone, or None where there is none."""
    return read_heat(root).hottest_c


def _versions() -> dict[str, str]:
    found = {"emer-edge": __version__, "python": platform.python_version()}
    libc = " ".join(platform.libc_ver()).strip()
    if libc:
        found["libc"] = libc
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _model(cpu: Mapping[str, str]) -> str | None:
    if "model name" in cpu:
        return cpu["model name"]
    if "CPU part" in cpu:  # ARM names its cores by number
        return f"ARM implementer {cpu.get('CPU implementer', '?')} part {cpu['CPU part']}"
    return platform.processor() or None


def _boost(root: Path) -> bool | None:
    """What cpufreq calls `boost`, or the opposite of intel_pstate's `no_turbo`."""
    boost, no_turbo = read_number(root / _CPU / "cpufreq/boost"), read_number(root / _CPU / "intel_pstate/no_turbo")
    if no_turbo is not None:
        return not no_turbo
    return None if boost is None else bool(boost)


def _memory_mb(root: Path) -> float | None:
    total = _fields(root / "proc/meminfo").get("MemTotal", "").split()
    return int(total[0]) * 1024 / 1e6 if total else None


def _spans(cores: Iterable[int]) -> str:
    """`0-3,6` of 0, 1, 2, 3, 6."""
    spans: list[list[int]] = []
    for core in sorted(cores):
        if spans and core == spans[-1][1] + 1:
            spans[-1][1] = core
        else:
            spans.append([core, core])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def _fields(path: Path) -> dict[str, str]:
    """`name: value` lines, the first of each name."""
    found: dict[str, str] = {}
    for line in (read_text(path) or "").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found
