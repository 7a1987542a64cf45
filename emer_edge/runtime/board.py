"""What a board reports in /etc, /proc and /sys: release, power mode, clocks, load, heat and memory.

Every reader takes the root under which those folders are. The layouts are those of the kernel's documentation and of
NVIDIA's Jetson Linux Developer Guide; they were never compared with a board.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ADD_SWAP: Final = (
    "sudo fallocate -l 4G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && sudo swapon /swapfile"
)
"""The command that adds 4 GB of swap."""
_JETPACKS: Final[Mapping[str, str]] = {"32": "4", "34": "5", "35": "5", "36": "6", "38": "7", "39": "7"}
_MODE: Final = re.compile(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+?)\s*>")
_INSTALLED: Final = re.compile(r"^Package: nvidia-jetpack\n(?:.+\n)*?Version: ([\d.]+)", re.MULTILINE)
_MEMORY_CLOCK: Final = "sys/kernel/debug/bpmp/debug/clk/emc"  # Tegra's; root's alone
_NVFANCONTROL: Final = 34  # L4T of JetPack 5
_SLOWING: Final = ("cpufreq", "devfreq", "throttle", "processor", "gpu", "cpu")
_PLAUSIBLE_C: Final = (-40.0, 150.0)  # a zone whose part is switched off reads -256


def read_text(path: Path) -> str | None:
    """The text without white space and NULs around it; None where it is empty or can't be read."""
    try:
        return path.read_text(errors="replace").strip("\0 \t\n") or None
    except OSError:
        return None


def read_number(path: Path) -> int | None:
    """The whole number in a file, None where there is none."""
    text = read_text(path)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def read_cpu(root: Path = Path("/")) -> str | None:
    """The processor's name, of ARM cores their numbers; None where nothing says it."""
    lines = re.findall(r"^([\w ]+?)\s*:\s*(.+)$", read_text(root / "proc/cpuinfo") or "", re.MULTILINE)
    facts = dict(reversed(lines))  # the first core's
    if "CPU part" in facts and "model name" not in facts:
        return f"ARM implementer {facts.get('CPU implementer', '?')} part {facts['CPU part']}"
    return facts.get("model name") or platform.processor() or None


@dataclass(frozen=True)
class PowerMode:
    """A power mode.

    Attributes:
        number: what `nvpmodel -m` takes.
        name: for example `MAXN` or `15W`.
    """

    number: int
    name: str


@dataclass(frozen=True)
class Jetson:
    """A board.

    Attributes:
        model: for example `NVIDIA Jetson Orin NX Engineering Reference Developer Kit`.
        l4t: release of Jetson Linux, for example `36.4.3`.
        jetpack: for example `6.2`, or the major version alone where JetPack's package is not installed; None where
            the release is not known here.
        mode: power mode that is set, None where it can't be read.
        modes: all, from the least power to the most; their numbers rank nothing. Empty where they can't be read.
    """

    model: str
    l4t: str
    jetpack: str | None
    mode: PowerMode | None
    modes: tuple[PowerMode, ...]

    @property
    def fastest(self) -> PowerMode | None:
        """The mode with the most power, None where the modes can't be read."""
        return self.modes[-1] if self.modes else None

    @property
    def more_power(self) -> str:
        """What helps against over-current, for people: a supply, or the next lower power mode with its command."""
        lower = self.modes[: self.modes.index(self.mode)] if self.mode in self.modes else ()
        mode = f"{lower[-1].name}: sudo nvpmodel -m {lower[-1].number}" if lower else "sudo nvpmodel -q lists them"
        return f"a stronger power supply, or a lower power mode ({mode})"

    @property
    def cooling(self) -> str:
        """What helps against heat, for people; nvfancontrol has the fan's profiles from JetPack 5 on."""
        if int(self.l4t.partition(".")[0]) < _NVFANCONTROL:
            fan = "sudo nvpmodel -d cool"
        else:
            fan = (
                "sudo systemctl stop nvfancontrol && sudo sed -i --follow-symlinks "
                "'s/\\(FAN_DEFAULT_PROFILE\\).*/\\1 cool/' "
                "/etc/nvfancontrol.conf && sudo rm -f /var/lib/nvfancontrol/status && sudo systemctl start nvfancontrol"
            )
        return f"free air, a lower power mode, or a faster fan ({fan})"


