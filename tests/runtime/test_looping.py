"""Files that start over when they end, so that a demo plays on."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice, pairwise
from pathlib import Path

import pytest
from runtime_inputs import WINDOW, LiveCamera, LiveTracker, scene, write_tracker, write_video

from emer_edge.bundle import Bundle
from emer_edge.core.errors import CameraError, ConfigurationError, DataError
from emer_edge.core.results import Result, State
from emer_edge.runtime.options import MachineOptions, Source
from emer_edge.runtime.outputs import check_outputs
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.play import play

HOP_NS = WINDOW.hop_ns
LOOP = MachineOptions(loop=True)


def files(folder: Path, name: str, seconds: float, **more: tuple[float, float]) -> Source:
    video = write_video(folder / f"{name}.avi", seconds, more.get("hidden", (0.0, 0.0)))
    return Source(str(video), str(write_tracker(folder / f"{name}.csv", seconds)), name=name, offset_ms=0.0)


def passes(results: Iterable[Result], stream: str | None, most: int) -> list[list[Result]]:
    """The results of a stream, pass by pass, until one from number `most` on has a reading.

    On a busy machine steps are late and left out, so nothing here counts them.
    """
    parted: list[list[Result]] = [[]]
    for result in islice(results, 400):
        if result.stream == stream:
            if parted[-1] and result.filling_s > parted[-1][-1].filling_s:
                parted.append([])
            parted[-1].append(result)
            if len(parted) >= most and result.state is State.OK:
                break
    return parted


def test_each_pass_fills_anew_and_no_window_holds_two(bundle: Bundle, tmp_path: Path) -> None:
    said: list[str] = []
    source = files(tmp_path, "one", 3.6, hidden=(3.3, 3.6))  # no face when the files end
    with Pipeline(bundle, sources=[source], machine=LOOP, say=said.append) as pipeline:
        begun = passes(pipeline, "one", 3)
    assert len(begun) >= 3
    results = [result for each in begun for result in each]
    ends_ns = [result.end_ns for result in results]
    assert ends_ns == sorted(set(ends_ns))
    assert {(end_ns - ends_ns[0]) % HOP_NS for end_ns in ends_ns} == {0}  # on one lattice
    for before, each in pairwise(begun):
        origin_ns = each[0].begin_ns
        assert origin_ns >= before[-1].end_ns
        for result in each:
            hops = (result.end_ns - origin_ns) // HOP_NS
            assert result.begin_ns == max(origin_ns, result.end_ns - WINDOW.length_ns)
            assert result.face_slots <= hops
            assert result.eye_slots <= 4 * hops + 1
            assert result.filling_s == pytest.approx(max(0.0, (WINDOW.length_ns - hops * HOP_NS) * 1e-9))
            assert (result.state is State.FILLING) == (result.filling_s > 0) or result.state is State.STALE
    assert begun[-1][-1].state is State.OK
    assert sum("start over" in sentence for sentence in said) == 1
    assert all(any("start over" in note for note in result.notes) for result in results)
    summary = pipeline.summary()
    assert sum(summary.states.values()) >= len(results)
    assert summary.frames + summary.dropped.get("camera", 0) > 2 * 100  # of 108 a pass: they count on
    assert summary.dropped.get("samples out of order", 0) == 0
    assert not any(thread.is_alive() for thread in pipeline._runner.threads)  # type: ignore[union-attr]


def test_a_recorded_run_starts_over(bundle: Bundle, tmp_path: Path) -> None:
    recording = tmp_path / "run.mcap"
    source = files(tmp_path, "one", 3.6)
    fast = Pipeline(bundle, source.camera, source.tracker, offset_ms=0.0, machine=MachineOptions(pace="fast"))
    play(fast, [f"{recording}?images=jpeg&consent-id=c1"])
    with Pipeline(bundle, str(recording), str(recording), machine=LOOP) as pipeline:
        begun = passes(pipeline, None, 2)
    assert len(begun) >= 2
    assert begun[-1][-1].state is State.OK


@pytest.mark.slow
def test_of_several_each_starts_over_at_its_own_end(bundle: Bundle, tmp_path: Path) -> None:
    sources = [files(tmp_path, "short", 3.0), files(tmp_path, "long", 6.0)]
    with Pipeline(bundle, sources=sources, machine=LOOP) as pipeline:
        results: list[Result] = []
        kept = (results.append(result) or result for result in pipeline)  # type: ignore[func-returns-value]
        assert len(passes(kept, "short", 2)) >= 2
    long, *_ = passes(results, "long", 9)  # its first pass goes on meanwhile
    assert long[-1].end_ns > long[0].begin_ns + 3_000_000_000
    staggered = {name: {each.end_ns % HOP_NS for each in results if each.stream == name} for name in ("short", "long")}
    assert [len(each) for each in staggered.values()] == [1, 1]  # their steps still don't wait for each other
    assert staggered["short"] != staggered["long"]


def test_files_without_one_reading_do_not_play_for_ever(bundle: Bundle, tmp_path: Path) -> None:
    message = r"--loop: the files last 1\.\d s together, a reading takes 2\.4 s"
    with (
        Pipeline(bundle, sources=[files(tmp_path, "short", 1.5)], machine=LOOP) as pipeline,
        pytest.raises(DataError, match=message),
    ):
        list(pipeline)


def test_a_file_that_is_removed_meanwhile_ends_the_run(bundle: Bundle, tmp_path: Path) -> None:
    source = files(tmp_path, "one", 2.6)
    with Pipeline(bundle, sources=[source], machine=LOOP) as pipeline:
        next(pipeline)
        Path(str(source.camera)).unlink()
        with pytest.raises(CameraError, match=r"stream one: there is no video .*one\.avi"):
            list(pipeline)


def test_a_stop_between_two_passes_ends_the_run(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = files(tmp_path, "one", 2.6)
    pipeline = Pipeline(bundle, sources=[source], machine=LOOP)
    stream = pipeline.streams["one"]
    opens = stream.reopen

    def stopped_meanwhile():
        pipeline.stop()
        return opens()

    monkeypatch.setattr(stream, "reopen", stopped_meanwhile)
    with pipeline:
        assert 1 <= len(list(pipeline)) <= 8
    assert stream.camera._closed.is_set()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("camera", "tracker", "message"),
    [
        ("synthetic://", "eyes.csv", "a device has no end; live: camera"),
        ("face.avi", "/dev/ttyUSB97", "there is no serial port"),
    ],
    ids=["live camera", "live tracker"],
)
def test_a_device_is_refused(bundle: Bundle, tmp_path: Path, camera: str, tracker: str, message: str) -> None:
    write_video(tmp_path / "face.avi", 0.2), write_tracker(tmp_path / "eyes.csv", 0.2)
    source = Source(*(str(tmp_path / each) if each.endswith((".avi", ".csv")) else each for each in (camera, tracker)))
    with pytest.raises(ConfigurationError, match=message):
        Pipeline(bundle, sources=[source], machine=LOOP).check()


def test_what_is_open_already_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match="--loop starts files over, and a device has no end; the camera is live"
    ):
        Pipeline(bundle, LiveCamera([scene(100, 90)]), LiveTracker(), machine=LOOP).open()


def test_nothing_is_kept_of_files_that_start_over(tmp_path: Path) -> None:
    for address, flag in (
        (f"session:{tmp_path}?participant=p1", "--save"),
        (f"{tmp_path}/run.mcap", "--record"),
        (f"onrequest:{tmp_path}", "--serve-record"),
    ):
        with pytest.raises(ConfigurationError, match=f"nothing of it is kept: leave {flag} out"):
            check_outputs([address], [Source("face.avi")], LOOP)
    check_outputs(["json:"], [Source("face.avi")], LOOP)


def test_a_fast_replay_has_an_end() -> None:
    with pytest.raises(ConfigurationError, match="--loop plays files over and over as they were recorded"):
        MachineOptions(pace="fast", loop=True)
