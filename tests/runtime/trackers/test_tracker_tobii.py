"""The Tobii driver on dictionaries as the Tobii Pro SDK documents them, from an object with the SDK's interface."""

from __future__ import annotations

import math
import platform
import sys
import threading
import time
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emer_edge.core.errors import TrackerError
from emer_edge.core.samples import Display
from emer_edge.runtime.address import parse_address
from emer_edge.runtime.trackers import TrackerOptions, open_tracker
from emer_edge.runtime.trackers.codec import Counters
from emer_edge.runtime.trackers.tobii import DisplayFrame, TobiiTracker, sample_of

DISPLAY = Display(1920, 1080, 527.0, 296.0)
NAN = math.nan
CORNER_MM = np.array([-263.5, 285.0, 60.0])  # the display's top left corner, in user coordinates
TILT = math.radians(20.0)
RIGHT, DOWN = np.array([1.0, 0.0, 0.0]), np.array([0.0, -math.cos(TILT), -math.sin(TILT)])
NORMAL = np.array([0.0, -math.sin(TILT), math.cos(TILT)])


def area(corner=CORNER_MM, right=RIGHT, down=DOWN, width_mm: float = 527.0, height_mm: float = 296.0):
    """What `get_display_area()` returns: corners in user coordinates."""
    return SimpleNamespace(
        top_left=tuple(corner), top_right=tuple(corner + width_mm * right), bottom_left=tuple(corner + height_mm * down)
    )


def user_mm(dacs) -> tuple[float, float, float]:
    x, y, z = dacs
    return tuple((CORNER_MM + x * RIGHT + y * DOWN + z * NORMAL).tolist())


def dictionary(device_us: int = 1_000_000, x: float = 0.25, y: float = 0.5, seen: bool = True) -> dict:
    data: dict = {"device_time_stamp": device_us, "system_time_stamp": device_us + 77}
    for side, eye_x in (("left", 230.0), ("right", 295.0)):
        data |= {
            f"{side}_gaze_point_on_display_area": (x, y) if seen else (NAN, NAN),
            f"{side}_gaze_point_in_user_coordinate_system": user_mm((527 * x, 296 * y, 0.0)) if seen else (NAN,) * 3,
            f"{side}_gaze_point_validity": int(seen),
            f"{side}_pupil_diameter": 3.25 if seen else NAN,
            f"{side}_pupil_validity": int(seen),
            f"{side}_gaze_origin_in_user_coordinate_system": user_mm((eye_x, 100.0, 650.0)) if seen else (NAN,) * 3,
            f"{side}_gaze_origin_in_trackbox_coordinate_system": (0.5, 0.5, 0.5) if seen else (NAN,) * 3,
            f"{side}_gaze_origin_validity": int(seen),
        }
    return data


class EyeTracker:
    """Stands where the SDK's EyeTracker stands and hands dictionaries over from a thread of its own."""

    model, serial_number, address = "Tobii Pro Fusion", "TPF-1", "tet-tcp://169.254.5.224"

    def __init__(self, display_area=None) -> None:
        self.area = display_area or area()
        self.callbacks: dict[str, list] = {}
        self.offset_us = 5_000_000_000
        self.muted = False
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def get_display_area(self):
        return self.area

    def get_gaze_output_frequency(self) -> float:
        return 120.0

    def subscribe_to(self, kind: str, callback, as_dictionary: bool = False) -> None:
        assert as_dictionary
        self.callbacks.setdefault(kind, []).append(callback)

    def unsubscribe_from(self, kind: str, callback=None) -> None:
        self.callbacks[kind].remove(callback)

    def say(self, kind: str, data: dict) -> None:
        for callback in list(self.callbacks.get(kind, ())):
            callback(data)

    def now_us(self) -> int:
        return time.monotonic_ns() // 1000 + self.offset_us

    def _run(self) -> None:
        count = 0
        while not self.stopped.wait(1 / 120):
            count += 1
            if count % 12 == 1:
                times = {"system_request_time_stamp": system_us(), "device_time_stamp": self.now_us()}
                self.say(SDK.EYETRACKER_TIME_SYNCHRONIZATION_DATA, {**times, "system_response_time_stamp": system_us()})
            if not self.muted:
                self.say(SDK.EYETRACKER_GAZE_DATA, dictionary(self.now_us(), seen=count % 10 != 0))

    def stop(self) -> None:
        self.stopped.set()
        self.thread.join()


