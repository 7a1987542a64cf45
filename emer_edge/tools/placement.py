"""CPU cores and niceness of this process.

On Linux both belong to threads: a new thread or process inherits those of the thread that starts it. So they are set
for every existing thread (numeric libraries start theirs when they are imported), and inherited by the capture process
and all later threads.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from emer_edge.core.errors import ConfigurationError

_MOST: Final = 4096  # cores: as many as Linux can be built for


def parse_cores(text: str) -> frozenset[int]:
    """Read `2,3` or `0-3,6`; raise ConfigurationError on anything else."""
    cores: set[int] = set()
    for part in text.replace(" ", "").split(","):
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part)
        first, last = (0, -1) if match is None else (int(match[1]), int(match[2] or match[1]))
        if not first <= last < _MOST:
            raise ConfigurationError(f"cores are numbers such as 2,3 or 0-3, not {text!r}")
        cores.update(range(first, last + 1))
    return frozenset(cores)


def place_process(cpu_affinity: str | None = None, nice: int | None = None) -> None:
    """Restrict this process, and all that it starts from now on, to some cores and a niceness.

    Args:
        cpu_affinity: cores as `parse_cores` reads them; None leaves them.
        nice: niceness, -20 (first in turn) to 19 (last); None leaves it.

    Raises:
        ConfigurationError: a core that this machine lacks or this process may not use, a niceness out of range, or one
            that the system does not grant.
    """
    if cpu_affinity is not None:
        _keep_to(parse_cores(cpu_affinity), cpu_affinity)
    if nice is not None:
        _set_niceness(nice)


def _keep_to(cores: frozenset[int], text: str) -> None:
    before = os.sched_getaffinity(0)
    for thread in _threads():
        with suppress(ProcessLookupError):  # it has ended meanwhile
            try:
                os.sched_setaffinity(thread, cores)
            except OSError:  # none of them exists
                raise _no_core(cores - _online(), text) from None
    got = os.sched_getaffinity(0)  # Linux leaves out cores that are not there without a word
    if got != cores:
        os.sched_setaffinity(0, before)
        raise _no_core(cores - got, text)


def _no_core(missing: frozenset[int], text: str) -> ConfigurationError:
    absent = ", ".join(map(str, sorted(missing))) or text
    here = ",".join(map(str, sorted(_online())))
    return ConfigurationError(
        f"this process can't be kept to the cores {text}: {absent} is not there or not allowed; online are {here} "
        "(on a Jetson the power mode switches cores off: sudo nvpmodel -q)"
    )


def _set_niceness(nice: int) -> None:
    if not -20 <= nice <= 19:
        raise ConfigurationError(f"niceness lies between -20 (first in turn) and 19 (last), not {nice}")
    for thread in _threads():
        with suppress(ProcessLookupError):
            try:
                os.setpriority(os.PRIO_PROCESS, thread, nice)
            except PermissionError:
                raise ConfigurationError(
                    f"the system does not grant niceness {nice}: going below {os.getpriority(os.PRIO_PROCESS, 0)} "
                    "needs root or CAP_SYS_NICE; under systemd write Nice= into the unit instead"
                ) from None


def _threads() -> list[int]:
    try:
        return [int(thread) for thread in os.listdir("/proc/self/task")]
    except OSError:  # no /proc: this thread, and what it starts
        return [0]


def _online() -> frozenset[int]:
    try:
        return parse_cores(Path("/sys/devices/system/cpu/online").read_text().strip())
    except (OSError, ConfigurationError):
        return frozenset(range(os.cpu_count() or 1))
