"""What the machine was like while it was measured: clocks, heat, power mode, load, looked at every second."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from emer_edge.bench.records import Conditions, Moment
from emer_edge.runtime.board import read_clocks, read_heat, read_jetson, read_power

__all__ = ["CLOCK_TOLERANCE", "Watch", "conditions_of", "look"]

CLOCK_TOLERANCE: Final = 0.05
"""A clock that moved by more than this share of its highest value has changed."""

_PERIOD_S: Final = 1.0


def look(root: Path = Path("/")) -> Moment:
    """Look at the machine once; takes a few milliseconds.

    Args:
        root: holds `etc`, `proc`, `sys` and `var`; the load average is this machine's, whatever the root.
    """
    heat, jetson = read_heat(root), read_jetson(root)
    mode = None if jetson is None else jetson.mode
    return Moment(
        clocks_mhz={each.name: each.now_mhz for each in read_clocks(root) if each.now_mhz is not None},
        temperature_c=heat.hottest_c,
        slowed=heat.slowed,
        over_current=heat.over_current,
        power_mode=None if mode is None else f"{mode.number} {mode.name}",
        power_mw=read_power(root).total_mw,
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    )


def conditions_of(moments: Sequence[Moment]) -> Conditions:
    """Put together what was seen, at least once, first to last."""
    before, after = moments[0], moments[-1]
    names = dict.fromkeys(name for each in moments for name in each.clocks_mhz)
    clocks = {name: [each.clocks_mhz[name] for each in moments if name in each.clocks_mhz] for name in names}
    found = Conditions(
        before=before,
        after=after,
        moments=len(moments),
        clocks_mhz={name: (min(each), max(each)) for name, each in clocks.items()},
        hottest_c=max((each.temperature_c for each in moments if each.temperature_c is not None), default=None),
        highest_mw=max((each.power_mw for each in moments if each.power_mw is not None), default=None),
        slowed=tuple(dict.fromkeys(each for moment in moments for each in moment.slowed)),
        changed=(),
    )
    return msgspec.structs.replace(found, changed=tuple(_changed(found, moments)))


def _changed(found: Conditions, moments: Sequence[Moment]) -> Iterator[str]:
    for name, clocks in _working(moments).items():
        least, most = min(clocks), max(clocks)
        if most - least > CLOCK_TOLERANCE * most:
            yield f"the {name} clock moved between {least} and {most} MHz"
    if found.slowed:
        yield f"held back because of heat: {', '.join(found.slowed)}"
    before, after = found.before, found.after
    if (after.over_current or 0) > (before.over_current or 0):
        yield "clocks were cut because of too much current"
    if before.power_mode != after.power_mode:
        yield f"the power mode changed from {before.power_mode} to {after.power_mode}"


def _working(moments: Sequence[Moment]) -> dict[str, list[int]]:
    """Clocks over time; of the CPU's the fastest, as idle cores go slower without harm."""
    found: dict[str, list[int]] = {}
    for moment in moments:
        cpus = [clock for name, clock in moment.clocks_mhz.items() if name.startswith("CPU")]
        if cpus:
            found.setdefault("fastest CPU", []).append(max(cpus))
        for name, clock in moment.clocks_mhz.items():
            if not name.startswith("CPU"):
                found.setdefault(name, []).append(clock)
    return found


class Watch:
    """Looks at the machine when entered, every second until left, and then.

    Args:
        root: as of `look`.
        period_s: between looks.

    Attributes:
        moments: what was seen so far.
    """

    def __init__(self, root: Path = Path("/"), period_s: float = _PERIOD_S) -> None:
        self._root = root
        self._period_s = period_s
        self.moments: list[Moment] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="emer-edge watch", daemon=True)

    @property
    def conditions(self) -> Conditions:
        """All that was seen so far, put together."""
        return conditions_of(self.moments)

    def __enter__(self) -> Watch:
        self.moments.append(look(self._root))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self.moments.append(look(self._root))

    def _run(self) -> None:
        while not self._done.wait(self._period_s):
            self.moments.append(look(self._root))
