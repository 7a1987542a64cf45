"""Every kind of source, against something that really sends images where there is no camera."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from camera_devices import picture
from machine import needs
from rtsp_server import RtspServer

from emer_edge.core.errors import CameraError, ConfigurationError
from emer_edge.runtime.address import parse_address
from emer_edge.runtime.cameras import open_camera
from emer_edge.runtime.cameras.gstreamer import elements
from emer_edge.runtime.cameras.registry import find_camera
from emer_edge.runtime.cameras.sent import is_black
from emer_edge.runtime.cameras.synthetic import SyntheticGrabber
from emer_edge.runtime.cameras.v4l2 import check, device_paths, stable_path
from emer_edge.runtime.capture.child import is_repeat
from emer_edge.runtime.clock import monotonic_ns

needs_gst = needs("gst-launch-1.0")
BALL = "gst://videotestsrc is-live=true pattern=ball ! video/x-raw,width={width},height=48,framerate=25/1"


@pytest.mark.parametrize(
    ("text", "scheme", "path", "parameters"),
    [
        ("0", "", "0", {}),
        ("0?size=640x480&rate=30&format=mjpeg", "", "0", {"size": "640x480", "rate": "30", "format": "mjpeg"}),
        ("/dev/v4l/by-id/usb-A?rate=60", "", "/dev/v4l/by-id/usb-A", {"rate": "60"}),
        ("csi://1?size=1280x720", "csi", "1", {"size": "1280x720"}),
        ("rtsp://me:secret@host/live?token=a&b", "rtsp", "me:secret@host/live?token=a&b", {}),
        ("http://host:8080/video?size=1", "http", "host:8080/video?size=1", {}),
        ("gst://v4l2src ! a/b,c=(d)e?f", "gst", "v4l2src ! a/b,c=(d)e?f", {}),
        ("synthetic://?seed=3", "synthetic", "", {"seed": "3"}),
        ("talk.mp4", "", "talk.mp4", {}),
    ],
    ids=["index", "parameters", "by-id", "csi", "rtsp", "http", "gst", "synthetic", "file"],
)
def test_a_source_is_taken_apart(text: str, scheme: str, path: str, parameters: dict[str, str]) -> None:
    _, source = find_camera(text)
    assert (source.scheme, source.path, dict(source.parameters)) == (scheme, path, parameters)


def test_a_files_name_may_hold_a_question_mark(tmp_path: Path) -> None:
    path = tmp_path / "who?size=1.avi"
    path.touch()
    assert parse_address(str(path)).path == str(path)


def test_a_password_is_not_shown() -> None:
    assert parse_address("rtsp://me:secret@host/live").name == "rtsp://***@host/live"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("0?size", "name=value"),
        ("0?rate=1&rate=2", "given twice"),
        ("0?size=640", "written as 640x480"),
        ("0?rate=fast", "rate is a number"),
        ("0?format=toolong", "four letters"),
        ("0?colour=red", "unknown colour; known are size, rate, format"),
        ("csi://front", "csi://0"),
        ("csi://0?format=x", "unknown format"),
        ("gst://", "needs elements"),
        ("gst://a 'b", "can't be read as a pipeline"),
        ("synthetic://face", "is written synthetic://"),
        ("synthetic://?fps=0", "fps is a number"),
        ("http://host:many/", "can't read the address"),
        ("talk.mp4?rate=3", "known are decoder"),
    ],
)
def test_sources_that_make_no_sense(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        open_camera(text)


@pytest.mark.parametrize("source", ["97", "/dev/video97", "97?rate=30"])
def test_a_camera_that_does_not_exist_is_named_with_those_that_do(source: str) -> None:
    with pytest.raises(CameraError, match=r"there is no camera /dev/video97; this machine has .*/dev/video"):
        open_camera(source)


def test_a_device_that_is_no_camera_is_refused() -> None:
    with pytest.raises(CameraError, match="can't be opened as a camera"):
        open_camera("/dev/null")


def test_devices_are_listed_by_number(tmp_path: Path) -> None:
    for name in ("video10", "video2", "video-enc", "vcs"):
        (tmp_path / name).touch()
    assert device_paths(tmp_path) == [str(tmp_path / "video2"), str(tmp_path / "video10")]


def test_a_device_is_followed_by_its_link(tmp_path: Path) -> None:
    """A camera that comes back under another number is still the same camera."""
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    for name in ("video0", "video1", "video2"):
        (tmp_path / name).touch()
    link = by_id / "usb-Maker_Camera_12-video-index0"
    link.symlink_to("../video0")
    (by_id / "usb-Maker_Camera_12-video-index1").symlink_to("../video1")
    assert stable_path(str(tmp_path / "video0"), by_id) == str(link)
    assert stable_path(str(link), by_id) == str(link)
    assert stable_path(str(tmp_path / "video2"), by_id) == str(tmp_path / "video2")
    assert stable_path("/dev/null", tmp_path / "none") == "/dev/null"


def test_a_device_that_is_there_is_handed_to_the_capture_process_with_its_parameters() -> None:
    target = check(parse_address("/dev/null?size=320x240&rate=15"))
    assert target.text == "/dev/null?size=320x240&rate=15"
    assert target.present()


@needs_gst
def test_csi_names_the_package_that_it_needs() -> None:
    if os.path.exists("/etc/nv_tegra_release"):
        pytest.skip("this is a Jetson: the element is there")
    with pytest.raises(CameraError, match=r"nvarguscamerasrc.*Jetson"):
        open_camera("csi://0")


def test_csi_asks_for_one_mode_of_one_sensor() -> None:
    made = elements(parse_address("csi://1?size=1920x1080&rate=60"))
    assert made.startswith(
        "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM),width=1920,height=1080,framerate=60/1"
    )
    assert "width=1280,height=720,framerate=30/1" in elements(parse_address("csi://0"))


@needs_gst
@pytest.mark.parametrize("width", [64, 66], ids=["whole-rows", "padded-rows"])
def test_a_gstreamer_pipeline_is_read_with_its_capture_times(width: int) -> None:
    with open_camera(BALL.format(width=width)) as camera:
        assert camera.size_px == (width, 48)
        assert camera.fps == 25.0
        frames = [next(camera) for _ in range(20)]
    assert {frame.clock for frame in frames} == {"capture"}
    steps = np.diff([frame.stamp_ns for frame in frames]) / 40e6  # where GStreamer drops images: more than one
    assert np.allclose(steps, np.round(steps), atol=0.03)  # its own times: arrivals jitter more
    assert all(0 <= frame.arrival_ns - frame.stamp_ns < 1_000_000_000 for frame in frames)
    for one in frames:  # a white ball of one size on black: rows that slip would tear it
        columns, rows = (np.flatnonzero(one.image[..., 1].max(axis=axis) > 128) for axis in (0, 1))
        assert columns[-1] - columns[0] < 45
        assert rows[-1] - rows[0] < 45


@needs_gst
@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("nosuchelement", 'no element "nosuchelement"'),
        ("filesrc location=/nowhere.avi ! decodebin", "Resource not found"),
        ("videotestsrc ! fakesink", "can't run this pipeline"),
    ],
)
def test_a_pipeline_that_gstreamer_refuses_is_one_sentence(pipeline: str, message: str) -> None:
    with pytest.raises(CameraError, match=message):
        open_camera(f"gst://{pipeline}")


def test_without_gstreamer_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CameraError, match=r"apt install gstreamer1\.0-tools"):
        open_camera("gst://videotestsrc")


@needs("ffmpeg")
def test_rtsp_is_stamped_with_the_senders_times() -> None:
    with RtspServer() as server, open_camera(server.url) as camera:
        frames = [next(camera) for _ in range(30)]
        assert camera.size_px == (160, 120)
    later = frames[10:]
    assert {frame.clock for frame in later} == {"stream"}
    steps_ms = np.diff([frame.stamp_ns for frame in later]) / np.diff([frame.index for frame in later]) * 1e-6
    assert abs(np.median(steps_ms) - 40.0) < 2.0
    assert all(0 <= frame.arrival_ns - frame.stamp_ns < 1_000_000_000 for frame in later)


def test_the_synthetic_camera_draws_a_moving_face_at_its_rate() -> None:
    began_ns = monotonic_ns()
    with open_camera("synthetic://?fps=20&size=320x240&seed=3") as camera:
        assert camera.live
        assert camera.size_px == (320, 240)
        frames = [next(camera) for _ in range(10)]
    assert frames[-1].clock == "capture"
    steps = np.diff([frame.stamp_ns for frame in frames]) / 50e6
    assert np.allclose(steps, np.round(steps), atol=1e-3)  # a busy machine skips some
    assert (np.round(steps) >= np.diff([frame.index for frame in frames])).all()
    assert began_ns < frames[0].stamp_ns < frames[-1].arrival_ns
    assert not any(is_repeat(a.image, b.image) for a, b in itertools.pairwise(frames))
    assert camera.repeats == 0  # type: ignore[attr-defined]


def test_the_same_seed_draws_the_same_person() -> None:
    size = (160, 120)
    one, two, other = (SyntheticGrabber(30, size, seed).image(7) for seed in (3, 3, 4))
    assert one.shape == (120, 160, 3)
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve images, 1.png to 12.png."""
    for number in range(1, 13):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((48, 64, 3), number * 10, np.uint8))
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_a_folder_plays_in_natural_order(folder: Path) -> None:
    with open_camera(f"{folder}?fps=20", pace="fast") as camera:
        assert (camera.live, camera.clock, camera.fps, camera.size_px) == (False, "media", 20.0, (64, 48))
        frames = list(camera)
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [number * 10 for number in range(1, 13)]
    assert [frame.stamp_ns for frame in frames] == [number * 50_000_000 for number in range(12)]


