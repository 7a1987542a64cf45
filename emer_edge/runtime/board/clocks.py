"""Clocks of CPU, GPU and memory: where they are, and between what they may move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emer_edge.runtime.board.files import read_number, read_text

__all__ = ["Clock", "read_clocks"]

_MEMORY: Final = "sys/kernel/debug/bpmp/debug/clk/emc"  # Tegra's; root's alone


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
        """Whether it stands at its highest, as after jetson_clocks or with the governor `performance`."""
        if self.governor == "performance":
            return True
        return self.least_mhz is not None and self.least_mhz == self.most_mhz

    def told(self) -> str:
        """In a few words: `CPU 0-3 729 of 729 to 1984 MHz (schedutil)`."""
        now = "unknown" if self.now_mhz is None else str(self.now_mhz)
        span = "" if self.least_mhz is None or self.most_mhz is None else f" of {self.least_mhz} to {self.most_mhz}"
        return f"{self.name} {now}{span} MHz" + ("" if self.governor is None else f" ({self.governor})")


def read_clocks(root: Path = Path("/")) -> tuple[Clock, ...]:
    """The clocks that can be read: cpufreq's policies, the GPU's devfreq node, and for root a Jetson's memory clock."""
    found = [*_cpus(root / "sys/devices/system/cpu/cpufreq"), *_gpus(root / "sys/class/devfreq")]
    memory = root / _MEMORY
    if (rate := read_number(memory / "rate")) is not None:
        most = read_number(memory / "max_rate")
        found.append(Clock("memory", rate // 10**6, None, None if most is None else most // 10**6))
    return tuple(found)


def _cpus(folder: Path) -> Iterator[Clock]:
    for policy in sorted(folder.glob("policy*"), key=lambda each: int(each.name[6:] or 0)):
        cores = (read_text(policy / "affected_cpus") or policy.name[6:]).split()
        name = cores[0] if len(cores) == 1 else f"{cores[0]}-{cores[-1]}"
        now, least, most = (_mhz(read_number(policy / f"scaling_{each}_freq"), 1000) for each in ("cur", "min", "max"))
        yield Clock(f"CPU {name}", now, least, most, read_text(policy / "scaling_governor"))


def _gpus(folder: Path) -> Iterator[Clock]:
    """Nodes such as 17000000.gpu (JetPack 6) or 17000000.ga10b (5), in Hz."""
    for node in sorted(folder.glob("*")):
        if node.name.rpartition(".")[2] not in ("gpu", "ga10b", "gv11b", "gp10b"):
            continue
        now, least, most = (_mhz(read_number(node / f"{each}_freq"), 10**6) for each in ("cur", "min", "max"))
        yield Clock("GPU", now, least, most, read_text(node / "governor"))


def _mhz(value: int | None, unit: int) -> int | None:
    return None if value is None else round(value / unit)
