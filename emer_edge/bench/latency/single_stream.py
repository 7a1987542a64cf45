"""MLPerf Inference's SingleStream, run as its rules say and judged by them.

Rules: mlcommons/inference_policies, inference_rules.adoc, "Scenarios" and appendix "Early Stopping". Differences are
named in docs/bench-report.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from emer_edge.bench.latency.loop import Turn
from emer_edge.bench.latency.stability import judge
from emer_edge.bench.records import Energy, Latency, SingleStream
from emer_edge.metrics.early_stopping import claimed_percentile, queries_needed

__all__ = ["MLPERF_SECONDS", "MOST_TURN_S", "judge_run", "run_turns"]

MLPERF_SECONDS: Final = 600.0
"""The shortest run that MLPerf allows."""

MOST_TURN_S: Final = 2.0
"""How long a bundle goes on when others wait for their turn."""

_AT_ONCE: Final = 16  # queries of a turn once its time is up
_MS: Final = 1e-6
_NS: Final = 1e-9


def run_turns(
    candidates: Sequence[Callable[[float, int, int], Turn]], min_seconds: float, min_queries: int
) -> list[list[Turn]]:
    """Run closed loops until each has lasted so long and done so many queries.

    One candidate runs without interruption; several take turns of `MOST_TURN_S` until all are done.

    Args:
        candidates: each runs one turn: least seconds, least queries, seed of their order.
        min_seconds: of each candidate, over all its turns.
        min_queries: as well.

    Returns:
        The turns of each.
    """
    if len(candidates) == 1:
        return [[candidates[0](min_seconds, min_queries, 0)]]
    turns: list[list[Turn]] = [[] for _ in candidates]
    lacking = True
    while lacking:
        lacking = False
        for candidate, done in zip(candidates, turns, strict=True):
            seconds = min_seconds - sum(each.elapsed_ns for each in done) * _NS
            queries = min_queries - sum(len(each.durations_ns) for each in done)
            if seconds <= 0 and queries <= 0:
                continue
            lacking = True
            # Queries that take longer than their share of the time are done after it.
            at_least = 1 if seconds > 0 else min(queries, _AT_ONCE)
            done.append(candidate(max(0.0, min(seconds, MOST_TURN_S)), at_least, len(done)))
    return turns


def judge_run(
    turns: Sequence[Turn],
    min_seconds: float,
    min_queries: int,
    warmup: int,
    energy: Energy,
    one_core: bool,
    changed: Sequence[str] = (),
    load: str = "",
) -> SingleStream:
    """Judge a run.

    Args:
        turns: at least one, with at least one query.
        min_seconds: that were asked for.
        min_queries: that were asked for.
        warmup: queries before the first turn.
        energy: what it drew.
        one_core: it computed with one thread, on the CPU.
        changed: see `judge`.
        load: see `judge`.
    """
    durations = [each for turn in turns for each in turn.durations_ns]
    elapsed_ns = sum(each.elapsed_ns for each in turns)
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
        short.append(f"{seconds:.0f} s, MLPerf asks for {MLPERF_SECONDS:.0f}: --mlperf")
    return SingleStream(
        queries=len(durations),
        seconds=seconds,
        turns=len(turns),
        min_seconds=min_seconds,
        min_queries=min_queries,
        latency=Latency.of_durations(durations, warmup),
        p90_claimed_ms=None if p90 is None else p90[0] * _MS,
        p99_claimed_ms=None if p99 is None else p99[0] * _MS,
        discarded=0 if p90 is None else p90[1],
        queries_per_s=len(durations) / seconds,
        valid=valid,
        mlperf=not short,
        reason="; ".join(short),
        stability=judge(
            durations, sum(each.cpu_ns for each in turns) / elapsed_ns if one_core else None, changed, load
        ),
        energy=energy,
    )
