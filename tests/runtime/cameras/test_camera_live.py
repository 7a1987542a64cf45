from __future__ import annotations

import http.server
import math
import threading
import time

import cv2
import numpy as np
import pytest

from emer_edge.errors import CameraError
from emer_edge.runtime.cameras import open_camera
from emer_edge.runtime.cameras.live import LiveCapture, frame_stamp
from emer_edge.runtime.cameras.v4l2 import device_paths
from emer_edge.runtime.clock import monotonic_ns


class Stream(http.server.ThreadingHTTPServer):
    """A network camera: motion JPEG over HTTP at 50 frames a second, for `seconds`, then silence or the end."""

    daemon_threads = True

    def __init__(self, seconds: float, then: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seconds, self.then = seconds, then
        self.done = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/stream.mjpg"

    def stop(self) -> None:
        self.done.set()
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    server: Stream

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        start = time.monotonic()
        number = 0
        try:
            while not self.server.done.is_set() and time.monotonic() - start < self.server.seconds:
                jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), number % 25 * 10, np.uint8))[1].tobytes()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
                number += 1
                time.sleep(max(0.0, start + number / 50 - time.monotonic()))
            if self.server.then == "silence":
                self.server.done.wait(20)
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stream(request):
    server = Stream(*getattr(request, "param", (30.0, "end")))
    yield server
    server.stop()


def opened(url: str, timeout_s: float = 5.0) -> LiveCapture:
    capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG)
    assert capture.isOpened()
    return LiveCapture(url, capture, timeout_s)


def test_the_newest_frame_wins(stream) -> None:
    with opened(stream.url) as camera:
        frames = [next(camera) for _ in range(5)]
        time.sleep(0.5)
        late = next(camera)
        fresh = next(camera)
        assert camera.live
        assert camera.size_px == (64, 48)
    assert late.index - frames[-1].index > 10
    assert camera.dropped >= 10
    assert monotonic_ns() - fresh.arrival_ns < 1_000_000_000
    stamps = [each.stamp_ns for each in (*frames, late, fresh)]
    assert stamps == sorted(set(stamps))
    assert all(each.clock == "arrival" and each.image.shape == (48, 64, 3) for each in frames)


@pytest.mark.parametrize("stream", [(0.6, "end")], indirect=True, ids=["end"])
def test_a_camera_that_goes_away_is_an_error_and_no_black_frame(stream) -> None:
    taken = []
    with opened(stream.url) as camera, pytest.raises(CameraError, match="stopped sending frames after"):
        taken.extend(camera)
    assert taken
    assert all(each.image.shape == (48, 64, 3) for each in taken)


@pytest.mark.parametrize("stream", [(0.6, "silence")], indirect=True, ids=["silence"])
def test_a_camera_that_falls_silent_is_noticed_by_deadline(stream) -> None:
    camera = opened(stream.url, timeout_s=0.5)
    began = time.monotonic()
    with pytest.raises(CameraError, match=r"no frame for 0\.5 s"):
        list(camera)
    assert time.monotonic() - began < 5.0
    stream.stop()
    camera.close()


def test_close_from_another_thread_wakes_the_reader(stream) -> None:
    camera = opened(stream.url)
    threading.Timer(0.3, camera.close).start()
    assert sum(1 for _ in camera) > 0


@pytest.mark.parametrize(
    ("position_ms", "stamp"),
    [
        (99_970.0, (99_970_000_000, "capture")),
        (100_000.5, (100_000_000_000, "capture")),
        (98_900.0, (100_000_000_000, "arrival")),
        (101_500.0, (100_000_000_000, "arrival")),
        (0.0, (100_000_000_000, "arrival")),
        (-1.0, (100_000_000_000, "arrival")),
        (math.nan, (100_000_000_000, "arrival")),
        (math.inf, (100_000_000_000, "arrival")),
        (1.7e12, (100_000_000_000, "arrival")),
    ],
    ids=["driver", "a-hair-ahead", "too-old", "ahead", "zero", "unknown", "nan", "inf", "wall-clock"],
)
def test_capture_time_counts_only_near_the_arrival(position_ms: float, stamp: tuple[int, str]) -> None:
    assert frame_stamp(position_ms, 100_000_000_000) == stamp


@pytest.mark.parametrize("source", ["97", "/dev/video97"])
def test_a_camera_that_does_not_exist_is_named_with_those_that_do(source: str) -> None:
    with pytest.raises(CameraError, match=r"there is no camera /dev/video97; this machine has .*/dev/video"):
        open_camera(source)


def test_a_device_that_is_no_camera_is_refused() -> None:
    with pytest.raises(CameraError, match="can't be opened as a camera"):
        open_camera("/dev/null")


def test_devices_are_listed_by_number(tmp_path) -> None:
    for name in ("video10", "video2", "video-enc", "vcs"):
        (tmp_path / name).touch()
    assert device_paths(tmp_path) == [str(tmp_path / "video2"), str(tmp_path / "video10")]
