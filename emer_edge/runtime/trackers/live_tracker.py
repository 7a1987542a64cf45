"""The base class of live trackers: a reading thread, a queue, the clock's mapping, loss and return of the device."""

from __future__ import annotations

import math
import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from typing import Final

from emer_edge.core.errors import TrackerError
from emer_edge.core.samples import TrackerSample
from emer_edge.core.window import NANOSECONDS
from emer_edge.runtime.address import Address
from emer_edge.runtime.clock import Clock, ClockMapper, ClockReport, PaceCheck, monotonic_ns
from emer_edge.runtime.ring import Ring
from emer_edge.runtime.trackers.base import Tracker, TrackerOptions, unfilled_by
from emer_edge.runtime.trackers.codec import Counters, ValidityCodes, shown
from emer_edge.signals.time_units import PLAUSIBLE_RATES_HZ, nominal_rate_hz, too_slow

POLL_S: Final = 0.1
"""How long a driver may wait for data at a time."""

RATE: Final = {"rate": "samples per second; by default as the device states it, or as measured while opening"}
"""The parameter of all live trackers."""

RATE_RANGE_HZ: Final = (0.1, PLAUSIBLE_RATES_HZ[1])
"""Rates that may be given, or stated by a device."""

_QUEUE: Final = 4096  # samples; over 30 s at 120 Hz
_RATE_SPAN_NS: Final = 400_000_000  # of samples, before their rate is believed
_SILENT_S: Final = 2
_SILENT_NS: Final = _SILENT_S * NANOSECONDS
_CLOCK_RATE_OFF: Final = 5.0  # a rate by the device's clock that differs more from that by arrivals is not believed
_JUDGED_SAMPLES: Final = 100  # before their codes of validity are judged
_BACK_OFF_S: Final = (0.25, 2.0)
SETTLING_NS: Final = 10 * NANOSECONDS
"""How long samples are read one by one, until the clock's mapping is sure."""

_MEASURED_ANEW_NS: Final = 120 * NANOSECONDS
_QUIET_NS: Final = 2_000_000  # mean delay of a link: with as much, stamps err by 1 ms where samples are read together
TOGETHER_S: Final = 0.25
"""How long samples may wait to be read together, where no step needs them."""


class GoneError(Exception):
    """The device went away; raised and caught within drivers only."""


