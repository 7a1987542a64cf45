from __future__ import annotations

import socket
import threading
import time
from itertools import islice

import numpy as np
import pytest

from emer_edge.core.errors import ConfigurationError, TrackerError
from emer_edge.core.samples import Display, EyeReading, TrackerSample
from emer_edge.runtime.trackers import TrackerOptions, open_tracker
from emer_edge.runtime.trackers.formats.opengaze import CAMERA
from emer_edge.tools.simulate.opengaze_server import OpenGazeServer

DISPLAY = Display()
CAMERA_QUERY = "?camera=263,320,20,25"


def sample(number: int, time_ns: int) -> TrackerSample:
    eye = EyeReading(gaze_px=(float(number % 1000), 100.0), position_mm=(230.0, 100.0, 650.0), pupil_mm=3.5, valid=True)
    return TrackerSample(time_ns, time_ns, time_ns, eye, eye)


class Gazepoint:
    """A server whose samples leave 100 times a second, from a thread."""

    def __init__(self, display: Display = DISPLAY) -> None:
        self.server = OpenGazeServer(display, 100.0)
        self.number = 0
        self.offset_ns = 0
        self.muted = False
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        start = time.monotonic_ns()
        while not self.stopped.wait(0.01):
            if not self.muted:
                self.server.send(sample(self.number, time.monotonic_ns() - start + self.offset_ns))
            self.number += 1

    def stop(self) -> None:
        self.stopped.set()
        self.thread.join()
        self.server.close()


@pytest.fixture
def gazepoint():
    made = Gazepoint()
    yield made
    made.stop()


def wait_for(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


class Connection:
    """A client under the test's hand."""

    def __init__(self, server: OpenGazeServer) -> None:
        host, _, port = server.address.removeprefix("opengaze://").partition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=5)
        self.file = self.socket.makefile("rwb")

    def ask(self, line: str) -> str:
        self.file.write(f"{line}\r\n".encode())
        self.file.flush()
        return self.read()

    def read(self) -> str:
        return self.file.readline().decode()

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def test_the_server_answers_as_the_manual_says(gazepoint: Gazepoint) -> None:
    one, other = Connection(gazepoint.server), Connection(gazepoint.server)
    assert one.ask('<GET ID="SCREEN_SIZE" />') == '<ACK ID="SCREEN_SIZE" X="0" Y="0" WIDTH="1920" HEIGHT="1080" />\r\n'
    assert one.ask('<SET ID="ENABLE_SEND_COUNTER" STATE="1" />') == '<ACK ID="ENABLE_SEND_COUNTER" STATE="1" />\r\n'
    assert one.ask('<GET ID="ENABLE_SEND_COUNTER" />') == '<ACK ID="ENABLE_SEND_COUNTER" STATE="1" />\r\n'
    assert one.ask('<SET ID="ENABLE_SEND_NOTHING" STATE="1" />') == '<NACK ID="ENABLE_SEND_NOTHING" />\r\n'
    assert other.ask('<GET ID="ENABLE_SEND_COUNTER" />') == '<ACK ID="ENABLE_SEND_COUNTER" STATE="0" />\r\n'
    other.ask('<SET ID="ENABLE_SEND_POG_BEST" STATE="1" />')
    for client in (one, other):
        assert "ACK" in client.ask('<SET ID="ENABLE_SEND_DATA" STATE="1" />')
    assert one.read().startswith('<REC CNT="')
    assert "BPOG" not in one.read()
    assert other.read().startswith('<REC BPOGX="')
    for sample in (one, other):
        sample.close()