def read_l4t(root: Path = Path("/")) -> str | None:
    """`# R36 (release), REVISION: 3.0, ...` of /etc/nv_tegra_release -> `36.3.0`; None on other machines."""
    match = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", read_text(root / "etc/nv_tegra_release") or "")
    return f"{match[1]}.{match[2]}" if match else None


def read_jetson(root: Path = Path("/")) -> Jetson | None:
    """Describe the board; None where this is no Jetson.

    The power modes are those of /etc/nvpmodel.conf, the one that is set is `pmode:0002` of /var/lib/nvpmodel/status,
    which nvpmodel writes.
    """
    l4t = read_l4t(root)
    if l4t is None:
        return None
    modes = _modes(read_text(root / "etc/nvpmodel.conf") or "")
    set_to = re.search(r"pmode:(\d+)", read_text(root / "var/lib/nvpmodel/status") or "")
    number = int(set_to[1]) if set_to else -1
    installed = _INSTALLED.search(read_text(root / "var/lib/dpkg/status") or "")
    return Jetson(
        model=read_text(root / "proc/device-tree/model") or "a Jetson",
        l4t=l4t,
        jetpack=installed[1] if installed else _JETPACKS.get(l4t.partition(".")[0]),
        mode=next((mode for mode in modes if mode.number == number), None),
        modes=tuple(sorted(modes, key=_power)),
    )


def _modes(text: str) -> list[PowerMode]:
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [PowerMode(int(number), name) for number, name in _MODE.findall(lines)]


def _power(mode: PowerMode) -> tuple[bool, bool, int]:
    """Sorts by power: MAXN_SUPER, MAXN, then the watts in the name."""
    watts = re.search(r"(\d+)W", mode.name)
    return mode.name.startswith("MAXN_SUPER"), mode.name.startswith("MAXN"), int(watts[1]) if watts else 0


@dataclass(frozen=True)
class Clock:
    """A clock, or several CPU cores that share one.

    Attributes:
        name: `CPU 0-3`, `GPU` or `memory`.
        now_mhz: where it is, None where that can't be read.
        least_mhz, most_mhz: between what it may move; equal: it is held.
        governor: what moves it, None where nothing does.
    """

    name: str
    now_mhz: int | None
    least_mhz: int | None
    most_mhz: int | None
    governor: str | None = None

    @property
    def held(self) -> bool:
        """Whether it is at its highest, as after jetson_clocks or with the governor `performance`."""
        return self.governor == "performance" or (self.least_mhz is not None and self.least_mhz == self.most_mhz)

    def __str__(self) -> str:
        """`CPU 0-3 729 of 729 to 1984 MHz (schedutil)`."""
        now = "unknown" if self.now_mhz is None else str(self.now_mhz)
        span = "" if self.least_mhz is None or self.most_mhz is None else f" of {self.least_mhz} to {self.most_mhz}"
        return f"{self.name} {now}{span} MHz" + ("" if self.governor is None else f" ({self.governor})")


