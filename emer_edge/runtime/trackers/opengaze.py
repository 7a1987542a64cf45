"""Trackers that speak Gazepoint's Open Gaze API over TCP: `opengaze://host:4242`."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from emer_edge.errors import ConfigurationError, TrackerError
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.trackers.base import Counters, TrackerOptions
from emer_edge.runtime.trackers.formats import camera_place
from emer_edge.runtime.trackers.live import POLL_S, GoneError, LiveTracker
from emer_edge.runtime.trackers.opengaze_text import OpenGazeDecoder
from emer_edge.runtime.trackers.source import TrackerSource
from emer_edge.spec.samples import TrackerSample

__all__ = ["PORT", "RECORDS", "OpenGazeTracker", "check_opengaze", "is_opengaze", "open_opengaze"]

PORT: Final = 4242

RECORDS: Final = (
    "COUNTER",
    "TIME",
    "TIME_TICK",
    "POG_LEFT",
    "POG_RIGHT",
    "POG_BEST",
    "PUPIL_LEFT",
    "PUPIL_RIGHT",
    "EYE_LEFT",
    "EYE_RIGHT",
    "PUPILMM",
)
"""What a server is asked to send: `x` of `ENABLE_SEND_x`."""

_QUESTIONS: Final = ("PRODUCT_ID", "SCREEN_SIZE", "TIME_TICK_FREQUENCY")
_LAST: Final = "ENABLE_SEND_DATA"
_DEAD_NS: Final = 10_000_000_000  # a server silent for so long is asked again on a new connection
_CHUNK: Final = 65_536
_CLOCKS: Final = ("tick", "time")


def is_opengaze(source: TrackerSource) -> bool:
    """Whether the source is `opengaze://`."""
    return source.scheme == "opengaze"


def open_opengaze(source: TrackerSource, options: TrackerOptions) -> OpenGazeTracker:
    """Open a tracker of the Open Gaze API (see `open_tracker`).

    Parameters: `rate` in Hz (the server's word, else measured); `camera` and `axes`, which bring eye positions into
    the display's frame (see `CameraPlace`); `clock`: `tick`, the server host's counter (default, where it has one), or
    `time`, seconds that begin again at each calibration.
    """
    return OpenGazeTracker(source, *_wishes(source), options)


def check_opengaze(source: TrackerSource, options: TrackerOptions) -> None:
    """See `TrackerDriver.check`."""
    _wishes(source)
    camera_place(source.parameters)


def _wishes(source: TrackerSource) -> tuple[str, int, str]:
    """Host, port and clock."""
    source.allow("rate", "camera", "axes", "clock")
    source.number("rate", 0.1, 10_000)
    clock = source.parameters.get("clock", _CLOCKS[0])
    if clock not in _CLOCKS:
        raise ConfigurationError(f"{source.text}: clock is one of {', '.join(_CLOCKS)}, not {clock!r}")
    try:
        parts = urlsplit(f"//{source.path}")
        host, port = parts.hostname, parts.port or PORT
    except ValueError:
        host, port = None, PORT
    if not host or parts.path not in ("", "/"):
        raise ConfigurationError(f"{source.text}: a server is written as opengaze://host:{PORT}")
    return host, port, clock


class OpenGazeTracker(LiveTracker):
    """A tracker behind an Open Gaze server; made by `open_opengaze`.

    Args:
        source: what was asked for.
        host, port: the server.
        clock: `tick` or `time`.
        options: see there.

    Raises:
        TrackerError: no server there, or it answers nothing or sends no record for `options.wait_s`.
    """

    def __init__(self, source: TrackerSource, host: str, port: int, clock: str, options: TrackerOptions) -> None:
        super().__init__(source, options, f"{host}:{port}", source.number("rate", 0.1, 10_000))
        self._host, self._port, self._ticks = host, port, clock == "tick"
        self._decoder = OpenGazeDecoder(options.display, camera_place(source.parameters))
        self._socket: socket.socket | None = None
        self._early: list[TrackerSample] = []  # came between the answers
        self._said_display = self._said_place = False
        self._open()

    @property
    def description(self) -> str:
        """One line for people."""
        product = self._decoder.replies.get("PRODUCT_ID", {}).get("VALUE", "")
        return (
            f"{self._where} (Open Gaze{', ' + product if product else ''}, {self._rate_hz:.4g} Hz, {self.clock} clock)"
        )

    @property
    def _counters(self) -> Counters:
        return self._decoder.counters

    @property
    def _fields(self) -> set[str]:
        return self._decoder.fields

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
        """Ask what the server is, and to have it stream; GoneError when it does not say that it does."""
        assert self._socket is not None
        self._decoder.replies.clear()
        lines = [f'<GET ID="{name}" />\r\n'.encode() for name in _QUESTIONS]
        lines += [_set(f"ENABLE_SEND_{name}", True) for name in RECORDS]
        self._socket.sendall(b"".join([*lines, _set(_LAST, True)]))
        while _LAST not in self._decoder.replies:
            if time.monotonic() > deadline:
                raise GoneError("connected, but it does not answer")
            self._early += self._received() or []
        replies = self._decoder.replies
        frequency_hz = _number(replies.get("TIME_TICK_FREQUENCY", {}).get("FREQ"))
        self._decoder.use_ticks(frequency_hz if self._ticks else None)
        rate_hz = _number(replies.get("PRODUCT_ID", {}).get("RATE"))
        if self._measure and rate_hz and rate_hz <= 10_000:
            self._rate_hz, self._measure = rate_hz, False
        self._compare_display(replies.get("SCREEN_SIZE", {}))

    def _compare_display(self, screen: dict[str, str]) -> None:
        width_px, height_px = _number(screen.get("WIDTH")), _number(screen.get("HEIGHT"))
        shown = (self._display.width_px, self._display.height_px)
        if width_px and height_px and (width_px, height_px) != shown and not self._said_display:
            self._said_display = True
            self._say(
                f"{self._where} tracks a display of {width_px:g}x{height_px:g} px, this run assumes "
                f"{shown[0]}x{shown[1]}; say which with --display {width_px:g}x{height_px:g},<width>x<height>mm"
            )

    def _understood(self) -> bool:
        return self._decoder.counters.samples > 0

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
        if self._decoder.positions_left_out and not self._said_place:
            self._said_place = True
            self._say(
                f"{self._where} sends eye positions from its camera; where that stands is not known, so they are left "
                "out. camera=x,y,z says it, in mm from the display's top left corner: "
                f"{self.source}{'&' if '?' in self.source else '?'}camera=263,320,20"
            )
        return samples

    def _silent(self, silent_ns: int) -> None:
        if silent_ns > _DEAD_NS:
            raise GoneError(f"nothing came for {_DEAD_NS // 1_000_000_000} s")

    def _nothing_understood(self, wait_s: float) -> TrackerError:
        return TrackerError(
            f"the Open Gaze server at {self._where} answers but has sent no gaze for {wait_s:g} s; is the tracker "
            "plugged in and shown in Gazepoint Control?"
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
