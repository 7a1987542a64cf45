"""Faults between a simulated tracker and the wire: the seeded `Stage` behind `--faults`.

Samples are paused, delayed and stamped by a bad clock before they are sent; their bytes are lost, doubled, cut and hit
by bit errors after the tracker has numbered them, so that a reader can count what it misses. Unplugging takes the
transport away and brings it back at the same address.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from random import Random

from emer_edge.runtime.say import Say, say_to_log
from emer_edge.runtime.simulate.fault_spec import FaultSpec
from emer_edge.runtime.simulate.transport import Transport
from emer_edge.spec.samples import TrackerSample

__all__ = ["Faults"]


class Faults:
    """A `Stage` that makes things go wrong; the same seed makes the same faults.

    Args:
        spec: what goes wrong.
        whole_samples: the transport sends no bytes (LSL): samples are dropped and doubled before it.
        say: told of each reset, pause and unplugging when it happens.

    Attributes:
        counts: fault -> how often it happened: `bit errors`, `cut`, `dropped`, `duplicated`, `delayed` (jitter above 1
            ms), `clock resets`, `pauses`, `unplugged`.
    """

    def __init__(self, spec: FaultSpec, *, whole_samples: bool = False, say: Say = say_to_log) -> None:
        self.counts: dict[str, int] = {}
        self._spec, self._whole_samples, self._say = spec, whole_samples, say
        self._random = Random(f"{spec.seed}/samples")
        self._line = Random(f"{spec.seed}/bytes")
        self._bits_left = self._next_error()
        self._transport: Transport | None = None

    def attach(self, transport: Transport) -> None:
        """Say what is to be unplugged; without it nothing is."""
        self._transport = transport

    def samples(self, samples: Iterator[TrackerSample]) -> Iterator[TrackerSample]:
        """Pause, delay, and stamp by a clock that drifts and resets; unplug when it is time."""
        spec = self._spec
        paused = unplugged = False
        resets = latest_ns = 0
        for sample in samples:
            time_ns = sample.arrival_ns
            unplugged = self._plugged(spec.unplug is not None and spec.unplug.on(time_ns), unplugged)
            pausing = spec.pause is not None and spec.pause.on(time_ns)
            if pausing and not paused:
                assert spec.pause is not None
                self._count("pauses")
                self._say(f"the tracker pauses for {spec.pause.for_ns / 1e9:g} s")
            paused = pausing
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

    def _plugged(self, out: bool, was_out: bool) -> bool:
        if self._transport is not None and out != was_out:
            if out:
                assert self._spec.unplug is not None
                self._transport.unplug()
                self._count("unplugged")
                self._say(f"the tracker is unplugged for {self._spec.unplug.for_ns / 1e9:g} s")
            else:
                self._transport.plug()
                self._say("the tracker is plugged in again")
        return out

    def _happens(self, random: Random, chance: float, name: str) -> bool:
        happens = random.random() < chance
        self._count(name, happens)
        return happens

    def _count(self, name: str, times: int = 1) -> None:
        if times:
            self.counts[name] = self.counts.get(name, 0) + times
