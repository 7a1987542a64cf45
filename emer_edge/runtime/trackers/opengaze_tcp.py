"""Trackers that speak Gazepoint's Open Gaze API over TCP: `opengaze://host:4242`."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from emer_edge.core.errors import ConfigurationError, TrackerError
from emer_edge.core.samples import TrackerSample
from emer_edge.runtime.address import Address
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.trackers.base import TrackerDriver, TrackerOptions
from emer_edge.runtime.trackers.formats.opengaze import GROUPS, OpenGazeDecoder
from emer_edge.runtime.trackers.gazepoint import CAMERA_PARAMETERS, CameraPlace
from emer_edge.runtime.trackers.live_tracker import POLL_S, RATE, RATE_RANGE_HZ, GoneError, LiveTracker

PORT: Final = 4242

_QUESTIONS: Final = ("PRODUCT_ID", "SCREEN_SIZE", "TIME_TICK_FREQUENCY")
_LAST: Final = "ENABLE_SEND_DATA"
_DEAD_NS: Final = 10_000_000_000  # a server silent for so long gets a new connection
_CHUNK: Final = 65_536
_CLOCKS: Final = ("tick", "time")


def _check(address: Address, options: TrackerOptions) -> None:
    _host_and_port(address)
    address.choice("clock", _CLOCKS)
    CameraPlace.of(address.parameters)


def _host_and_port(address: Address) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{address.path}")
        host, port = parts.hostname, parts.port or PORT
    except ValueError:
        host, port = None, PORT
    if not host or parts.path not in ("", "/"):
        raise ConfigurationError(f"{address.text}: a server is written as opengaze://host:{PORT}")
    return host, port


class OpenGazeTracker(LiveTracker):
    """A tracker behind an Open Gaze server.

    Raises:
        ConfigurationError: parameters that make no sense.
        TrackerError: no server there, or it answers nothing or sends no record for `options.wait_s`.
    """

    def __init__(self, address: Address, options: TrackerOptions) -> None:
        self._host, self._port = _host_and_port(address)
        super().__init__(address, options, f"{self._host}:{self._port}")
        self._ticks = address.choice("clock", _CLOCKS) == "tick"
        self._decoder = OpenGazeDecoder(options.display, CameraPlace.of(address.parameters))
        self.counters, self._fields = self._decoder.counters, self._decoder.fields
        self._socket: socket.socket | None = None
        self._early: list[TrackerSample] = []  # came between the answers
        self._display_reported = self._place_reported = False
        self._open()

    @property
    def description(self) -> str:
        """Server, product, rate and clock."""
        product = self._decoder.replies.get("PRODUCT_ID", {}).get("VALUE", "")
        return (
            f"{self._where} (Open Gaze{', ' + product if product else ''}, {self.rate_hz:.4g} Hz, {self.clock} clock)"
        )

    def _connect(self, wait_s: float) -> None:
        deadline = time.monotonic() + wait_s
        try:
            self._socket = socket.create_connection((self._host, self._port), timeout=max(wait_s, POLL_S))
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.settimeout(POLL_S)
            self._greet(deadline)
        except (OSError, GoneError) as error:
            self._disconnect()
            raise TrackerError(
                f"no Open Gaze server answers at {self._where} ({error}); is Gazepoint Control running there, and may "
                "this machine reach it?"
            ) from error

    def _disconnect(self) -> None:
        connection, self._socket = self._socket, None
        if connection is None:
            return
        with suppress(OSError):
            connection.sendall(_set(_LAST, False))
        connection.close()

    def _greet(self, deadline: float) -> None:
        """Ask the server for its facts and its stream; GoneError where it does not confirm that it streams."""
        assert self._socket is not None
        self._decoder.replies.clear()
        lines = [f'<GET ID="{name}" />\r\n'.encode() for name in _QUESTIONS]
        lines += [_set(f"ENABLE_SEND_{name}", True) for name in GROUPS]
        self._socket.sendall(b"".join([*lines, _set(_LAST, True)]))
        while _LAST not in self._decoder.replies:
            if time.monotonic() > deadline:
                raise GoneError("connected, but it does not answer")
            self._early += self._received() or []
        replies = self._decoder.replies
        frequency_hz = _number(replies.get("TIME_TICK_FREQUENCY", {}).get("FREQ"))
        self._decoder.use_ticks(frequency_hz if self._ticks else None)
        rate_hz = _number(replies.get("PRODUCT_ID", {}).get("RATE"))
        if self._measure and rate_hz and rate_hz <= RATE_RANGE_HZ[1]:
            self.rate_hz, self._measure = rate_hz, False
        self._compare_display(replies.get("SCREEN_SIZE", {}))

    def _compare_display(self, screen: dict[str, str]) -> None:
        width_px, height_px = _number(screen.get("WIDTH")), _number(screen.get("HEIGHT"))
        shown = (self._display.width_px, self._display.height_px)
        if width_px and height_px and (width_px, height_px) != shown and not self._display_reported:
            self._display_reported = True
            self._say(
                f"{self._where} tracks a display of {width_px:g}x{height_px:g} px, this run assumes "
                f"{shown[0]}x{shown[1]}; set it with --display {width_px:g}x{height_px:g},<width>x<height>mm"
            )

    def _receive(self) -> list[TrackerSample] | None:
        early, self._early = self._early, []
        return early or self._received()

    def _received(self) -> list[TrackerSample] | None:
        assert self._socket is not None
        try:
            data = self._socket.recv(_CHUNK)
        except TimeoutError:
            return None
        except OSError as error:
            raise GoneError(str(error)) from error
        if not data:
            raise GoneError("the server closed the connection")
        samples = self._decoder.feed(data, monotonic_ns())
        if self._decoder.positions_left_out and not self._place_reported:
            self._place_reported = True
            self._say(
                f"{self._where} sends eye positions from its camera, whose place is unknown, so they are left out. "
                "Give it in mm from the display's top left corner as camera=x,y,z: "
                f"{self.source}{'&' if '?' in self.source else '?'}camera=263,320,20"
            )
        return samples

    def _silent(self, silent_ns: int) -> None:
        if silent_ns > _DEAD_NS:
            raise GoneError(f"nothing came for {_DEAD_NS // 1_000_000_000} s")

    def _nothing_understood(self, wait_s: float) -> TrackerError:
        what = f"no gaze that can be read for {wait_s:g} s{self._garbled()}" if self.counters.losses() else ""
        return TrackerError(
            f"the Open Gaze server at {self._where} answers but has sent {what or f'no gaze for {wait_s:g} s'}; is the "
            "tracker plugged in and shown in Gazepoint Control?"
        )


def _set(name: str, state: bool) -> bytes:
    return f'<SET ID="{name}" STATE="{int(state)}" />\r\n'.encode()


def _number(text: str | None) -> float | None:
    """A number above zero, or None."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 < number < 1e12 else None


OPENGAZE_TCP: Final = TrackerDriver(
    name="opengaze",
    help="an Open Gaze server, as Gazepoint Control is one",
    example=f"opengaze://localhost:{PORT}",
    parameters={
        **RATE,
        **CAMERA_PARAMETERS,
        "clock": "tick, the server host's counter (default, where it has one), or time, which restarts at each "
        "calibration",
    },
    schemes=("opengaze",),
    open=OpenGazeTracker,
    check=_check,
)
