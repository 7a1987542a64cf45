from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from runtime_inputs import RATE_HZ, WINDOW, LiveCamera, LiveTracker, sample, scene, write_tracker, write_video

import emer_edge
from emer_edge.bundle import Bundle
from emer_edge.core.errors import CameraError, ConfigurationError, DataError
from emer_edge.core.results import Result, State
from emer_edge.core.samples import Frame
from emer_edge.runtime.cameras import open_camera
from emer_edge.runtime.options import MachineOptions, Pace, Source
from emer_edge.runtime.pipeline import Pipeline, PipelineCore
from emer_edge.runtime.pipeline.core import Stepper
from emer_edge.runtime.session import Session
from emer_edge.runtime.validation.present import TerminalPresenter

HOP_NS = WINDOW.hop_ns
PLACES = {"left": (60, 70), "middle": (170, 90), "right": (300, 120)}


def heads_of(result: Result) -> list[float]:
    return [
        cell
        for value in result.heads.values()
        for cell in (value.values() if isinstance(value, dict) else [value])
    ]  # fmt: skip


def fed(core: PipelineCore, place: tuple[int, int], until_ns: int, from_ns: int = 0) -> None:
    picture = scene(*place)
    for index in range(round(until_ns / 1e9 * 30) + 1):
        stamp_ns = round(index * 1e9 / 30)
        if from_ns < stamp_ns <= until_ns:
            core.on_frame(Frame(index, picture, stamp_ns, stamp_ns, "media"))
    for index in range(round(until_ns / 1e9 * RATE_HZ) + 1):
        stamp_ns = round(index * 1e9 / RATE_HZ)
        if from_ns < stamp_ns <= until_ns:
            core.on_samples([sample(stamp_ns)])


