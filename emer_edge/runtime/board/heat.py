"""How hot it is, and whether something is slowed down for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emer_edge.runtime.board.files import read_number, read_text

__all__ = ["Heat", "read_heat"]

_SLOWING: Final = ("cpufreq", "devfreq", "throttle", "processor", "gpu", "cpu")
_PLAUSIBLE_C: Final = (-40.0, 150.0)  # a zone whose part is switched off reads -256


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
    counts = [read_number(each) for each in (root / "sys/class/hwmon").glob("hwmon*/oc*_event_cnt")]
    known = [each for each in counts if each is not None]
    return Heat(
        name, hottest_c, None if where is None else _limit_c(where), _slowed(root), sum(known) if known else None
    )


def _limit_c(zone: Path) -> float | None:
    limits = []
    for kind in zone.glob("trip_point_*_type"):
        limit = read_number(kind.with_name(kind.name.replace("_type", "_temp")))
        if read_text(kind) in ("passive", "hot") and limit is not None and limit > 0:
            limits.append(limit / 1000)
    return min(limits, default=None)


def _slowed(root: Path) -> tuple[str, ...]:
    found = []
    for device in sorted((root / "sys/class/thermal").glob("cooling_device*")):
        kind, now = read_text(device / "type") or "", read_number(device / "cur_state")
        most = read_number(device / "max_state") or 0
        if now and any(each in kind.lower() for each in _SLOWING):
            found.append(f"{kind} {now} of {most}")
    return tuple(found)
