"""Tobii's research trackers through the Tobii Pro SDK: `tobii://` or `tobii://address` (extra `tobii`).

The SDK has wheels for x86-64 up to Python 3.10 and none for arm64: on a Jetson a Tobii arrives through a relay on the
computer that it is plugged into (`lsl://`, `opengaze://`).

The SDK gives points in its user coordinate system: mm from the tracker's centre, x right and y up as the viewer sees
it, z towards the viewer. The display area's corners, in the same system, turn them into DACS:

    x = (top right - top left) / its length        n = unit of (bottom left - top left) cross x, towards the viewer
    y = x cross n, down along the display          DACS = ((p - top left) . x, (p - top left) . y, (p - top left) . n)

so that the result does not depend on the display's tilt and place.
"""

from __future__ import annotations

import math
import platform
import queue
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import ConfigurationError, TrackerError
from emer_edge.core.packages import missing, require
from emer_edge.core.samples import MISSING_2, MISSING_3, Display, EyeReading, TrackerSample
from emer_edge.runtime.address import Address
from emer_edge.runtime.clock import TwoWayClock, host_offset_ns, monotonic_ns
from emer_edge.runtime.trackers.base import TrackerDriver, TrackerOptions
from emer_edge.runtime.trackers.codec import Counters, reading
from emer_edge.runtime.trackers.live_tracker import POLL_S, RATE, RATE_RANGE_HZ, GoneError, LiveTracker

_HELD: Final = 4096  # dictionaries; a reader that stalls loses the newest
_LOST: Final = object()
_SIZE_TOLERANCE: Final = 0.02


def import_tobii_research() -> Any:
    """Return the Tobii Pro SDK.

    Raises:
        TrackerError: there is none for this machine.
        MissingExtraError: it is not installed.
    """
    if missing(("tobii_research",)):
        arm = platform.machine() in ("aarch64", "arm64")
        if arm or sys.version_info >= (3, 11):
            lacks = platform.machine() if arm else f"Python {platform.python_version()}"
            raise TrackerError(
                f"Tobii's SDK has no wheel for {lacks} (x86-64 with Python 3.10 only); plug the tracker into a "
                "computer that runs it, relay its gaze from there, and read it with lsl:// or opengaze://host"
            )
    require("reading a Tobii tracker", ("tobii_research",), "tobii")
    try:
        import tobii_research
    except (ImportError, OSError) as error:  # a system library that it needs
        raise TrackerError(f"tobii_research is installed but can't be loaded: {error}") from error
    return tobii_research


