from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from camera_devices import HEIGHT, WIDTH, MjpegServer, VideoPipe, level_of, number_of, picture
from machine import newer_opencv

from emer_edge.core.errors import CameraError
from emer_edge.core.samples import Frame
from emer_edge.runtime.address import parse_address
from emer_edge.runtime.cameras import open_camera, sent
from emer_edge.runtime.cameras.grabber import Target
from emer_edge.runtime.cameras.live_camera import LiveCapture, Patience
from emer_edge.runtime.cameras.registry import find_camera
from emer_edge.runtime.cameras.sent import decoded
from emer_edge.runtime.capture.jpeg import whole

QUICK = Patience(open_s=10.0, silent_s=1.0, frozen_s=1.0, black_s=1.0, pauses_s=(0.05, 0.4), black_pauses_s=(0.1, 0.4))


@pytest.fixture
def server() -> Iterator[MjpegServer]:
    made = MjpegServer()
    yield made
    made.unplug()


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[VideoPipe]:
    made = VideoPipe(tmp_path / "camera.mjpg")
    yield made
    made.unplug()


def target_of(source: str) -> Target:
    driver, address = find_camera(source)
    assert driver.check is not None
    return driver.check(address)


class Reader:
    """Takes frames in a thread, as the pipeline does."""

    def __init__(self, source: str, patience: Patience = QUICK) -> None:
        self.said: list[str] = []
        self.frames: list[Frame] = []
        self.camera = LiveCapture(parse_address(source), target_of(source), self.said.append, patience=patience)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for frame in self.camera:
            self.frames.append(frame)

    def wait(self, what: str) -> None:
        """Until that has been said."""
        deadline = time.monotonic() + 30
        while not any(what in sentence for sentence in self.said):
            assert time.monotonic() < deadline, f"{what!r} was not said; said was {self.said}"
            time.sleep(0.02)

    def wait_frames(self, count: int) -> list[Frame]:
        """Until so many more have come; return them."""
        already, deadline = len(self.frames), time.monotonic() + 30
        while len(self.frames) < already + count:
            assert time.monotonic() < deadline, f"only {len(self.frames) - already} frames; said was {self.said}"
            time.sleep(0.02)
        return self.frames[already:]

    def close(self) -> None:
        self.camera.close()
        self._thread.join(5)
        assert not self._thread.is_alive()


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def unexpected(errors: str) -> str:
    """What a program has written to stderr, but for the line about simplejpeg where it is missing, as on JetPack 6."""
    if find_spec("simplejpeg"):
        return errors
    return re.sub(r"\Athe camera's JPEGs are decoded by OpenCV, .*\n", "", errors)


def wait_gone(pid: int) -> None:
    deadline = time.monotonic() + 20
    while alive(pid):
        assert time.monotonic() < deadline, f"process {pid} lives on"
        time.sleep(0.02)


def shared_by(*pids: int) -> set[str]:
    """Names of shared memory that these processes have mapped; what others have there is not theirs."""
    return shared_in("".join(Path(f"/proc/{pid}/maps").read_text() for pid in pids))


def shared_in(maps: str) -> set[str]:
    return set(re.findall(r"/dev/shm/(\S+)", maps))


def wait_unshared(names: set[str]) -> None:
    """Until none of these is there any more."""
    deadline = time.monotonic() + 20
    while left := names & set(os.listdir("/dev/shm")):
        assert time.monotonic() < deadline, f"{left} are left"
        time.sleep(0.02)


def test_the_newest_frame_wins(server: MjpegServer) -> None:
    with open_camera(server.url) as camera:
        assert camera.live
        assert camera.size_px == (WIDTH, HEIGHT)
        frames = [next(camera) for _ in range(5)]
        sent = server.number
        while server.number < sent + 30:
            time.sleep(0.02)
        late = next(camera)
        behind = server.number - number_of(late.image)
        fresh = next(camera)
    assert late.index - frames[-1].index > 10
    assert camera.dropped >= 10
    assert behind <= 15
    assert fresh.index > late.index
    stamps = [frame.stamp_ns for frame in (*frames, late, fresh)]
    assert stamps == sorted(set(stamps))
    assert all(frame.clock == "arrival" and frame.stamp_ns <= frame.arrival_ns for frame in frames)
    assert number_of(fresh.image) - number_of(frames[0].image) == fresh.index - frames[0].index


def test_frames_are_the_readers_own(server: MjpegServer) -> None:
    with open_camera(server.url) as camera:
        frame = next(camera)
        before = frame.image.copy()
        for _ in range(12):
            next(camera)
        assert (frame.image == before).all()
        frame.image[:] = 0  # writable, and no part of the ring
        assert number_of(next(camera).image) > 0


