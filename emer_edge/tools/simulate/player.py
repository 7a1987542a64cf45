"""Plays endless synthetic eyes, or a recording once, through a transport when samples are due.

Samples have their time since the start in `device_ns` (the tracker's clock) and `arrival_ns` (when they are due to be
sent). Samples that no reader takes are dropped.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Final

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.heads import EMOTIONS
from emer_edge.core.samples import Display, TrackerSample
from emer_edge.core.window import NANOSECONDS
from emer_edge.data.synth.eyes import RATE_HZ, generate, samples
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.say import Say, say_to_log
from emer_edge.runtime.trackers import TrackerOptions, open_tracker
from emer_edge.runtime.trackers.codec import StreamFormat
from emer_edge.runtime.trackers.formats import stream_formats
from emer_edge.tools.simulate.faults import Faults, parse_faults
from emer_edge.tools.simulate.opengaze_server import OpenGazeServer
from emer_edge.tools.simulate.transport import LslOutlet, TerminalTransport, Transport

_EMOTION_S: Final = 12.0


def simulated_samples(rate_hz: float = RATE_HZ, seed: int = 0) -> Iterator[TrackerSample]:
    """Return synthetic samples without end, at `device_ns` 0, 1 / rate, 2 / rate ...; same seed, same samples.

    The emotions follow one another; the eyes repeat after a while, the clock does not.
    """
    drawn = [sample for emotion in EMOTIONS for sample in samples(generate(emotion, seconds=_EMOTION_S, seed=seed))]

    def at(index: int) -> TrackerSample:
        device_ns = round(index * NANOSECONDS / rate_hz)
        sample = drawn[int(index * RATE_HZ / rate_hz) % len(drawn)]
        return replace(sample, device_ns=device_ns, stamp_ns=device_ns, arrival_ns=device_ns)

    return map(at, count())  # drawn here, so that the first sample is not late


def recorded_samples(path: str) -> tuple[Iterator[TrackerSample], float]:
    """Open a tracker's file or a recording's folder; return its samples, the first at 0, and its rate in Hz.

    Raises:
        TrackerError, DataError: no recording that can be read.
    """
    tracker = open_tracker(path, TrackerOptions(pace="fast", offset_ms=0.0))

    def rebased() -> Iterator[TrackerSample]:
        start_ns: int | None = None
        for sample in tracker:
            start_ns = sample.stamp_ns if start_ns is None else start_ns
            time_ns = sample.stamp_ns - start_ns
            yield replace(sample, device_ns=time_ns, stamp_ns=time_ns, arrival_ns=time_ns)

    return rebased(), tracker.rate_hz


_FASTEST_HZ: Final = 2000.0
_TCP: Final = "opengaze-tcp"
_LSL: Final = "lsl"


def _serial_formats() -> dict[str, StreamFormat]:
    return {name: known for name, known in stream_formats().items() if known.encoder is not None}


def simulated_formats() -> tuple[str, ...]:
    """Names of what can be played: the serial formats, Open Gaze over TCP, LSL."""
    return (*_serial_formats(), _TCP, _LSL)


@dataclass(frozen=True)
class SimulatedTracker:
    """The tracker to play.

    Attributes:
        format: one of `simulated_formats()`.
        rate_hz: samples per second; None: 120, or the recording's own.
        seed: of the synthetic eyes.
        source: a tracker's file or a recording's folder to play instead of synthetic eyes.
        link: serial formats: a symbolic link to put on the terminal.
        port: opengaze-tcp: the port, 0 for any.
    """

    format: str = "emer"
    rate_hz: float | None = None
    seed: int = 0
    source: str | None = None
    link: Path | None = None
    port: int = 0

    def check(self) -> None:
        """Raise ConfigurationError for an unknown format, a rate that can't be played, or conflicting settings."""
        known = simulated_formats()
        if self.format not in known:
            raise ConfigurationError(f"can't simulate the format {self.format!r}; known are {', '.join(known)}")
        if self.rate_hz is not None and not 0 < self.rate_hz <= _FASTEST_HZ:
            raise ConfigurationError(f"a simulated tracker runs at up to {_FASTEST_HZ:g} Hz, not at {self.rate_hz:g}")
        if self.source is not None and self.rate_hz is not None:
            raise ConfigurationError("a recording is played at its own rate; leave the rate out")
        if self.link is not None and self.format in (_TCP, _LSL):
            raise ConfigurationError(f"a link belongs to a serial format, not to {self.format}")
        if self.port and self.format != _TCP:
            raise ConfigurationError(f"a port belongs to {_TCP}, not to {self.format}")


