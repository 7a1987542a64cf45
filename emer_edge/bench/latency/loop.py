"""The closed loop: one query at a time, the next one issued when the last is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns, process_time_ns
from typing import Final

import numpy as np

from emer_edge.spec.progress import Progress, silent

__all__ = ["Turn", "closed_loop"]

_DRAWN: Final = 1021
"""Query numbers drawn before the loop, over and over: drawing costs nothing between two queries."""

_SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True)
class Turn:
    """One uninterrupted closed loop.

    Attributes:
        durations_ns: of every query, in order.
        elapsed_ns: from issuing the first to the end of the last.
        cpu_ns: processor time of this process meanwhile.
    """

    durations_ns: tuple[int, ...]
    elapsed_ns: int
    cpu_ns: int


def closed_loop(
    query: Callable[[int], object],
    kinds: int,
    seconds: float,
    queries: int,
    seed: int = 0,
    progress: Progress = silent,
) -> Turn:
    """Issue queries one after the other until so many seconds have passed and so many queries are done.

    Args:
        query: does prepared query number `i`, and returns when its answer is there.
        kinds: how many prepared queries there are; they are drawn at random with replacement, as MLPerf's LoadGen does.
        seconds: that shall have passed.
        queries: that shall be done, too.
        seed: of the order.
        progress: told between two queries, once a second, which second it is.
    """
    order = np.random.default_rng(seed).integers(kinds, size=_DRAWN).tolist()
    durations: list[int] = []
    wanted_ns = round(seconds * _SECOND_NS)
    told_ns = _SECOND_NS
    spent_ns = process_time_ns()
    started_ns = ended_ns = perf_counter_ns()
    while ended_ns - started_ns < wanted_ns or len(durations) < queries:
        number = order[len(durations) % _DRAWN]
        issued_ns = perf_counter_ns()
        query(number)
        ended_ns = perf_counter_ns()
        durations.append(ended_ns - issued_ns)
        if ended_ns - started_ns >= told_ns:
            progress("closed loop", min(told_ns, wanted_ns) // _SECOND_NS, wanted_ns // _SECOND_NS)
            told_ns += _SECOND_NS
    return Turn(tuple(durations), ended_ns - started_ns, process_time_ns() - spent_ns)