def read_clocks(root: Path = Path("/")) -> tuple[Clock, ...]:
    """The clocks that can be read: cpufreq's policies, the GPU's devfreq node, and for root a Jetson's memory clock."""
    gpus = (_clock("GPU", node, "", 10**6) for node in _gpu_nodes(root / "sys/class/devfreq"))
    clocks = [*_cpus(root / "sys/devices/system/cpu/cpufreq"), *gpus]
    memory = root / _MEMORY_CLOCK
    if (rate := read_number(memory / "rate")) is not None:
        most = read_number(memory / "max_rate")
        clocks.append(Clock("memory", rate // 10**6, None, None if most is None else most // 10**6))
    return tuple(clocks)


def _clock(name: str, node: Path, prefix: str, unit: int) -> Clock:
    """Read `cur_freq`, `min_freq`, `max_freq` and `governor` of a node; `unit`: how many of theirs make a MHz."""
    numbers = (read_number(node / f"{prefix}{part}_freq") for part in ("cur", "min", "max"))
    now, least, most = (None if number is None else round(number / unit) for number in numbers)
    return Clock(name, now, least, most, governor=read_text(node / f"{prefix}governor"))


def _cpus(folder: Path) -> Iterator[Clock]:
    for policy in sorted(folder.glob("policy*"), key=lambda path: int(path.name[6:] or 0)):
        cores = (read_text(policy / "affected_cpus") or policy.name[6:]).split()
        name = cores[0] if len(cores) == 1 else f"{cores[0]}-{cores[-1]}"
        yield _clock(f"CPU {name}", policy, "scaling_", 1000)


def _gpu_nodes(folder: Path) -> list[Path]:
    """The GPU's nodes in devfreq: 17000000.gpu (JetPack 6), 17000000.ga10b (5), gpu-gpc-0 (7 on Thor)."""
    names = ("gpu", "ga10b", "gv11b", "gp10b")
    return [
        node
        for node in sorted(folder.glob("*"))
        if node.name.rpartition(".")[2] in names or node.name.startswith("gpu-gpc-")
    ]


def read_gpu_load(root: Path = Path("/")) -> float | None:
    """Share of time in which the GPU is busy, 0 to 1, from nvgpu's `load` (per mille); None where it isn't told."""
    loads = (read_number(node / "device/load") for node in _gpu_nodes(root / "sys/class/devfreq"))
    return max((load / 1000 for load in loads if load is not None), default=None)


@dataclass(frozen=True)
class Heat:
    """Temperatures.

    Attributes:
        hottest: name of the hottest thermal zone, empty where none can be read.
        hottest_c: its temperature.
        limit_c: where the kernel begins to slow something down in that zone (its lowest passive or hot trip point),
            None where it has none.
        slowed: cooling devices that hold something back now, with their step: `cpufreq-cpu0 3 of 10`. Fans are none.
        over_current: how often the board has cut its clocks because of too much current, None where it does not count.
    """

    hottest: str
    hottest_c: float | None
    limit_c: float | None
    slowed: tuple[str, ...]
    over_current: int | None


def read_heat(root: Path = Path("/")) -> Heat:
    """Read the thermal zones, cooling devices, and a Jetson's over-current counters (hwmon's oc1_event_cnt ...)."""
    zones = []
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        temperature = read_number(zone / "temp")
        if temperature is not None and _PLAUSIBLE_C[0] < temperature / 1000 < _PLAUSIBLE_C[1]:
            zones.append((temperature / 1000, read_text(zone / "type") or zone.name, zone))
    hottest_c, name, where = max(zones, default=(None, "", None))
    events = (root / "sys/class/hwmon").glob("hwmon*/oc*_event_cnt")
    known = [count for path in events if (count := read_number(path)) is not None]
    return Heat(
        hottest=name,
        hottest_c=hottest_c,
        limit_c=None if where is None else _limit_c(where),
        slowed=_slowed(root),
        over_current=sum(known) if known else None,
    )


def _limit_c(zone: Path) -> float | None:
    limits = []
    for kind in zone.glob("trip_point_*_type"):
        limit = read_number(kind.with_name(kind.name.replace("_type", "_temp")))
        if read_text(kind) in ("passive", "hot") and limit is not None and limit > 0:
            limits.append(limit / 1000)
    return min(limits, default=None)


def _slowed(root: Path) -> tuple[str, ...]:
    slowed = []
    for device in sorted((root / "sys/class/thermal").glob("cooling_device*")):
        kind, now = read_text(device / "type") or "", read_number(device / "cur_state")
        most = read_number(device / "max_state") or 0
        if now and any(part in kind.lower() for part in _SLOWING):
            slowed.append(f"{kind} {now} of {most}")
    return tuple(slowed)


@dataclass(frozen=True)
class Memory:
    """Free memory, in 10^6 bytes.

    Attributes:
        available_mb: what programs can get without swapping (MemAvailable).
        swap_mb: free swap.
    """

    available_mb: int
    swap_mb: int

    @property
    def total_mb(self) -> int:
        """Memory and swap."""
        return self.available_mb + self.swap_mb


def read_sizes_mb(path: Path) -> dict[str, float]:
    """Name -> size, 10^6 bytes, of a file of /proc with lines such as `VmRSS:  1234 kB`; empty where there is none."""
    found = re.findall(r"^(\w+):\s+(\d+) kB$", read_text(path) or "", re.MULTILINE)
    return {name: int(kibibytes) * 1024 / 1e6 for name, kibibytes in found}


def read_memory(path: Path = Path("/proc/meminfo")) -> Memory | None:
    """The kernel's figures; None where there are none."""
    sizes_mb = read_sizes_mb(path)
    if "MemAvailable" not in sizes_mb:
        return None
    return Memory(int(sizes_mb["MemAvailable"]), int(sizes_mb.get("SwapFree", 0)))
