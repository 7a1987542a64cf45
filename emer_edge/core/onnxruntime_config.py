"""Settings that every session of ONNX Runtime gets: by an engine, by calibration and by a timing alike."""

from __future__ import annotations

import functools
import platform
from pathlib import Path

_CPU_FACTS = Path("/proc/cpuinfo")


@functools.cache
def session_config() -> dict[str, str]:
    """Entries for `SessionOptions.add_session_config_entry`, by key.

    Threads sleep while they wait. Where `sums_saturate` is true, weights of INT8 parts are made unsigned, which is
    exact; elsewhere it would only be slower.
    """
    precise = {"session.x64quantprecision": "1"} if sums_saturate(platform.machine(), _cpu_facts()) else {}
    return {"session.intra_op.allow_spinning": "0", **precise}


def sums_saturate(machine: str, cpu_facts: str) -> bool:
    """Whether ONNX Runtime adds two products of 8-bit numbers in 16 bits, which overflows: x86 without VNNI.

    Source: "When and why do I need to try U8U8?" in ONNX Runtime's page on quantisation.

    Args:
        machine: as `platform.machine()` says.
        cpu_facts: text of /proc/cpuinfo; empty where there is none, which counts as without.
    """
    return machine in ("x86_64", "AMD64", "i686") and "vnni" not in cpu_facts


def _cpu_facts() -> str:
    try:
        return _CPU_FACTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
