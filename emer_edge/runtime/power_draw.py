"""What a machine draws now, read in /sys.

Jetson modules carry INA3221 monitors. The kernel's driver (Documentation/hwmon/ina3221) gives for channels 1 to 3 a
label, the bus voltage in mV and the current in mA. Channel 7 and curr4 are sums, not rails. x86 processors have RAPL,
by the kernel's powercap tree (Documentation/power/powercap): a zone per package, `intel-rapl:0` and so on, AMD's too,
with the energy drawn so far in uJ, wrapping around at `max_energy_range_uj`. Since 2020 only root may read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emer_edge.runtime.board import read_number, read_text

_CHANNELS: Final = (1, 2, 3)
_INPUTS: Final = ("VDD_IN", "POM_5V_IN", "5V_IN")  # the rail of the whole module: the others are fed from it


@dataclass(frozen=True)
class Rail:
    """A supply rail, named as the board labels it, for example `VDD_IN` or `VDD_CPU_GPU_CV`."""

    name: str
    millivolts: int
    milliamperes: int

    @property
    def milliwatts(self) -> float:
        """Voltage times current, mW."""
        return self.millivolts * self.milliamperes / 1000


@dataclass(frozen=True)
class Power:
    """What a board draws now.

    Attributes:
        rails: in the order of the monitors and their channels; empty where there is none.
        reason: why there is no figure, empty where there is.
    """

    rails: tuple[Rail, ...]
    reason: str = ""

    @property
    def total_mw(self) -> float | None:
        """The input rail's power where the module has one (VDD_IN), else the sum over all rails; None without rails."""
        whole = next((rail for rail in self.rails if rail.name in _INPUTS), None)
        if whole is not None:
            return whole.milliwatts
        return sum(rail.milliwatts for rail in self.rails) if self.rails else None

    def __str__(self) -> str:
        """`7.9 W: VDD_IN 7.9 W, VDD_CPU_GPU_CV 2.1 W`, or `n/a (reason)`."""
        if self.total_mw is None:
            return f"n/a ({self.reason})"
        return f"{self.total_mw / 1000:.1f} W: " + ", ".join(
            f"{rail.name} {rail.milliwatts / 1000:.1f} W" for rail in self.rails
        )


def read_power(root: Path = Path("/")) -> Power:
    """Measure now; takes a few milliseconds."""
    monitors = [
        path
        for path in sorted((root / "sys/class/hwmon").glob("hwmon*"), key=lambda path: int(path.name[5:] or 0))
        if read_text(path / "name") in ("ina3221", "ina3221x")
    ]
    if not monitors:
        return Power((), "no INA3221 power monitor, which Jetson boards have")
    rails = []
    for monitor in monitors:
        for channel in _CHANNELS:
            name = read_text(monitor / f"in{channel}_label")
            volts = read_number(monitor / f"in{channel}_input")
            amperes = read_number(monitor / f"curr{channel}_input")
            if name not in (None, "NC") and volts is not None and amperes is not None:  # NC: not connected
                rails.append(Rail(str(name), volts, amperes))
    return Power(tuple(rails), "" if rails else "the INA3221 power monitor gives no reading")


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
        counters: one per package, empty where there is none.
        reason: why there is none, empty where there is.
    """

    counters: tuple[EnergyCounter, ...]
    reason: str = ""


def read_energy(root: Path = Path("/")) -> EnergyCounters:
    """Read the packages' counters now."""
    zones = sorted((root / "sys/class/powercap").glob("intel-rapl:*"))
    packages = [(zone, name) for zone in zones if (name := read_text(zone / "name") or "").startswith("package")]
    if not packages:
        return EnergyCounters((), "no RAPL counters in /sys/class/powercap")
    counters = []
    for zone, name in packages:
        drawn, span = read_number(zone / "energy_uj"), read_number(zone / "max_energy_range_uj")
        if drawn is not None and span is not None:
            counters.append(EnergyCounter(name, drawn, span))
    if len(counters) < len(packages):
        return EnergyCounters((), "RAPL's counters can't be read: root alone may, run bench with sudo")
    return EnergyCounters(tuple(counters))
