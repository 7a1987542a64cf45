"""Gaze streams of the Lab Streaming Layer: `lsl://` or `lsl://name` (extra `lsl`)."""

from __future__ import annotations

import ctypes
import math
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from emer_edge.core.errors import ConfigurationError, TrackerError
from emer_edge.core.packages import require
from emer_edge.core.samples import TrackerSample
from emer_edge.runtime.address import Address
from emer_edge.runtime.clock import Clock, ClockMapper, TwoWayClock, host_offset_ns, monotonic_ns
from emer_edge.runtime.trackers.base import TrackerDriver, TrackerOptions
from emer_edge.runtime.trackers.codec import LATEST_NS, VALID_PARAMETER, ValidityCodes
from emer_edge.runtime.trackers.gazepoint import CAMERA_PARAMETERS, CameraPlace
from emer_edge.runtime.trackers.live_tracker import POLL_S, RATE, RATE_RANGE_HZ, GoneError, LiveTracker
from emer_edge.runtime.trackers.lsl_channels import Channel, ChannelReader

_CLOCKS: Final = ("lsl", "device", "arrival")
_OTHERS_S: Final = 1.0  # how long other streams may take to appear, once one has
_OFFSET_EVERY_NS: Final = 1_000_000_000  # between readings of the offset, which liblsl measures anew every few seconds
_SAME_CLOCK_NS: Final = 1_000_000_000  # stamps farther than this from their arrival are not of the LSL clock
_FOREIGN_FOR_NS: Final = 5_000_000_000
_BUFFER_S: Final = 10
_CHUNK: Final = 512
_CONFIG_FILES: Final = ("lsl_api.cfg", "~/lsl_api/lsl_api.cfg", "/etc/lsl_api/lsl_api.cfg")  # where liblsl looks
_WARNINGS_ONLY: Final = "[log]\nlevel = -1\n"


def _check(address: Address, options: TrackerOptions) -> None:
    _name_and_clock(address)
    CameraPlace.of(address.parameters)
    ValidityCodes.of(address.parameters)
    import_pylsl()


def _name_and_clock(address: Address) -> tuple[str, str]:
    clock = address.choice("clock", _CLOCKS)
    name = unquote(address.path)
    if "'" in name and '"' in name:
        raise ConfigurationError(f"{address.text}: a stream's name can't be looked for with both kinds of quotes in it")
    return name, clock


def import_pylsl() -> Any:
    """Return pylsl; MissingExtraError without it, TrackerError where it finds no liblsl.

    liblsl logs to stderr unless it is configured before its first use: here it is set to warnings only, unless it is
    configured (`LSLAPICFG`, or an `lsl_api.cfg` in its places) or in use already.
    """
    require("reading or sending LSL streams", ("pylsl",), "lsl")
    first = "pylsl" not in sys.modules
    try:
        import pylsl
    except (RuntimeError, OSError) as error:  # it loads the library when it is imported
        raise TrackerError(
            "pylsl is installed but finds no liblsl, which its wheels lack on this machine; install liblsl "
            "(https://github.com/sccn/liblsl/releases) and point PYLSL_LIB at its liblsl.so"
        ) from error
    configured = "LSLAPICFG" in os.environ or any(Path(path).expanduser().is_file() for path in _CONFIG_FILES)
    if first and not configured:
        with suppress(AttributeError, RuntimeError):  # older ones can't be configured
            pylsl.set_config_content(_WARNINGS_ONLY)
    return pylsl