def test_a_folder_drops_what_a_slow_reader_misses(folder: Path) -> None:
    with open_camera(f"{folder}?fps=20") as camera:
        next(camera)
        time.sleep(0.22)
        second = next(camera)
    assert second.index == int(second.image[0, 0, 0]) // 10 - 1 >= 4
    assert camera.dropped == second.index - 1


def test_an_image_that_does_not_fit_into_its_folder_is_named(folder: Path) -> None:
    (folder / "5.png").write_bytes(b"no image")
    with pytest.raises(CameraError, match=r"5\.png is not an image"):
        list(open_camera(str(folder), pace="fast"))
    cv2.imwrite(str(folder / "5.png"), np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(CameraError, match=r"5\.png is 20x20, the first image 64x48"):
        list(open_camera(str(folder), pace="fast"))


def test_two_images_of_one_wall_are_no_repeat() -> None:
    first, second = picture(1), picture(1, seed=1)
    assert not is_repeat(first, None)
    assert not is_repeat(first, second)
    assert is_repeat(first, first.copy())
    off_grid = first.copy()
    off_grid[3, 3, 0] ^= 1
    assert not is_repeat(first, off_grid)
    assert not is_repeat(first, first[:, :64])


@pytest.mark.parametrize(
    ("level", "black"), [(0, True), (12, True), (25, False), (100, False)], ids=["black", "covered", "dark", "day"]
)
def test_black_is_told_from_dark(level: int, black: bool) -> None:
    noise = np.random.default_rng(0).normal(level, 1.5, (480, 640, 3))
    image = np.clip(noise, 0, 255).astype(np.uint8)
    image[40:42, 64:66] = 255  # a hot spot
    assert is_black(image) == black
