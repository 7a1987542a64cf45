"""Watches the board during a run: heat that slows it down, over-current, and how busy its GPU is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from emer_edge.runtime.board import read_gpu_load, read_heat, read_jetson
from emer_edge.runtime.say import Say

_EVERY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class BoardReport:
    """What was seen of a board in a run.

    Attributes:
        looks: how often it was looked at.
        slowed_looks: in how many of these something was held back because of heat.
        slowed: what was, each with its highest step: `cpufreq-cpu0 3 of 10`.
        hottest_c: highest temperature of a thermal zone, None where none can be read.
        over_current: how often clocks were cut because of too much current, None where that is not counted.
        gpu_load: mean share of time in which the GPU was busy, 0 to 1; None where it isn't told.
    """

    looks: int
    slowed_looks: int
    slowed: tuple[str, ...]
    hottest_c: float | None
    over_current: int | None
    gpu_load: float | None

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, ready for JSON."""
        return asdict(self) | {"slowed": list(self.slowed)}

    def __str__(self) -> str:
        """`99 °C at most; GPU busy 43%; slowed down in 12 of 40 looks (cpufreq-cpu0 3 of 10)`."""
        parts = [] if self.hottest_c is None else [f"{self.hottest_c:.0f} °C at most"]
        if self.gpu_load is not None:
            parts.append(f"GPU busy {self.gpu_load:.0%}")
        if self.slowed_looks:
            parts.append(f"slowed down in {self.slowed_looks} of {self.looks} looks ({', '.join(self.slowed)})")
        elif self.hottest_c is not None:
            parts.append("never slowed down")
        if self.over_current:
            parts.append(f"clocks cut by over-current {self.over_current} times")
        return "; ".join(parts)


class BoardWatch:
    """Looks every 5 s, in a thread of its own, from `start` to `close`.

    Args:
        say: takes a sentence when the board first slows down, and when it first cuts its clocks.
        root: holds `etc`, `proc`, `sys` and `var`.
    """

    def __init__(self, say: Say, root: Path = Path("/")) -> None:
        self._say, self._root = say, root
        self._jetson = read_jetson(root)
        self._closed = threading.Event()
        self._looks = self._slowed_looks = 0
        self._slowed: dict[str, str] = {}
        self._hottest_c: float | None = None
        self._events_before = self._events = read_heat(root).over_current
        self._loads: list[float] = []
        self._thread = threading.Thread(target=self._run, name="emer-edge board", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop, after a last look; may be called twice."""
        if not self._closed.is_set():
            self._closed.set()
            self.look()

    def look(self) -> None:
        """Look once."""
        heat, load = read_heat(self._root), read_gpu_load(self._root)
        self._looks += 1
        if heat.hottest_c is not None:
            self._hottest_c = max(heat.hottest_c, self._hottest_c or heat.hottest_c)
        if load is not None:
            self._loads.append(load)
        if heat.slowed:
            self._slowed_looks += 1
            if not self._slowed:
                hot = "" if heat.hottest_c is None else f", {heat.hottest_c:.0f} °C in {heat.hottest}"
                self._advise(f"the board slows itself down ({', '.join(heat.slowed)}{hot})", lambda of: of.cooling)
            self._slowed |= {name.rpartition(" of ")[0].rpartition(" ")[0]: name for name in heat.slowed}
        if heat.over_current is not None:
            if self._events == self._events_before and heat.over_current > (self._events or 0):
                self._advise("the board cuts its clocks because of too much current", lambda of: of.more_power)
            self._events = heat.over_current

    def report(self) -> BoardReport | None:
        """What was seen so far; None on a machine that tells neither heat, load nor over-current."""
        if self._hottest_c is None and not self._loads and self._events is None:
            return None
        return BoardReport(
            looks=self._looks,
            slowed_looks=self._slowed_looks,
            slowed=tuple(self._slowed.values()),
            hottest_c=self._hottest_c,
            over_current=None if self._events is None else self._events - (self._events_before or 0),
            gpu_load=sum(self._loads) / len(self._loads) if self._loads else None,
        )

    def _advise(self, what: str, advice: Callable[[Any], str]) -> None:
        fix = "" if self._jetson is None else f"; what helps: {advice(self._jetson)}"
        self._say(f"{what}: results may come late{fix}")

    def _run(self) -> None:
        while not self._closed.wait(_EVERY_S):
            self.look()
