"""Trackers on a serial port (USB adapters and CDC devices alike), read by a thread of their own."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import Any, Final

import serial
from serial.tools import list_ports

from emer_edge.core.errors import ConfigurationError, TrackerError
from emer_edge.core.samples import TrackerSample
from emer_edge.runtime.address import Address
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.trackers.base import TrackerDriver, TrackerOptions
from emer_edge.runtime.trackers.codec import Counters
from emer_edge.runtime.trackers.formats import FormatFinder, stream_format, stream_formats
from emer_edge.runtime.trackers.live import POLL_S, RATE, GoneError, LiveTracker

_BAUD: Final = 115_200
_SHOWN: Final = 16  # first bytes of a stream nobody understands
_ASK_AGAIN_NS: Final = 2_000_000_000
_WRITE_S: Final = 1.0
_GONE: Final = (serial.SerialException, OSError, TypeError)  # pyserial answers a lost port with any of them


def _claims(address: Address) -> bool:
    """Whether a path lies under /dev, or is some other character device."""
    return address.path.startswith("/dev/") or _is_character_device(address.path)


def serial_ports() -> list[str]:
    """Paths of the serial ports that this machine has, with what they are where that is known."""
    return [
        each.device if each.description in ("n/a", "", None) else f"{each.device} ({each.description})"
        for each in sorted(list_ports.comports())
        if each.hwid != "n/a" or "ttyS" not in each.device  # the legacy ports of PCs are always listed
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

    Its format is found from the first bytes unless named; with `format` and `rate` opening waits for nothing.

    Args:
        address: the port.
        options: see there.

    Raises:
        ConfigurationError: parameters that make no sense.
        TrackerError: no such port, in use, not allowed; silent, or in no known format, for `options.wait_s`.
    """

    def __init__(self, address: Address, options: TrackerOptions) -> None:
        super().__init__(address, options, address.path)
        self._path, self._baud, self._parameters = address.path, _baud(address), address.parameters
        self._format = stream_format(address.parameters)
        self._decoder = None if self._format is None else self._format.decoder(address.parameters, options.display)
        self._finder = FormatFinder(options.display)
        self._port: Any = None
        self._first = b""
        self._asked_ns = 0
        self._open()

    @property
    def description(self) -> str:
        """One line for people."""
        name = "" if self._format is None else self._format.name
        return f"{self._path} ({name}, {self._baud} baud, {self._rate_hz:.4g} Hz, {self.clock} clock)"

    @property
    def _counters(self) -> Counters:
        return Counters() if self._decoder is None else self._decoder.counters

    @property
    def _fields(self) -> set[str]:
        return set() if self._decoder is None else self._decoder.fields

    def _understood(self) -> bool:
        return self._decoder is not None

    def _connect(self, wait_s: float) -> None:
        self._port = _open_port(self._path, self._baud)
        self._ask()

    def _disconnect(self) -> None:
        port, self._port = self._port, None
        if port is None:
            return
        with suppress(*_GONE):
            if self._format is not None and self._format.farewell:
                port.write(self._format.farewell)
        with suppress(*_GONE):
            port.close()

    def _ask(self) -> None:
        """Ask the tracker to stream, where its format needs that."""
        self._asked_ns = monotonic_ns()
        if self._format is not None and self._format.greeting is not None:
            with suppress(*_GONE):  # a line that is gone shows when it is read
                self._port.write(self._format.greeting(self._parameters))

    def _receive(self) -> list[TrackerSample] | None:
        try:
            data: bytes = self._port.read(1)
            if data:
                data += self._port.read(self._port.in_waiting)
        except _GONE as error:
            raise GoneError("unplugged, or another program reads it too" if _hung_up(error) else str(error)) from error
        if not data:
            return None
        arrival_ns = monotonic_ns()
        self._first = (self._first + data)[:_SHOWN]
        if self._decoder is not None:
            return self._decoder.feed(data, arrival_ns)
        found = self._finder.feed(data, arrival_ns)
        if found is None:
            return []
        self._format, self._decoder, samples = found
        return samples

    def _silent(self, silent_ns: int) -> None:
        if not os.path.exists(self._path):
            raise GoneError("its device file is gone")
        if monotonic_ns() - self._asked_ns > _ASK_AGAIN_NS:
            self._ask()

    def _nothing_understood(self, wait_s: float) -> TrackerError:
        if not self._first:
            asked = "" if self._format else f"; some stream only when asked in their format: {self._path}?format=iviewx"
            return TrackerError(
                f"{self._path} has sent nothing for {wait_s:g} s; is the tracker on and streaming{asked}? "
                f"With format= and rate= a run starts without waiting: {self._path}?format=emer&rate=120"
            )
        known = f"known formats are {', '.join(stream_formats())}"
        if self._format is not None:
            known = f"none of it is a sample in the format {self._format.name}"
        return TrackerError(
            f"{self._path} sends bytes that can't be read at {self._baud} baud (they begin {self._first.hex(' ')}); "
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
        found = ", ".join(serial_ports()) or "none: is the tracker plugged in?"
        raise TrackerError(f"there is no serial port {path}; ports found: {found}")
    if not _is_character_device(path):
        raise TrackerError(f"{path} is no serial port")


def _no_access(path: str) -> str:
    return (
        f"this user may not open {path}; join its group with: sudo usermod -aG dialout $USER, then log out and in again"
    )


def _is_character_device(path: str) -> bool:
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _hung_up(error: Exception) -> bool:
    """Whether this is how pyserial says that nothing is behind the port any more."""
    return isinstance(error, TypeError) or any(each in str(error) for each in ("no data", "[Errno 5]", "[Errno 6]"))


SERIAL: Final = TrackerDriver(
    name="serial",
    help="USB adapters and CDC devices; also takes the parameters of its formats",
    example="/dev/ttyUSB0 or serial:///dev/ttyUSB0?baud=921600&format=emer",
    parameters={
        "baud": f"speed of the line, {_BAUD} by default",
        "format": "how its bytes are read; found from the first of them by default",
        **RATE,
    },
    schemes=("serial",),
    claims=_claims,
    open=SerialTracker,
    check=_check,
)