@dataclass(frozen=True)
class Playback:
    """Result of a simulation.

    Attributes:
        sent: samples written.
        dropped: samples that no reader took.
        faults: fault -> how often it happened, see `Faults`.
    """

    sent: int
    dropped: int
    faults: Mapping[str, int] = field(default_factory=dict)


def simulate_tracker(
    tracker: SimulatedTracker,
    seconds: float | None = None,
    *,
    faults: str | None = None,
    stop: threading.Event | None = None,
    on_path: Callable[[str], None] = lambda path: print(path, flush=True),  # noqa: T201
    say: Say = say_to_log,
) -> Playback:
    """Play a tracker until it is stopped.

    Args:
        tracker: the tracker to play.
        seconds: how long; None plays on, or to the recording's end.
        faults: as `parse_faults` reads them. An unplugged tracker comes back at the same address; a terminal without a
            link gets one for that.
        stop: ends the play when set.
        on_path: takes the address for `--tracker` once, before the first sample.
        say: takes a sentence for every reset, pause and unplugging.

    Raises:
        ConfigurationError: an unknown format, a rate or length that can't be played, or faults that can't be read.
        TrackerError, DataError: a source that can't be read.
        MissingExtraError: lsl without pylsl.
    """
    added: Faults | None = None
    if faults is not None:
        whole_samples = tracker.format == _LSL
        spec = parse_faults(faults, whole_samples=whole_samples)
        added = Faults(spec, whole_samples=whole_samples, say=say)
        if spec.unplug is not None and tracker.link is None and tracker.format in _serial_formats():
            tracker = replace(tracker, link=Path(tempfile.gettempdir()) / f"emer-edge-tracker-{os.getpid()}")
    with TrackerSimulator(tracker, added) as simulator:
        on_path(simulator.path)
        played = simulator.play(seconds, stop)
    return played if added is None else replace(played, faults=dict(added.counts))


class TrackerSimulator:
    """A tracker that can be played; a context manager.

    Attributes:
        path: the address for `--tracker`.
        transport: its connection.

    Raises:
        ConfigurationError, TrackerError, DataError, MissingExtraError: as of `simulate_tracker`.
    """

    def __init__(self, tracker: SimulatedTracker, faults: Faults | None = None) -> None:
        tracker.check()
        if tracker.source is None:
            rate_hz = tracker.rate_hz or RATE_HZ
            samples = simulated_samples(rate_hz, tracker.seed)
        else:
            samples, rate_hz = recorded_samples(tracker.source)
        self._samples = samples if faults is None else faults.samples(samples)
        self.transport = _plugged(tracker, rate_hz)
        if faults is not None:
            self.transport.change, faults.transport = faults.data, self.transport
        self.path = self.transport.address

    def play(self, seconds: float | None = None, stop: threading.Event | None = None) -> Playback:
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
            taken = self.transport.send(sample)
            sent, dropped = sent + taken, dropped + (not taken)
        return Playback(sent, dropped)

    def __enter__(self) -> TrackerSimulator:
        return self

    def __exit__(self, *_: object) -> None:
        self.transport.close()


def _plugged(tracker: SimulatedTracker, rate_hz: float) -> Transport:
    display = Display()
    if tracker.format == _TCP:
        return OpenGazeServer(display, rate_hz, tracker.port)
    if tracker.format == _LSL:
        return LslOutlet(display, rate_hz, f"emer-edge-simulated-{os.getpid()}")
    return TerminalTransport(_serial_formats()[tracker.format], display, rate_hz, tracker.link)
