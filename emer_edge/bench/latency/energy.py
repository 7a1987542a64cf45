"""Energy a result, where a sensor can be read: a Jetson's power monitor, or a processor's energy counters.

A power monitor is read ten times a second and its power taken as linear in between; counters are read as often, so
that none wraps around unseen.
"""

from __future__ import annotations

import threading
from pathlib import Path
from time import monotonic_ns, sleep
from types import TracebackType
from typing import Final

from emer_edge.bench.records import Energy
from emer_edge.runtime.board import EnergyCounter, read_energy, read_power

__all__ = ["Meter"]

_PERIOD_S: Final = 0.1
_NS: Final = 1e-9


class Meter:
    """Adds up what is drawn while it is entered, again and again; costs nothing where there is no sensor.

    Args:
        root: holds `sys`.
        period_s: between two readings.

    Attributes:
        source: the sensor and what it sees, empty without one.
        reason: why there is no sensor, empty with one.
        millijoules: drawn while entered.
        seconds: for which it was entered.
        idle_mw: drawn with nothing to do, None where that was not measured.
    """

    def __init__(self, root: Path = Path("/"), period_s: float = _PERIOD_S) -> None:
        self._root = root
        self._period_s = period_s
        power, counters = read_power(root), read_energy(root)
        self._rails = power.total_mw is not None
        self.source = self.reason = ""
        if self._rails:
            self.source = f"INA3221: {', '.join(each.name for each in power.rails)}"
        elif counters.counters:
            self.source = f"RAPL: {', '.join(each.name for each in counters.counters)}, without memory and board"
        else:
            self.reason = f"{power.reason}; {counters.reason}"
        self.millijoules = self.seconds = 0.0
        self.idle_mw: float | None = None
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def measure_idle(self, seconds: float) -> None:
        """Find out what is drawn with nothing to do, where there is a sensor."""
        if self.source:
            with self:
                sleep(seconds)
            self.idle_mw = self.millijoules / self.seconds
            self.clear()

    def clear(self) -> None:
        """Forget what was drawn, but not the idle power."""
        self.millijoules = self.seconds = 0.0

    def energy(self, results: int) -> Energy:
        """What was drawn since `clear`, for so many results."""
        if not self.source or not results or not self.seconds:
            return Energy(reason=self.reason or "nothing was done while it was measured")
        mean_mw = self.millijoules / self.seconds
        above = None if self.idle_mw is None else (self.millijoules - self.idle_mw * self.seconds) / results
        return Energy(
            source=self.source,
            millijoules=self.millijoules / results,
            above_idle_millijoules=above,
            mean_mw=mean_mw,
            idle_mw=self.idle_mw,
        )

    def __enter__(self) -> Meter:
        if self.source:
            self._done.clear()
            self._thread = threading.Thread(target=self._run, name="emer-edge meter", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._done.set()
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        at_ns, power_mw, counters = monotonic_ns(), self._power_mw(0.0), self._counters(())
        while True:
            ended = self._done.wait(self._period_s)
            now_ns, now_mw, now = monotonic_ns(), self._power_mw(power_mw), self._counters(counters)
            elapsed_s = (now_ns - at_ns) * _NS
            self.seconds += elapsed_s
            if self._rails:
                self.millijoules += (power_mw + now_mw) / 2 * elapsed_s
            else:
                self.millijoules += sum(each.since(was) for each, was in zip(now, counters, strict=True)) / 1000
            at_ns, power_mw, counters = now_ns, now_mw, now
            if ended:
                return

    def _power_mw(self, before: float) -> float:
        """The board's power; when the monitor does not answer, what it said before."""
        found = read_power(self._root).total_mw if self._rails else None
        return before if found is None else found

    def _counters(self, before: tuple[EnergyCounter, ...]) -> tuple[EnergyCounter, ...]:
        """The counters; when they can't be read, as they were before."""
        return before if self._rails else read_energy(self._root).counters or before