class LslTracker(LiveTracker):
    """A gaze stream on the network: the one of type Gaze (in any case), or the one of a name.

    Stamps of the LSL clock are mapped by liblsl's two-way time correction, those of a clock of the tracker's own (as
    Tobii's connector writes them) by arrivals.

    Raises:
        ConfigurationError: parameters that make no sense.
        MissingExtraError: no pylsl.
        TrackerError: no such stream, several, one without gaze, or silent for `options.wait_s`.
    """

    def __init__(self, address: Address, options: TrackerOptions) -> None:
        name, clock = _name_and_clock(address)
        self._pylsl = import_pylsl()
        mapper: Clock = TwoWayClock() if clock == "lsl" else ClockMapper()
        where = f"LSL stream {name}" if name else "LSL gaze stream"
        super().__init__(address, options, where, mapper)
        self._name, self._stamped = name, clock
        self._camera, self._codes = CameraPlace.of(address.parameters), ValidityCodes.of(address.parameters)
        self._validity = self._codes
        self._inlet: Any = None
        self._title = ""
        self._to_host_ns = lsl_to_host_ns(self._pylsl)
        self._offset_read_ns = 0
        self._measured: float | None = None
        self._offset_s: float | None = None
        self._checked = False  # whether a stamp of this connection was compared with the LSL clock
        self._foreign_ns: int | None = None  # since when stamps are far from it
        self._open()

    @property
    def description(self) -> str:
        """Stream, rate and clock."""
        return f"LSL stream {self._title} ({self.rate_hz:.4g} Hz, {self.clock} clock)"

    def _connect(self, wait_s: float) -> None:
        deadline = time.monotonic() + wait_s
        info = self._resolved(wait_s)
        try:
            if info.channel_format() == self._pylsl.cf_string:
                raise TrackerError(f"the LSL stream {info.name()} sends text, not numbers")
            inlet = self._pylsl.StreamInlet(info, max_buflen=_BUFFER_S, recover=False)
            full = inlet.info(max(0.5, deadline - time.monotonic()))
            reader = ChannelReader(
                *(_channels(full), self._display, self._camera, self._say), counters=self.counters, validity=self._codes
            )
            if reader.worldly and not reader.has_gaze:
                raise TrackerError(
                    f"the LSL stream {full.name()} has its gaze in the picture of a head-mounted tracker's world "
                    f"camera ({', '.join(reader.worldly)}), not on the display; have the tracker's software map it to "
                    "the display first, as a surface, and send that"
                )
            if not reader.has_gaze:
                labels = ", ".join(channel.label for channel in _channels(full)) or "no labels"
                raise TrackerError(f"the LSL stream {full.name()} has no channel that names a gaze point ({labels})")
            inlet.open_stream(max(0.5, deadline - time.monotonic()))
        except RuntimeError as error:  # pylsl's own all are
            raise TrackerError(f"the LSL stream {info.name()} can't be opened: {error}") from error
        self._inlet, self._reader, self._title = inlet, reader, full.name()
        self._fields = reader.fields
        rate_hz = full.nominal_srate()
        if self._measure and 0 < rate_hz <= RATE_RANGE_HZ[1]:
            self.rate_hz, self._measure = rate_hz, False
        self._offset_read_ns, self._measured, self._offset_s = 0, None, None
        self._checked, self._foreign_ns = False, None
        self._take_offset(max(1.0, deadline - time.monotonic()))

    def _resolved(self, wait_s: float) -> Any:
        streams = streams_of(self._pylsl, self._name, "gaze", wait_s)
        if not streams:
            there = ", ".join(f"{stream.name()} ({stream.type()})" for stream in self._pylsl.resolve_streams(_OTHERS_S))
            what = f"named {self._name}" if self._name else "of type Gaze"
            raise TrackerError(
                f"no LSL stream {what} was found for {wait_s:g} s; streams on the network: {there or 'none'}. Is the "
                "outlet running, and do firewalls let UDP 16571 and TCP and UDP 16572 to 16604 through?"
            )
        if len(streams) > 1:
            names = ", ".join(sorted(f"lsl://{stream.name()}" for stream in streams))
            raise TrackerError(f"several LSL streams match; name one: {names}")
        return streams[0]

    def _disconnect(self) -> None:
        inlet, self._inlet = self._inlet, None
        if inlet is not None:
            with suppress(RuntimeError):
                inlet.close_stream()

    def _take_offset(self, wait_s: float = 0.0) -> None:
        """Give the clock mapping liblsl's newest measurement of the offset."""
        now_ns = monotonic_ns()
        if not isinstance(self.mapper, TwoWayClock) or now_ns - self._offset_read_ns < _OFFSET_EVERY_NS:
            return
        self._offset_read_ns = now_ns
        measured = time_correction(self._pylsl, self._inlet, wait_s)
        if measured is None or measured[0] == self._measured:
            return
        self._measured, offset_s, round_trip_s = measured
        self._offset_s = offset_s
        remote_ns = round(measured[0] * 1e9)
        host_ns = remote_ns + round(offset_s * 1e9) + self._to_host_ns
        self.mapper.offset(remote_ns, host_ns, round(round_trip_s * 1e9))

    def _receive(self) -> list[TrackerSample] | None:
        try:
            values, stamp_s = self._inlet.pull_sample(timeout=POLL_S)
            arrival_ns = monotonic_ns()
            if stamp_s is None:
                return None
            rows, stamps_s = self._inlet.pull_chunk(timeout=0.0, max_samples=_CHUNK)
            self._take_offset()
        except RuntimeError as error:  # pylsl's LostError is one
            raise GoneError(str(error) or "the stream is lost") from error
        rows, stamps_s = [values, *rows], [stamp_s, *stamps_s]
        if self._stamped == "lsl":
            self._check_clock(stamps_s[-1], arrival_ns)
        read = (self._sample(row, stamp, arrival_ns) for row, stamp in zip(rows, stamps_s, strict=True))
        return [sample for sample in read if sample is not None]

    def _sample(self, row: Sequence[float], stamp_s: float, arrival_ns: int) -> TrackerSample | None:
        device_ns: int | None = None
        if self._stamped != "arrival":
            if abs(stamp_s) < LATEST_NS * 1e-9:  # a clock of the tracker's own may count up to 0
                device_ns = round(stamp_s * 1e9)
            else:
                self.counters.unstamped += 1
                if self.counters.unstamped == 1:
                    self._say(
                        f"the LSL stream {self._title} sends stamps that are no time ({stamp_s:g}): such samples are "
                        "timed by their arrival and counted as unstamped"
                    )
        return self._reader.read(row, device_ns, arrival_ns)

    def _check_clock(self, stamp_s: float, arrival_ns: int) -> None:
        """Notice an outlet that stamps with a clock of its own, as Tobii's connector does, whenever it begins to.

        The first stamp decides at once; later ones when they are far from the LSL clock for some seconds, longer than
        samples that a network has held back.
        """
        if self._offset_s is None or not math.isfinite(stamp_s):
            return
        off_ns = arrival_ns - (round((stamp_s + self._offset_s) * 1e9) + self._to_host_ns)
        first, self._checked = not self._checked, True
        if abs(off_ns) <= _SAME_CLOCK_NS:
            self._foreign_ns = None
            return
        self._foreign_ns = arrival_ns if self._foreign_ns is None else self._foreign_ns
        if first or arrival_ns - self._foreign_ns > _FOREIGN_FOR_NS:
            self.mapper, self._stamped = ClockMapper(), "device"
            self._say(
                f"the LSL stream {self._title} stamps with a clock of its own, {off_ns * 1e-9:.1f} s from LSL's: it is "
                "mapped by arrivals; set clock=device in the source to avoid this message"
            )