class LiveTracker(Tracker):
    """A tracker that a thread reads. A driver connects, receives and disconnects.

    A device that goes away is reported as lost, and connected again with growing pauses until it is back; one that
    falls silent is reported as silent.

    Args:
        address: of the device; its `rate` is the nominal rate, by default the device's own or what is measured.
        options: how it is opened.
        where: name of the device in messages.
        mapper: maps the device's clock to the host's; None: by arrivals alone.

    Attributes:
        mapper: the clock mapping, for its drift, residual and resets.
        counters: what became of the device's data.
        together_s: how long samples may wait to be read together, which takes much less time than one by one.
        kept_s: how long samples are kept for this process where they come from, as far as the driver knows.
        read_by_ns: host time -> the next moment by which all that wait are to be read; None: there is none.
    """

    live = True
    synchronised = True
    together_s = 0.0
    kept_s = math.inf
    read_by_ns: Callable[[int], int] | None = None

    def __init__(self, address: Address, options: TrackerOptions, where: str, mapper: Clock | None = None) -> None:
        rate_hz = address.number("rate", *RATE_RANGE_HZ)
        self.source = address.text
        self.clock = "device"
        self.rate_hz = rate_hz or 0.0
        self.connected = False
        self.mapper = mapper or ClockMapper()
        self._where = where
        self._display = options.display
        self._say = options.say
        self._wait_s = options.wait_s
        self._measure = rate_hz is None
        self.counters = Counters()
        self._fields: set[str] = set()  # which fields the stream has had
        self._pace = PaceCheck()
        self._clock_trouble = self._data_trouble = ""
        self._validity: ValidityCodes | None = None  # the codes to judge; None: none are sent, or they were judged
        self._changed = threading.Condition()
        self._queue: Ring[TrackerSample] = Ring(_QUEUE, self._changed)
        self._failure: TrackerError | None = None
        self._stop = threading.Event()
        self._heard_ns = self._settled_ns = monotonic_ns()
        self._resets = 0
        self._delays_ns = (0, 0)  # sum of the samples' delays, and how many samples
        self._till_pause = 0  # readings that bring samples

    # What a driver fills in.

    @abstractmethod
    def _connect(self, wait_s: float) -> None:
        """Connect and start the stream; TrackerError where that fails, with nothing left open."""

    @abstractmethod
    def _receive(self) -> list[TrackerSample] | None:
        """Wait up to `POLL_S`; return the samples that came, None where not even bytes came.

        Raises:
            GoneError: the device went away.
        """

    @abstractmethod
    def _disconnect(self) -> None:
        """Release the device; may be called twice."""

    def _silent(self, silent_ns: int) -> None:
        """Called while nothing comes; GoneError where that means that the device went away."""

    def _time_name(self) -> str:
        """What the device's times are called (see `LineDecoder.time_name`)."""
        return ""

    def _nothing_understood(self, wait_s: float) -> TrackerError:
        """The error of opening where no samples came."""
        if self.counters.losses():
            return TrackerError(f"{self._where} has sent nothing that can be read for {wait_s:g} s{self._garbled()}")
        return TrackerError(f"{self._where} has sent nothing for {wait_s:g} s; is the tracker on and streaming?")

    def _understood(self) -> bool:
        """Whether the stream can be decoded, so that opening need not wait any longer."""
        return self.counters.samples > 0

    # What users see.

    @property
    def missing_columns(self) -> tuple[str, ...]:
        """Keys of the eye columns whose fields this stream has not had so far."""
        return unfilled_by(self._fields, self._display)

    @property
    def dropped(self) -> dict[str, int]:
        """Samples lost on the way, in the decoder and in the queue."""
        own = {"overrun": self._queue.dropped, "disconnects": self.losses}
        return {**self.counters.losses(), **{name: count for name, count in own.items() if count}}

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is wrong with what the device sends now: with its clock, or that it can't be read."""
        return tuple(trouble for trouble in (self._clock_trouble, self._data_trouble) if trouble)

    @property
    def clock_report(self) -> ClockReport | None:
        """Drift, residual and resets of the mapping; None where samples have arrival times alone."""
        return self.mapper.report if self.clock == "device" else None

    def __next__(self) -> TrackerSample:
        with self._changed:
            while not self._stop.is_set():
                sample = self._queue.take()
                if sample is not None:
                    return sample
                if self._failure is not None:
                    raise self._failure
                self._changed.wait()
        raise StopIteration

    def take_until(self, arrival_ns: int) -> list[TrackerSample]:
        """The samples that had come by then, without waiting; raise TrackerError where reading has failed."""
        samples = self._queue.take_while(lambda sample: sample.arrival_ns <= arrival_ns)
        if not samples and self._failure is not None:
            raise self._failure
        return samples

    def close(self) -> None:
        """Stop the thread and release the device."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join()

    # How it works.

    def _open(self) -> None:
        """Connect, listen until the stream is understood and its rate known, and start the thread; ends `__init__`."""
        try:
            self._connect(self._wait_s)
            self.connected = True
            early = self._listen(self._wait_s)
        except BaseException:
            self._disconnect()
            raise
        if early and early[-1].device_ns is None:
            self.clock = "arrival"
        self._put(early)
        self._thread = threading.Thread(target=self._run, name=f"tracker {self._where}", daemon=True)
        self._thread.start()

    def _listen(self, wait_s: float) -> list[TrackerSample]:
        samples: list[TrackerSample] = []
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline and (self._measure or not self._understood()):
            try:
                samples += self._receive() or []
            except GoneError as error:
                raise TrackerError(f"{self._where} went away while it was being opened: {error}") from error
            if samples and samples[-1].arrival_ns - samples[0].arrival_ns >= _RATE_SPAN_NS:
                break
        if not self._understood() or (self._measure and len(samples) < 2):
            raise self._nothing_understood(wait_s)
        if self._measure:
            self.rate_hz = _rate_hz(samples)
            slow = too_slow(self.rate_hz)
            if slow:
                raise TrackerError(f"{self._where} sends {slow}")
        return samples

    def _garbled(self) -> str:
        """How much could not be read, and an example of it."""
        counts = ", ".join(f"{count} {what}" for what, count in self.counters.losses().items())
        return f" ({counts})" + (f"; it begins {shown(self.counters.example)}" if self.counters.example else "")

    def _put(self, samples: list[TrackerSample]) -> None:
        if not samples:
            return
        self.counters.example = b""
        self._till_pause -= 1
        if self._validity is not None and self.counters.samples >= _JUDGED_SAMPLES and self._validity.problem:
            self._say(f"{self._where}: {self._validity.problem}")
            self._validity = None
        for sample in samples:
            stamp_ns = self.mapper.map(self._believed(sample), sample.arrival_ns)
            mapped = TrackerSample(sample.device_ns, stamp_ns, sample.arrival_ns, left=sample.left, right=sample.right)
            self._queue.put(mapped, ring=False)
            if sample.arrival_ns - self._settled_ns <= SETTLING_NS:
                self._delays_ns = self._delays_ns[0] + sample.arrival_ns - stamp_ns, self._delays_ns[1] + 1
        self.lag_ns = self.mapper.behind_ns if self.clock == "device" else 0
        with self._changed:
            self._changed.notify_all()

    def _gather(self) -> None:
        """Wait for more samples where that costs no accuracy: the device has a clock, and its link hardly any jitter.

        What has gathered is read together, and then one sample as it comes: its arrival tells the mapping as much as
        where all are read so. The jitter is measured while they are: at first, after a reset, and every two minutes.
        """
        now_ns = monotonic_ns()
        known_ns = now_ns - self._settled_ns
        if self._resets != self.mapper.resets or not self._understood() or known_ns > _MEASURED_ANEW_NS:
            self._resets, self._settled_ns, self._delays_ns = self.mapper.resets, now_ns, (0, 0)
        elif self._till_pause > 0 or self.clock != "device" or known_ns <= SETTLING_NS:
            return
        elif self._delays_ns[0] <= _QUIET_NS * self._delays_ns[1]:
            pause_s = min(self.together_s, self.kept_s)
            if self.read_by_ns is not None:
                pause_s = min(pause_s, (self.read_by_ns(now_ns) - now_ns) / NANOSECONDS)
            time.sleep(pause_s)
            self._till_pause = 2

    def _believed(self, sample: TrackerSample) -> int | None:
        """The device's stamp of a sample; None where it has none, or its clock has turned out to be wrong."""
        if sample.device_ns is None or self._clock_trouble:
            return None
        problem = self._pace.problem(sample.device_ns, sample.arrival_ns, self._time_name())
        if problem:
            self.clock = "arrival"
            self._clock_trouble = f"{self._where}: {problem}; its samples are timed by their arrival"
            self._say(self._clock_trouble)
            return None
        return sample.device_ns

    def _run(self) -> None:
        try:
            self._read_on()
        except Exception as error:  # must reach the reader, not die with the thread
            with self._changed:
                self._failure = TrackerError(f"reading {self._where} failed: {error}")
                self._changed.notify_all()
        finally:
            self._disconnect()

    def _read_on(self) -> None:
        self._heard_ns = read_ns = monotonic_ns()  # when bytes came, and when a sample came
        reported = False
        while not self._stop.is_set():
            try:
                samples = self._receive()
                silent_ns = monotonic_ns() - self._heard_ns
                if samples is None and silent_ns > _SILENT_NS:
                    self._silent(silent_ns)
            except GoneError as error:
                self._reconnect(error)
                self._data_trouble, reported, read_ns = "", False, monotonic_ns()
                continue
            if samples:
                read_ns = monotonic_ns()
                if self._data_trouble:
                    self._data_trouble = ""
                    self._say(f"{self._where} sends samples again")
            if samples is not None:
                if reported:
                    self._say(f"{self._where} sends again")
                self._heard_ns, reported = monotonic_ns(), False
                self._put(samples)
                if not self._data_trouble and self._heard_ns - read_ns > _SILENT_NS:
                    what = f"has sent nothing that can be read for {_SILENT_S} s{self._garbled()}"
                    self._data_trouble = f"{self._where} {what}"
                    self._say(self._data_trouble)
            elif silent_ns > _SILENT_NS and not reported:
                reported = True
                self._say(f"{self._where} has sent nothing for {_SILENT_S} s; is the tracker streaming?")

    def _reconnect(self, error: Exception) -> None:
        """Release the lost device and try until it can be connected again."""
        lost_ns = monotonic_ns()
        self.connected = False
        self.losses += 1
        self._disconnect()
        self._say(f"lost the tracker on {self._where} ({error}); trying to open it again")
        pause_s, longest_s = _BACK_OFF_S
        while not self._stop.wait(pause_s):
            pause_s = min(2 * pause_s, longest_s)
            try:
                self._connect(self._wait_s)
            except TrackerError:
                continue
            self.mapper.resume()
            self._pace = PaceCheck()
            self._heard_ns = self._settled_ns = monotonic_ns()
            self._delays_ns = (0, 0)
            self.connected = True
            self._say(f"{self._where} is back after {(self._heard_ns - lost_ns) * 1e-9:.1f} s")
            return


def _rate_hz(samples: list[TrackerSample]) -> float:
    """Rate by the device's clock, or by arrivals where it has none or one that can't be right."""
    first_ns, last_ns = samples[0].arrival_ns, samples[-1].arrival_ns
    later = sum(sample.arrival_ns > first_ns for sample in samples)  # arrivals come in bunches: only their mean counts
    arrived_hz = later * 1e9 / (last_ns - first_ns) if last_ns > first_ns else 0.0
    device_ns = [sample.device_ns for sample in samples if sample.device_ns is not None]
    by_clock_hz = nominal_rate_hz(device_ns) if len(device_ns) == len(samples) else 0.0
    off = by_clock_hz / arrived_hz if arrived_hz else 1.0
    return by_clock_hz if by_clock_hz and 1 / _CLOCK_RATE_OFF < off < _CLOCK_RATE_OFF else arrived_hz
