from __future__ import annotations

import platform
from pathlib import Path

import pytest

from emer_edge.core.onnxruntime_config import session_config, sums_saturate


@pytest.mark.parametrize(
    ("machine", "cpu_facts", "saturates"),
    [
        ("x86_64", "flags\t\t: fpu avx2 avx512f avx512bw avx512vl\n", True),
        ("x86_64", "flags\t\t: fpu avx2 avx512_vnni\n", False),
        ("x86_64", "flags\t\t: fpu avx2 avx_vnni\n", False),
        ("AMD64", "", True),
        ("aarch64", "Features\t: fp asimd asimddp\n", False),
        ("arm64", "", False),
    ],
)
def test_only_x86_without_vnni_saturates(machine: str, cpu_facts: str, saturates: bool) -> None:
    assert sums_saturate(machine, cpu_facts) is saturates


def test_settings_follow_this_cpu() -> None:
    cpu_facts = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    precise = session_config().get("session.x64quantprecision") == "1"
    assert precise is sums_saturate(platform.machine(), cpu_facts)