def test_gaze_pupils_and_times_arrive(gazepoint: Gazepoint) -> None:
    with open_tracker(gazepoint.server.address + CAMERA_QUERY) as tracker:
        assert tracker.rate_hz == 100.0
        assert (tracker.live, tracker.clock, tracker.connected) == (True, "device", True)
        assert tracker.missing_columns == ()
        assert "SIMULATED" in tracker.description
        samples = list(islice(tracker, 50))
        assert tracker.dropped == {}
    last = samples[-1]
    assert last.left.gaze_px == pytest.approx((round(last.left.gaze_px[0]), 100.0), abs=0.02)
    assert last.left.pupil_mm == pytest.approx(3.5)
    assert last.left.position_mm == pytest.approx((230.0, 100.0, 650.0), abs=0.02)
    stamps = np.array([sample.stamp_ns for sample in samples])
    device = np.array([sample.device_ns for sample in samples])
    assert np.all(np.diff(stamps) > 0)
    assert np.all(device % 100 == 0)  # ticks of 10 MHz
    apart = np.abs((stamps - device) - np.median(stamps - device))
    assert apart[len(apart) // 2 :].max() < 5e6  # the clock is known better with each sample


def test_seconds_can_be_the_clock_and_may_start_again(gazepoint: Gazepoint) -> None:
    with open_tracker(f"{gazepoint.server.address}?clock=time") as tracker:
        gazepoint.offset_ns = 500_000_000_000
        list(islice(tracker, 50))
        gazepoint.offset_ns = 0  # as a calibration does
        samples = list(islice(tracker, 150))
        assert tracker.mapper.report.resets >= 1
    stamps = [sample.stamp_ns for sample in samples]
    assert stamps == sorted(set(stamps))
    assert abs(samples[-1].arrival_ns - stamps[-1]) < 100_000_000


def test_eye_positions_without_a_place_are_said_to_be_left_out(gazepoint: Gazepoint) -> None:
    said: list[str] = []
    with open_tracker(gazepoint.server.address, TrackerOptions(say=said.append)) as tracker:
        list(islice(tracker, 20))
        assert "Eye position left Z [DACS mm]" in tracker.missing_columns
    assert len(said) == 1
    assert "camera=x,y,z" in said[0]


def test_another_display_is_said() -> None:
    gazepoint = Gazepoint(Display(1280, 1024))
    said: list[str] = []
    with open_tracker(gazepoint.server.address + CAMERA_QUERY, TrackerOptions(say=said.append)):
        pass
    gazepoint.stop()
    assert said == [
        f"{gazepoint.server.address.removeprefix('opengaze://')} tracks a display of 1280x1024 px, this run assumes "
        "1920x1080; set it with --display 1280x1024,<width>x<height>mm"
    ]


def test_records_that_get_lost_are_counted(gazepoint: Gazepoint) -> None:
    with open_tracker(gazepoint.server.address + CAMERA_QUERY) as tracker:
        list(islice(tracker, 10))
        gazepoint.server.sequence += 7
        list(islice(tracker, 20))
        assert tracker.dropped == {"lost": 7}


def test_a_server_that_goes_is_said_and_found_again(gazepoint: Gazepoint) -> None:
    said: list[str] = []
    with open_tracker(gazepoint.server.address + CAMERA_QUERY, TrackerOptions(say=said.append)) as tracker:
        before = list(islice(tracker, 20))[-1]
        gazepoint.server.unplug()
        wait_for(lambda: said)
        assert "lost the tracker on 127.0.0.1" in said[0]
        assert not tracker.connected
        lost_ns = time.monotonic_ns()
        gazepoint.server.plug()
        wait_for(lambda: len(said) == 2)
        assert "is back after" in said[1]
        after = next(sample for sample in tracker if sample.arrival_ns > lost_ns)
        assert after.stamp_ns > before.stamp_ns
        assert tracker.connected
        assert tracker.dropped["disconnects"] == 1


def test_a_server_that_falls_silent_is_said(gazepoint: Gazepoint) -> None:
    said: list[str] = []
    with open_tracker(gazepoint.server.address + CAMERA_QUERY, TrackerOptions(say=said.append)) as tracker:
        gazepoint.muted = True
        wait_for(lambda: said, 5.0)
        assert "has sent nothing for 2 s" in said[0]
        gazepoint.muted = False
        wait_for(lambda: len(said) == 2)
        assert said[1].endswith("sends again")
        assert tracker.dropped.get("disconnects", 0) == 0


def test_a_server_that_stays_silent_is_asked_again_on_a_new_connection(
    gazepoint: Gazepoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emer_edge.runtime.trackers.opengaze_tcp._DEAD_NS", 3_000_000_000)
    said: list[str] = []
    with open_tracker(gazepoint.server.address + CAMERA_QUERY, TrackerOptions(say=said.append)) as tracker:
        gazepoint.muted = True
        wait_for(lambda: len(said) == 3)
        assert "has sent nothing for 2 s" in said[0]
        assert "nothing came for 3 s" in said[1]
        assert "is back after" in said[2]
        gazepoint.muted = False
        unmuted_ns = time.monotonic_ns()
        assert next(sample for sample in tracker if sample.arrival_ns > unmuted_ns).left.valid
        assert tracker.dropped["disconnects"] == 1


def test_a_port_is_free_again_at_once() -> None:
    server = OpenGazeServer(Display(), 60.0)
    host, port = server.address.removeprefix("opengaze://").split(":")
    for _ in range(20):
        with socket.create_connection((host, int(port)), timeout=10) as client:
            assert b"SIMULATED" in reply(client, b'<GET ID="PRODUCT_ID" />')
            server.unplug()
            assert client.recv(100) == b""
        server.plug()
    server.unplug()


def reply(client: socket.socket, question: bytes) -> bytes:
    client.sendall(question + b"\r\n")
    return client.recv(200)


def test_nobody_there_and_a_server_that_answers_nothing_are_refused_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(TrackerError, match="connected, but it does not answer"):
            open_tracker(f"opengaze://127.0.0.1:{port}", TrackerOptions(wait_s=0.5))
        assert time.monotonic() - began < 3.0
    with pytest.raises(TrackerError, match=r"no Open Gaze server answers at 127\.0\.0\.1.*refused"):
        open_tracker(f"opengaze://127.0.0.1:{port}", TrackerOptions(wait_s=0.5))


def test_a_server_without_gaze_is_refused(gazepoint: Gazepoint) -> None:
    gazepoint.muted = True
    with pytest.raises(TrackerError, match=r"answers but has sent no gaze for 0\.4 s"):
        open_tracker(gazepoint.server.address, TrackerOptions(wait_s=0.4))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("opengaze://", "opengaze://host:4242"),
        ("opengaze://host:no", "opengaze://host:4242"),
        ("opengaze://host/path", "opengaze://host:4242"),
        ("opengaze://host?clock=sun", "one of tick, time"),
        ("opengaze://host?speed=1", "unknown speed"),
        ("opengaze://host?camera=1", "is not a place"),
    ],
)
def test_mistakes_are_named(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        open_tracker(text)


def test_the_simulated_camera_is_where_the_tests_say() -> None:
    assert (*CAMERA.origin_mm, CAMERA.tilt_degrees) == (263.0, 320.0, 20.0, 25.0)