FAULTS = {
    "gone": (lambda device: device.unplug(), "stopped sending frames|can't be opened|ended"),
    "silent": (lambda device: setattr(device, "mode", "silence"), r"no frame for 1 s"),
    "frozen": (lambda device: setattr(device, "mode", "freeze"), "is frozen: the very same image for 1"),
    "black": (lambda device: setattr(device, "mode", "black"), "gives only black .* is its lens covered"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_camera_that_fails_is_said_once_and_comes_back(server: MjpegServer, fault: str) -> None:
    cause, says = FAULTS[fault]
    reader = Reader(server.url)
    reader.wait_frames(5)
    last = server.number
    cause(server)
    reader.wait("lost the camera")
    assert reader.camera.trouble is not None, reader.said
    count = len(reader.frames)
    time.sleep(1.2)  # several tries
    assert len(reader.frames) == count
    assert len(reader.said) == 1
    if fault == "gone":
        server.plug(level=180)
    else:
        server.level, server.mode = 180, "run"
    new = reader.wait_frames(3)
    reader.close()
    assert re.search(says, reader.said[0]), reader.said[0]
    assert len(reader.said) == 2
    assert "is back after" in reader.said[1]
    assert reader.camera.trouble is None
    assert reader.camera.losses == 1
    assert all(abs(level_of(frame.image) - 180) < 8 for frame in new)
    seen = [number_of(frame.image) for frame in reader.frames[:count] if level_of(frame.image) > 50]
    assert len(set(seen)) == len(seen)  # nothing that a frozen camera repeats is given twice
    assert max(seen) <= last + 40
    stamps = [frame.stamp_ns for frame in reader.frames]
    assert stamps == sorted(set(stamps))
    assert [frame.index for frame in reader.frames] == sorted({frame.index for frame in reader.frames})


def test_a_driver_that_hangs_is_killed_and_replaced(pipe: VideoPipe) -> None:
    pipe.plug()
    reader = Reader(str(pipe.path))
    reader.wait_frames(5)
    hung = reader.camera.pid
    assert hung is not None
    pipe.mode = "silence"  # the writer holds the pipe open: a read blocks for ever
    reader.wait("no frame for 1 s")
    wait_gone(hung)
    pipe.level, pipe.mode = 200, "run"
    new = reader.wait_frames(3)
    assert reader.camera.pid != hung
    reader.close()
    assert "is back" in reader.said[-1]
    assert abs(level_of(new[-1].image) - 200) < 8


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV], ids=lambda device: device.name)
def test_a_capture_process_that_dies_or_stops_is_replaced(server: MjpegServer, number: signal.Signals) -> None:
    reader = Reader(server.url)
    reader.wait_frames(3)
    pid = reader.camera.pid
    assert pid is not None
    os.kill(pid, number)
    reader.wait("is back after")
    reader.wait_frames(3)
    reader.close()
    wait_gone(pid)
    assert ("killed by SIG" in reader.said[0]) == (number != signal.SIGSTOP)


def test_a_camera_that_nobody_feeds_is_an_error_in_time(pipe: VideoPipe) -> None:
    began = time.monotonic()
    with pytest.raises(CameraError, match="gave no image within 1 s"):
        LiveCapture(parse_address(str(pipe.path)), target_of(str(pipe.path)), print, patience=Patience(open_s=1.0))
    assert time.monotonic() - began < 8


def test_an_address_where_nothing_listens_is_an_error() -> None:
    with pytest.raises(CameraError, match="is the address right"):
        open_camera("http://127.0.0.1:9/stream")


def test_close_from_another_thread_wakes_the_reader(server: MjpegServer) -> None:
    camera = open_camera(server.url)
    pid = camera.pid
    assert pid is not None
    threading.Timer(0.3, camera.close).start()
    assert sum(1 for _ in camera) > 0
    camera.close()
    wait_gone(pid)
    assert camera.pid is None


def test_close_wakes_a_reader_that_waits_for_a_lost_camera(server: MjpegServer) -> None:
    reader = Reader(server.url, Patience(silent_s=0.3, pauses_s=(60.0, 60.0)))
    reader.wait_frames(2)
    server.unplug()
    reader.wait("lost the camera")
    reader.close()


def test_nothing_is_left_when_the_parent_is_killed(server: MjpegServer) -> None:
    code = (
        "import sys\nfrom emer_edge.runtime.cameras import open_camera\n"
        f"camera = open_camera({server.url!r})\n"
        "print(camera.pid, flush=True)\n"
        "for frame in camera: pass\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert alive(child)
    shared = shared_by(parent.pid, child)
    parent.kill()
    _, errors = parent.communicate(timeout=10)
    wait_gone(child)
    assert unexpected(errors) == ""
    wait_unshared(shared)


def test_nothing_is_printed_and_nothing_is_left_at_the_end_of_a_program(server: MjpegServer) -> None:
    code = (
        "import pathlib\n"
        "from emer_edge.runtime.cameras import open_camera\n"
        f"camera = open_camera({server.url!r})\n"
        "print(camera.pid, next(camera).image.shape)\n"  # and neither closed nor guarded by __main__
        "for pid in ('self', camera.pid): print(pathlib.Path(f'/proc/{pid}/maps').read_text())\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=20)
    assert (done.returncode, unexpected(done.stderr)) == (0, "")
    wait_gone(int(done.stdout.split()[0]))
    wait_unshared(shared_in(done.stdout))


@newer_opencv(4, 6)  # older ones keep a stream's JPEGs to themselves
def test_originals_are_what_the_images_are_decoded_from(server: MjpegServer) -> None:
    with open_camera(server.url) as camera:
        frames = [next(camera) for _ in range(20)]
    assert [number_of(frame.image) for frame in frames] == sorted({number_of(frame.image) for frame in frames})
    for one in frames:
        assert one.original is not None
        assert one.shape == one.image.shape == (HEIGHT, WIDTH, 3)
        np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(one.original, np.uint8), 1), one.image)


