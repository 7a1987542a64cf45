from __future__ import annotations

import contextlib
import json
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np
import pytest
from camera_devices import MjpegServer, number_of
from machine import newer_opencv
from recording_inputs import assert_same, heads_of, recorded, replayed
from runtime_inputs import LiveCamera, LiveTracker, scene, write_video

from emer_edge.bundle import Bundle
from emer_edge.core.errors import CameraError, DataError, TrackerError
from emer_edge.core.results import Result, State
from emer_edge.core.samples import Frame
from emer_edge.runtime.cameras import open_camera
from emer_edge.runtime.cameras.opening import check_camera
from emer_edge.runtime.faces import Look, RecordedFrame
from emer_edge.runtime.faces.finder import FaceFinder
from emer_edge.runtime.options import MachineOptions
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.recording.mcap_reader import read_head, read_messages
from emer_edge.runtime.recording.messages import CAMERA, FRAMES, RESULTS, SAMPLES
from emer_edge.runtime.trackers import open_tracker
from emer_edge.runtime.trackers.base import TrackerOptions


@pytest.fixture(scope="module")
def run(
    bundle: Bundle, video: Path, tracker: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Result]]:
    """A fast replay of files, recorded with JPEG images and lossless crops."""
    path = tmp_path_factory.mktemp("recorded") / "run.mcap"
    return path, recorded(
        Pipeline(bundle, str(video), str(tracker), machine=MachineOptions(pace="fast"), offset_ms=0.0), path
    )


def test_a_replay_gives_the_same_results(bundle: Bundle, run: tuple[Path, list[Result]]) -> None:
    path, first = run
    assert sum(each.state is State.OK for each in first) == 13
    assert np.std([heads_of(each) for each in first[7:]], axis=0).max() > 1e-3  # agreement means something
    assert_same(first, replayed(bundle, path), read_head(path).origin_ns)


@pytest.mark.slow
def test_whole_images_give_them_too_and_faces_are_looked_for_again(
    bundle: Bundle, tracker: Path, tmp_path: Path, run: tuple[Path, list[Result]]
) -> None:
    path, video = tmp_path / "lossless.mcap", write_video(tmp_path / "short.avi", 3.0)
    first = recorded(
        Pipeline(bundle, str(video), str(tracker), machine=MachineOptions(pace="fast"), offset_ms=0.0), path, "lossless"
    )
    with Pipeline(bundle, str(path), str(path), machine=MachineOptions(pace="fast")) as pipeline:
        again = list(pipeline)
    assert_same(first, again, read_head(path).origin_ns)
    assert pipeline.summary().stages["detect"].count > 0
    assert path.stat().st_size > run[0].stat().st_size
    frame, same = next(open_camera(str(path), "fast")), next(open_camera(str(video), "fast"))
    np.testing.assert_array_equal(frame.image, same.image)


def test_a_live_run_is_replayed_with_what_had_come_in_time(bundle: Bundle, tmp_path: Path) -> None:
    images = [scene(100 + int(60 * np.sin(at / 30)), 80) for at in range(120)]
    path = tmp_path / "live.mcap"
    first = recorded(Pipeline(bundle, LiveCamera(images), LiveTracker()), path, seconds=3.4)
    again = replayed(bundle, path)
    assert sum(each.state is State.OK for each in first) >= 3
    origin_ns = read_head(path).origin_ns
    taken = {each.end_ns - origin_ns for each in first}  # one more step may have been taken than was read
    assert_same(first, [each for each in again if each.end_ns in taken], origin_ns)
    assert len(again) <= len(first) + 1


