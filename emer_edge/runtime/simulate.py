"""An eye tracker without hardware: a pseudo-terminal that speaks one of the serial formats in real time.

The eyes are synthetic and feel one emotion after the other; they repeat after a while, the clock and the sequence
numbers do not. Nobody has to listen: what does not fit into the terminal's buffer is dropped, never waited for.
"""

from __future__ import annotations

import os
import pty
import threading
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final

from emer_edge.data.synth.eyes import RATE_HZ, generate, samples
from emer_edge.errors import ConfigurationError
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.trackers.csv_lines import CSV_HEADER, csv_line
from emer_edge.runtime.trackers.emer import encode_sample
from emer_edge.spec.labels import EMOTIONS
from emer_edge.spec.samples import Display, TrackerSample
from emer_edge.spec.window import NANOSECONDS

__all__ = ["Played", "TrackerSimulator", "simulate_tracker", "simulated_samples"]

_FEELING_S: Final = 12.0
_FASTEST_HZ: Final = 2000.0
_FORMATS: Final = ("emer", "csv")


@dataclass(frozen=True)
class Played:
    """What a simulation did.

    Attributes:
        sent: samples written.
        dropped: samples that did not fit, because nobody read.
    """

    sent: int
    dropped: int


def simulated_samples(rate_hz: float = RATE_HZ, seed: int = 0) -> Iterator[TrackerSample]:
    """Return synthetic samples without end, at `device_ns` 0, 1 / rate, 2 / rate ...; same seed, same samples."""
    recorded = [sample for each in EMOTIONS for sample in samples(generate(each, seconds=_FEELING_S, seed=seed))]
    return _endless(recorded, rate_hz)


def _endless(recorded: list[TrackerSample], rate_hz: float) -> Iterator[TrackerSample]:
    index = 0
    while True:
        device_ns = round(index * NANOSECONDS / rate_hz)
        row = recorded[int(index * RATE_HZ / rate_hz) % len(recorded)]
        yield replace(row, device_ns=device_ns, stamp_ns=device_ns, arrival_ns=device_ns)
        index += 1


def simulate_tracker(
    format: str = "emer",  # noqa: A002
    rate_hz: float = RATE_HZ,
    seed: int = 0,
    seconds: float | None = None,
    on_path: Callable[[str], None] = lambda path: print(path, flush=True),  # noqa: T201
    stop: threading.Event | None = None,
) -> Played:
    """Play a tracker on a pseudo-terminal until it is stopped.

    Args:
        format: `emer` or `csv`.
        rate_hz: samples a second.
        seed: of the synthetic eyes.
        seconds: how long; None plays on.
        on_path: told the terminal's path once, before the first sample.
        stop: ends the play when set.

    Raises:
        ConfigurationError: an unknown format, or a rate or length that can't be played.
    """
    with TrackerSimulator(format, rate_hz, seed) as simulator:
        on_path(simulator.path)
        return simulator.play(seconds, stop)


class TrackerSimulator:
    """A pseudo-terminal that a tracker can be played on; a context manager.

    Args:
        format: `emer` or `csv`.
        rate_hz: samples a second.
        seed: of the synthetic eyes.

    Attributes:
        path: the terminal, to be opened like a serial port.
    """

    def __init__(self, format: str = "emer", rate_hz: float = RATE_HZ, seed: int = 0) -> None:  # noqa: A002
        if format not in _FORMATS:
            raise ConfigurationError(f"can't simulate the format {format!r}; known are {', '.join(_FORMATS)}")
        if not 0 < rate_hz <= _FASTEST_HZ:
            raise ConfigurationError(f"a simulated tracker runs at up to {_FASTEST_HZ:g} Hz, not at {rate_hz:g}")
        self._format, self._rate_hz = format, rate_hz
        self._samples = simulated_samples(rate_hz, seed)
        self._display = Display()
        self._left = b""  # of a write that the terminal took in part
        # Our own end of the reader's side keeps the terminal alive while nobody has it open.
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)

    def play(self, seconds: float | None = None, stop: threading.Event | None = None) -> Played:
        """Send samples when they are due, until `seconds` are over or `stop` is set.

        Raises:
            ConfigurationError: a length below zero.
        """
        if seconds is not None and not seconds >= 0:
            raise ConfigurationError(f"a tracker can't be played for {seconds:g} s")
        stop = stop or threading.Event()
        sent = dropped = 0
        start_ns = monotonic_ns()
        for sequence, sample in enumerate(self._samples):
            due_ns = sample.stamp_ns
            if seconds is not None and due_ns >= seconds * NANOSECONDS:
                break
            if stop.wait(max(0, start_ns + due_ns - monotonic_ns()) / NANOSECONDS):
                break
            if self._write(self._encoded(sample, sequence)):
                sent += 1
            else:
                dropped += 1
        return Played(sent, dropped)

    def close(self) -> None:
        """Take the terminal away, as if unplugged; may be called twice."""
        for end in (self._slave, self._master):
            if end >= 0:
                os.close(end)
        self._slave = self._master = -1

    def __enter__(self) -> TrackerSimulator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _encoded(self, sample: TrackerSample, sequence: int) -> bytes:
        if self._format == "emer":
            return encode_sample(sample, sequence, self._display)
        header = f"{CSV_HEADER}\n" if sequence % max(1, round(self._rate_hz)) == 0 else ""
        return f"{header}{csv_line(sample, sequence, self._display)}\n".encode()

    def _write(self, data: bytes) -> bool:
        """Hand bytes to the terminal; false where there is no room for any of them."""
        try:
            if self._left:
                self._left = self._left[os.write(self._master, self._left) :]
                if self._left:
                    return False
            self._left = data[os.write(self._master, data) :]
        except BlockingIOError:
            return False
        return True