def system_us() -> int:
    """The SDK's system clock: microseconds from a start of its own."""
    return time.monotonic_ns() // 1000 + 123_000_000


SDK = SimpleNamespace(
    EYETRACKER_GAZE_DATA="eyetracker_gaze_data",
    EYETRACKER_TIME_SYNCHRONIZATION_DATA="eyetracker_time_synchronization_data",
    EYETRACKER_NOTIFICATION_CONNECTION_LOST="eyetracker_notification_connection_lost",
    EYETRACKER_NOTIFICATION_DISPLAY_AREA_CHANGED="eyetracker_notification_display_area_changed",
    get_system_time_stamp=system_us,
)


def sdk(*devices: EyeTracker) -> SimpleNamespace:
    return SimpleNamespace(**vars(SDK), find_all_eyetrackers=lambda: devices, EyeTracker=lambda address: devices[0])


def opened(source: str, module, **options) -> TobiiTracker:
    return TobiiTracker(parse_address(source), TrackerOptions(display=DISPLAY, **options), module)


@pytest.fixture
def device():
    made = EyeTracker()
    yield made
    made.stop()


def test_the_corners_give_the_frame_of_the_display() -> None:
    frame = DisplayFrame.of(area())
    assert (frame.width_mm, frame.height_mm) == pytest.approx((527.0, 296.0))
    assert frame.dacs_mm(CORNER_MM) == pytest.approx((0.0, 0.0, 0.0))
    assert frame.dacs_mm(area().top_right) == pytest.approx((527.0, 0.0, 0.0))
    assert frame.dacs_mm(area().bottom_left) == pytest.approx((0.0, 296.0, 0.0))
    # Straight in front of an upright display's tracker: z is the distance, y counts down from the upper edge.
    upright = DisplayFrame.of(area(np.array([-263.5, 310.0, 0.0]), down=np.array([0.0, -1.0, 0.0])))
    assert upright.dacs_mm((10.0, 20.0, 600.0)) == pytest.approx((273.5, 290.0, 600.0))


coordinates = st.floats(-2000, 2000)


@settings(max_examples=200, deadline=None)
@given(coordinates, coordinates, coordinates)
def test_any_point_comes_back(x: float, y: float, z: float) -> None:
    assert DisplayFrame.of(area()).dacs_mm(user_mm((x, y, z))) == pytest.approx((x, y, z), abs=1e-6)


def test_corners_without_an_area_are_refused() -> None:
    with pytest.raises(TrackerError, match="which is no display"):
        DisplayFrame.of(area(width_mm=0.0))
    with pytest.raises(TrackerError, match="which is no display"):
        DisplayFrame.of(area(down=RIGHT))
    with pytest.raises(TrackerError, match="which is no display"):
        DisplayFrame.of(area(height_mm=NAN))


def test_a_documented_dictionary_is_read() -> None:
    counters = Counters()
    read = sample_of(dictionary(), 42, DisplayFrame.of(area()), DISPLAY, counters)
    assert read is not None
    assert (read.device_ns, read.stamp_ns, read.arrival_ns) == (1_000_000_000, 42, 42)
    assert read.left.gaze_px == (480.0, 540.0)
    assert read.left.gaze_mm == pytest.approx((131.75, 148.0))
    assert read.left.position_mm == pytest.approx((230.0, 100.0, 650.0))
    assert read.right.position_mm == pytest.approx((295.0, 100.0, 650.0))
    assert (read.left.pupil_mm, read.left.valid) == (3.25, True)
    assert counters.losses() == {}


def test_a_dictionary_without_eyes_is_missing_numbers() -> None:
    read = sample_of(dictionary(seen=False), 0, DisplayFrame.of(area()), DISPLAY, Counters())
    assert read is not None
    for eye in (read.left, read.right):
        assert not eye.valid
        assert all(map(math.isnan, (*eye.gaze_px, *eye.gaze_mm, *eye.position_mm, eye.pupil_mm)))


def test_what_is_marked_valid_and_can_not_be_is_missing() -> None:
    counters = Counters()
    data = {**dictionary(x=3.5), "left_pupil_diameter": 13.5}
    read = sample_of(data, 0, DisplayFrame.of(area()), DISPLAY, counters)
    assert read is not None
    assert not read.left.valid
    assert math.isnan(read.left.gaze_mm[0])
    assert counters.losses() == {"out of range": 3}


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_dictionary_raises(data: st.DataObject) -> None:
    whole = dictionary()
    values = st.none() | st.text(max_size=3) | st.floats() | st.integers() | st.tuples(st.floats(), st.floats())
    for name in data.draw(st.lists(st.sampled_from(sorted(whole)), max_size=4)):
        whole[name] = data.draw(values)
    if data.draw(st.booleans()):
        del whole[data.draw(st.sampled_from(sorted(whole)))]
    counters = Counters()
    read = sample_of(whole, 0, DisplayFrame.of(area()), DISPLAY, counters)
    assert (read is None) == (counters.garbage == 1)