class CountingSession:
    """A session that notes how many crops and windows each call held."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.crops: list[int] = []
        self.windows: list[int] = []

    def encode(self, face: np.ndarray) -> np.ndarray:
        self.crops.append(len(face))
        return self._session.encode(face)

    def fuse(self, *inputs: np.ndarray) -> dict[str, np.ndarray]:
        self.windows.append(len(inputs[0]))
        return self._session.fuse(*inputs)

    def face_distance(self, embeddings: np.ndarray) -> np.ndarray | None:
        return self._session.face_distance(embeddings)


def test_streams_share_one_call_and_get_what_they_would_alone(session: Session) -> None:
    counting = CountingSession(session)
    cores = {
        name: PipelineCore(session, RATE_HZ, Source(name=name), detector=session.detector.twin()) for name in PLACES
    }
    alone = {name: PipelineCore(session, RATE_HZ) for name in PLACES}
    stepper = Stepper(counting)  # type: ignore[arg-type]
    for hop in range(1, 10):
        end_ns = hop * HOP_NS
        for name, place in PLACES.items():
            for core in (cores[name], alone[name]):
                fed(core, place, end_ns, end_ns - HOP_NS)
        results = stepper.step(list(cores.values()), end_ns)
        assert [each.stream for each in results] == list(PLACES)
        for result in results:
            assert result.stream is not None
            expected = Stepper(session).step([alone[result.stream]], end_ns)[0]
            assert (result.state, result.end_ns, expected.stream) == (expected.state, expected.end_ns, None)
            np.testing.assert_allclose(heads_of(result), heads_of(expected), rtol=0, atol=1e-5)
    assert counting.crops == [3] * 9
    assert counting.windows == [3] * 2
    one, *others = results
    assert all(np.abs(np.subtract(heads_of(one), heads_of(each))).max() > 1e-6 for each in others)
    assert stepper.latencies["encode"].count == 9
    assert stepper.latencies["fuse"].count == 2


def test_a_stream_without_a_face_takes_no_place_in_the_batch(session: Session) -> None:
    counting = CountingSession(session)
    cores = [PipelineCore(session, RATE_HZ), PipelineCore(session, RATE_HZ)]
    fed(cores[0], PLACES["middle"], HOP_NS)
    results = Stepper(counting).step(cores, HOP_NS)  # type: ignore[arg-type]
    assert counting.crops == [1]
    assert counting.windows == []
    assert "encode" in results[0].stages_ms
    assert "encode" not in results[1].stages_ms
    assert results[1].face_slots == 0


def files(folder: Path, name: str, seconds: float) -> Source:
    video = write_video(folder / f"{name}.avi", seconds)
    return Source(str(video), str(write_tracker(folder / f"{name}.csv", seconds)), name=name, offset_ms=0.0)


def test_each_stream_ends_with_its_own_file(bundle: Bundle, tmp_path: Path) -> None:
    sources = [files(tmp_path, "short", 1.5), files(tmp_path, "long", 3.0)]
    with emer_edge.Pipeline(bundle, sources=sources) as streams:
        results = list(streams)
    counts = Counter(each.stream for each in results)
    assert counts["short"] <= 5 < 7 <= counts["long"] <= 10
    ends = {name: {each.end_ns for each in results if each.stream == name} for name in counts}
    apart = {(longer_ns - ns) % HOP_NS for ns in ends["short"] for longer_ns in ends["long"]}
    assert apart == {HOP_NS // 2}  # staggered lattices
    assert json.loads(json.dumps(results[0].to_dict()))["stream"] == "short"
    summary = streams.summary()
    assert set(summary.streams) == {"short", "long"}
    assert summary.frames == sum(each.frames for each in summary.streams.values())
    assert summary.stages["total"].count >= summary.streams["long"].stages["total"].count
    assert 0 <= summary.stages["detect"].count - summary.detections <= 2  # a look each may end with its file
    assert {"wait", "encode", "total"} <= set(summary.stages)
    json.dumps(summary.to_dict(), allow_nan=False)


@pytest.mark.case("files shorter than a hop, at any pace", before="at real pace 'results: none', exit 0")
@pytest.mark.parametrize("pace", ["real", "fast"])
def test_a_run_of_files_without_a_result_says_why(bundle: Bundle, tmp_path: Path, pace: Pace) -> None:
    sources = [files(tmp_path, "one", 0.2), files(tmp_path, "two", 0.2)]
    counts = r"\d+ images and \d+ samples"
    with (
        emer_edge.Pipeline(bundle, sources=sources, machine=MachineOptions(pace=pace)) as streams,
        pytest.raises(DataError, match=rf"no result: of {counts}, {counts} there are not both for as long as a hop"),
    ):
        list(streams)


def test_a_run_of_files_that_is_stopped_before_its_first_result_is_none(bundle: Bundle, tmp_path: Path) -> None:
    with emer_edge.Pipeline(bundle, sources=[files(tmp_path, "one", 3.0)]) as streams:
        streams.stop()
        assert list(streams) == []


@pytest.mark.slow
def test_recordings_are_replayed_on_one_lattice_as_each_is_alone(bundle: Bundle, tmp_path: Path) -> None:
    sources, fast = [files(tmp_path, "short", 3.0), files(tmp_path, "long", 3.6)], MachineOptions(pace="fast")
    with Pipeline(bundle, sources=sources, machine=fast) as pipeline:
        together = list(pipeline)
    assert [each.end_ns for each in together] == sorted(each.end_ns for each in together)
    for source in sources:
        alone = list(Pipeline(bundle, sources=[source], machine=fast))
        own = [each for each in together if each.stream == source.name]
        assert [(each.end_ns, each.state) for each in own] == [(each.end_ns, each.state) for each in alone]
        for one, other in zip(own, alone, strict=True):
            np.testing.assert_allclose(heads_of(one), heads_of(other), rtol=0, atol=1e-5)
    assert pipeline.summary().streams["short"].states == {"filling": 7, "ok": 3}


def test_the_gaze_of_each_is_validated_in_turn(bundle: Bundle) -> None:
    said: list[str] = []
    sources = [Source(LiveCamera([scene(100, 90)]), LiveTracker(), name=name) for name in ("one", "two")]
    pipeline = Pipeline(bundle, sources=sources, say=said.append)
    assert pipeline.validate(TerminalPresenter(said.append), [(960.0, 540.0)])
    pipeline.close()
    assert [each.partition(":")[0] for each in said] == ["one", "target 1 of 1", "one", "two", "target 1 of 1", "two"]
    assert all(each.validation is not None for each in pipeline.streams.values())


class Pulled(LiveCamera):
    """A camera that fails in its second second."""

    def __next__(self) -> Frame:
        if self._index > 30:
            raise CameraError("test camera was pulled out")
        return super().__next__()


def test_a_stream_that_fails_is_stale_and_the_others_go_on(bundle: Bundle) -> None:
    said: list[str] = []
    pictures = [scene(100, 90)]
    sources = [
        Source(Pulled(pictures), LiveTracker(), name="pulled"),
        Source(LiveCamera(pictures), LiveTracker(), name="sound"),
    ]
    with Pipeline(bundle, sources=sources, say=said.append) as streams:
        results = list(itertools.islice(streams, 28))
    last = {each.stream: each for each in results}
    failed_ns = min(each.end_ns for each in results if any("has failed" in note for note in each.notes))
    assert last["pulled"].state is State.STALE
    assert any("this stream has failed: test camera was pulled out" in each for each in last["pulled"].notes)
    assert any(each.state is State.OK for each in results if each.stream == "sound" and each.end_ns > failed_ns)
    assert not any("failed" in each for each in last["sound"].notes)
    assert sum(each.startswith("pulled: this stream has failed") for each in said) == 1
    summary = streams.summary()
    assert summary.streams["sound"].dropped.get("late steps", 0) < 12
    assert summary.streams["pulled"].states["stale"] >= 1


def test_the_run_ends_when_all_have_failed(bundle: Bundle) -> None:
    sources = [Source(Pulled([scene(100, 90)]), LiveTracker(), name=name) for name in ("one", "two")]
    with pytest.raises(CameraError, match="pulled out"), Pipeline(bundle, sources=sources) as streams:
        list(streams)
    assert streams.summary().states


def test_markers_reach_every_stream_or_one(bundle: Bundle) -> None:
    sources = [Source(LiveCamera([scene(100, 90)]), LiveTracker(), name=name) for name in ("one", "two")]
    with Pipeline(bundle, sources=sources) as streams:
        next(streams)
        streams.mark("all")
        streams.streams["two"].mark("its own")
        results = list(itertools.islice(streams, 7))
    marked = {
        name: [m.label for each in results if each.stream == name for m in each.markers] for name in ("one", "two")
    }
    assert marked == {"one": ["all"], "two": ["all", "its own"]}
    assert streams.summary().markers == 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "at least one stream"),
        (["one", "one"], "two streams are called one"),
        (["a/b"], "can't be called 'a/b'"),
        ([""], "can't be called ''"),
        ([None, "one"], "each needs a name"),
        (["x" * 65], "up to 64 letters"),
    ],
    ids=["none", "twice", "slash", "empty", "unnamed", "long"],
)
def test_names_that_no_stream_can_have(bundle: Bundle, names: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Pipeline(bundle, sources=[Source("0", "/dev/ttyUSB0", name=name) for name in names])


def test_what_can_not_be_opened_names_its_stream(bundle: Bundle, video: Path, tracker: Path) -> None:
    camera = open_camera(str(video))
    sources = [Source(camera, str(tracker), name="good"), Source("nowhere.avi", str(tracker), name="bad")]
    streams = Pipeline(bundle, sources=sources)
    with pytest.raises(CameraError, match=r"^stream bad: .*nowhere\.avi"):
        streams.open()
    with pytest.raises(StopIteration):  # closed with the rest
        next(camera)
    with pytest.raises(ConfigurationError, match="before it is opened"):
        streams.summary()
