"""Markers from a stream of the Lab Streaming Layer (extra `lsl`), stamped by its clock.

The stream may start after the run, and may end and come back: it is searched for until the run ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.public_text import one_line
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.markers.marker_log import MarkerLog, MarkerSource
from emer_edge.runtime.say import Say
from emer_edge.runtime.trackers.lsl import import_pylsl, lsl_to_host_ns, streams_of, time_correction

_POLL_S: Final = 0.1
_RESOLVE_S: Final = 0.5
_FIRST_S: Final = 2.0  # for the first measurement of the offset
_MEASURE_NS: Final = 1_000_000_000
_OTHER_CLOCK_NS: Final = 60_000_000_000  # stamps farther than this from their arrival belong to another clock
_DRIFT: Final = 100e-6  # relative drift of two machines' clocks


class OffsetKeeper:
    """Offset of an outlet's clock to this machine's, from the best of several measurements.

    The error of a measurement is up to half its round trip, and the drift of the clocks since.
    """

    def __init__(self) -> None:
        self._kept: list[tuple[float, float, float]] = []  # remote time, offset, round trip, all s

    def add(self, remote_s: float, offset_s: float, round_trip_s: float) -> None:
        """Take a measurement; a repeated one changes nothing."""
        if not self._kept or remote_s != self._kept[-1][0]:
            self._kept.append((remote_s, offset_s, round_trip_s))
            self._kept = [one for one in self._kept if self._error_s(one, remote_s) <= round_trip_s / 2]

    def offset_s(self, remote_s: float) -> float | None:
        """This machine's LSL clock minus an outlet's stamp; None before the first measurement."""
        best = min(self._kept, key=lambda measured: self._error_s(measured, remote_s), default=None)
        return None if best is None else best[1]

    @staticmethod
    def _error_s(measured: tuple[float, float, float], at_s: float) -> float:
        return measured[2] / 2 + _DRIFT * abs(at_s - measured[0])


class LslMarkers(MarkerSource):
    """Reads a stream of markers.

    Args:
        name: of the stream; empty: the one of type Markers (in any case).
        say: called when the stream is found, lost, or one of several.

    Raises:
        MissingExtraError: no pylsl.
        TrackerError: no liblsl.
        ConfigurationError: a name that LSL can't search for.
    """

    thread_name = "LSL markers"

    def __init__(self, name: str, say: Say) -> None:
        super().__init__()
        if "'" in name and '"' in name:
            raise ConfigurationError(f"lsl://{name}: a stream's name can't hold both kinds of quotes")
        self._pylsl = import_pylsl()
        self._title = f"LSL marker stream {name}" if name else "LSL marker stream"
        self._name, self._say = name, say
        self._to_host_ns = lsl_to_host_ns(self._pylsl)
        self._said = ""

    def _read(self, log: MarkerLog) -> None:
        while not self._stop.is_set():
            info = self._resolved()
            if info is None:
                continue
            try:
                self._follow(info, log)
            except RuntimeError as error:  # pylsl's own all are
                self._say_once(f"lost the {self._title} ({error or 'it has ended'}); searching for it again")

    def _resolved(self) -> Any:
        streams = streams_of(self._pylsl, self._name, "markers", _RESOLVE_S)
        if not streams:
            self._say_once(f"no {self._title} so far; searching for it")
            return None
        if len(streams) > 1:
            names = ", ".join(sorted(f"--markers lsl://{info.name()}" for info in streams))
            self._say_once(f"several LSL marker streams: no markers until one is left; name one: {names}")
            self._stop.wait(_RESOLVE_S)
            return None
        return streams[0]

    def _follow(self, info: Any, log: MarkerLog) -> None:
        inlet = self._pylsl.StreamInlet(info, recover=False)
        try:
            inlet.open_stream(_FIRST_S)
            offsets = OffsetKeeper()
            self._measure(inlet, offsets, _FIRST_S)
            self._say_once(f"markers from the LSL stream {info.name()}")
            measured_ns = monotonic_ns()
            while not self._stop.is_set():
                values, stamp_s = _pulled(inlet)
                arrival_ns = monotonic_ns()
                if arrival_ns - measured_ns > _MEASURE_NS:
                    measured_ns = arrival_ns
                    self._measure(inlet, offsets, 0.0)
                if stamp_s is not None and (label := one_line(" ".join(map(str, values)))):
                    log.add(label, f"lsl {info.name()}", *self._stamp(stamp_s, offsets, arrival_ns))
        finally:
            with suppress(RuntimeError):
                inlet.close_stream()

    def _measure(self, inlet: Any, offsets: OffsetKeeper, wait_s: float) -> None:
        measured = time_correction(self._pylsl, inlet, wait_s)
        if measured is not None:
            offsets.add(*measured)

    def _stamp(self, stamp_s: float, offsets: OffsetKeeper, arrival_ns: int) -> tuple[int, str]:
        """Host time of a marker and the clock it comes from; never later than its arrival."""
        offset_s = offsets.offset_s(stamp_s)
        if offset_s is not None and math.isfinite(stamp_s):
            mapped_ns = round((stamp_s + offset_s) * 1e9) + self._to_host_ns
            if abs(arrival_ns - mapped_ns) <= _OTHER_CLOCK_NS:
                return min(mapped_ns, arrival_ns), "lsl"
        return arrival_ns, "arrival"

    def _say_once(self, sentence: str) -> None:
        if sentence != self._said:
            self._said = sentence
            self._say(sentence)


def _pulled(inlet: Any) -> tuple[Sequence[Any], float | None]:
    """Wait for a marker; its values and stamp, the stamp None where none came."""
    try:
        values, stamp_s = inlet.pull_sample(timeout=_POLL_S)
    except UnicodeDecodeError as error:  # pylsl takes all text for UTF-8, and the stamp is lost with it
        raw = error.object
        return [bytes(raw).decode("latin-1")], math.nan
    return values, stamp_s
