"""Folders laid out as the kernel lays out /sys, for the real readers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def write(root: Path, files: Mapping[str, object]) -> Path:
    """Write small files of the kernel."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def board(root: Path, millivolts: int = 5000, milliamperes: int = 2000) -> Path:
    """A power monitor with the whole module's rail, two CPU clusters, one thermal zone with a cooling device."""
    monitor, thermal, cpu = "sys/class/hwmon/hwmon1", "sys/class/thermal", "sys/devices/system/cpu/cpufreq"
    files: dict[str, object] = {
        f"{monitor}/name": "ina3221",
        f"{monitor}/in1_label": "VDD_IN",
        f"{monitor}/in1_input": millivolts,
        f"{monitor}/curr1_input": milliamperes,
        f"{thermal}/thermal_zone0/type": "cpu-thermal",
        f"{thermal}/thermal_zone0/temp": 50500,
        f"{thermal}/cooling_device0/type": "cpufreq-cpu0",
        f"{thermal}/cooling_device0/cur_state": 0,
        f"{thermal}/cooling_device0/max_state": 10,
        "sys/class/hwmon/hwmon2/oc1_event_cnt": 0,
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic",
        "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=15W >",
        "var/lib/nvpmodel/status": "pmode:0001",
    }
    for first in (0, 4):
        policy = f"{cpu}/policy{first}"
        files |= {f"{policy}/affected_cpus": first, f"{policy}/scaling_cur_freq": 1500000}
        files |= {f"{policy}/scaling_min_freq": 700000, f"{policy}/scaling_max_freq": 2000000}
    return write(root, files)


def rapl(root: Path, *microjoules: int, span: int = 1_000_000) -> Path:
    """A zone for each package, with a subzone for its cores, and the whole platform's."""
    for number, drawn in enumerate(microjoules):
        zone = f"sys/class/powercap/intel-rapl:{number}"
        write(
            root,
            {
                f"{zone}/name": f"package-{number}",
                f"{zone}/energy_uj": drawn,
                f"{zone}/max_energy_range_uj": span,
                f"sys/class/powercap/intel-rapl:{number}:0/name": "core",
                f"sys/class/powercap/intel-rapl:{number}:0/energy_uj": 10**9,
                f"sys/class/powercap/intel-rapl:{number}:0/max_energy_range_uj": span,
            },
        )
    return root
