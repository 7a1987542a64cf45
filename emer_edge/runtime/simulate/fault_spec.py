"""What can go wrong with a simulated tracker, as written after `--faults`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any, Final

from emer_edge.errors import ConfigurationError
from emer_edge.spec.window import NANOSECONDS

__all__ = ["PRESETS", "FaultSpec", "Spell", "parse_faults"]

PRESETS: Final = {
    "line": "bits=1e-5,cut=1%,drop=2%,duplicate=1%",
    "clock": "jitter=20ms,drift=100ppm,reset=30s",
    "away": "pause=10s:2s,unplug=20s:3s",
}
"""Name -> what it stands for; `all` is all of them."""

_UNITS_NS: Final = {"us": 1e3, "ms": 1e6, "s": 1e9, "min": 60e9}
_TIME: Final = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(us|ms|s|min)\Z")
_CHANCES: Final = ("bits", "cut", "drop", "duplicate")
_SPELLS: Final = ("pause", "unplug")
_NAMES: Final = (*_CHANCES, "jitter", "drift", "reset", *_SPELLS, "seed")
_LONGEST_JITTER_NS: Final = 10 * NANOSECONDS
_LARGEST_DRIFT_PPM: Final = 10_000.0
_LONGEST_NS: Final = 86_400 * NANOSECONDS
_SHORTEST_NS: Final = NANOSECONDS // 10
_OF_BYTES: Final = ("bits", "cut")


@dataclass(frozen=True)
class Spell:
    """Something that comes back: every `every_ns`, for `for_ns`, both in nanoseconds of play."""

    every_ns: int
    for_ns: int

    def on(self, time_ns: int) -> bool:
        """Whether it is on at a time since the start; the first comes after `every_ns`."""
        return time_ns >= self.every_ns and time_ns % self.every_ns < self.for_ns


@dataclass(frozen=True)
class FaultSpec:
    """What goes wrong; nothing by default.

    Attributes:
        bits: probability that a bit is sent wrong.
        cut: probability that a sample's bytes lose their end.
        drop: probability that a sample is lost on the way.
        duplicate: probability that a sample is sent twice.
        jitter_ns: mean of the exponential delay of a sample; samples don't overtake each other.
        drift_ppm: how much slower than the host's the tracker's clock runs, as `ClockReport` says it.
        reset_ns: how often the tracker's clock starts at 0 again; 0: never.
        pause: when the tracker sends nothing, or None.
        unplug: when it is not there, or None.
        seed: of all chances.
    """

    bits: float = 0.0
    cut: float = 0.0
    drop: float = 0.0
    duplicate: float = 0.0
    jitter_ns: int = 0
    drift_ppm: float = 0.0
    reset_ns: int = 0
    pause: Spell | None = None
    unplug: Spell | None = None
    seed: int = 0


def parse_faults(text: str, *, whole_samples: bool = False) -> FaultSpec:
    """Read faults such as `bits=1e-5,pause=10s:2s,seed=1`, a name of `PRESETS`, `all`, or `all,bits=0`.

    Args:
        text: as written.
        whole_samples: the tracker sends no bytes of its own (LSL): presets leave bit errors and cuts out.

    Raises:
        ConfigurationError: anything else; the message says what is known.
    """
    spec = FaultSpec()
    for at, part in enumerate(text.split(",")):
        name, equals, value = (each.strip() for each in part.partition("="))
        if not equals and at == 0 and (name == "all" or name in PRESETS):
            chosen = PRESETS.values() if name == "all" else (PRESETS[name],)
            spec = parse_faults(",".join(chosen))
            if whole_samples:
                spec = replace(spec, bits=0.0, cut=0.0)
            continue
        if name not in _NAMES or not equals:
            hint = "; all, line, clock and away stand alone or first" if name in ("all", *PRESETS) else ""
            raise ConfigurationError(
                f"--faults holds {part.strip()!r}; faults are written as name=value, separated by commas, and the "
                f"names are {', '.join(_NAMES)}{hint}"
            )
        key, read = _read(name, value)
        if whole_samples and name in _OF_BYTES and read:
            raise ConfigurationError(
                f"--faults {name}= damages bytes, and this tracker sends whole samples; leave it out"
            )
        spec = replace(spec, **{key: read})
    return spec


def _read(name: str, value: str) -> tuple[str, Any]:
    if name in _CHANCES:
        return name, _chance(name, value)
    if name == "jitter":
        return "jitter_ns", _time_ns(name, value, 0, _LONGEST_JITTER_NS)
    if name == "drift":
        return "drift_ppm", _drift_ppm(value)
    if name == "reset":
        return "reset_ns", _time_ns(name, value, _SHORTEST_NS, _LONGEST_NS)
    if name == "seed":
        if not re.fullmatch(r"\d{1,18}", value):
            raise ConfigurationError(f"--faults seed={value}: a seed is a whole number, for example seed=1")
        return "seed", int(value)
    return name, _spell(name, value)


def _chance(name: str, value: str) -> float:
    number = _number(value.removesuffix("%")) / (100.0 if value.endswith("%") else 1.0)
    if not 0 <= number <= 1:
        raise ConfigurationError(
            f"--faults {name}={value}: a chance lies between 0 and 1, for example {name}=0.01 or 1%"
        )
    return number


def _drift_ppm(value: str) -> float:
    ppm = _number(value.removesuffix("ppm"))
    if not abs(ppm) <= _LARGEST_DRIFT_PPM:
        raise ConfigurationError(
            f"--faults drift={value}: a drift is up to {_LARGEST_DRIFT_PPM:g} parts per million, such as drift=100ppm"
        )
    return ppm


def _spell(name: str, value: str) -> Spell | None:
    every, colon, length = value.partition(":")
    if value == "0":
        return None
    if not colon:
        raise ConfigurationError(f"--faults {name}={value}: say how often and for how long, for example {name}=10s:2s")
    spell = Spell(_time_ns(name, every, _SHORTEST_NS, _LONGEST_NS), _time_ns(name, length, _SHORTEST_NS, _LONGEST_NS))
    if spell.for_ns >= spell.every_ns:
        raise ConfigurationError(f"--faults {name}={value}: it has to be shorter than the time from one to the next")
    return spell


def _time_ns(name: str, value: str, low_ns: int, high_ns: int) -> int:
    if value == "0" and name in ("jitter", "reset"):
        return 0
    match = _TIME.match(value)
    time = float(match[1]) * _UNITS_NS[match[2]] if match else math.nan
    if not low_ns <= time <= high_ns:
        bounds = f"{low_ns / 1e9:g} s to {high_ns / 1e9:g} s"
        raise ConfigurationError(f"--faults {name}: {value!r} is no time from {bounds}; write 20ms, 2s or 5min")
    return round(time)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
