"""Trackers on a serial port (USB adapters and CDC devices alike), read by a thread of their own."""

from __future__ import annotations

import errno
import math
import os
import select
import stat
from contextlib import suppress
from typing import Any, Final

import serial
from serial.tools import list_ports

from emer_edge.core.errors import ConfigurationError, TrackerError
from emer_edge.core.samples import TrackerSample
from emer_edge.runtime.address import Address
from emer_edge.runtime.cameras.base import file_mode
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.trackers.base import TrackerDriver, TrackerOptions
from emer_edge.runtime.trackers.codec import Decoder, StreamFormat, shown
from emer_edge.runtime.trackers.formats import FormatFinder, stream_format, stream_formats
from emer_edge.runtime.trackers.live_tracker import POLL_S, RATE, GoneError, LiveTracker

_BAUD: Final = 115_200
_SHOWN: Final = 120  # first bytes of a stream
_GREET_AGAIN_NS: Final = 2_000_000_000
_WRITE_S: Final = 1.0
_READ_BYTES: Final = 1 << 16
_KEPT_BYTES: Final = 3072  # of 4095 that the kernel keeps of a line before it stops the sender (drivers/tty/n_tty.c)
_UNPLUGGED: Final = "unplugged, or another program reads it too"
_GONE: Final = (serial.SerialException, OSError, TypeError)  # pyserial answers a lost port with any of them


def _claims(address: Address) -> bool:
    """Whether a path is under /dev, or is some other character device."""
    return address.path.startswith("/dev/") or stat.S_ISCHR(file_mode(address.path))


def serial_ports() -> list[str]:
    """Paths of this machine's serial ports, with their descriptions where those are known."""
    return [
        port.device if port.description in ("n/a", "", None) else f"{port.device} ({port.description})"
        for port in sorted(list_ports.comports())
        if port.hwid != "n/a" or "ttyS" not in port.device  # the legacy ports of PCs are always listed
    ]


def _check(address: Address, options: TrackerOptions) -> None:
    _baud(address)
    named = stream_format(address.parameters)
    if named is not None:
        named.decoder(address.parameters, options.display)
    _ensure_port(address.path)
    if not os.access(address.path, os.R_OK | os.W_OK):
        raise TrackerError(_no_access(address.path))


def _baud(address: Address) -> int:
    if address.scheme and not address.path.startswith("/"):
        raise ConfigurationError(
            f"{address.text}: a serial port is written with three slashes, as serial:///dev/ttyUSB0"
        )
    return int(address.number("baud", 50, 20_000_000) or _BAUD)


