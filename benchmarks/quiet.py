"""How much of the machine went to other programs while a benchmark measured: above 5 % its result is refused.

It is the busy time of all cores (`/proc/stat`, time stolen by other virtual machines included) less the CPU time of
this process, its descendants (those that have ended included, once their parents have waited for them) and the loads
that it declares.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Final

from benchmarks.endurance.processes import TICK_S, cpu_s, tree

__all__ = ["MOST_SHARE", "OTHERS", "OtherPrograms", "refusal"]

MOST_SHARE: Final = 0.05
_BUSY: Final = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal; proc(5)


class OtherPrograms:
    """CPU time of other programs since this was made, or since the last `restart`."""

    def __init__(self) -> None:
        self._loads: list[int] = []
        self.restart()

    def restart(self) -> None:
        """Measure from now on; what was before, such as building a bundle, is no part of the measurement."""
        self._began_s, self._busy_s, self._own_s = monotonic(), busy_s(), self._spent_s()

    @contextlib.contextmanager
    def declared(self, pid: int) -> Iterator[None]:
        """Count a load (a process and its descendants) as the benchmark's own; it has to outlive the context."""
        self._own_s += self._outside_s(pid)
        self._loads.append(pid)
        try:
            yield
        finally:
            self._loads.remove(pid)
            self._own_s -= self._outside_s(pid)

    def share(self) -> float:
        """Share of the machine, all cores together, that other programs had: 0 to 1."""
        others_s = busy_s() - self._busy_s - (self._spent_s() - self._own_s)
        return max(0.0, others_s / ((monotonic() - self._began_s) * (os.cpu_count() or 1)))

    def _spent_s(self) -> float:
        return sum(cpu_s(pid) for pid in {pid for root in (os.getpid(), *self._loads) for pid in tree(root)})

    def _outside_s(self, pid: int) -> float:
        """CPU time of a load that isn't counted yet."""
        counted = {pid for root in (os.getpid(), *self._loads) for pid in tree(root)}
        return sum(cpu_s(member) for member in tree(pid) if member not in counted)


def busy_s() -> float:
    """CPU time of all cores since the machine started, idle and waiting for disks left out."""
    fields = Path("/proc/stat").read_text().partition("\n")[0].split()[1:]
    return sum(int(fields[at]) for at in _BUSY if at < len(fields)) * TICK_S


def refusal(name: str, share: float) -> str | None:
    """Why a result isn't written; None where the machine was quiet enough."""
    if share <= MOST_SHARE:
        return None
    return (
        f"{name}: not written, because other programs used {100 * share:.1f} % of the machine while it was measured "
        f"(at most {100 * MOST_SHARE:g} %): end them (top shows which they are) and run it again"
    )


OTHERS: Final = OtherPrograms()
"""Of this process, from the import on; `benchmarks.common` restarts it whenever it has built something."""