class TobiiTracker(LiveTracker):
    """A Tobii tracker: the one that the SDK finds, the one at an address as the SDK writes it, or with a serial number.

    Device times are mapped by the SDK's own round trips to the tracker (`EYETRACKER_TIME_SYNCHRONIZATION_DATA`).

    Args:
        address: the tracker.
        options: how it is opened.
        sdk: the module `tobii_research`.

    Raises:
        TrackerError: no such tracker, several, one without a display area, or silent for `options.wait_s`.
    """

    def __init__(self, address: Address, options: TrackerOptions, sdk: Any = None) -> None:
        self._clock = TwoWayClock()
        name = address.path.strip("/")
        super().__init__(address, options, f"Tobii tracker {name}".rstrip(), self._clock)
        self._sdk, self._name = sdk or import_tobii_research(), name
        self._device: Any = None
        self._frame: DisplayFrame | None = None
        self._fields = set(FIELDS)
        self._unread = 0
        self._inbox: queue.Queue[Any] = queue.Queue(_HELD)
        self._subscribed: list[tuple[str, Any]] = []
        self._to_host_ns = 0
        self._model = ""
        self._size_reported = False
        self._open()

    @property
    def description(self) -> str:
        """Tracker, model, rate and clock."""
        return f"{self._where} ({self._model}, {self.rate_hz:.4g} Hz, {self.clock} clock)"

    @property
    def dropped(self) -> dict[str, int]:
        """Samples lost on the way, and in the inbox of the SDK's thread."""
        return {**super().dropped, **({"unread": self._unread} if self._unread else {})}

    def _connect(self, wait_s: float) -> None:
        sdk = self._sdk
        try:
            device = self._chosen()
            self._frame = DisplayFrame.of(device.get_display_area())
            rate_hz = float(device.get_gaze_output_frequency())
            self._model = f"{device.model} {device.serial_number}"
            self._to_host_ns = host_offset_ns(lambda: int(sdk.get_system_time_stamp()) * 1000)
            self._device = device
            for kind, callback in (
                (sdk.EYETRACKER_GAZE_DATA, self._on_gaze),
                (sdk.EYETRACKER_TIME_SYNCHRONIZATION_DATA, self._on_exchange),
                (sdk.EYETRACKER_NOTIFICATION_CONNECTION_LOST, self._on_lost),
                (sdk.EYETRACKER_NOTIFICATION_DISPLAY_AREA_CHANGED, self._on_display_area),
            ):
                device.subscribe_to(kind, callback, as_dictionary=True)
                self._subscribed.append((kind, callback))
        except (TrackerError, ConfigurationError):
            self._disconnect()
            raise
        except Exception as error:  # the SDK's error classes have no common base
            self._disconnect()
            raise TrackerError(f"{self._where} can't be opened: {error}") from error
        if self._measure and 0 < rate_hz <= RATE_RANGE_HZ[1]:
            self.rate_hz, self._measure = rate_hz, False
        self._compare_display()

    def _chosen(self) -> Any:
        if "." in self._name or ":" in self._name:
            address = self._name if "://" in self._name else f"tet-tcp://{self._name}"
            return self._sdk.EyeTracker(address)
        trackers = [one for one in self._sdk.find_all_eyetrackers() if self._name in ("", one.serial_number)]
        if len(trackers) == 1:
            return trackers[0]
        if not trackers:
            raise TrackerError(
                f"the Tobii SDK finds no tracker{' ' + self._name if self._name else ''}; is it plugged in, and does "
                "Tobii Pro Eye Tracker Manager see it?"
            )
        names = ", ".join(f"tobii://{tracker.serial_number} ({tracker.model})" for tracker in trackers)
        raise TrackerError(f"the Tobii SDK finds several trackers; name one: {names}")

    def _compare_display(self) -> None:
        assert self._frame is not None
        sizes = ((self._frame.width_mm, self._display.width_mm), (self._frame.height_mm, self._display.height_mm))
        if self._size_reported or all(abs(ours - theirs) <= _SIZE_TOLERANCE * theirs for theirs, ours in sizes):
            return
        self._size_reported = True
        theirs = f"{self._frame.width_mm:.0f}x{self._frame.height_mm:.0f}mm"
        self._say(
            f"{self._where} is set up for a display of {theirs}, this run assumes "
            f"{self._display.width_mm:g}x{self._display.height_mm:g}mm; "
            f"set it with --display <width>x<height>,{theirs}"
        )

    def _disconnect(self) -> None:
        device, self._device = self._device, None
        subscribed, self._subscribed = self._subscribed, []
        for kind, callback in subscribed:
            with suppress(Exception):  # a tracker that is gone can't be unsubscribed
                device.unsubscribe_from(kind, callback)

    def _receive(self) -> list[TrackerSample] | None:
        items = []
        with suppress(queue.Empty):
            items.append(self._inbox.get(timeout=POLL_S))
            while True:
                items.append(self._inbox.get_nowait())
        if any(item is _LOST for item in items):
            raise GoneError("the SDK reports a lost connection")
        assert self._frame is not None
        read = (sample_of(data, at_ns, self._frame, self._display, counters=self.counters) for at_ns, data in items)
        return [sample for sample in read if sample is not None] if items else None

    # Called by threads of the SDK.

    def _on_gaze(self, data: Mapping[str, Any]) -> None:
        try:
            self._inbox.put_nowait((monotonic_ns(), data))
        except queue.Full:
            self._unread += 1

    def _on_exchange(self, data: Mapping[str, Any]) -> None:
        with suppress(KeyError, TypeError, ValueError, ConfigurationError):  # one exchange less
            sent_ns, received_ns = (
                int(data[f"system_{name}_time_stamp"]) * 1000 + self._to_host_ns for name in ("request", "response")
            )
            self._clock.exchange(sent_ns, int(data["device_time_stamp"]) * 1000, received_ns)

    def _on_lost(self, data: Any) -> None:
        with suppress(queue.Full):  # then it is silent
            self._inbox.put_nowait(_LOST)

    def _on_display_area(self, data: Mapping[str, Any]) -> None:
        with suppress(TrackerError, KeyError, TypeError, ValueError):  # the old one stays
            corners = data["display_area"]  # no question to the tracker: the SDK forbids them in callbacks
            self._frame = DisplayFrame.spanned(*(corners[name] for name in ("top_left", "top_right", "bottom_left")))


FIELDS: Final = frozenset(f"{eye} {part}" for eye in ("left", "right") for part in ("gaze", "position", "pupil"))
"""Fields of every dictionary, for `unfilled_by`."""

_LEAST_MM: Final = 10.0
_LATEST_US: Final = 1 << 52


