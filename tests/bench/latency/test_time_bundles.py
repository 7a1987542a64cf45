from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from emer_edge.bench.bench_options import LatencyOptions
from emer_edge.bench.latency.machine_state import describe
from emer_edge.bench.latency.measuring_process import Worker, drop_from_cache, first_results
from emer_edge.bench.latency.simulated_input import SimulatedCamera, SimulatedTracker
from emer_edge.bench.latency.time_bundles import time_bundles
from emer_edge.bench.latency.timed_bundle import AFTER_PAUSE, PARTS, QUERIES, Candidate
from emer_edge.bundle import Bundle
from emer_edge.core.errors import BundleError, ConfigurationError, EngineError


@pytest.fixture(scope="module")
def timed(bundle: Bundle):
    options = LatencyOptions(
        repeats=2, warmup=1, rests=1, starts=1, streams=(1, 2), min_seconds=0.1, min_queries=2, stream_s=0
    )
    return time_bundles([bundle, bundle], describe(), options)


@pytest.mark.slow
def test_every_part_of_every_bundle_is_timed(timed) -> None:
    for result in timed.records:
        assert tuple(result.latency) == (*PARTS, AFTER_PAUSE)
        for part, item in result.latency.items():
            assert (item.count, item.warmup) == ((1, 0) if part == AFTER_PAUSE else (2, 1))
            assert 0 < item.min_ms <= item.p50_ms <= item.p90_ms <= item.p99_ms <= item.max_ms
            assert sum(count for _, count in item.bins) == item.count
        assert result.streaming is None
        assert min(result.loading.start_ms, result.loading.verify_ms, result.loading.open_ms) > 0


def test_starts_are_counted(timed) -> None:
    for result in timed.records:
        assert len(result.first_result.warm_ms) == 1
        assert len(result.first_result.cold_ms) == (0 if result.first_result.reason else 1)
        assert min(result.first_result.warm_ms) > result.loading.first_step_ms


def test_closed_loops_are_judged_and_what_speaks_against_them_is_noted(timed) -> None:
    for result in timed.records:
        assert tuple(result.single_stream) == QUERIES
        for query, item in result.single_stream.items():
            assert item.queries == item.latency.count >= 2
            assert item.seconds >= 0.1
            assert not item.mlperf
            assert item.energy.millijoules is not None or item.energy.reason
            said = " ".join(result.notes)
            assert (f"the closed loop of {query} supports no p90" in said) is not item.valid
            assert (f"the closed loop of {query} was unstable" in said) is not item.stability.stable


def test_several_people_at_once(timed) -> None:
    for result in timed.records:
        one, two = result.several_streams
        assert (one.streams, two.streams) == (1, 2)
        assert one.against_one == 1.0
        assert two.per_stream_ms == pytest.approx(two.latency.p50_ms / 2)
        assert two.against_one == pytest.approx(two.per_stream_ms / one.per_stream_ms)
        assert two.most_streams == int(300 / two.per_stream_ms)  # a hop of 2.4 s / 8


def test_bundles_stand_beside_each_other(timed) -> None:
    assert [ratio.part for ratio in timed.ratios] == [*PARTS, AFTER_PAUSE]
    for ratio in timed.ratios:
        assert (ratio.bundle, ratio.base) == ("random", "random")
        assert 0 < ratio.low <= ratio.ratio <= ratio.high
    assert timed.ratios[0].turns == 2
    assert timed.conditions.moments >= 2


def test_embeddings_of_a_step_are_those_of_the_crops(bundle: Bundle) -> None:
    with closing(Candidate(bundle.path, "onnxruntime", 1)) as candidate:
        first = candidate.step(3)
        assert {name: item.tolist() for name, item in candidate.step(3).items()} == {
            name: item.tolist() for name, item in first.items()
        }
        assert any((candidate.step(4)[name] != item).any() for name, item in first.items())
        assert len(candidate.together(3, 2).durations_ns) == 2
        assert len(candidate.rested(2, pause_s=0.0).durations_ns) == 2
        with pytest.raises(ConfigurationError, match="no part 'sing'"):
            candidate.loop("sing", queries=1)


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
        worker.turn("rested", steps=1)


def test_a_process_that_dies_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, bundle: Bundle) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(EngineError, match="ended with code 1 and no figures"), Worker(bundle.path, "auto", 1) as worker:
        worker.open()


def test_a_process_ends_with_its_worker(bundle: Bundle) -> None:
    with Worker(bundle.path, "onnxruntime", 1) as worker:
        assert worker.open().engine == "onnxruntime"
        assert len(worker.turn("loop", part="live step", queries=2).durations_ns) == 2
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


def would_wait(path: Path) -> bool:
    """Whether a read of a file just dropped would have to wait; a quick disk may answer before the kernel says so."""
    assert drop_from_cache(path.parents[1]) == ""
    with path.open("rb", buffering=0) as file:
        try:
            os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
        except BlockingIOError:
            return True
    return False


def test_files_are_dropped_or_it_is_said_that_they_are_not(tmp_path: Path) -> None:
    path = tmp_path / "bundle" / "cpu" / "part.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(os.urandom(300_000))
    (path.parent / "empty").touch()
    reason = drop_from_cache(tmp_path / "bundle")
    assert reason == "" or "part.onnx" in reason
    if not reason:
        assert drop_from_cache(tmp_path / "bundle") == ""  # looking did not bring it back
        if hasattr(os, "RWF_NOWAIT"):
            assert any(would_wait(path) for _ in range(50))


def test_files_in_memory_alone_cannot_be_dropped() -> None:
    folder = Path("/dev/shm")
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        pytest.skip("there is no /dev/shm that can be written to")
    path = folder / f"emer-edge-{os.getpid()}"
    path.mkdir()
    try:
        (path / "part.onnx").write_bytes(b"1" * 10_000)
        assert drop_from_cache(path) == "part.onnx stays in the page cache"
    finally:
        (path / "part.onnx").unlink()
        path.rmdir()


def test_bundles_start_in_turns_and_kinds_are_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("a", "b")
    for name in names:
        (tmp_path / name).mkdir()
    started: list[str] = []

    def start(bundle: Path) -> float:
        started.append(bundle.name)
        return float(len(started))

    one, other = first_results([tmp_path / name for name in names], start, 2)
    assert started == ["a", "a", "b", "b"] * 2
    assert (one.cold_ms, one.warm_ms) == ((1.0, 5.0), (2.0, 6.0))
    assert (other.cold_ms, other.warm_ms, other.reason) == ((3.0, 7.0), (4.0, 8.0), "")


def test_where_nothing_can_be_dropped_there_is_no_cold_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    started: list[Path] = []
    (starts,) = first_results([tmp_path], lambda path: float(len(started.append(path) or started)), 2)
    assert starts.cold_ms == ()
    assert starts.warm_ms == (2.0, 3.0)  # the first start, which may have been cold, is not counted
    assert "posix_fadvise" in starts.reason