@newer_opencv(4, 6)
def test_what_nobody_looks_at_is_not_decoded(server: MjpegServer, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    monkeypatch.setattr(sent, "decoded", lambda data: looked.append(len(data)) or decoded(data))
    with open_camera(server.url) as camera:
        began = time.monotonic()
        frames = [next(camera) for _ in range(60)]
        took_s = time.monotonic() - began
        alone = len(looked)
        assert alone <= 2 + 2 * took_s  # now and then one, as the lens may be covered
        assert frames[30].image is frames[30].image
        assert len(looked) == alone + 1


def test_images_that_may_wait_are_taken_together_and_in_order(pipe: VideoPipe) -> None:
    pipe.plug()
    reader = Reader(str(pipe.path))
    reader.wait_frames(10)
    reader.camera.idle_ns = lambda now_ns: 100_000_000
    waited = reader.wait_frames(40)[-30:]
    assert [frame.index for frame in waited] == sorted({frame.index for frame in waited})
    assert np.all(np.diff([frame.stamp_ns for frame in waited]) > 0)
    bunched = np.diff([frame.arrival_ns for frame in waited]) < 0.3 * np.diff([frame.stamp_ns for frame in waited])
    assert bunched.sum() >= 10
    reader.camera.idle_ns = lambda now_ns: 60_000_000_000
    time.sleep(0.2)  # it waits now, and is woken by its end
    reader.close()


def test_the_capture_process_of_a_motion_jpeg_pipe_holds_python_alone(pipe: VideoPipe, server: MjpegServer) -> None:
    pipe.plug()
    maps = {}
    for name, source in (("pipe", str(pipe.path)), ("server", server.url)):
        with open_camera(source) as camera:
            next(camera)
            maps[name] = Path(f"/proc/{camera.pid}/maps").read_text()
    assert [each in maps["pipe"] for each in ("cv2", "numpy", "onnxruntime")] == [False, False, False]
    assert [each in maps["server"] for each in ("cv2", "numpy", "onnxruntime")] == [True, True, False]


@pytest.mark.parametrize("kind", ["avi", "cut"])
def test_a_pipe_with_another_video_and_one_that_ends_are_told_apart(tmp_path: Path, kind: str) -> None:
    """Nothing is lost by the look at the first bytes; what OpenCV can't read either is one error."""
    path, video = tmp_path / "video", tmp_path / "video.avi"
    os.mkfifo(path)
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 25, (WIDTH, HEIGHT))
    for number in range(40):
        writer.write(picture(number))
    writer.release()
    data = video.read_bytes()[: None if kind == "avi" else 9]

    over = threading.Event()

    def write() -> None:
        with open(path, "wb") as pipe:
            pipe.write(data)
            if kind == "avi":
                pipe.flush()
                over.wait(60)

    threading.Thread(target=write, daemon=True).start()
    patience = Patience(open_s=60.0)
    if kind == "avi":
        with LiveCapture(parse_address(str(path)), target_of(str(path)), print, patience=patience) as camera:
            assert next(camera).shape == (HEIGHT, WIDTH, 3)
            over.set()
    else:
        with pytest.raises(CameraError, match="no video that OpenCV can read"):
            LiveCapture(parse_address(str(path)), target_of(str(path)), print, patience=patience)


def test_images_that_can_not_be_decoded_lose_the_camera(tmp_path: Path) -> None:
    path = tmp_path / "camera.mjpg"
    os.mkfifo(path)
    good = cv2.imencode(".jpg", picture(1))[1].tobytes()
    layout = whole(good)
    assert layout is not None
    hollow = good[: good.index(b"\xff\xdb")] + good[good.index(b"\xff\xc0") :]  # its quantisation tables are gone
    over = threading.Event()

    def write() -> None:
        with contextlib.suppress(BrokenPipeError), open(path, "wb", buffering=0) as pipe:
            number = 0
            while not over.wait(0.02):
                number += 1
                pipe.write(hollow[:-2] + number.to_bytes(2, "big").replace(b"\xff", b"\x00") + hollow[-2:])

    threading.Thread(target=write, daemon=True).start()
    reader = Reader(str(path), Patience(pauses_s=(60.0, 60.0)))
    reader.wait("sends images that can't be decoded")
    with pytest.raises(CameraError, match="can't be decoded"):
        reader.frames[0].image  # noqa: B018
    over.set()
    reader.close()
