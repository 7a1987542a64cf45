"""Energy counters of x86 processors: RAPL, by the kernel's powercap tree.

The tree (Documentation/power/powercap) has a zone for each package, `intel-rapl:0` and so on, AMD's too, with what it
has drawn so far in uJ, wrapping around at `max_energy_range_uj`. Since 2020 root alone may read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from emer_edge.runtime.board.files import read_number, read_text

__all__ = ["EnergyCounter", "EnergyCounters", "read_energy"]


@dataclass(frozen=True)
class EnergyCounter:
    """What a processor package has drawn.

    Attributes:
        name: `package-0`.
        microjoules: since some time in the past.
        range_microjoules: where it wraps around to 0.
    """

    name: str
    microjoules: int
    range_microjoules: int

    def since(self, before: EnergyCounter) -> int:
        """Energy drawn since an earlier reading, less than one range ago, in uJ."""
        drawn = self.microjoules - before.microjoules
        return drawn if drawn >= 0 else drawn + self.range_microjoules


@dataclass(frozen=True)
class EnergyCounters:
    """The counters of a machine.

    Attributes:
        counters: one a package, empty where there is none.
        reason: why there is none, empty where there is.
    """

    counters: tuple[EnergyCounter, ...]
    reason: str = ""


def read_energy(root: Path = Path("/")) -> EnergyCounters:
    """Read the packages' counters now.

    Args:
        root: holds `sys`.
    """
    zones = sorted((root / "sys/class/powercap").glob("intel-rapl:*"))
    packages = [(each, name) for each in zones if (name := read_text(each / "name") or "").startswith("package")]
    if not packages:
        return EnergyCounters((), "no RAPL counters in /sys/class/powercap")
    found = []
    for zone, name in packages:
        drawn, span = read_number(zone / "energy_uj"), read_number(zone / "max_energy_range_uj")
        if drawn is not None and span is not None:
            found.append(EnergyCounter(name, drawn, span))
    if len(found) < len(packages):
        return EnergyCounters((), "RAPL's counters can't be read: root alone may, run bench with sudo")
    return EnergyCounters(tuple(found))