def _channels(info: Any) -> list[Channel]:
    """The channels as the stream's metadata describes them."""
    channels = []
    node = info.desc().child("channels").child("channel")
    for _ in range(info.channel_count()):
        keys = ("label", "eye", "type", "unit", "coordinate_system")
        channels.append(Channel(*(node.child_value(key) for key in keys)))
        node = node.next_sibling("channel")
    return channels


def streams_of(pylsl: Any, name: str, kind: str, wait_s: float) -> list[Any]:
    """The streams of a name, or where it is empty those of a type (in any case), within `wait_s` and 1 s more."""
    quote = '"' if "'" in name else "'"
    of_kind = f"translate(type, '{kind.upper()}', '{kind}')='{kind}'"
    predicate = f"name={quote}{name}{quote}" if name else of_kind
    streams = pylsl.resolve_bypred(predicate, 1, wait_s)
    if streams and not name:
        streams = pylsl.resolve_bypred(predicate, 2, _OTHERS_S) or streams
    return list({stream.uid(): stream for stream in streams}.values())


def lsl_to_host_ns(pylsl: Any) -> int:
    """What added to this machine's LSL clock gives host time."""
    return host_offset_ns(lambda: round(pylsl.local_clock() * 1e9))


def time_correction(pylsl: Any, inlet: Any, wait_s: float) -> tuple[float, float, float] | None:
    """The newest clock measurement: remote time, offset to the local LSL clock and round trip, all s; or None."""
    function = pylsl.lib.lib.lsl_time_correction_ex
    function.restype = ctypes.c_double
    remote_s, round_trip_s, code = ctypes.c_double(), ctypes.c_double(), ctypes.c_int()
    offset_s = function(
        inlet.obj, ctypes.byref(remote_s), ctypes.byref(round_trip_s), ctypes.c_double(wait_s), ctypes.byref(code)
    )
    return None if code.value else (remote_s.value, float(offset_s), round_trip_s.value)


LSL: Final = TrackerDriver(
    name="lsl",
    help="a gaze stream of the Lab Streaming Layer",
    example="lsl:// or lsl://name",
    parameters={
        **RATE,
        **CAMERA_PARAMETERS,
        **VALID_PARAMETER,
        "clock": "lsl (default), device, where the stream stamps with a clock of its own, or arrival",
    },
    schemes=("lsl",),
    open=LslTracker,
    check=_check,
)
