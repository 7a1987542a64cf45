from __future__ import annotations

import os
from pathlib import Path

import pytest

from emer_edge.bench.latency.bundles import time_bundles
from emer_edge.bench.latency.candidate import AFTER_PAUSE, PARTS, QUERIES, Candidate
from emer_edge.bench.latency.environment import describe
from emer_edge.bench.latency.measure import LatencyOptions
from emer_edge.bench.latency.requests import Loop, Rested
from emer_edge.bench.latency.sensors import SimulatedCamera, SimulatedTracker
from emer_edge.bench.latency.worker import Worker
from emer_edge.bundle import Bundle
from emer_edge.errors import BundleError, ConfigurationError, EngineError


@pytest.fixture(scope="module")
def timed(bundle: Bundle):
    options = LatencyOptions(
        repeats=2, warmup=1, rests=1, starts=1, streams=(1, 2), min_seconds=0.1, min_queries=2, stream_s=0
    )
    return time_bundles([bundle, bundle], describe(), options)


def test_every_part_of_every_bundle_is_timed(timed) -> None:
    for found in timed.records:
        assert tuple(found.latency) == (*PARTS, AFTER_PAUSE)
        for part, each in found.latency.items():
            assert (each.count, each.warmup) == ((1, 0) if part == AFTER_PAUSE else (2, 1))
            assert 0 < each.min_ms <= each.p50_ms <= each.p90_ms <= each.p99_ms <= each.max_ms
            assert sum(count for _, count in each.bins) == each.count
        assert found.streaming is None
        assert min(found.loading.start_ms, found.loading.verify_ms, found.loading.open_ms) > 0


def test_starts_are_counted(timed) -> None:
    for found in timed.records:
        assert len(found.first_result.warm_ms) == 1
        assert len(found.first_result.cold_ms) == (0 if found.first_result.reason else 1)
        assert min(found.first_result.warm_ms) > found.loading.first_step_ms


def test_closed_loops_are_judged_and_what_speaks_against_them_is_noted(timed) -> None:
    for found in timed.records:
        assert tuple(found.single_stream) == QUERIES
        for query, each in found.single_stream.items():
            assert each.queries == each.latency.count >= 2
            assert each.seconds >= 0.1
            assert not each.mlperf
            assert each.energy.millijoules is not None or each.energy.reason
            said = " ".join(found.notes)
            assert (f"the closed loop of {query} supports no p90" in said) is not each.valid
            assert (f"the closed loop of {query} was unstable" in said) is not each.stability.stable


def test_several_people_at_once(timed) -> None:
    for found in timed.records:
        one, two = found.several_streams
        assert (one.streams, two.streams) == (1, 2)
        assert one.against_one == 1.0
        assert two.per_stream_ms == pytest.approx(two.latency.p50_ms / 2)
        assert two.against_one == pytest.approx(two.per_stream_ms / one.per_stream_ms)
        assert two.most_streams == int(300 / two.per_stream_ms)  # a hop of 2.4 s / 8


def test_bundles_stand_beside_each_other(timed) -> None:
    assert [each.part for each in timed.ratios] == [*PARTS, AFTER_PAUSE]
    for each in timed.ratios:
        assert (each.bundle, each.base) == ("random", "random")
        assert 0 < each.low <= each.ratio <= each.high
    assert timed.ratios[0].turns == 2
    assert timed.conditions.moments >= 2


def test_embeddings_of_a_step_are_those_of_the_crops(bundle: Bundle) -> None:
    with Candidate(bundle.path, "onnxruntime", 1) as candidate:
        first = candidate.step(3)
        assert {name: each.tolist() for name, each in candidate.step(3).items()} == {
            name: each.tolist() for name, each in first.items()
        }
        assert any((candidate.step(4)[name] != each).any() for name, each in first.items())
        assert len(candidate.together(3, 2).durations_ns) == 2
        assert len(candidate.rested(2, pause_s=0.0).durations_ns) == 2
        with pytest.raises(ConfigurationError, match="no part 'sing'"):
            candidate.loop("sing", 0.0, 1)


@pytest.mark.parametrize("changes", [{"repeats": 0}, {"streams": (1, 0)}, {"min_seconds": -1.0}, {"starts": -1}])
def test_what_makes_no_sense_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="at least"):
        LatencyOptions(**changes)  # type: ignore[arg-type]


def test_errors_of_the_measuring_process_come_back_as_they_are(tmp_path: Path, bundle: Bundle) -> None:
    with (
        pytest.raises(BundleError, match=r"there is no bundle at .*no\.emer"),
        Worker(tmp_path / "no.emer", "auto", 1) as worker,
    ):
        worker.open()
    with pytest.raises(ConfigurationError, match="onnxruntime"), Worker(bundle.path, "abacus", 1) as worker:
        worker.open()
    with pytest.raises(EngineError, match="no bundle open"), Worker(bundle.path, "auto", 1) as worker:
        worker.turn(Rested(steps=1))


def test_a_process_that_dies_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, bundle: Bundle) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(EngineError, match="ended with code 1 and no figures"), Worker(bundle.path, "auto", 1) as worker:
        worker.open()


def test_a_process_ends_with_its_worker(bundle: Bundle) -> None:
    with Worker(bundle.path, "onnxruntime", 1) as worker:
        assert worker.open().engine == "onnxruntime"
        assert len(worker.turn(Loop(part="live step", queries=2)).durations_ns) == 2
        process = worker.pid
        os.kill(process, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_simulated_sensors_keep_their_pace_and_drop_what_nobody_takes() -> None:
    camera, tracker = SimulatedCamera(), SimulatedTracker()
    first, second = next(camera), next(camera)
    assert second.stamp_ns - first.stamp_ns == pytest.approx(1e9 / 30, rel=0.01)
    assert second.image.shape == (480, 640, 3)
    samples = [next(tracker) for _ in range(6)]
    assert samples[5].stamp_ns - samples[0].stamp_ns == pytest.approx(5e9 / 120, rel=0.01)
    assert samples[5].arrival_ns >= samples[5].stamp_ns
    next(camera)
    assert camera.dropped + 3 == next(camera).index
    camera.close()
    with pytest.raises(StopIteration):
        next(camera)
