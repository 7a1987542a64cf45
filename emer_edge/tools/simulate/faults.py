"""Faults of a simulated tracker as `--faults` takes them, and the seeded `Faults` that add them.

Samples are paused, delayed and stamped by a bad clock before they are sent; their bytes are lost, doubled, cut and hit
by bit errors after the tracker has numbered them, so that a reader can count losses. Unplugging disconnects the
transport and connects it again at the same address.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.samples import TrackerSample
from emer_edge.core.window import NANOSECONDS
from emer_edge.runtime.say import Say, say_to_log
from emer_edge.tools.simulate.transport import Transport

PRESETS: Final = {
    "line": "bits=1e-5,cut=1%,drop=2%,duplicate=1%",
    "clock": "jitter=20ms,drift=100ppm,reset=30s",
    "away": "pause=10s:2s,unplug=20s:3s",
}
"""Name -> faults; `all` is all of them."""

_UNITS_NS: Final = {"us": 1e3, "ms": 1e6, "s": 1e9, "min": 60e9}
_TIME: Final = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(us|ms|s|min)\Z")
_CHANCES: Final = ("bits", "cut", "drop", "duplicate")
_SPELLS: Final = ("pause", "unplug")
_NAMES: Final = (*_CHANCES, "jitter", "drift", "reset", *_SPELLS, "seed")
_LARGEST_DRIFT_PPM: Final = 10_000.0
_LONGEST_NS: Final = 86_400 * NANOSECONDS
_SHORTEST_NS: Final = NANOSECONDS // 10
_TIMES_NS: Final = {"jitter": (0, 10 * NANOSECONDS), "reset": (_SHORTEST_NS, _LONGEST_NS)}
_OF_BYTES: Final = ("bits", "cut")


@dataclass(frozen=True)
class Spell:
    """A fault that recurs every `every_ns`, for `for_ns`, both in nanoseconds of play."""

    every_ns: int
    for_ns: int

    def on(self, time_ns: int) -> bool:
        """Whether it is on at a time since the start; the first comes after `every_ns`."""
        return time_ns >= self.every_ns and time_ns % self.every_ns < self.for_ns


@dataclass(frozen=True)
class FaultSpec:
    """The faults; none by default.

    Attributes:
        bits: probability that a bit is sent wrong.
        cut: probability that a sample's bytes lose their end.
        drop: probability that a sample is lost on the way.
        duplicate: probability that a sample is sent twice.
        jitter_ns: mean of the exponential delay of a sample; samples don't overtake each other.
        drift_ppm: how much slower than the host's the tracker's clock runs, as in `ClockReport`.
        reset_ns: how often the tracker's clock starts at 0 again; 0: never.
        pause: when the tracker sends nothing, or None.
        unplug: when it is disconnected, or None.
        seed: of all random numbers.
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
        ConfigurationError: anything else; the message lists the known names.
    """
    spec = FaultSpec()
    for at, part in enumerate(text.split(",")):
        name, equals, value = (text.strip() for text in part.partition("="))
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
        chance = _number(value.removesuffix("%")) / (100.0 if value.endswith("%") else 1.0)
        if not 0 <= chance <= 1:
            raise ConfigurationError(
                f"--faults {name}={value}: a chance lies between 0 and 1, for example {name}=0.01 or 1%"
            )
        return name, chance
    if name in _SPELLS:
        return name, _spell(name, value)
    if name in _TIMES_NS:
        return f"{name}_ns", 0 if value == "0" else _time_ns(name, value, *_TIMES_NS[name])
    if name == "drift":
        ppm = _number(value.removesuffix("ppm"))
        if not abs(ppm) <= _LARGEST_DRIFT_PPM:
            limit = f"{_LARGEST_DRIFT_PPM:g} parts per million, such as drift=100ppm"
            raise ConfigurationError(f"--faults drift={value}: a drift is up to {limit}")
        return "drift_ppm", ppm
    if not re.fullmatch(r"\d{1,18}", value):
        raise ConfigurationError(f"--faults seed={value}: a seed is a whole number, for example seed=1")
    return "seed", int(value)


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


class Faults:
    """Adds faults between a tracker's eyes and the wire; the same seed gives the same faults.

    Args:
        spec: the faults.
        whole_samples: the transport sends no bytes (LSL): samples are dropped and doubled before it.
        say: takes a sentence for every reset, pause and unplugging.

    Attributes:
        counts: fault -> how often it happened: `bit errors`, `cut`, `dropped`, `duplicated`, `delayed` (jitter above 1
            ms), `clock resets`, `pauses`, `unplugged`.
        transport: is unplugged; None: nothing is.
    """

    def __init__(self, spec: FaultSpec, *, whole_samples: bool = False, say: Say = say_to_log) -> None:
        self.counts: dict[str, int] = {}
        self._spec, self._whole_samples, self._say = spec, whole_samples, say
        self._random = Random(f"{spec.seed}/samples")
        self._line = Random(f"{spec.seed}/bytes")
        self._bits_left = self._next_error()
        self.transport: Transport | None = None

    def samples(self, samples: Iterator[TrackerSample]) -> Iterator[TrackerSample]:
        """Pause, delay, and stamp by a clock that drifts and resets; unplug and plug in."""
        spec = self._spec
        paused = unplugged = False
        resets = latest_ns = 0
        for sample in samples:
            time_ns = sample.arrival_ns
            if spec.unplug is not None and self.transport is not None:
                before, unplugged = unplugged, spec.unplug.on(time_ns)
                if unplugged != before:
                    self._plug(self.transport, spec.unplug if unplugged else None)
            if spec.pause is not None:
                before, paused = paused, spec.pause.on(time_ns)
                if paused and not before:
                    self._count("pauses")
                    self._say(f"the tracker pauses for {spec.pause.for_ns / 1e9:g} s")
                if paused:
                    continue
            if spec.reset_ns and time_ns // spec.reset_ns > resets:
                resets = time_ns // spec.reset_ns
                self._count("clock resets")
                self._say("the tracker's clock starts at 0 again")
            delay_ns = round(self._random.expovariate(1.0) * spec.jitter_ns) if spec.jitter_ns else 0
            self._count("delayed", delay_ns > 1_000_000)
            latest_ns = max(latest_ns, time_ns + delay_ns)
            clock_ns = sample.stamp_ns if sample.device_ns is None else sample.device_ns
            device_ns = round((clock_ns - resets * spec.reset_ns) * (1.0 - spec.drift_ppm * 1e-6))
            changed = replace(sample, device_ns=device_ns, stamp_ns=device_ns, arrival_ns=latest_ns)
            if not self._whole_samples:
                yield changed
            elif not self._happens(self._random, spec.drop, "dropped"):
                yield changed
                if self._happens(self._random, spec.duplicate, "duplicated"):
                    yield changed

    def data(self, data: bytes) -> bytes:
        """Lose, double, cut and flip the bytes of one sample."""
        if self._happens(self._line, self._spec.drop, "dropped"):
            return b""
        if self._happens(self._line, self._spec.duplicate, "duplicated"):
            data += data
        if len(data) > 1 and self._happens(self._line, self._spec.cut, "cut"):
            data = data[: self._line.randrange(1, len(data))]
        return self._flipped(data)

    def _flipped(self, data: bytes) -> bytes:
        bits = 8 * len(data)
        if self._bits_left >= bits:
            self._bits_left -= bits
            return data
        flipped, at = bytearray(data), self._bits_left
        while at < bits:
            flipped[int(at) // 8] ^= 1 << int(at) % 8
            self._count("bit errors")
            at = int(at) + 1 + self._next_error()
        self._bits_left = at - bits
        return bytes(flipped)

    def _next_error(self) -> float:
        """Intact bits before the next wrong one: geometrically distributed."""
        chance = self._spec.bits
        if chance <= 0.0:
            return math.inf
        return 0.0 if chance >= 1.0 else float(int(math.log(1.0 - self._line.random()) / math.log1p(-chance)))

    def _plug(self, transport: Transport, unplug: Spell | None) -> None:
        if unplug is None:
            transport.plug()
            self._say("the tracker is plugged in again")
        else:
            transport.unplug()
            self._count("unplugged")
            self._say(f"the tracker is unplugged for {unplug.for_ns / 1e9:g} s")

    def _happens(self, random: Random, chance: float, name: str) -> bool:
        happens = random.random() < chance
        self._count(name, happens)
        return happens

    def _count(self, name: str, times: int = 1) -> None:
        if times:
            self.counts[name] = self.counts.get(name, 0) + times
