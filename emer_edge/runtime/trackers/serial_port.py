"""Trackers on a serial port (USB adapters and CDC devices alike), read by a thread of their own."""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections import deque
from dataclasses import replace
from typing import Any, Final

import serial
from serial.tools import list_ports

from emer_edge.errors import TrackerError
from emer_edge.runtime.clock import ClockMapper, monotonic_ns
from emer_edge.runtime.trackers.base import Decoder, Tracker, TrackerOptions, nominal_rate_hz, unfilled_by
from emer_edge.runtime.trackers.formats import FORMATS, make_decoder
from emer_edge.runtime.trackers.source import TrackerSource
from emer_edge.spec.samples import TrackerSample

__all__ = ["SerialTracker", "is_serial", "open_serial", "serial_ports"]

_BAUD: Final = 115_200
_READ_S: Final = 0.1
_QUEUE: Final = 4096  # samples; over 30 s at 120 Hz
_SHOWN: Final = 16  # first bytes of a stream nobody understands
_RATE_SPAN_NS: Final = 400_000_000  # of samples, before their rate is believed
_SILENT_NS: Final = 2_000_000_000
_BACK_OFF_S: Final = (0.25, 5.0)
_GONE: Final = (serial.SerialException, OSError, TypeError)  # pyserial answers a lost port with any of them


def is_serial(source: TrackerSource) -> bool:
    """Whether the source is `serial://`, a path under /dev, or some other character device."""
    if source.scheme:
        return source.scheme == "serial"
    return source.path.startswith("/dev/") or _is_character_device(source.path)


def serial_ports() -> list[str]:
    """Paths of the serial ports that this machine has, with what they are where that is known."""
    return [
        each.device if each.description in ("n/a", "", None) else f"{each.device} ({each.description})"
        for each in sorted(list_ports.comports())
        if each.hwid != "n/a" or "ttyS" not in each.device  # the legacy ports of PCs are always listed
    ]


def open_serial(source: TrackerSource, options: TrackerOptions) -> SerialTracker:
    """Open a serial tracker (see `open_tracker`).

    Parameters: `baud` (115200), `format` (found from the first bytes), `rate` in Hz (measured), and with `format=csv`
    `columns`, the header of a tracker that sends none. With `format` and `rate` opening waits for nothing.
    """
    source.allow("baud", "format", "rate", "columns")
    baud = source.number("baud", 50, 20_000_000)
    rate_hz = source.number("rate", 0.1, 10_000)
    name = source.parameters.get("format", "csv" if "columns" in source.parameters else None)
    decoder = None if name is None else make_decoder(name, options.display, source.parameters.get("columns"))
    port = _open_port(source.path, _BAUD if baud is None else int(baud))
    try:
        return SerialTracker(source, port, decoder, rate_hz, options)
    except BaseException:
        port.close()
        raise


