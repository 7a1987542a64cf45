"""Plays samples through a transport when they are due. Nobody has to listen: what finds no room is dropped."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Final

from emer_edge.data.synth.eyes import RATE_HZ
from emer_edge.errors import ConfigurationError
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.say import Say, say_to_log
from emer_edge.runtime.simulate.encoders import ENCODERS
from emer_edge.runtime.simulate.fault_spec import parse_faults
from emer_edge.runtime.simulate.faults import Faults
from emer_edge.runtime.simulate.lsl_outlet import LslOutlet
from emer_edge.runtime.simulate.opengaze_server import OpenGazeServer
from emer_edge.runtime.simulate.source import recorded_samples, simulated_samples
from emer_edge.runtime.simulate.transport import Stage, TerminalTransport, Transport
from emer_edge.spec.samples import Display, TrackerSample
from emer_edge.spec.window import NANOSECONDS

__all__ = ["SIMULATED", "Played", "TrackerSimulator", "simulate_tracker"]

_FASTEST_HZ: Final = 2000.0
_QUERIES: Final = {"iviewx": "?format=iviewx"}  # silent until it is asked in its own format
_TCP: Final = "opengaze-tcp"
_LSL: Final = "lsl"

SIMULATED: Final = (*ENCODERS, _TCP, _LSL)
"""What can be played: the serial formats, Open Gaze over TCP, LSL."""


@dataclass(frozen=True)
class Played:
    """What a simulation did.

    Attributes:
        sent: samples written.
        dropped: samples that did not fit, because nobody read.
        faults: fault -> how often it happened, see `Faults`.
    """

    sent: int
    dropped: int
    faults: Mapping[str, int] = field(default_factory=dict)


def simulate_tracker(
    format: str = "emer",  # noqa: A002
    rate_hz: float | None = None,
    seed: int = 0,
    seconds: float | None = None,
    on_path: Callable[[str], None] = lambda path: print(path, flush=True),  # noqa: T201
    stop: threading.Event | None = None,
    *,
    source: str | None = None,
    link: Path | None = None,
    port: int = 0,
    faults: str | None = None,
    say: Say = say_to_log,
) -> Played:
    """Play a tracker until it is stopped.

    Args:
        format: one of `SIMULATED`.
        rate_hz: samples a second; None: 120, or the recording's own.
        seed: of the synthetic eyes.
        seconds: how long; None plays on, or to the recording's end.
        on_path: told where it listens once, before the first sample: what `--tracker` takes.
        stop: ends the play when set.
        source: a tracker's file or a recording's folder to play instead of synthetic eyes.
        link: serial formats: a symbolic link to put on the terminal.
        port: opengaze-tcp: the port, 0 for any.
        faults: what goes wrong, see `parse_faults`. What is unplugged comes back at the same address; a terminal
            without a link gets one for that.
        say: told of each reset, pause and unplugging.

    Raises:
        ConfigurationError: an unknown format, a rate or length that can't be played, or faults that can't be read.
        TrackerError, DataError: a source that can't be read.
        MissingExtraError: lsl without pylsl.
    """
    stage: Faults | None = None
    if faults is not None:
        spec = parse_faults(faults, whole_samples=format == _LSL)
        stage = Faults(spec, whole_samples=format == _LSL, say=say)
        if spec.unplug is not None and link is None and format in ENCODERS:
            link = Path(tempfile.gettempdir()) / f"emer-edge-tracker-{os.getpid()}"
    with TrackerSimulator(format, rate_hz, seed, source=source, link=link, port=port, stage=stage) as simulator:
        if stage is not None:
            stage.attach(simulator.transport)
        on_path(simulator.path)
        played = simulator.play(seconds, stop)
    return played if stage is None else replace(played, faults=dict(stage.counts))


class TrackerSimulator:
    """A tracker that can be played; a context manager.

    Args:
        format: one of `SIMULATED`.
        rate_hz: samples a second; None: 120, or the recording's own.
        seed: of the synthetic eyes.
        source: a tracker's file or a recording's folder to play instead of synthetic eyes.
        link: serial formats: a symbolic link to put on the terminal.
        port: opengaze-tcp: the port, 0 for any.
        stage: what happens between samples and wire, such as faults.

    Attributes:
        path: what `--tracker` takes to read it.
        transport: what it is plugged into.
    """

    def __init__(
        self,
        format: str = "emer",  # noqa: A002
        rate_hz: float | None = None,
        seed: int = 0,
        *,
        source: str | None = None,
        link: Path | None = None,
        port: int = 0,
        stage: Stage | None = None,
    ) -> None:
        if format not in SIMULATED:
            raise ConfigurationError(f"can't simulate the format {format!r}; known are {', '.join(SIMULATED)}")
        if rate_hz is not None and not 0 < rate_hz <= _FASTEST_HZ:
            raise ConfigurationError(f"a simulated tracker runs at up to {_FASTEST_HZ:g} Hz, not at {rate_hz:g}")
        if source is not None and rate_hz is not None:
            raise ConfigurationError("a recording is played at its own rate; leave the rate out")
        if link is not None and format not in ENCODERS:
            raise ConfigurationError(f"a link belongs to a serial format, not to {format}")
        if port and format != _TCP:
            raise ConfigurationError(f"a port belongs to {_TCP}, not to {format}")
        samples: Iterator[TrackerSample]
        if source is None:
            rate = rate_hz or RATE_HZ
            samples = simulated_samples(rate, seed)
        else:
            samples, rate = recorded_samples(source)
        self._samples = samples if stage is None else stage.samples(samples)
        self.transport = _plugged(format, rate, link, port)
        self.transport.stage = stage
        self.path = self.transport.address

    def play(self, seconds: float | None = None, stop: threading.Event | None = None) -> Played:
        """Send samples when they are due, until `seconds` are over, the samples end, or `stop` is set.

        Raises:
            ConfigurationError: a length below zero.
        """
        if seconds is not None and not seconds >= 0:
            raise ConfigurationError(f"a tracker can't be played for {seconds:g} s")
        stop = stop or threading.Event()
        sent = dropped = 0
        start_ns = monotonic_ns()
        for sample in self._samples:
            due_ns = sample.arrival_ns
            if seconds is not None and due_ns >= seconds * NANOSECONDS:
                break
            if stop.wait(max(0, start_ns + due_ns - monotonic_ns()) / NANOSECONDS):
                break
            if self.transport.send(sample):
                sent += 1
            else:
                dropped += 1
        return Played(sent, dropped)

    def close(self) -> None:
        """Take the tracker away, as if unplugged; may be called twice."""
        self.transport.close()

    def __enter__(self) -> TrackerSimulator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _plugged(format: str, rate_hz: float, link: Path | None, port: int) -> Transport:  # noqa: A002
    display = Display()
    if format == _TCP:
        return OpenGazeServer(display, rate_hz, port)
    if format == _LSL:
        return LslOutlet(display, rate_hz, f"emer-edge-simulated-{os.getpid()}")
    return TerminalTransport(ENCODERS[format](display, rate_hz), link, _QUERIES.get(format, ""))