@dataclass(frozen=True, eq=False)
class DisplayFrame:
    """The display area as the frame of DACS.

    Attributes:
        origin_mm: (3,) its top left corner, in user coordinates.
        axes: (3, 3) unit vectors: along its upper edge, along its left edge, and towards the viewer.
        width_mm, height_mm: its size.
    """

    origin_mm: NDArray[np.float64]
    axes: NDArray[np.float64]
    width_mm: float
    height_mm: float

    @classmethod
    def of(cls, area: Any) -> DisplayFrame:
        """The frame of what `get_display_area()` returns (see `spanned`)."""
        return cls.spanned(area.top_left, area.top_right, area.bottom_left)

    @classmethod
    def spanned(
        cls, top_left: Sequence[float], top_right: Sequence[float], bottom_left: Sequence[float]
    ) -> DisplayFrame:
        """The frame of three corners, mm in user coordinates.

        Raises:
            TrackerError: they span no area.
        """
        corners = np.array([top_left, top_right, bottom_left], float).reshape(3, 3)
        with np.errstate(invalid="ignore", over="ignore"):
            across, along = corners[1:] - corners[0]
            normal = np.cross(along, across)
            width_mm, height_mm, span = (float(np.linalg.norm(vector)) for vector in (across, along, normal))
        if not (width_mm >= _LEAST_MM and height_mm >= _LEAST_MM and span >= 0.5 * width_mm * height_mm):
            raise TrackerError(
                f"the tracker's display area has the corners {corners.tolist()}, which is no display; set it up with "
                "Tobii Pro Eye Tracker Manager"
            )
        x, n = across / width_mm, normal / span
        return cls(corners[0], np.array([x, np.cross(x, n), n]), width_mm, height_mm)

    def dacs_mm(self, point_mm: Sequence[float]) -> tuple[float, float, float]:
        """Turn a point of user coordinates into DACS, mm; NaN stays NaN."""
        with np.errstate(invalid="ignore", over="ignore"):
            x, y, z = (self.axes @ (np.array(point_mm, float).reshape(3) - self.origin_mm)).tolist()
        return x, y, z


def sample_of(
    data: Mapping[str, Any], arrival_ns: int, frame: DisplayFrame, display: Display, counters: Counters
) -> TrackerSample | None:
    """Turn a dictionary of `EYETRACKER_GAZE_DATA` into a sample; None, and counted as garbage, where it is none.

    Args:
        data: as `subscribe_to(..., as_dictionary=True)` hands it over; `device_time_stamp` in microseconds.
        arrival_ns: when it was handed over.
        frame: the display area.
        display: turns fractions into pixels.
        counters: what became of the dictionaries.
    """
    try:
        device_us = int(data["device_time_stamp"])
        eyes = [_eye(data, side, frame, display, counters=counters) for side in ("left", "right")]
    except (KeyError, TypeError, ValueError, OverflowError):
        device_us = -1
    if not 0 <= device_us < _LATEST_US:
        counters.garbage += 1
        return None
    counters.samples += 1
    return TrackerSample(device_us * 1000, arrival_ns, arrival_ns, left=eyes[0], right=eyes[1])


def _eye(data: Mapping[str, Any], side: str, frame: DisplayFrame, display: Display, counters: Counters) -> EyeReading:
    valid = data[f"{side}_gaze_point_validity"] == 1
    seen = data[f"{side}_gaze_origin_validity"] == 1
    fractions = [float(number) for number in data[f"{side}_gaze_point_on_display_area"]]
    point_mm = frame.dacs_mm(data[f"{side}_gaze_point_in_user_coordinate_system"])
    pupil = float(data[f"{side}_pupil_diameter"]) if data[f"{side}_pupil_validity"] == 1 else math.nan
    if len(fractions) != 2:
        raise ValueError(f"a gaze point has 2 coordinates, not {len(fractions)}")
    gaze = fractions if valid else []
    place = frame.dacs_mm(data[f"{side}_gaze_origin_in_user_coordinate_system"]) if seen else MISSING_3
    checked = reading(display, counters, gaze=gaze, position_mm=place, pupil_mm=pupil, valid=valid)
    gaze_mm = point_mm[:2] if checked.valid and all(map(math.isfinite, point_mm)) else MISSING_2
    return replace(checked, gaze_mm=gaze_mm)


TOBII: Final = TrackerDriver(
    name="tobii",
    help="a tracker of the Tobii Pro SDK",
    example="tobii:// or tobii://address, such as tobii://169.254.5.224, or a serial number",
    parameters=RATE,
    schemes=("tobii",),
    open=TobiiTracker,
    check=lambda address, options: import_tobii_research() and None,
)