@pytest.mark.slow
def test_looks_that_come_too_late_are_too_late_in_the_replay(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [scene(100 + int(60 * np.sin(at / 30)), 80) for at in range(120)]
    path, rng, see = tmp_path / "slow.mcap", np.random.default_rng(0), FaceFinder.see

    def slowly(finder: FaceFinder, frame: Frame) -> Look | None:
        if finder.wants(frame):
            time.sleep(rng.uniform(0.0, 0.15))
        return see(finder, frame)

    with monkeypatch.context() as patched:
        patched.setattr(FaceFinder, "see", slowly)
        pipeline = Pipeline(bundle, LiveCamera(pictures), LiveTracker())
        first = recorded(pipeline, path, seconds=5.0)
    dropped = pipeline.summary().dropped
    assert dropped["frames after their step"] > 0  # else nothing was tried
    again = replayed(bundle, path)
    origin_ns = read_head(path).origin_ns
    taken = {each.end_ns - origin_ns for each in first}
    assert sum(each.state is State.OK for each in first) >= 3
    assert_same(first, [each for each in again if each.end_ns in taken], origin_ns, 0.0)


def test_at_real_pace_too(bundle: Bundle, run: tuple[Path, list[Result]]) -> None:
    path, first = run
    with Pipeline(bundle, str(path), str(path)) as pipeline:
        results = [next(pipeline) for _ in range(10)]
    assert [each.state for each in results[:9]] == [each.state for each in first[:9]]
    if pipeline.summary().dropped == {}:
        np.testing.assert_allclose(heads_of(results[8]), heads_of(first[8]), atol=1e-5)


def test_a_bundle_that_aligns_otherwise_looks_for_faces_again(bundle: Bundle, run: tuple[Path, list[Result]]) -> None:
    moved = tuple((x, y + 3) for x, y in bundle.manifest.face.template_px)
    face = msgspec.structs.replace(bundle.manifest.face, template_px=moved)
    other = replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, face=face))
    told: list[str] = []
    with Pipeline(other, str(run[0]), str(run[0]), machine=MachineOptions(pace="fast"), say=told.append) as pipeline:
        results = list(pipeline)
    assert sum("aligns faces otherwise" in each for each in told) == 1
    assert pipeline.summary().stages["detect"].count > 0
    assert [each.state for each in results] == [each.state for each in run[1]]


@newer_opencv(4, 6)  # older ones keep a stream's JPEGs to themselves
def test_a_camera_that_sends_jpegs_is_recorded_with_them(bundle: Bundle, tmp_path: Path) -> None:
    class Remembering(MjpegServer):
        sent: ClassVar[set[bytes]] = set()

        def next_jpeg(self) -> bytes | None:
            made = super().next_jpeg()
            self.sent.add(made or b"")
            return made

    path, server = tmp_path / "sent.mcap", Remembering()
    try:
        recorded(Pipeline(bundle, server.url, LiveTracker(), say=lambda sentence: None), path, seconds=1.0)
    finally:
        server.unplug()
    images = [each.decode().data for each in read_messages(path, {CAMERA})]
    assert len(images) > 5
    assert set(images) <= server.sent
    frames = list(open_camera(str(path), "fast"))  # the very pixels that the run saw
    assert [number_of(each.image) for each in frames] == sorted({number_of(each.image) for each in frames})


def test_what_is_in_it(bundle: Bundle, run: tuple[Path, list[Result]], tracker: Path) -> None:
    path, first = run
    head = read_head(path)
    assert (head.participant, head.session, head.consent_id, head.images) == ("p017", "first", "form 17", "jpeg")
    assert (head.bundle, head.fps, head.width_px, head.height_px) == ("random", 30.0, 640, 480)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    samples = list(open_tracker(str(path), TrackerOptions(pace="fast")))
    originals = list(open_tracker(str(tracker), TrackerOptions(pace="fast", offset_ms=0.0)))[: len(samples)]
    assert len(samples) > 700
    assert [replace(each, arrival_ns=0) for each in samples] == [replace(each, arrival_ns=0) for each in originals]
    results = [each.decode() for each in read_messages(path, {RESULTS})]
    assert [each["end_ns"] for each in results] == [each.end_ns for each in first]
    frames = list(open_camera(str(path), "fast"))
    assert all(isinstance(each, RecordedFrame) for each in frames)
    assert len(frames) == 180


