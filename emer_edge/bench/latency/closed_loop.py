"""The closed loop: one query at a time, the next one issued when the last is done; MLPerf Inference's SingleStream.

Rules: mlcommons/inference_policies, inference_rules.adoc, "Scenarios" and appendix "Early Stopping". Differences are
named in docs/bench-report.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns, process_time_ns
from typing import Final

import numpy as np

from emer_edge.bench.bench_options import MLPERF_SECONDS, LatencyOptions
from emer_edge.bench.records.latency_records import Energy, Latency, SingleStream, Stability
from emer_edge.core.progress import Progress, silent
from emer_edge.metrics.latency import claimed_percentile, queries_needed

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
    *,
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
        progress: called between two queries, once per second.
    """
    order = np.random.default_rng(seed).integers(kinds, size=_DRAWN).tolist()
    durations: list[int] = []
    least_ns = round(seconds * _SECOND_NS)
    report_ns = _SECOND_NS
    spent_ns = process_time_ns()
    started_ns = ended_ns = perf_counter_ns()
    while ended_ns - started_ns < least_ns or len(durations) < queries:
        number = order[len(durations) % _DRAWN]
        issued_ns = perf_counter_ns()
        query(number)
        ended_ns = perf_counter_ns()
        durations.append(ended_ns - issued_ns)
        if ended_ns - started_ns >= report_ns:
            progress("closed loop", min(report_ns, least_ns) // _SECOND_NS, least_ns // _SECOND_NS)
            report_ns += _SECOND_NS
    return Turn(tuple(durations), ended_ns - started_ns, process_time_ns() - spent_ns)


DRIFT: Final = 0.05
"""By how much the median of the second half may differ from that of the first, as a share of it."""

SPREAD: Final = 0.10
"""How large the interquartile range may be, as a share of the median."""

OWN_CORE: Final = 0.95
"""Which share of a core's time a process with one thread shall have had."""


def judge(durations_ns: Sequence[int], cpu_share: float | None = None, against: Sequence[str] = ()) -> Stability:
    """Judge a closed loop.

    Args:
        durations_ns: of every query, in order, at least one.
        cpu_share: processor time over elapsed time, None where it says nothing.
        against: what speaks against the machine, in words, from `conditions_of` and `load_reason`.
    """
    half = len(durations_ns) // 2
    drift = median(durations_ns[half:]) / median(durations_ns[:half]) - 1 if half else 0.0
    low, middle, high = np.percentile(durations_ns, (25, 50, 75)).tolist()
    spread = (high - low) / middle if middle else 0.0
    reasons = []
    if abs(drift) > DRIFT:
        reasons.append(f"the second half was {abs(drift):.0%} {'slower' if drift > 0 else 'faster'} than the first")
    if spread > SPREAD:
        reasons.append(f"half of the queries lie {spread:.0%} of the median apart")
    if cpu_share is not None and cpu_share < OWN_CORE:
        reasons.append(f"other work took {1 - cpu_share:.0%} of its core's time")
    reasons += against
    return Stability(stable=not reasons, reasons=tuple(reasons), drift=drift, spread=spread, cpu_share=cpu_share)


def load_reason(load_average: float | None, cores: int, threads: int) -> str:
    """Why the load before the run is too high to measure beside; empty where it is not.

    What else runs shall leave the threads cores of their own, and keep no more than half of all cores busy.
    """
    most = max(min(cores - threads, cores / 2), 0.5)
    if load_average is None or load_average <= most:
        return ""
    return f"the load average was {load_average:.1f} on {cores} cores before it began"


MOST_TURN_S: Final = 2.0
"""How long a bundle goes on when others wait for their turn."""

_AT_ONCE: Final = 16  # queries of a turn once its time is up
_MS: Final = 1e-6
_NS: Final = 1e-9


def run_turns(candidates: Sequence[Callable[[float, int, int], Turn]], options: LatencyOptions) -> list[list[Turn]]:
    """Run closed loops until each has lasted so long and done so many queries; return the turns of each.

    One candidate runs without interruption; several take turns of `MOST_TURN_S` until all are done.

    Args:
        candidates: each runs one turn: least seconds, least queries, seed of their order.
        options: hold the least seconds and queries of each candidate, over all its turns.
    """
    min_seconds, min_queries = options.min_seconds, options.min_queries
    if len(candidates) == 1:
        return [[candidates[0](min_seconds, min_queries, 0)]]
    turns: list[list[Turn]] = [[] for _ in candidates]
    lacking = True
    while lacking:
        lacking = False
        for candidate, done in zip(candidates, turns, strict=True):
            seconds = min_seconds - sum(turn.elapsed_ns for turn in done) * _NS
            queries = min_queries - sum(len(turn.durations_ns) for turn in done)
            if seconds > 0 or queries > 0:
                lacking = True
                # Queries that take longer than their share of the time are done after it.
                at_least = 1 if seconds > 0 else min(queries, _AT_ONCE)
                done.append(candidate(max(0.0, min(seconds, MOST_TURN_S)), at_least, len(done)))
    return turns


def judge_run(
    turns: Sequence[Turn],
    options: LatencyOptions,
    *,
    energy: Energy,
    one_core: bool,
    against: Sequence[str] = (),
) -> SingleStream:
    """Judge a run of at least one query; `one_core` says that it computed with one thread, on the CPU; see `judge`."""
    min_seconds, min_queries = options.min_seconds, options.min_queries
    durations = [duration for turn in turns for duration in turn.durations_ns]
    elapsed_ns = sum(turn.elapsed_ns for turn in turns)
    seconds = elapsed_ns * _NS
    p90, p99 = claimed_percentile(durations, 0.9), claimed_percentile(durations, 0.99)
    short = []
    if p90 is None:
        needed = queries_needed(0.9)
        short.append(f"{len(durations)} queries: to claim a p90 at 99 % confidence takes {needed}")
    if len(durations) < min_queries or seconds < min_seconds:
        short.append(f"it ended before {min_seconds:g} s and {min_queries} queries")
    valid = not short
    if seconds < MLPERF_SECONDS:
        short.append(f"{seconds:.0f} s, MLPerf requires {MLPERF_SECONDS:.0f}: --mlperf")
    return SingleStream(
        queries=len(durations),
        seconds=seconds,
        turns=len(turns),
        min_seconds=min_seconds,
        min_queries=min_queries,
        latency=Latency.of_durations(durations, options.warmup),
        p90_claimed_ms=None if p90 is None else p90[0] * _MS,
        p99_claimed_ms=None if p99 is None else p99[0] * _MS,
        discarded=0 if p90 is None else p90[1],
        queries_per_s=len(durations) / seconds,
        valid=valid,
        mlperf=not short,
        reason="; ".join(short),
        stability=judge(durations, sum(turn.cpu_ns for turn in turns) / elapsed_ns if one_core else None, against),
        energy=energy,
    )