def test_samples_arrive_in_host_time(device: EyeTracker) -> None:
    with opened("tobii://", sdk(device)) as tracker:
        assert tracker.rate_hz == 120.0
        assert "Tobii Pro Fusion TPF-1" in tracker.description
        assert (tracker.live, tracker.clock, tracker.connected) == (True, "device", True)
        assert tracker.missing_columns == ()
        samples = list(islice(tracker, 120))
        assert tracker.mapper.report.link == "two-way"
        assert tracker.dropped == {}
    true_ns = np.array([(sample.device_ns or 0) - device.offset_us * 1000 for sample in samples])
    stamps = np.array([sample.stamp_ns for sample in samples])
    assert np.all(np.diff(stamps) > 0)
    assert np.abs(stamps - true_ns)[30:].max() < 2e6
    assert 0 < sum(not sample.left.valid for sample in samples) < 60
    assert device.callbacks == {name: [] for name in device.callbacks}


def test_a_lost_connection_is_said_and_found_again(device: EyeTracker) -> None:
    said: list[str] = []
    with opened("tobii://TPF-1", sdk(device), say=said.append) as tracker:
        before = list(islice(tracker, 10))[-1]
        device.say(SDK.EYETRACKER_NOTIFICATION_CONNECTION_LOST, {"system_time_stamp": 1})
        lost_ns = time.monotonic_ns() + 200_000_000
        after = next(sample for sample in tracker if sample.arrival_ns > lost_ns)
        assert after.stamp_ns > before.stamp_ns
    assert "lost the tracker on Tobii tracker TPF-1 (the SDK reports a lost connection)" in said[0]
    assert "is back after" in said[1]


def test_a_new_display_area_counts_from_then_on(device: EyeTracker) -> None:
    with opened("tobii://", sdk(device)) as tracker:
        first = next(sample for sample in tracker if sample.left.valid)
        corners = vars(area(CORNER_MM - 100.0 * RIGHT))
        device.say(SDK.EYETRACKER_NOTIFICATION_DISPLAY_AREA_CHANGED, {"system_time_stamp": 1, "display_area": corners})
        told_ns = time.monotonic_ns() + 200_000_000
        moved = next(sample for sample in tracker if sample.arrival_ns > told_ns and sample.left.valid)
    assert moved.left.position_mm[0] - first.left.position_mm[0] == pytest.approx(100.0)


def test_another_display_is_said(device: EyeTracker) -> None:
    said: list[str] = []
    device.area = area(width_mm=345.0, height_mm=194.0)
    with opened("tobii://", sdk(device), say=said.append):
        pass
    assert "set up for a display of 345x194mm, this run assumes 527x296mm" in said[0]


def test_trackers_that_will_not_do_are_refused(device: EyeTracker) -> None:
    with pytest.raises(TrackerError, match="finds no tracker; is it plugged in"):
        opened("tobii://", sdk())
    with pytest.raises(TrackerError, match="finds no tracker TPF-9"):
        opened("tobii://TPF-9", sdk(device))
    with pytest.raises(TrackerError, match=r"several trackers; name one: tobii://TPF-1 \(Tobii Pro Fusion\)"):
        opened("tobii://", sdk(device, device))
    device.muted = True
    with pytest.raises(TrackerError, match=r"has sent nothing for 0\.3 s"):
        opened("tobii://tet-tcp://169.254.5.224", sdk(device), wait_s=0.3)


@pytest.mark.parametrize("machine", ["aarch64", "x86_64"])
def test_without_a_wheel_the_way_round_is_named(monkeypatch: pytest.MonkeyPatch, machine: str) -> None:
    monkeypatch.setitem(sys.modules, "tobii_research", None)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(sys, "version_info", (3, 11, 0))
    lacks = "aarch64" if machine == "aarch64" else "Python 3"
    with pytest.raises(TrackerError, match=rf"no wheel for {lacks}.* relay its gaze .*lsl:// or opengaze://"):
        open_tracker("tobii://")