class SerialTracker(Tracker):
    """A tracker on an open serial port; made by `open_serial`.

    A port that fails is closed, said to be lost, and opened again with growing pauses until it is back.

    Args:
        source: what was asked for.
        port: the open port; owned from here on.
        decoder: of the stream's format, None to find it.
        rate_hz: nominal rate, None to measure it.
        options: see there.

    Raises:
        TrackerError: silent, or in no known format, for `options.wait_s`.
    """

    live = True
    synchronised = True

    def __init__(
        self,
        source: TrackerSource,
        port: Any,
        decoder: Decoder | None,
        rate_hz: float | None,
        options: TrackerOptions,
    ) -> None:
        self.source = source.text
        self.clock = "device"
        self._path, self._baud = source.path, int(port.baudrate)
        self._port = port
        self._say = options.say
        self._display = options.display
        self._mapper = ClockMapper()
        self._changed = threading.Condition()
        self._queue: deque[TrackerSample] = deque()
        self._overrun = 0
        self._disconnects = 0
        self._connected = True
        self._failure: TrackerError | None = None
        self._stop = threading.Event()
        self._heard_ns = monotonic_ns()
        self._decoder, early = self._listen(decoder, rate_hz is None, options.wait_s)
        if early and early[-1].device_ns is None:
            self.clock = "arrival"
        self._rate_hz = rate_hz if rate_hz is not None else _rate_hz(early)
        self._put(early)
        self._thread = threading.Thread(target=self._run, name=f"tracker {self._path}", daemon=True)
        self._thread.start()

    @property
    def rate_hz(self) -> float:
        """The `rate` parameter, else as measured while opening."""
        return self._rate_hz

    @property
    def missing_columns(self) -> tuple[str, ...]:
        """Keys of the eye columns whose fields this stream has not had so far."""
        return unfilled_by(self._decoder.fields, self._display)

    @property
    def connected(self) -> bool:
        """Whether the port is open."""
        return self._connected

    @property
    def dropped(self) -> dict[str, int]:
        """What was lost on the wire, in the decoder and in the queue."""
        own = {"overrun": self._overrun, "disconnects": self._disconnects}
        return {**self._decoder.counters.losses(), **{name: count for name, count in own.items() if count}}

    @property
    def mapper(self) -> ClockMapper:
        """The clock mapping, for its drift, residual and resets."""
        return self._mapper

    @property
    def description(self) -> str:
        """One line for people."""
        name = getattr(self._decoder, "name", "")
        return f"{self._path} ({name}, {self._baud} baud, {self._rate_hz:.4g} Hz, {self.clock} clock)"

    def __next__(self) -> TrackerSample:
        with self._changed:
            while not self._stop.is_set():
                if self._queue:
                    return self._queue.popleft()
                if self._failure is not None:
                    raise self._failure
                self._changed.wait()
        raise StopIteration

    def close(self) -> None:
        """Stop the thread and let the port go."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _listen(self, decoder: Decoder | None, measure: bool, wait_s: float) -> tuple[Decoder, list[TrackerSample]]:
        """Read until one decoder has samples, and where the rate is to be measured, enough of them."""
        candidates = [make(self._display) for make in FORMATS.values()] if decoder is None else [decoder]
        samples: list[TrackerSample] = []
        heard = b""
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline and (len(candidates) > 1 or measure):
            try:
                data = self._read()
            except _GONE as error:
                raise TrackerError(f"{self._path} went away while it was being opened: {error}") from error
            arrival_ns = monotonic_ns()
            heard = (heard + data)[:_SHOWN]
            for each in candidates:
                found = each.feed(data, arrival_ns)
                if found:
                    candidates = [each]
                    samples += found
                    break
            if samples and samples[-1].arrival_ns - samples[0].arrival_ns >= _RATE_SPAN_NS:
                break
        if len(candidates) > 1 or (measure and len(samples) < 2):
            raise self._not_understood(heard, wait_s)
        return candidates[0], samples

    def _not_understood(self, heard: bytes, wait_s: float) -> TrackerError:
        if not heard:
            return TrackerError(
                f"{self._path} has sent nothing for {wait_s:g} s; is the tracker on and streaming? "
                f"With format= and rate= a run starts without waiting: {self._path}?format=emer&rate=120"
            )
        return TrackerError(
            f"{self._path} sends bytes that can't be read at {self._baud} baud (they begin {heard.hex(' ')}); "
            f"known formats are {', '.join(FORMATS)}: check baud= and format="
        )

    def _read(self) -> bytes:
        first: bytes = self._port.read(1)
        if not first:
            return first
        rest: bytes = self._port.read(self._port.in_waiting)
        return first + rest

    def _put(self, samples: list[TrackerSample]) -> None:
        if not samples:
            return
        mapped = [replace(each, stamp_ns=self._mapper.map(each.device_ns, each.arrival_ns)) for each in samples]
        with self._changed:
            self._queue.extend(mapped)
            while len(self._queue) > _QUEUE:
                self._queue.popleft()
                self._overrun += 1
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            self._read_on()
        except Exception as error:  # must reach the reader, not die with the thread
            with self._changed:
                self._failure = TrackerError(f"reading {self._path} failed: {error}")
                self._changed.notify_all()
        finally:
            self._port.close()

    def _read_on(self) -> None:
        self._heard_ns = monotonic_ns()
        said_silent = False
        while not self._stop.is_set():
            try:
                data = self._read()
                arrival_ns = monotonic_ns()
                silent = arrival_ns - self._heard_ns > _SILENT_NS
                if not data and silent and not os.path.exists(self._path):
                    raise OSError("its device file is gone")
            except _GONE as error:
                self._reopen(error)
                said_silent = False
                continue
            if data:
                if said_silent:
                    self._say(f"{self._path} sends again")
                self._heard_ns, said_silent = arrival_ns, False
                self._put(self._decoder.feed(data, arrival_ns))
            elif silent and not said_silent:
                said_silent = True
                self._say(
                    f"{self._path} has sent nothing for {_SILENT_NS // 1_000_000_000} s; is the tracker streaming?"
                )
        self._port.close()

    def _reopen(self, error: Exception) -> None:
        """Close the lost port and try until it can be opened again."""
        lost_ns = monotonic_ns()
        self._connected = False
        self._disconnects += 1
        self._port.close()
        self._say(f"lost the tracker on {self._path} ({error}); trying to open it again")
        pause_s, longest_s = _BACK_OFF_S
        while not self._stop.wait(pause_s):
            pause_s = min(2 * pause_s, longest_s)
            try:
                self._port = _open_port(self._path, self._baud)
            except TrackerError:
                continue
            self._heard_ns = monotonic_ns()
            self._connected = True
            self._say(f"{self._path} is back after {(self._heard_ns - lost_ns) * 1e-9:.1f} s")
            return


def _open_port(path: str, baud: int) -> Any:
    if not os.path.exists(path):
        found = ", ".join(serial_ports()) or "none: is the tracker plugged in?"
        raise TrackerError(f"there is no serial port {path}; ports found: {found}")
    if not _is_character_device(path):
        raise TrackerError(f"{path} is no serial port")
    try:
        return serial.Serial(path, baud, timeout=_READ_S, exclusive=True)
    except (OSError, ValueError) as error:  # SerialException is an OSError
        number = getattr(error, "errno", None)
        if number in (errno.EACCES, errno.EPERM):
            raise TrackerError(
                f"this user may not open {path}; join its group with: sudo usermod -aG dialout $USER, "
                "then log out and in again"
            ) from error
        if number in (errno.EBUSY, errno.EAGAIN):
            raise TrackerError(
                f"{path} is in use by another program; close it (sudo fuser -v {path} names it)"
            ) from error
        raise TrackerError(f"{path} can't be opened as a serial port at {baud} baud: {error}") from error


def _is_character_device(path: str) -> bool:
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _rate_hz(samples: list[TrackerSample]) -> float:
    if len(samples) < 2:
        return 0.0
    device_ns = [each.device_ns for each in samples if each.device_ns is not None]
    if len(device_ns) == len(samples):
        return nominal_rate_hz(device_ns)
    span_ns = samples[-1].arrival_ns - samples[0].arrival_ns  # arrivals come in bunches: only their mean rate is known
    return (len(samples) - 1) * 1e9 / span_ns if span_ns > 0 else 0.0
