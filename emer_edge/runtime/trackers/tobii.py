"""Tobii's research trackers through the Tobii Pro SDK: `tobii://` or `tobii://address` (extra `tobii`).

The SDK has wheels for x86-64 up to Python 3.10 and none for arm64: on a Jetson a Tobii arrives through a relay on the
computer that it is plugged into (`lsl://`, `opengaze://`).
"""

from __future__ import annotations

import platform
import queue
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from emer_edge.core.errors import ConfigurationError, TrackerError
from emer_edge.core.packages import missing, require
from emer_edge.core.samples import TrackerSample
from emer_edge.runtime.address import Address
from emer_edge.runtime.clock import TwoWayClock, host_offset_ns, monotonic_ns
from emer_edge.runtime.trackers.base import TrackerDriver, TrackerOptions
from emer_edge.runtime.trackers.codec import Counters
from emer_edge.runtime.trackers.live import POLL_S, RATE, GoneError, LiveTracker
from emer_edge.runtime.trackers.tobii_samples import FIELDS, DisplayFrame, sample_of

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
        machine = platform.machine()
        if machine in ("aarch64", "arm64") or sys.version_info >= (3, 11):
            lacks = f"{machine}" if machine in ("aarch64", "arm64") else f"Python {platform.python_version()}"
            raise TrackerError(
                f"Tobii's SDK has no wheel for {lacks} (x86-64 with Python 3.10 only); plug the tracker into a "
                "computer that runs it, relay its gaze from there, and read it with lsl:// or opengaze://host"
            )
    require("reading a Tobii tracker", ("tobii_research",), "tobii")
    try:
        import tobii_research
    except (ImportError, OSError) as error:  # a system library that it wants
        raise TrackerError(f"tobii_research is installed but can't be loaded: {error}") from error
    return tobii_research


class TobiiTracker(LiveTracker):
    """A Tobii tracker: the one that the SDK finds, the one at an address as the SDK writes it, or with a serial number.

    Device times are mapped by the SDK's own round trips to the tracker (`EYETRACKER_TIME_SYNCHRONIZATION_DATA`).

    Args:
        address: what was asked for.
        options: see there.
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
        self._decoded = Counters()
        self._unread = 0
        self._inbox: queue.Queue[Any] = queue.Queue(_HELD)
        self._subscribed: list[tuple[str, Any]] = []
        self._to_host_ns = 0
        self._model = ""
        self._said_size = False
        self._open()

    @property
    def description(self) -> str:
        """One line for people."""
        return f"{self._where} ({self._model}, {self._rate_hz:.4g} Hz, {self.clock} clock)"

    @property
    def dropped(self) -> dict[str, int]:
        """What was lost on the way, and in the inbox of the SDK's thread."""
        return {**super().dropped, **({"unread": self._unread} if self._unread else {})}

    @property
    def _counters(self) -> Counters:
        return self._decoded

    @property
    def _fields(self) -> set[str]:
        return set(FIELDS)

    def _understood(self) -> bool:
        return self._decoded.samples > 0

    def _connect(self, wait_s: float) -> None:
        sdk = self._sdk
        try:
            device = self._found()
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
        except Exception as error:  # the SDK has an error class for every cause, none with a common base
            self._disconnect()
            raise TrackerError(f"{self._where} can't be opened: {error}") from error
        if self._measure and 0 < rate_hz <= 10_000:
            self._rate_hz, self._measure = rate_hz, False
        self._compare_display()

    def _found(self) -> Any:
        if "." in self._name or ":" in self._name:
            address = self._name if "://" in self._name else f"tet-tcp://{self._name}"
            return self._sdk.EyeTracker(address)
        found = [each for each in self._sdk.find_all_eyetrackers() if self._name in ("", each.serial_number)]
        if len(found) == 1:
            return found[0]
        if not found:
            raise TrackerError(
                f"the Tobii SDK finds no tracker{' ' + self._name if self._name else ''}; is it plugged in, and does "
                "Tobii Pro Eye Tracker Manager see it?"
            )
        names = ", ".join(f"tobii://{each.serial_number} ({each.model})" for each in found)
        raise TrackerError(f"the Tobii SDK finds several trackers; name one: {names}")

    def _compare_display(self) -> None:
        assert self._frame is not None
        sizes = ((self._frame.width_mm, self._display.width_mm), (self._frame.height_mm, self._display.height_mm))
        if self._said_size or all(abs(ours - theirs) <= _SIZE_TOLERANCE * theirs for theirs, ours in sizes):
            return
        self._said_size = True
        theirs = f"{self._frame.width_mm:.0f}x{self._frame.height_mm:.0f}mm"
        self._say(
            f"{self._where} is set up for a display of {theirs}, this run assumes "
            f"{self._display.width_mm:g}x{self._display.height_mm:g}mm; "
            f"say which with --display <width>x<height>,{theirs}"
        )

    def _disconnect(self) -> None:
        device, self._device = self._device, None
        subscribed, self._subscribed = self._subscribed, []
        for kind, callback in subscribed:
            with suppress(Exception):  # a tracker that is gone can't be told
                device.unsubscribe_from(kind, callback)

    def _receive(self) -> list[TrackerSample] | None:
        items = []
        with suppress(queue.Empty):
            items.append(self._inbox.get(timeout=POLL_S))
            while True:
                items.append(self._inbox.get_nowait())
        if any(each is _LOST for each in items):
            raise GoneError("the SDK says that the connection is lost")
        assert self._frame is not None
        read = (sample_of(data, at_ns, self._frame, self._display, counters=self._decoded) for at_ns, data in items)
        return [each for each in read if each is not None] if items else None

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
        with suppress(queue.Full):  # then silence will tell
            self._inbox.put_nowait(_LOST)

    def _on_display_area(self, data: Mapping[str, Any]) -> None:
        with suppress(TrackerError, KeyError, TypeError, ValueError):  # the old one stays
            corners = data["display_area"]  # no question to the tracker: the SDK forbids them in callbacks
            self._frame = DisplayFrame.spanned(*(corners[name] for name in ("top_left", "top_right", "bottom_left")))


TOBII: Final = TrackerDriver(
    name="tobii",
    help="a tracker of the Tobii Pro SDK",
    example="tobii:// or tobii://address, such as tobii://169.254.5.224, or a serial number",
    parameters=RATE,
    schemes=("tobii",),
    open=TobiiTracker,
    check=lambda address, options: import_tobii_research() and None,
)
