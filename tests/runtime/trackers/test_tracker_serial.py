from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
import time
import tty
from itertools import islice

import numpy as np
import pytest

from emer_edge.core.errors import TrackerError
from emer_edge.core.samples import Display, EyeReading, TrackerSample
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.trackers import TrackerOptions, live_tracker, open_tracker
from emer_edge.runtime.trackers.formats.emer import encode_sample
from emer_edge.tools.simulate import SimulatedTracker, TrackerSimulator

DISPLAY = Display()
BRIEF = TrackerOptions(wait_s=0.5)


class Line:
    """A pseudo-terminal under the test's hand: `write` is the tracker, `path` the port."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self.path = os.ttyname(self.slave)

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.master, data) :]

    def unplug(self) -> None:
        for end in (self.slave, self.master):
            if end >= 0:
                os.close(end)
        self.slave = self.master = -1


@pytest.fixture
def line():
    line = Line()
    yield line
    line.unplug()


class Player:
    """A simulated tracker playing in a thread of its own."""

    def __init__(self, **settings) -> None:
        self.simulator = TrackerSimulator(SimulatedTracker(**settings))
        self.path = self.simulator.path
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.simulator.play, args=(None, self.stopped), daemon=True)
        self.thread.start()

    def unplug(self) -> None:
        self.stopped.set()
        self.thread.join()
        self.simulator.transport.close()


@pytest.fixture
def player(request):
    player = Player(**getattr(request, "param", {}))
    yield player
    player.unplug()


def packet(number: int) -> bytes:
    eye = EyeReading(gaze_px=(float(number % 1000), 100.0), pupil_mm=3.5, valid=True)
    return encode_sample(TrackerSample(number * 1_000_000, 0, 0, eye, eye), number, DISPLAY)


def wait_for(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("player", "name"), [({"format": "emer"}, "emer"), ({"format": "csv"}, "csv")], indirect=["player"], ids=str
)
def test_the_format_and_the_rate_are_found(player: Player, name: str) -> None:
    with open_tracker(player.path) as tracker:
        assert name in tracker.description
        assert tracker.rate_hz == pytest.approx(120.0, rel=0.01)
        assert (tracker.live, tracker.clock, tracker.synchronised, tracker.connected) == (True, "device", True, True)
        assert tracker.missing_columns == ()
        samples = list(islice(tracker, 120))
        age_ms = (monotonic_ns() - samples[-1].arrival_ns) * 1e-6
    stamps = np.array([sample.stamp_ns for sample in samples])
    assert np.all(np.diff(stamps) > 0)
    assert np.median(np.diff(stamps)) * 1e-6 == pytest.approx(1000 / 120, abs=1.0)
    assert all(sample.stamp_ns <= sample.arrival_ns + 1000 for sample in samples)
    assert age_ms < 200.0
    assert any(sample.left.valid for sample in samples)


def test_samples_are_read_together_once_the_clock_is_known(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    def arrivals() -> int:
        with open_tracker(f"serial://{line.path}?format=emer&rate=100") as tracker:
            tracker.together_s = 0.3
            samples: list[TrackerSample] = []
            time.sleep(0.4)  # the first pause of a driver that was not told to pause yet
            for number in range(20):
                line.write(packet(number))
                time.sleep(0.004)
            wait_for(lambda: not samples.extend(tracker.take_until(monotonic_ns())) and len(samples) == 20)
            assert tracker.take_until(monotonic_ns()) == []
        assert [sample.device_ns for sample in samples] == [number * 1_000_000 for number in range(20)]
        stamps = [sample.stamp_ns for sample in samples]
        assert stamps == sorted(set(stamps))
        return len({sample.arrival_ns for sample in samples})

    assert arrivals() > 6  # each is read as it comes while the clock settles
    monkeypatch.setattr(live_tracker, "SETTLING_NS", -1)
    assert arrivals() <= 4  # two tell how many bytes a sample has, and one is read alone after the others


def test_a_fast_line_is_read_before_the_kernel_stops_its_sender(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_tracker, "SETTLING_NS", -1)
    with open_tracker(f"serial://{line.path}?format=emer&rate=1000") as tracker:
        tracker.together_s = 5.0
        samples: list[TrackerSample] = []
        for number in range(1000):  # ten times what the kernel keeps
            line.write(packet(number))
            time.sleep(0.001)
        wait_for(lambda: not samples.extend(tracker.take_until(monotonic_ns())) and len(samples) == 1000)
    assert [sample.device_ns for sample in samples] == [number * 1_000_000 for number in range(1000)]
    assert not tracker.dropped
    # a pseudo-terminal waits where a device would lose them: its packets then come late, in few lots
    assert tracker.clock == "device"
    assert len({sample.arrival_ns for sample in samples}) > 20


def test_a_named_format_and_rate_open_at_once(line: Line) -> None:
    began = time.monotonic()
    with open_tracker(f"serial://{line.path}?baud=921600&format=emer&rate=250") as tracker:
        assert time.monotonic() - began < 1.8
        assert tracker.rate_hz == 250.0
        assert "921600 baud" in tracker.description
        line.write(b"".join(map(packet, range(3))))
        assert [round(sample.left.gaze_px[0]) for sample in islice(tracker, 3)] == [0, 1, 2]
        assert "Eye position left Z [DACS mm]" in tracker.missing_columns
        assert "Pupil diameter left [mm]" not in tracker.missing_columns


def test_lines_without_times_have_arrival_times(line: Line) -> None:
    def play() -> None:
        for _ in range(60):
            line.write(b"0.25,0.5\n")
            time.sleep(0.01)

    thread = threading.Thread(target=play)
    thread.start()
    with open_tracker(f"{line.path}?columns=x,y") as tracker:
        assert tracker.clock == "arrival"
        assert 30 < tracker.rate_hz < 110
        first = next(tracker)
    thread.join()
    assert first.device_ns is None
    assert first.left.gaze_px == (480.0, 540.0)


def test_damage_on_the_wire_is_counted(line: Line) -> None:
    with open_tracker(f"{line.path}?format=emer&rate=120") as tracker:
        hurt = bytearray(packet(1))
        hurt[20] ^= 0x10
        line.write(packet(0) + bytes(hurt) + packet(2) + packet(5))
        assert [round(sample.left.gaze_px[0]) for sample in islice(tracker, 3)] == [0, 2, 5]
        assert tracker.dropped["lost"] == 3
        assert sum(tracker.dropped.values()) == 4


def test_a_reader_that_sleeps_loses_the_oldest(line: Line) -> None:
    with open_tracker(f"{line.path}?format=emer&rate=120") as tracker:
        for start in range(0, 5000, 50):
            line.write(b"".join(map(packet, range(start, start + 50))))
        wait_for(lambda: tracker.dropped.get("overrun", 0) == 5000 - 4096)
        assert round(next(tracker).left.gaze_px[0]) == 904


def test_close_wakes_the_reader(line: Line) -> None:
    tracker = open_tracker(f"{line.path}?format=emer&rate=120")
    threading.Timer(0.2, tracker.close).start()
    assert list(tracker) == []
    tracker.close()


def test_an_unplugged_tracker_is_said_and_found_again(tmp_path) -> None:
    said: list[str] = []
    port = tmp_path / "tracker"
    first, second = Player(), Player(seed=1)
    port.symlink_to(first.path)
    with open_tracker(f"serial://{port}", TrackerOptions(say=said.append)) as tracker:
        last = list(islice(tracker, 60))[-1]
        first.unplug()
        port.unlink()
        wait_for(lambda: said, 3.0)
        assert "lost the tracker" in said[0]
        assert "(unplugged, or another program reads it too)" in said[0]
        assert not tracker.connected
        port.symlink_to(second.path)
        wait_for(lambda: len(said) == 2)
        assert "is back after" in said[1]
        assert tracker.connected
        again = [sample for sample in islice(tracker, 200) if sample.arrival_ns > last.arrival_ns]
        stamps = [last.stamp_ns, *(sample.stamp_ns for sample in again)]
        assert stamps == sorted(set(stamps))
        assert monotonic_ns() - stamps[-1] < 1_000_000_000
        assert tracker.dropped["disconnects"] == 1
    second.unplug()


def test_a_tracker_that_falls_silent_is_said_once(line: Line) -> None:
    said: list[str] = []
    with open_tracker(f"{line.path}?format=emer&rate=120", TrackerOptions(say=said.append)) as tracker:
        line.write(packet(0))
        wait_for(lambda: said, 5.0)
        assert said == [f"{line.path} has sent nothing for 2 s; is the tracker streaming?"]
        line.write(packet(1))
        wait_for(lambda: len(said) == 2)
        assert said[1] == f"{line.path} sends again"
        assert tracker.connected


def test_a_silent_tracker_is_refused_in_time(line: Line) -> None:
    began = time.monotonic()
    with pytest.raises(TrackerError, match=r"has sent nothing for 0\.5 s.*\?format=emer&rate=120"):
        open_tracker(line.path, BRIEF)
    assert time.monotonic() - began < 2.0
    with pytest.raises(TrackerError, match="has sent nothing"):
        open_tracker(f"{line.path}?format=emer", BRIEF)


def test_bytes_in_no_known_format_are_refused_and_shown(line: Line) -> None:
    writer = threading.Timer(0.1, line.write, [b"\xa5\x5a\x01\x02" * 200])
    writer.start()
    with pytest.raises(TrackerError, match=r"at 115200 baud \(they begin a5 5a 01 02 .*known formats are emer, csv"):
        open_tracker(line.path, BRIEF)
    writer.join()


def test_a_missing_port_lists_those_found() -> None:
    with pytest.raises(TrackerError, match="there is no serial port /dev/ttyUSB97; ports found: "):
        open_tracker("/dev/ttyUSB97")


def test_what_is_no_port_is_refused(tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(TrackerError, match="is no serial port"):
        open_tracker(f"serial://{tmp_path}/file")
    with pytest.raises(TrackerError, match="can't be opened as a serial port"):
        open_tracker("/dev/null")


def test_a_port_in_use_is_said(line: Line) -> None:
    with (
        open_tracker(f"{line.path}?format=emer&rate=120"),
        pytest.raises(TrackerError, match="in use by another program"),
    ):
        open_tracker(f"{line.path}?format=emer&rate=120")
    open_tracker(f"{line.path}?format=emer&rate=120").close()


def test_a_port_without_permission_names_the_group(line: Line) -> None:
    os.chmod(line.path, 0o000)
    code = (
        "import os, sys\n"
        "from emer_edge.core.errors import TrackerError\n"
        "from emer_edge.runtime.trackers import open_tracker\n"
        "import emer_edge.data.recordings\n"
        "os.getuid() or os.setuid(65534)\n"
        f"try:\n    open_tracker({line.path!r})\nexcept TrackerError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.startswith(f"this user may not open {line.path}")
    assert "sudo usermod -aG dialout $USER" in done.stdout
