"""Connections of a simulated tracker.

A pseudo-terminal takes serial formats; an LSL outlet (extra `lsl`) has the labels and units in its metadata.
"""

from __future__ import annotations

import os
import pty
import threading
import tty
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from emer_edge.core.errors import OutputExistsError
from emer_edge.core.samples import Display, EyeReading, TrackerSample
from emer_edge.runtime.trackers.codec import StreamFormat
from emer_edge.runtime.trackers.lsl import import_pylsl

_CHUNK: Final = 4096


class Transport(ABC):
    """The connection of a simulated tracker.

    Attributes:
        change: changes the bytes of a sample before they are sent; transports of whole samples (LSL) have none.
    """

    change: Callable[[bytes], bytes] = bytes

    @property
    @abstractmethod
    def address(self) -> str:
        """The address for `--tracker`."""

    @abstractmethod
    def send(self, sample: TrackerSample) -> bool:
        """Send a sample; false where no reader takes it."""

    @abstractmethod
    def unplug(self) -> None:
        """Disconnect, as a pulled cable does; may be called twice."""

    @abstractmethod
    def plug(self) -> None:
        """Connect again at the same address."""

    def close(self) -> None:
        """Disconnect for good; may be called twice."""
        self.unplug()


class Outbox:
    """Writes without waiting: the rest of a message is sent before the next, which is dropped while it has to wait."""

    def __init__(self) -> None:
        self._left = b""

    def push(self, data: bytes, descriptor: int) -> bool:
        """Write to a descriptor that does not block; false where there was no room for any of `data`."""
        try:
            if self._left:
                self._left = self._left[os.write(descriptor, self._left) :]
                if self._left:
                    return False
            self._left = data[os.write(descriptor, data) :]
        except BlockingIOError:
            return False
        return True


class TerminalTransport(Transport):
    """A pseudo-terminal that speaks a serial format.

    Args:
        format: a format with an encoder.
        display: the display that gaze refers to.
        rate_hz: samples per second.
        link: a symbolic link to the terminal, whose own name changes when it is plugged in again; None: none.

    Raises:
        OutputExistsError: a file that is no link is there.
    """

    def __init__(
        self,
        format: StreamFormat,  # noqa: A002
        display: Display,
        rate_hz: float = 120.0,
        link: Path | None = None,
    ) -> None:
        if link is not None and link.exists() and not link.is_symlink():
            raise OutputExistsError(link)
        assert format.encoder is not None
        self._encoder, self._link = format.encoder(display, rate_hz), link
        # A tracker that streams on request can only be requested in its own format.
        self._query = "" if format.greeting is None else f"?format={format.name}"
        self._master = self._slave = -1
        self._path = ""
        self._using = threading.RLock()  # a number that one thread closes may be another file's by the other's write
        self.plug()

    @property
    def address(self) -> str:
        """The terminal's path, or its link."""
        path = self._path if self._link is None else f"serial://{self._link.absolute()}"
        return f"{path}{self._query}"

    def plug(self) -> None:
        """Open a terminal; from any thread."""
        with self._using:
            self.unplug()
            # Holding the reader's side keeps the terminal alive while nobody has it open.
            self._master, self._slave = pty.openpty()
            tty.setraw(self._slave)
            os.set_blocking(self._master, False)
            self._path = os.ttyname(self._slave)
            self._outbox = Outbox()
            if self._link is not None:
                unfinished = self._link.with_name(f"{self._link.name}.new")
                unfinished.unlink(missing_ok=True)
                unfinished.symlink_to(self._path)
                unfinished.replace(self._link)

    def unplug(self) -> None:
        """Close the terminal; from any thread."""
        with self._using:
            for end in (self._slave, self._master):
                if end >= 0:
                    os.close(end)
            self._slave = self._master = -1
            if self._link is not None and self._link.is_symlink():
                self._link.unlink(missing_ok=True)

    def send(self, sample: TrackerSample) -> bool:
        """Send a sample's bytes, after handling the host's commands."""
        with self._using:
            if self._master < 0:
                return False
            with suppress(BlockingIOError, OSError):
                self._encoder.receive(os.read(self._master, _CHUNK))
            data = self._encoder.encode(sample)
            if not data:
                return False
            data = self.change(data)
            return self._outbox.push(data, self._master) if data else True


_PARTS: Final = (
    ("x", "ScreenX", "normalized", ""),
    ("y", "ScreenY", "normalized", ""),
    *((f"position_{axis}", f"Position{axis.upper()}", "mm", "DACS") for axis in "xyz"),
    *((f"direction_{axis}", f"Direction{axis.upper()}", "", "DACS") for axis in "xyz"),
    ("pupil", "Diameter", "mm", ""),
    ("validity", "Validity", "", ""),
)

CHANNELS: Final = tuple(
    (f"{eye}_{label}", eye, kind, unit, system) for eye in ("left", "right") for label, kind, unit, system in _PARTS
)
"""Label, eye, type, unit and coordinate system of each channel."""


class LslOutlet(Transport):
    """A simulated gaze stream. It stamps with the LSL clock, the first sample with the moment it is sent.

    Args:
        display: the display that gaze refers to.
        rate_hz: nominal rate.
        name: of the stream.

    Raises:
        MissingExtraError: no pylsl.
        TrackerError: no liblsl.
    """

    def __init__(self, display: Display, rate_hz: float, name: str) -> None:
        self._pylsl = import_pylsl()
        self._display, self._rate_hz, self._name = display, rate_hz, name
        self._id = f"emer-edge-{uuid.uuid4().hex[:12]}"
        self._outlet: Any = None
        self._start_s: float | None = None  # LSL time of device time 0
        self.plug()

    @property
    def address(self) -> str:
        """`lsl://name`."""
        return f"lsl://{self._name}"

    def plug(self) -> None:
        """Announce the stream."""
        pylsl = self._pylsl
        info = pylsl.StreamInfo(self._name, "Gaze", len(CHANNELS), self._rate_hz, pylsl.cf_double64, self._id)
        channels = info.desc().append_child("channels")
        for channel in CHANNELS:
            node = channels.append_child("channel")
            for key, value in zip(("label", "eye", "type", "unit", "coordinate_system"), channel, strict=True):
                node.append_child_value(key, value)
        self._outlet = pylsl.StreamOutlet(info)

    def unplug(self) -> None:
        """Take the stream off the network."""
        self._outlet = None

    def send(self, sample: TrackerSample) -> bool:
        """Send a sample; false while nobody listens."""
        if self._outlet is None:
            return False
        time_ns = sample.stamp_ns if sample.device_ns is None else sample.device_ns
        values = [number for eye in (sample.left, sample.right) for number in self._numbers(eye)]
        if self._start_s is None:
            self._start_s = self._pylsl.local_clock() - time_ns * 1e-9
        listened = self._outlet.have_consumers()
        self._outlet.push_sample(values, self._start_s + time_ns * 1e-9)
        return bool(listened)

    def _numbers(self, eye: EyeReading) -> tuple[float, ...]:
        x, y = eye.gaze_px[0] / self._display.width_px, eye.gaze_px[1] / self._display.height_px
        return (x, y, *eye.position_mm, *eye.direction, eye.pupil_mm, float(eye.valid))
