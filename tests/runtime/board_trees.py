"""Fake trees of a Jetson's /etc, /proc, /sys and /var.

The layouts are those of NVIDIA's Jetson Linux Developer Guide (r36: nv_tegra_release, nvpmodel, INA3221 and
over-current nodes, devfreq) and of the kernel's documentation (cpufreq, thermal, hwmon/ina3221); none was copied from
a board. The modes of an Orin Nano Super are those of nvpmodel_p3767_0003_super.conf, as public programs quote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

RELEASE = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 2025\n"
MODES = """\
# POWER_MODEL DEFINITIONS
# < POWER_MODEL ID=9 NAME=COMMENTED >
< PARAM TYPE=FILE NAME=CPU_ONLINE >
< POWER_MODEL ID=0 NAME=MAXN >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=1 NAME=10W >
< POWER_MODEL ID=2 NAME=15W >
< POWER_MODEL ID=3 NAME=25W >
< PM_CONFIG DEFAULT=2 >
"""
ORIN_NANO_SUPER = """\
< POWER_MODEL ID=0 NAME=15W >
< POWER_MODEL ID=1 NAME=25W >
< POWER_MODEL ID=2 NAME=MAXN_SUPER >
< POWER_MODEL ID=3 NAME=7W >
"""
INSTALLED = """\
Package: nvidia-l4t-core
Status: install ok installed
Version: 36.4.3-20250107174145

Package: nvidia-jetpack
Status: install ok installed
Architecture: arm64
Version: 6.2+b77
Description: NVIDIA Jetpack Meta Package
"""


def write(root: Path, files: Mapping[str, object]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def orin_nx(root: Path) -> Path:
    """An Orin NX with JetPack 6.2 at 15 W, clocks moving, cool."""
    files: dict[str, object] = {
        "etc/nv_tegra_release": RELEASE,
        "etc/nvpmodel.conf": MODES,
        "var/lib/nvpmodel/status": "pmode:0002\nfmode:quiet",
        "var/lib/dpkg/status": INSTALLED,
        "proc/device-tree/model": "NVIDIA Jetson Orin NX Engineering Reference Developer Kit\0",
        "proc/meminfo": "MemTotal: 15938184 kB\nMemAvailable: 12000000 kB\nSwapTotal: 7969088 kB\nSwapFree: 7969088 kB",
        "proc/swaps": "Filename Type Size Used Priority\n/dev/zram0 partition 996132 0 5",
    }
    for first in (0, 4):
        policy = f"sys/devices/system/cpu/cpufreq/policy{first}"
        files |= {
            f"{policy}/affected_cpus": " ".join(str(first + each) for each in range(4)),
            f"{policy}/scaling_cur_freq": 729600,
            f"{policy}/scaling_min_freq": 729600,
            f"{policy}/scaling_max_freq": 1984000,
            f"{policy}/scaling_governor": "schedutil",
        }
    gpu = "sys/class/devfreq/17000000.gpu"
    files |= {f"{gpu}/cur_freq": 306000000, f"{gpu}/min_freq": 306000000, f"{gpu}/max_freq": 918000000}
    files |= {f"{gpu}/governor": "nvhost_podgov", "sys/class/devfreq/15340000.vic/cur_freq": 115200000}
    for at, (kind, temperature) in enumerate(
        (("cpu-thermal", 47312), ("gpu-thermal", 45031), ("cv0-thermal", -256000))
    ):
        zone = f"sys/class/thermal/thermal_zone{at}"
        files |= {f"{zone}/type": kind, f"{zone}/temp": temperature}
        files |= {f"{zone}/trip_point_0_type": "critical", f"{zone}/trip_point_0_temp": 104500}
        files |= {f"{zone}/trip_point_1_type": "passive", f"{zone}/trip_point_1_temp": 99000}
        files |= {f"{zone}/trip_point_2_type": "active", f"{zone}/trip_point_2_temp": 45000}
    for at, (kind, step) in enumerate((("pwm-fan", 2), ("cpufreq-cpu0", 0))):
        cooling = f"sys/class/thermal/cooling_device{at}"
        files |= {f"{cooling}/type": kind, f"{cooling}/cur_state": step, f"{cooling}/max_state": 10}
    monitor = "sys/class/hwmon/hwmon3"
    files |= {f"{monitor}/name": "ina3221", f"{monitor}/in7_label": "sum of shunt voltages", f"{monitor}/in7_input": 90}
    for channel, (label, millivolts, milliamperes) in enumerate(
        (("VDD_IN", 5040, 1560), ("VDD_CPU_GPU_CV", 5032, 400), ("VDD_SOC", 5040, 304)), start=1
    ):
        files |= {
            f"{monitor}/in{channel}_label": label,
            f"{monitor}/in{channel}_input": millivolts,
            f"{monitor}/curr{channel}_input": milliamperes,
        }
    files |= {"sys/class/hwmon/hwmon0/name": "pwmfan", "sys/class/hwmon/hwmon1/name": "soctherm_oc"}
    files |= {f"sys/class/hwmon/hwmon1/oc{each}_event_cnt": 0 for each in (1, 2, 3)}
    return write(root, files)