class SerialTracker(LiveTracker):
    """A tracker on a serial port.

    Its format is identified from the first bytes unless named; with `format` and `rate` opening waits for nothing.

    Raises:
        ConfigurationError: parameters that make no sense.
        TrackerError: no such port, in use, not allowed; silent, or in no known format, for `options.wait_s`.
    """

    def __init__(self, address: Address, options: TrackerOptions) -> None:
        super().__init__(address, options, address.path)
        self._path, self._baud, self._parameters = address.path, _baud(address), address.parameters
        self._format: StreamFormat | None = None
        self._decoder: Decoder | None = None
        known = stream_format(address.parameters)
        if known is not None:
            self._use(known, known.decoder(address.parameters, options.display))
        self._finder = FormatFinder(options.display)
        self._port: Any = None
        self._first = b""
        self._greeted_ns = self._bytes = 0
        self.kept_s = 0.0
        self._open()

    @property
    def description(self) -> str:
        """Port, format, speed, rate and clock."""
        name = "" if self._format is None else self._format.name
        return f"{self._path} ({name}, {self._baud} baud, {self.rate_hz:.4g} Hz, {self.clock} clock)"

    def _use(self, known: StreamFormat, decoder: Decoder) -> None:
        self._format, self._decoder = known, decoder
        self.counters, self._fields = decoder.counters, decoder.fields
        self._validity = getattr(decoder, "validity", None)

    def _understood(self) -> bool:
        return self._decoder is not None

    def _time_name(self) -> str:
        return getattr(self._decoder, "time_name", "")

    def _connect(self, wait_s: float) -> None:
        self._port = _open_port(self._path, self._baud)
        self._readable = select.poll()
        self._readable.register(self._port.fileno(), select.POLLIN)
        self._greet()

    def _disconnect(self) -> None:
        port, self._port = self._port, None
        if port is None:
            return
        with suppress(*_GONE):
            if self._format is not None and self._format.farewell:
                port.write(self._format.farewell)
        with suppress(*_GONE):
            port.close()

    def _greet(self) -> None:
        """Send the format's greeting, where it has one."""
        self._greeted_ns = monotonic_ns()
        if self._format is not None and self._format.greeting is not None:
            with suppress(*_GONE):  # a line that is gone shows when it is read
                self._port.write(self._format.greeting(self._parameters))

    def _receive(self) -> list[TrackerSample] | None:
        try:
            self._gather()
            if not self._readable.poll(1000 * POLL_S):
                return None
            data = os.read(self._port.fileno(), _READ_BYTES)
        except BlockingIOError:  # another program has read it
            return None
        except _GONE as error:
            raise GoneError(_UNPLUGGED if _hung_up(error) else str(error)) from error
        if not data:
            raise GoneError(_UNPLUGGED)
        arrival_ns = monotonic_ns()
        self._bytes += len(data)
        self.kept_s = _KEPT_BYTES * self.counters.samples / (self._bytes * (self.rate_hz or math.inf))
        if len(self._first) < _SHOWN:
            self._first = (self._first + data)[:_SHOWN]
        if self._decoder is not None:
            return self._decoder.feed(data, arrival_ns)
        match = self._finder.feed(data, arrival_ns)
        if match is None:
            return []
        known, decoder, samples = match
        self._use(known, decoder)
        return samples

    def _silent(self, silent_ns: int) -> None:
        if not os.path.exists(self._path):
            raise GoneError("its device file is gone")
        if monotonic_ns() - self._greeted_ns > _GREET_AGAIN_NS:
            self._greet()

    def _nothing_understood(self, wait_s: float) -> TrackerError:
        if not self._first:
            hint = "" if self._format else f"; some stream only on request in their format: {self._path}?format=iviewx"
            return TrackerError(
                f"{self._path} has sent nothing for {wait_s:g} s; is the tracker on and streaming{hint}? "
                f"With format= and rate= a run starts without waiting: {self._path}?format=emer&rate=120"
            )
        known = f"known formats are {', '.join(stream_formats())}"
        if self._format is not None:
            known = f"none of it is a sample in the format {self._format.name}"
        return TrackerError(
            f"{self._path} sends bytes that can't be read at {self._baud} baud (they begin {shown(self._first)}); "
            f"{known}: check baud= and format="
        )


def _open_port(path: str, baud: int) -> Any:
    _ensure_port(path)
    try:
        return serial.Serial(path, baud, timeout=POLL_S, write_timeout=_WRITE_S, exclusive=True)
    except (OSError, ValueError) as error:  # SerialException is an OSError
        number = getattr(error, "errno", None)
        if number in (errno.EACCES, errno.EPERM):
            raise TrackerError(_no_access(path)) from error
        if number in (errno.EBUSY, errno.EAGAIN):
            raise TrackerError(
                f"{path} is in use by another program; close it (sudo fuser -v {path} names it)"
            ) from error
        raise TrackerError(f"{path} can't be opened as a serial port at {baud} baud: {error}") from error


def _ensure_port(path: str) -> None:
    if not os.path.exists(path):
        ports = ", ".join(serial_ports()) or "none: is the tracker plugged in?"
        raise TrackerError(f"there is no serial port {path}; ports found: {ports}")
    if not stat.S_ISCHR(file_mode(path)):
        raise TrackerError(f"{path} is no serial port")


def _no_access(path: str) -> str:
    return (
        f"this user may not open {path}; join its group with: sudo usermod -aG dialout $USER, then log out and in again"
    )


def _hung_up(error: Exception) -> bool:
    """Whether this is pyserial's error for a port without a device behind it."""
    return isinstance(error, TypeError) or any(sign in str(error) for sign in ("no data", "[Errno 5]", "[Errno 6]"))


SERIAL: Final = TrackerDriver(
    name="serial",
    help="USB adapters and CDC devices; also takes the parameters of its formats",
    example="/dev/ttyUSB0 or serial:///dev/ttyUSB0?baud=921600&format=emer",
    parameters={
        "baud": f"speed of the line, {_BAUD} by default",
        "format": "of its bytes; identified from the first of them by default",
        **RATE,
    },
    schemes=("serial",),
    claims=_claims,
    open=SerialTracker,
    check=_check,
)
