from __future__ import annotations

import logging
import os
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from machine import newer_opencv

from emer_edge.core.errors import CameraError, ConfigurationError, MissingExtraError
from emer_edge.runtime.cameras import open_camera
from emer_edge.runtime.clock import monotonic_ns

FPS = 25.0
FRAMES = 20


@pytest.fixture
def video(tmp_path):
    """Twenty frames of rising brightness: frame i is i * 10."""
    path = tmp_path / "ramp.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), FPS, (64, 48))
    for level in range(FRAMES):
        writer.write(np.full((48, 64, 3), level * 10, np.uint8))
    writer.release()
    return path


def level(frame) -> int:
    return round(float(frame.image.mean()) / 10)


def test_fast_pace_yields_every_frame_at_its_media_time(video) -> None:
    with open_camera(str(video), pace="fast") as camera:
        assert (camera.live, camera.clock, camera.fps, camera.size_px) == (False, "media", FPS, (64, 48))
        frames = list(camera)
    assert [level(frame) for frame in frames] == list(range(FRAMES))
    assert [frame.index for frame in frames] == list(range(FRAMES))
    assert [frame.stamp_ns for frame in frames] == [i * 40_000_000 for i in range(FRAMES)]
    assert all(frame.arrival_ns == frame.stamp_ns and frame.clock == "media" for frame in frames)
    assert camera.dropped == 0
    assert frames[0].image.shape == (48, 64, 3)
    assert frames[0].image.dtype == np.uint8


def test_fast_pace_starts_where_it_is_told(video) -> None:
    with open_camera(str(video), pace="fast", start_ns=5_000) as camera:
        assert [next(camera).stamp_ns for _ in range(2)] == [5_000, 40_005_000]
    with open_camera(str(video), pace="fast") as camera:
        camera.start(7_000)
        assert next(camera).stamp_ns == 7_000


def test_a_whole_frame_rate_does_not_drift(tmp_path) -> None:
    path = tmp_path / "ntsc.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30000 / 1001, (64, 48))
    for _ in range(90):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    last = list(open_camera(str(path), pace="fast"))[-1]
    assert last.stamp_ns == pytest.approx(89 * 1001 / 30000 * 1e9, abs=100_000)


def test_real_pace_yields_frames_when_they_are_due(video) -> None:
    start_ns = monotonic_ns() + 50_000_000
    with open_camera(str(video), start_ns=start_ns) as camera:
        late_ms = [(monotonic_ns() - frame.stamp_ns) * 1e-6 for frame in camera]
    assert len(late_ms) >= FRAMES // 2
    assert min(late_ms) >= 0.0
    assert min(late_ms[-5:]) < 30.0  # a busy machine delays some; a pace that is too slow delays the last ones most


def test_real_pace_drops_what_a_slow_reader_misses(video) -> None:
    with open_camera(str(video)) as camera:
        first = next(camera)
        time.sleep(0.3)
        asked_ns = monotonic_ns()
        second = next(camera)
    assert second.stamp_ns > asked_ns - 60_000_000
    assert (first.index, level(first)) == (0, 0)
    assert second.index == level(second) >= 7
    assert camera.dropped == second.index - 1


def test_close_ends_the_iteration(video) -> None:
    camera = open_camera(str(video), pace="fast")
    next(camera)
    camera.close()
    camera.close()
    assert list(camera) == []


def test_a_cut_file_ends_and_says_so(video, caplog) -> None:
    whole = video.read_bytes()
    video.write_bytes(whole[: len(whole) * 3 // 4])
    with caplog.at_level(logging.WARNING, logger="emer_edge"):
        frames = list(open_camera(str(video), pace="fast"))
    assert 0 < len(frames) < FRAMES
    assert [level(frame) for frame in frames[:-1]] == list(range(len(frames) - 1))  # the last may be half there
    assert f"ended after {len(frames)} of the {FRAMES} frames" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("notes.txt", b"hello " * 40, "no video that OpenCV can read"),
        ("empty.mp4", b"", "no video that OpenCV can read"),
        ("half.mp4", b"\0\0\0\x20ftypisom" + b"\0" * 200, "no video that OpenCV can read"),
        ("face.jpg", b"\xff\xd8\xff", "a single image"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CameraError, match=says):
        open_camera(str(path))


@newer_opencv(4, 6)  # whose FFmpeg can be told to be silent
def test_a_refusal_is_all_that_is_printed(tmp_path) -> None:
    path = tmp_path / "half.mp4"
    path.write_bytes(b"\0\0\0\x20ftypisom" + b"\0" * 200)
    code = (
        "from emer_edge.core.errors import CameraError\nfrom emer_edge.runtime.cameras import open_camera\n"
        f"for source in ({str(path)!r}, '/dev/null'):\n"
        "    try:\n        open_camera(source)\n    except CameraError:\n        print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("refused\nrefused\n", "")


def test_a_missing_file_and_a_folder_are_refused(tmp_path) -> None:
    with pytest.raises(CameraError, match="there is no video"):
        open_camera(str(tmp_path / "gone.mp4"))
    with pytest.raises(CameraError, match="a folder without images"):
        open_camera(str(tmp_path))


def test_an_unknown_pace_and_an_unknown_scheme_are_refused(video) -> None:
    with pytest.raises(ConfigurationError, match="real or fast"):
        open_camera(str(video), pace="slow")
    with pytest.raises(CameraError, match=r"v4l2: 0 or /dev/video0.*csi://0.*talk\.mp4"):
        open_camera("gopher://host/stream")


def test_without_opencv_the_extra_is_named(video, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"\.\[desktop\]"):
        open_camera(str(video))


def test_the_drivers_load_without_opencv() -> None:
    code = "import sys; sys.modules['cv2'] = None; import emer_edge.runtime.cameras, emer_edge.runtime.outputs"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_the_capture_process_carries_no_engine_and_no_bundle() -> None:
    code = "import sys, emer_edge.runtime.capture.child; print(*sys.modules, sep='\\n')"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    for unneeded in (
        "numpy",
        "cv2",
        "onnxruntime",
        "msgspec",
        "emer_edge.bundle",
        "emer_edge.runtime.faces",
        "emer_edge.signals",
    ):
        assert unneeded not in loaded
