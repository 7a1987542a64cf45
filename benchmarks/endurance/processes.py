"""Memory, threads, file descriptors and CPU time of a run and all its processes, from /proc.

Reading takes a millisecond per process; `proportional` makes the kernel walk the page tables, which costs ten.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["TICK_S", "ProcessSample", "TreeSample", "cpu_s", "sample_tree", "thread_cpu_s", "tree"]

_KIB_MB: Final = 1024 / 1e6
TICK_S: Final = 1.0 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class ProcessSample:
    """One process, now.

    Attributes:
        pid: its number.
        name: how the kernel names it.
        rss_mb: resident memory, in 10^6 bytes.
        pss_mb, uss_mb: proportional and unique set size; None unless requested.
        threads, fds: how many.
        cpu_s: CPU time, with that of children that have ended and been waited for.
    """

    pid: int
    name: str
    rss_mb: float
    pss_mb: float | None
    uss_mb: float | None
    threads: int
    fds: int
    cpu_s: float


@dataclass(frozen=True)
class TreeSample:
    """A process and all its descendants, now."""

    processes: tuple[ProcessSample, ...]

    @property
    def rss_mb(self) -> float:
        """Resident memory of all; pages that several share count once for each."""
        return sum(process.rss_mb for process in self.processes)

    @property
    def pss_mb(self) -> float | None:
        """Proportional set size of all; shared pages count once."""
        return _sum(process.pss_mb for process in self.processes)

    @property
    def uss_mb(self) -> float | None:
        """Memory that would be free if all ended, but for what they share with each other."""
        return _sum(process.uss_mb for process in self.processes)

    @property
    def threads(self) -> int:
        """Threads of all."""
        return sum(process.threads for process in self.processes)

    @property
    def fds(self) -> int:
        """File descriptors of all."""
        return sum(process.fds for process in self.processes)

    @property
    def cpu_s(self) -> float:
        """CPU time of all, those included that have ended."""
        return sum(process.cpu_s for process in self.processes)


def tree(pid: int) -> list[int]:
    """A process and its descendants, those that have ended left out."""
    members, waiting = [], [pid]
    while waiting:
        process = waiting.pop()
        try:
            tasks = os.listdir(f"/proc/{process}/task")
        except OSError:
            continue
        members.append(process)
        for task in tasks:
            waiting += [int(child) for child in _text(f"/proc/{process}/task/{task}/children").split()]
    return members


def sample_tree(pid: int, proportional: bool = False) -> TreeSample:
    """Look at a process and its descendants.

    Args:
        pid: the first of them.
        proportional: whether to ask for PSS and USS, too.
    """
    looked = [_sample(member, proportional) for member in tree(pid)]
    return TreeSample(tuple(sample for sample in looked if sample is not None))


def cpu_s(pid: int) -> float:
    """CPU time of a process, with that of its children that have ended and been waited for; 0 where it has ended."""
    return _cpu_s(_stat(f"/proc/{pid}/stat")[1])


def thread_cpu_s(pids: Iterable[int]) -> dict[str, float]:
    """CPU time of the threads that live now: name -> seconds; threads of one name are summed."""
    spent_s: dict[str, float] = {}
    for pid in pids:
        try:
            tasks = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        for task in tasks:
            name, fields = _stat(f"/proc/{pid}/task/{task}/stat")
            if fields:
                spent_s[name] = spent_s.get(name, 0.0) + (int(fields[11]) + int(fields[12])) * TICK_S
    return spent_s


def _sample(pid: int, proportional: bool) -> ProcessSample | None:
    lines = _text(f"/proc/{pid}/status").splitlines()
    status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    name, fields = _stat(f"/proc/{pid}/stat")
    if "VmRSS" not in status or not fields:  # ended, and not waited for yet
        return None
    try:
        fds = len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None
    rollup = _text(f"/proc/{pid}/smaps_rollup").splitlines() if proportional else []
    kib = {key: int(value.split()[0]) for key, _, value in (line.partition(":") for line in rollup[1:])}
    unique = kib.get("Private_Clean", 0) + kib.get("Private_Dirty", 0)
    return ProcessSample(
        pid,
        name,
        int(status["VmRSS"][0]) * _KIB_MB,
        kib["Pss"] * _KIB_MB if kib else None,
        unique * _KIB_MB if kib else None,
        int(status["Threads"][0]),
        fds,
        _cpu_s(fields),
    )


def _cpu_s(fields: list[str]) -> float:
    """utime, stime, cutime and cstime of a `stat` file."""
    return sum(int(field) for field in fields[11:15]) * TICK_S


def _stat(path: str) -> tuple[str, list[str]]:
    """Name, and the fields after it, of a `stat` file (proc(5)); no fields where it has ended."""
    text = _text(path)
    head, _, tail = text.rpartition(")")
    return head.partition("(")[2], tail.split()


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
