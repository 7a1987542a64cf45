"""Markers from a stream of the Lab Streaming Layer (extra `lsl`), stamped by its clock.

The stream need not be there yet when a run starts, and may go and come back: it is looked for until the run ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from emer_edge.core.errors import ConfigurationError
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.markers.marker_log import MarkerLog, MarkerSource, clean_label
from emer_edge.runtime.say import Say
from emer_edge.runtime.trackers.lsl import import_pylsl, lsl_to_host_ns, time_correction

_POLL_S: Final = 0.1
_LOOK_S: Final = 0.5
_OTHERS_S: Final = 1.0  # how long other streams may take to show, once one has
_FIRST_S: Final = 2.0  # for the first measurement of the offset
_ASK_NS: Final = 1_000_000_000
_KIND: Final = "translate(type, 'MARKERS', 'markers')='markers'"
_OTHER_CLOCK_NS: Final = 60_000_000_000  # stamps farther than this from their arrival are not of the LSL clock
_DRIFT: Final = 100e-6  # what two machines' clocks may part by, of the time since they were compared


class OffsetKeeper:
    """Offset of an outlet's clock to this machine's, from measurements of which some are better than others.

    A measurement errs by up to half its round trip, and by what the clocks have drifted since; the one that errs least
    by this counts.
    """

    def __init__(self) -> None:
        self._kept: list[tuple[float, float, float]] = []  # remote time, offset, round trip, all s

    def add(self, remote_s: float, offset_s: float, round_trip_s: float) -> None:
        """Take a measurement; one that has been taken before changes nothing."""
        if not self._kept or remote_s != self._kept[-1][0]:
            self._kept.append((remote_s, offset_s, round_trip_s))
            at = self._kept[-1][0]
            self._kept = [each for each in self._kept if self._error_s(each, at) <= round_trip_s / 2]

    def offset_s(self, remote_s: float) -> float | None:
        """What added to an outlet's stamp gives this machine's LSL clock; None before the first measurement."""
        if not self._kept:
            return None
        return min(self._kept, key=lambda each: self._error_s(each, remote_s))[1]

    @staticmethod
    def _error_s(measured: tuple[float, float, float], at_s: float) -> float:
        return measured[2] / 2 + _DRIFT * abs(at_s - measured[0])


class LslMarkers(MarkerSource):
    """Reads a stream of markers.

    Args:
        name: of the stream; empty: the one of type Markers (in any case).
        say: told when the stream is found, lost, or one of several.

    Raises:
        MissingExtraError: no pylsl.
        TrackerError: no liblsl.
        ConfigurationError: a name that can't be looked for.
    """

    thread_name = "LSL markers"

    def __init__(self, name: str, say: Say) -> None:
        super().__init__()
        if "'" in name and '"' in name:
            raise ConfigurationError(f"lsl://{name}: a stream's name can't be looked for with both kinds of quotes")
        self._pylsl = import_pylsl()
        quote = '"' if "'" in name else "'"
        self._wanted = f"name={quote}{name}{quote}" if name else _KIND
        self._title = f"LSL marker stream {name}" if name else "LSL marker stream"
        self._name, self._say = name, say
        self._to_host_ns = lsl_to_host_ns(self._pylsl)
        self._said = ""

    def _read(self, log: MarkerLog) -> None:
        while not self._stop.is_set():
            info = self._found()
            if info is None:
                continue
            try:
                self._follow(info, log)
            except RuntimeError as error:  # pylsl's own all are
                self._tell(f"lost the {self._title} ({error or 'it has ended'}); looking for it again")

    def _found(self) -> Any:
        found = self._pylsl.resolve_bypred(self._wanted, 1, _LOOK_S)
        if not found:
            self._tell(f"no {self._title} so far; looking for it")
            return None
        if not self._name:
            found = self._pylsl.resolve_bypred(self._wanted, 2, _OTHERS_S) or found
        if len({each.uid() for each in found}) > 1:
            names = ", ".join(sorted(f"--markers lsl://{each.name()}" for each in found))
            self._tell(f"several LSL marker streams: no markers until one is left; name one: {names}")
            self._stop.wait(_LOOK_S)
            return None
        return found[0]

    def _follow(self, info: Any, log: MarkerLog) -> None:
        inlet = self._pylsl.StreamInlet(info, recover=False)
        try:
            inlet.open_stream(_FIRST_S)
            offsets = OffsetKeeper()
            self._measure(inlet, offsets, _FIRST_S)
            self._tell(f"markers from the LSL stream {info.name()}")
            asked_ns = monotonic_ns()
            while not self._stop.is_set():
                values, stamp_s = _pulled(inlet)
                arrival_ns = monotonic_ns()
                if arrival_ns - asked_ns > _ASK_NS:
                    asked_ns = arrival_ns
                    self._measure(inlet, offsets, 0.0)
                if stamp_s is not None:
                    self._add(log, values, info.name(), stamp=self._stamp(stamp_s, offsets, arrival_ns))
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
        if offset_s is None or not math.isfinite(stamp_s):
            return arrival_ns, "arrival"
        mapped_ns = round((stamp_s + offset_s) * 1e9) + self._to_host_ns
        if abs(arrival_ns - mapped_ns) > _OTHER_CLOCK_NS:
            return arrival_ns, "arrival"
        return min(mapped_ns, arrival_ns), "lsl"

    @staticmethod
    def _add(log: MarkerLog, values: Sequence[Any], name: str, *, stamp: tuple[int, str]) -> None:
        label = clean_label(" ".join(str(each) for each in values))
        if label:
            log.add(label, f"lsl {name}", *stamp)

    def _tell(self, sentence: str) -> None:
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
