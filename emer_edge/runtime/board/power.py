"""On-board power, by the INA3221 monitors that Jetson modules carry.

The kernel's driver (Documentation/hwmon/ina3221) gives for channels 1 to 3 a label, the bus voltage in mV and the
current in mA. Channel 7 and curr4 are sums, not rails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emer_edge.runtime.board.files import read_number, read_text

__all__ = ["Power", "Rail", "read_power"]

_CHANNELS: Final = (1, 2, 3)
_INPUTS: Final = ("VDD_IN", "POM_5V_IN", "5V_IN")  # the rail of the whole module: the others are fed from it


@dataclass(frozen=True)
class Rail:
    """A supply rail.

    Attributes:
        name: as the board labels it, for example `VDD_IN` or `VDD_CPU_GPU_CV`.
        millivolts, milliamperes: as measured.
    """

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
        whole = next((each for each in self.rails if each.name in _INPUTS), None)
        if whole is not None:
            return whole.milliwatts
        return sum(each.milliwatts for each in self.rails) if self.rails else None

    def told(self) -> str:
        """`7.9 W: VDD_IN 7.9 W, VDD_CPU_GPU_CV 2.1 W`, or `n/a (reason)`."""
        if self.total_mw is None:
            return f"n/a ({self.reason})"
        return f"{self.total_mw / 1000:.1f} W: " + ", ".join(
            f"{each.name} {each.milliwatts / 1000:.1f} W" for each in self.rails
        )

    def to_dict(self) -> Mapping[str, object]:
        """A plain dictionary, ready for JSON: `total_mw`, `rails_mw`, `reason`."""
        return {
            "total_mw": self.total_mw,
            "rails_mw": {each.name: each.milliwatts for each in self.rails},
            "reason": self.reason,
        }


def read_power(root: Path = Path("/")) -> Power:
    """Measure now; takes a few milliseconds.

    Args:
        root: holds `sys`.
    """
    monitors = [
        each
        for each in sorted((root / "sys/class/hwmon").glob("hwmon*"), key=lambda each: int(each.name[5:] or 0))
        if read_text(each / "name") in ("ina3221", "ina3221x")
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
