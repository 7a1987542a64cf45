"""Where a simulated tracker is plugged in, and the place between tracker and wire where faults are made."""

from __future__ import annotations

import os
import pty
import tty
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from emer_edge.errors import OutputExistsError
from emer_edge.runtime.simulate.encoders import Encoder
from emer_edge.spec.samples import TrackerSample

__all__ = ["Outbox", "Stage", "TerminalTransport", "Transport"]

_CHUNK: Final = 4096


class Stage(Protocol):
    """What happens between a tracker's eyes and the wire; without one, nothing."""

    def samples(self, samples: Iterator[TrackerSample]) -> Iterator[TrackerSample]:
        """Change the stream of samples: `device_ns` is the tracker's clock, `arrival_ns` when a sample is sent."""
        ...

    def data(self, data: bytes) -> bytes:
        """Change the bytes of one sample; transports of whole samples (LSL) have none."""
        ...


class Transport(ABC):
    """A tracker's plug; a context manager.

    Attributes:
        stage: changes the bytes that leave, or None.
    """

    stage: Stage | None = None

    @property
    @abstractmethod
    def address(self) -> str:
        """What `--tracker` takes to reach it."""

    @abstractmethod
    def send(self, sample: TrackerSample) -> bool:
        """Send a sample; false where nobody takes it."""

    @abstractmethod
    def unplug(self) -> None:
        """Take it away, as a pulled cable does; may be called twice."""

    @abstractmethod
    def plug(self) -> None:
        """Put it back at the same address."""

    def close(self) -> None:
        """Take it away for good; may be called twice."""
        self.unplug()

    def _changed(self, data: bytes) -> bytes:
        return data if self.stage is None else self.stage.data(data)


class Outbox:
    """Writes without waiting: what is left of a message goes before the next, which is dropped while it has to wait."""

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
        encoder: of the format.
        link: a symbolic link to keep on the terminal, whose own name changes when it is plugged again; None: none.
        query: parameters that the format needs from the reader, such as `?format=iviewx`.

    Raises:
        OutputExistsError: something that is no link is there.
    """

    def __init__(self, encoder: Encoder, link: Path | None = None, query: str = "") -> None:
        if link is not None and link.exists() and not link.is_symlink():
            raise OutputExistsError(link)
        self._encoder, self._link, self._query = encoder, link, query
        self._master = self._slave = -1
        self._path = ""
        self.plug()

    @property
    def address(self) -> str:
        """The terminal's path, or its link."""
        path = self._path if self._link is None else f"serial://{self._link.absolute()}"
        return f"{path}{self._query}"

    def plug(self) -> None:
        """Open a terminal."""
        self.unplug()
        # Our own end of the reader's side keeps the terminal alive while nobody has it open.
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
        """Close the terminal."""
        for end in (self._slave, self._master):
            if end >= 0:
                os.close(end)
        self._slave = self._master = -1
        if self._link is not None and self._link.is_symlink():
            self._link.unlink(missing_ok=True)

    def send(self, sample: TrackerSample) -> bool:
        """Send a sample's bytes, after listening to the host."""
        if self._master < 0:
            return False
        with suppress(BlockingIOError, OSError):
            self._encoder.receive(os.read(self._master, _CHUNK))
        data = self._encoder.encode(sample)
        if not data:
            return False
        data = self._changed(data)
        return self._outbox.push(data, self._master) if data else True
