from __future__ import annotations

from itertools import pairwise
from time import perf_counter_ns, sleep

import numpy as np
import pytest

from emer_edge.bench.bench_options import LatencyOptions
from emer_edge.bench.latency.closed_loop import Turn, closed_loop, judge, judge_run, load_reason, run_turns
from emer_edge.bench.records.latency_records import Energy, SingleStream


def closed(seconds: float, queries: int) -> LatencyOptions:
    return LatencyOptions(warmup=3, min_seconds=seconds, min_queries=queries)


def judged(durations_ms: list[float], seconds: float = 1.0, **least: float) -> SingleStream:
    durations = tuple(round(durations_m * 1e6) for durations_m in durations_ms)
    turn = Turn(durations, round(seconds * 1e9), round(seconds * 1e9))
    return judge_run([turn], closed(least.get("s", 0.0), int(least.get("queries", 0))), energy=Energy(), one_core=True)


def test_the_loop_is_closed() -> None:
    spans: list[tuple[int, int]] = []

    def query(number: int) -> None:
        began = perf_counter_ns()
        sleep(0.001 * (number % 3))
        spans.append((began, perf_counter_ns()))

    turn = closed_loop(query, kinds=7, seconds=0.0, queries=60)
    assert len(turn.durations_ns) == len(spans) == 60
    assert all(ended <= began for (_, ended), (began, _) in pairwise(spans))  # one at a time
    inside = [ended - began for began, ended in spans]
    assert all(outer >= inner for outer, inner in zip(turn.durations_ns, inside, strict=True))
    assert sum(turn.durations_ns) <= turn.elapsed_ns
    assert turn.elapsed_ns >= spans[-1][1] - spans[0][0]


def test_queries_are_drawn_at_random_and_the_same_by_the_same_seed() -> None:
    def drawn(seed: int) -> list[int]:
        seen: list[int] = []
        closed_loop(seen.append, kinds=16, seconds=0.0, queries=400, seed=seed)
        return seen

    assert drawn(1) == drawn(1) != drawn(2)
    assert set(drawn(1)) == set(range(16))


def test_both_minima_are_reached_and_seconds_are_told() -> None:
    reported: list[tuple[int, int]] = []
    turn = closed_loop(
        lambda _: sleep(0.25), 1, seconds=1.1, queries=1, progress=lambda _, done, total: reported.append((done, total))
    )
    assert turn.elapsed_ns >= 1.1e9
    assert reported == [(1, 1)]
    assert len(closed_loop(lambda _: None, 1, seconds=0.0, queries=33).durations_ns) == 33


def test_one_bundle_runs_without_interruption() -> None:
    requested: list[tuple[float, int, int]] = []

    def run(seconds: float, queries: int, seed: int) -> Turn:
        requested.append((seconds, queries, seed))
        return Turn((1,) * 64, 10**10, 1)

    assert run_turns([run], closed(10.0, 64)) == [[Turn((1,) * 64, 10**10, 1)]]
    assert requested == [(10.0, 64, 0)]


def test_several_bundles_take_turns_until_all_have_enough() -> None:
    order: list[str] = []

    def candidate(name: str, query_s: float):
        def run(seconds: float, queries: int, seed: int) -> Turn:
            order.append(name)
            count = max(queries, int(np.ceil(seconds / query_s)))
            return Turn((round(query_s * 1e9),) * count, round(count * query_s * 1e9), 1)

        return run

    fast, slow = run_turns([candidate("fast", 0.1), candidate("slow", 1.0)], closed(5.0, 30))
    assert order[:6] == ["fast", "slow"] * 3
    for turns, query_s in ((fast, 0.1), (slow, 1.0)):
        count = sum(len(turn.durations_ns) for turn in turns)
        assert count >= 30
        assert count * query_s >= 5.0
    assert sum(len(item.durations_ns) for item in fast) <= 60
    assert sum(len(item.durations_ns) for item in slow) <= 46


def test_a_run_that_may_claim_its_p90() -> None:
    run = judged([*range(1, 101)], seconds=700.0, s=600, queries=64)
    assert (run.valid, run.mlperf, run.reason) == (True, True, "")
    assert (run.p90_claimed_ms, run.discarded) == (98.0, 2)  # 2 of 100, as LoadGen discards
    assert run.latency.p90_ms == 90.0
    assert run.p99_claimed_ms is None
    assert run.queries_per_s == pytest.approx(1 / 7)


def test_a_short_run_is_valid_but_not_mlperfs() -> None:
    run = judged([5.0] * 64)
    assert (run.valid, run.mlperf) == (True, False)
    assert run.reason == "1 s, MLPerf requires 600: --mlperf"
    assert run.p90_claimed_ms == 5.0


def test_too_few_queries_claim_nothing() -> None:
    run = judged([5.0] * 63)
    assert (run.valid, run.mlperf, run.p90_claimed_ms) == (False, False, None)
    assert run.reason.startswith("63 queries: to claim a p90 at 99 % confidence takes 64")


def test_a_run_that_ended_early_is_not_valid() -> None:
    run = judged([5.0] * 100, s=10)
    assert not run.valid
    assert run.reason.startswith("it ended before 10 s")


def test_a_steady_loop_is_stable() -> None:
    rng = np.random.default_rng(0)
    result = judge((rng.normal(5e6, 5e4, 400)).astype(int).tolist(), cpu_share=0.99)
    assert (result.stable, result.reasons) == (True, ())
    assert abs(result.drift) < 0.01
    assert result.spread < 0.02


@pytest.mark.parametrize(
    ("durations", "more", "said"),
    [
        ([100] * 50 + [108] * 50, {}, "the second half was 8% slower than the first"),
        ([100] * 50 + [90] * 50, {}, "the second half was 10% faster than the first"),
        ([100, 100, 130, 130] * 25, {}, "half of the queries lie"),
        ([100] * 10, {"cpu_share": 0.7}, "other work took 30% of its core's time"),
        ([100] * 10, {"against": ["the fastest CPU clock moved"]}, "the fastest CPU clock moved"),
        ([100] * 10, {"against": ["the load average was 3.0"]}, "the load average was 3.0"),
    ],
    ids=["slower", "faster", "spread", "shared core", "clock", "load"],
)
def test_an_unstable_loop_says_why(durations: list[int], more: dict[str, object], said: str) -> None:
    result = judge(durations, **more)  # type: ignore[arg-type]
    assert not result.stable
    assert any(said in reason for reason in result.reasons)


@pytest.mark.parametrize(
    ("load", "cores", "threads", "high"),
    [(0.4, 1, 1, False), (0.6, 1, 1, True), (0.9, 2, 1, False), (1.1, 2, 1, True), (5, 16, 4, False), (9, 16, 1, True)],
)
def test_a_load_that_leaves_no_room(load: float, cores: int, threads: int, high: bool) -> None:
    assert bool(load_reason(load, cores, threads)) is high
    assert load_reason(None, cores, threads) == ""
