"""Files that start over when they end, so that a demo plays on."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
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


def passes(results: list[Result]) -> list[list[Result]]:
    """The results of each pass: one begins where the seconds to fill grow."""
    parted: list[list[Result]] = [[]]
    for result in results:
        if parted[-1] and result.filling_s > parted[-1][-1].filling_s:
            parted.append([])
        parted[-1].append(result)
    return parted


def test_each_pass_is_read_as_the_first_and_no_window_holds_two(bundle: Bundle, tmp_path: Path) -> None:
    said: list[str] = []
    source = files(tmp_path, "one", 3.0, hidden=(2.75, 3.0))  # no face when the files end
    with Pipeline(bundle, sources=[source], machine=LOOP, say=said.append) as pipeline:
        results = list(itertools.islice(pipeline, 24))
    first, second, third = passes(results)
    ends_ns = [result.end_ns for result in results]
    assert ends_ns == sorted(set(ends_ns))
    assert {(end_ns - ends_ns[0]) % HOP_NS for end_ns in ends_ns} == {0}  # one lattice, whose steps follow each other
    for begun in (second, third):
        origin_ns = begun[0].end_ns - HOP_NS
        assert origin_ns - (first if begun is second else second)[-1].end_ns <= 1_000_000_000  # what opening takes
        for number, result in enumerate(begun, 1):
            assert result.begin_ns == max(origin_ns, result.end_ns - WINDOW.length_ns)
            assert result.face_slots <= number
            assert result.eye_slots <= 4 * number + 1
            assert result.filling_s == pytest.approx(max(0.0, (WINDOW.length_ns - number * HOP_NS) * 1e-9))
        assert not any("no usable face" in note for result in begun[:7] for note in result.notes)
    read = [[result for result in begun if result.state is State.OK] for begun in (first, second)]
    assert len(read[0]) == len(read[1]) >= 1
    for one, other in zip(*read, strict=True):
        assert one.to_dict()["heads"].keys() == other.to_dict()["heads"].keys()
        for head, value in one.heads.items():
            np.testing.assert_allclose(_numbers(other.heads[head]), _numbers(value), rtol=0, atol=0.02)
    assert sum("start over" in sentence for sentence in said) == 1
    assert all(any("start over" in note for note in result.notes) for result in results)
    summary = pipeline.summary()
    assert sum(summary.states.values()) >= len(results)
    assert summary.frames > 2 * 85  # of 90 a pass
    assert summary.dropped.get("samples out of order", 0) == 0
    assert not any(thread.is_alive() for thread in pipeline._runner.threads)  # type: ignore[union-attr]


def _numbers(value: object) -> list[float]:
    return list(value.values()) if isinstance(value, dict) else [value]  # type: ignore[list-item]


def test_a_recorded_run_starts_over(bundle: Bundle, tmp_path: Path) -> None:
    recording = tmp_path / "run.mcap"
    source = files(tmp_path, "one", 2.8)
    fast = Pipeline(bundle, source.camera, source.tracker, offset_ms=0.0, machine=MachineOptions(pace="fast"))
    play(fast, [f"{recording}?images=jpeg&consent-id=c1"])
    with Pipeline(bundle, str(recording), str(recording), machine=LOOP) as pipeline:
        results = list(itertools.islice(pipeline, 20))
    first, second = passes(results)[:2]
    assert [result.state for result in second[:9]] == [result.state for result in first[:9]]
    assert second[8].state is State.OK


def test_of_several_each_starts_over_at_its_own_end(bundle: Bundle, tmp_path: Path) -> None:
    sources = [files(tmp_path, "short", 2.6), files(tmp_path, "long", 4.0)]
    with Pipeline(bundle, sources=sources, machine=LOOP) as pipeline:
        results = list(itertools.islice(pipeline, 32))
    own = {name: passes([result for result in results if result.stream == name]) for name in ("short", "long")}
    assert [len(begun) for begun in own["short"][:1]] == [8]
    assert len(own["short"]) == 2
    assert len(own["long"][0]) >= 12
    ends = {name: {result.end_ns % HOP_NS for begun in parted for result in begun} for name, parted in own.items()}
    assert [len(stagger) for stagger in ends.values()] == [1, 1]  # their steps still don't wait for each other
    assert ends["short"] != ends["long"]


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
        assert len(list(pipeline)) == 8
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