def test_without_consent_for_images_there_are_none(bundle: Bundle, video: Path, tracker: Path, tmp_path: Path) -> None:
    path = tmp_path / "blind.mcap"
    recorded(
        Pipeline(bundle, str(video), str(tracker), machine=MachineOptions(pace="fast"), offset_ms=0.0), path, "none"
    )
    frames = [each.decode() for each in read_messages(path, {FRAMES})]
    assert len(frames) == 180
    assert all(each.look is None or each.look.crop is None for each in frames)
    assert not list(read_messages(path, {CAMERA}))
    assert b"foxglove" not in path.read_bytes()
    with pytest.raises(CameraError, match="holds no images: it was recorded without --record-video"):
        open_camera(str(path))
    with pytest.raises(CameraError, match="holds no images"):
        check_camera(str(path))
    with Pipeline(
        bundle, str(video), str(path), machine=MachineOptions(pace="fast")
    ) as pipeline:  # its samples go with the video
        assert sum(each.state is State.OK for each in pipeline) == 13


KILLED = """
import sys
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.play import play
bundle, video, tracker, path = sys.argv[1:]
pipeline = Pipeline(bundle, video, tracker, offset_ms=0)
play(pipeline, ["json:", f"{path}?images=jpeg&consent-id=c&participant=p017"])
"""


def test_a_run_that_is_killed_is_replayed_up_to_its_last_chunk(
    bundle: Bundle, video: Path, tracker: Path, tmp_path: Path
) -> None:
    path = tmp_path / "killed.mcap"
    arguments = [sys.executable, "-c", KILLED, str(bundle.path), str(video), str(tracker), str(path)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = [json.loads(process.stdout.readline()) for _ in range(18)]
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert b"\x89MCAP0\r\n" not in path.read_bytes()[8:]  # no end
    origin_ns = read_head(path).origin_ns
    again = replayed(bundle, path)
    assert len(again) >= len(said) - 8  # a chunk is at most two seconds: seven hops
    ends = {each["end_ns"] - origin_ns: each for each in said}
    compared = [(each, ends[each.end_ns]) for each in again if each.end_ns in ends]
    assert sum(bool(each.heads) for each, _ in compared) >= 1
    for result, line in compared:
        assert result.state.value == line["state"]
        for name, value in result.heads.items():
            assert value == pytest.approx(line["heads"][name], abs=1e-5)


@pytest.mark.parametrize("padding", [0, 5000])  # zeros, which a power cut may leave
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.999])
def test_files_cut_anywhere_are_read_up_to_there(
    run: tuple[Path, list[Result]], tmp_path: Path, keep: float, padding: int
) -> None:
    whole = run[0].read_bytes()
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(whole[: int(len(whole) * keep)] + bytes(padding))
    topics = {SAMPLES, FRAMES, CAMERA, RESULTS}
    read, all_of_them = list(read_messages(cut, topics)), list(read_messages(run[0], topics))
    assert all_of_them[: len(read)] == read
    assert 0.2 * keep * len(all_of_them) < len(read)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match=r"can't open .*none\.mcap"):
        open_camera(str(tmp_path / "none.mcap"))
    other = tmp_path / "other.mcap"
    other.write_bytes(b"not at all")
    with pytest.raises(TrackerError, match="is no MCAP file"):
        open_tracker(str(other))
    from mcap.writer import Writer

    with other.open("wb") as file:
        writer = Writer(file)
        writer.start()
        writer.finish()
    with pytest.raises(DataError, match="no recording of emer-edge"):
        read_head(other)


def test_damage_never_raises_anything_else(run: tuple[Path, list[Result]], tmp_path: Path) -> None:
    whole = bytearray(run[0].read_bytes()[:400_000])
    rng = np.random.default_rng(0)
    damaged = tmp_path / "damaged.mcap"
    for _ in range(40):
        content = bytearray(whole)
        for at in rng.integers(8, len(whole), 20):
            content[at] = rng.integers(0, 256)
        damaged.write_bytes(content)
        with contextlib.suppress(DataError):
            read_head(damaged)
            for message in read_messages(damaged, {SAMPLES, FRAMES, RESULTS}):
                message.decode()
    assert read_head(run[0]).bundle == "random"
