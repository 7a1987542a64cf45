"""Recorded trackers, played: exports of laboratories, and recordings of `run --record FILE.mcap`.

Files are Tobii Pro Lab exports (TSV, XLSX), Gazepoint CSV, `csv` lines, and recordings' folders.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import Final

import numpy as np

from emer_edge.core.errors import ConfigurationError, DataError, TrackerError
from emer_edge.core.samples import TrackerSample
from emer_edge.core.window import NANOSECONDS
from emer_edge.data.recordings import RECORDING_FILE, export_of, is_recording, open_recording
from emer_edge.data.sheets import eye_header
from emer_edge.data.tables import Table, read_table
from emer_edge.runtime.address import Address
from emer_edge.runtime.drivers import Played
from emer_edge.runtime.recording.mcap_reader import is_mcap, read_head, read_messages
from emer_edge.runtime.recording.messages import SAMPLES, sample_of
from emer_edge.runtime.trackers.base import NoTracker, Tracker, TrackerDriver, TrackerOptions, unfilled_by
from emer_edge.runtime.trackers.codec import VALID_PARAMETER, Counters, ValidityCodes, shown
from emer_edge.runtime.trackers.file_checks import check_rate, check_validity, rows_in_order
from emer_edge.runtime.trackers.formats.csv_lines import CsvDecoder, is_header
from emer_edge.runtime.trackers.gazepoint import CAMERA_PARAMETERS, CameraPlace, is_gazepoint_header, read_gazepoint_csv

_LEAD_IN_NS: Final = NANOSECONDS  # a first sample within a second of time 0 is where it belongs


def open_file(address: Address, options: TrackerOptions) -> FileTracker:
    """Open a recording; of a recording's folder its tracker, by default with its offset."""
    camera = CameraPlace.of(address.parameters)
    path = Path(address.path)
    if not path.exists():
        raise TrackerError(f"there is no tracker file {path}; give a TSV, XLSX or CSV, or a port such as /dev/ttyUSB0")
    if path.is_dir():
        if not is_recording(path):
            raise TrackerError(f"{path} is a folder without {RECORDING_FILE}; give the tracker's file in it")
        recording = open_recording(path)
        path = recording.tracker
        if options.offset_ms is None:
            options = replace(options, offset_ms=recording.offset_ms)

    def fits(header: Sequence[str]) -> None:
        if not is_header(_line(header)) and not is_gazepoint_header(header):
            eye_header(header, path)

    table = read_table(path, fits, ragged=True)
    lines = is_header(_line(table.header))
    if lines or is_gazepoint_header(table.header):
        _say_notes(path, table.notes, options)
    if is_gazepoint_header(table.header) and not lines:
        return FileTracker(_gazepoint(table, options, camera), options)
    if camera is not None:
        raise ConfigurationError(f"{path} is no Gazepoint CSV: its eye positions need no camera=")
    if lines:
        return FileTracker(_csv(table, options, ValidityCodes.of(address.parameters)), options)
    export, counters = export_of(table.squared()), Counters()
    _say_notes(path, export.notes, options)
    chosen = rows_in_order(path, export.times_ns, counters, options.say)
    times_ns = export.times_ns[chosen].tolist()
    samples, span_ns = compress(export.samples(), chosen), (times_ns[0], times_ns[-1])
    rate_hz = check_rate(path, times_ns)
    return FileTracker(PlayedSamples(address.text, samples, span_ns, rate_hz, counters=counters), options)


@dataclass(frozen=True)
class PlayedSamples:
    """The samples of a file.

    Attributes:
        source: its name.
        samples: in order of time; stamps and arrivals in the recording's own clock.
        span_ns: stamps of the first and the last of them; None where the last is not known.
        rate_hz: nominal rate.
        missing_columns: keys of the eye columns that it can't fill.
        counters: what was lost while reading.
    """

    source: str
    samples: Iterator[TrackerSample]
    span_ns: tuple[int, int] | None
    rate_hz: float
    missing_columns: tuple[str, ...] = ()
    counters: Counters = field(default_factory=Counters)


def _say_notes(path: Path, notes: Sequence[str], options: TrackerOptions) -> None:
    for note in notes:
        options.say(f"{path} {note}")


def _line(cells: Sequence[str]) -> bytes:
    return ",".join(cell.replace(",", " ") for cell in cells).encode("ascii", "replace")


def _csv(table: Table, options: TrackerOptions, validity: ValidityCodes) -> PlayedSamples:
    path, decoder = table.path, CsvDecoder(options.display, validity=validity)
    lines = [table.header, *table.plain_rows()]
    samples = decoder.feed(b"".join(_line(cells) + b"\n" for cells in lines), 0)
    times_ns = [sample.device_ns for sample in samples if sample.device_ns is not None]
    if not samples:
        raise TrackerError(
            f"{path} has a header but no sample that can be read ({decoder.counters.garbage} bad lines, "
            f"the first: {shown(decoder.counters.example)})"
        )
    if len(times_ns) < len(samples):
        raise TrackerError(f"{path} has no times; a recording needs a column time_us, time_ms or time_s in every line")
    timed = [
        replace(sample, stamp_ns=time_ns, arrival_ns=time_ns) for sample, time_ns in zip(samples, times_ns, strict=True)
    ]
    check_validity(path, decoder.validity, samples, options.say)
    name = decoder.time_name
    return played_samples(
        path, timed, decoder.fields, decoder.counters, options=options, clock=(name, name[len("time_") :])
    )


def _gazepoint(table: Table, options: TrackerOptions, camera: CameraPlace | None) -> PlayedSamples:
    path = table.path
    samples, reader = read_gazepoint_csv(table, options.display, camera)
    clock = ("TIME", "s") if reader.tick_hz is None else ("TIMETICK", "ns")
    played = played_samples(path, samples, reader.fields, reader.counters, options=options, clock=clock)
    if reader.positions_left_out:
        options.say(
            f"{path}: eye positions are measured from the tracker's camera, whose place is unknown, so they are left "
            f"out. Give it in mm from the display's top left corner as camera=x,y,z: {path}?camera=263,320,20"
        )
    return played


def played_samples(
    path: Path,
    samples: list[TrackerSample],
    fields: set[str],
    counters: Counters,
    *,
    options: TrackerOptions,
    clock: tuple[str, str] = ("", ""),
) -> PlayedSamples:
    """The samples of a file in order of time, and how they are played.

    Args:
        path: the file, for messages.
        samples: as read, with stamps of its own clock.
        fields: what it holds, for `unfilled_by`.
        counters: what was lost while reading; goes on.
        options: display, and who hears sentences.
        clock: what the file calls its times, and their unit; empty where the unit is sure.

    Raises:
        TrackerError: the times run through several recordings, or at a rate of no eye tracker.
    """
    if counters.garbage:
        example = shown(counters.example)
        options.say(f"{path}: {counters.garbage} lines can't be read and are left out; the first: {example}")
    times_ns = np.array([sample.stamp_ns for sample in samples], np.int64)
    chosen = rows_in_order(path, times_ns, counters, options.say)
    samples, times_ns = list(compress(samples, chosen)), times_ns[chosen]
    rate_hz = check_rate(path, times_ns.tolist(), *clock)
    missing, span_ns = unfilled_by(fields, options.display), (int(times_ns[0]), int(times_ns[-1]))
    return PlayedSamples(str(path), iter(samples), span_ns, rate_hz, missing_columns=missing, counters=counters)


class FileTracker(Played, Tracker):
    """A recording played as a tracker."""

    missing_columns: tuple[str, ...] = ()

    def __init__(self, played: PlayedSamples, options: TrackerOptions) -> None:
        super().__init__(options.pace, options.start_ns)
        self.source, self.rate_hz = played.source, played.rate_hz
        self.missing_columns = played.missing_columns
        self.synchronised = options.offset_ms is not None
        self._played = played
        self._shift_ns = 0 if options.offset_ms is None else round(options.offset_ms * 1e6)
        first_ns = 0 if played.span_ns is None else played.span_ns[0]
        if options.offset_ms is None and abs(first_ns) > _LEAD_IN_NS:
            self._shift_ns = -first_ns
            options.say(
                f"{played.source}: its clock starts at {first_ns * 1e-9:.1f} s, put at the video's start; "
                "give the offset in milliseconds for an exact match"
            )

    @property
    def span_ns(self) -> tuple[int, int] | None:
        """Times of the first and the last sample after time 0; None where the last is not known."""
        span_ns = self._played.span_ns
        return None if span_ns is None else (span_ns[0] + self._shift_ns, span_ns[1] + self._shift_ns)

    @property
    def dropped(self) -> dict[str, int]:
        """Lines that could not be read, samples missing from the sequence."""
        return self._played.counters.losses()

    def __next__(self) -> TrackerSample:
        shift_ns = self._shift_ns + self._started_ns()
        if self._closed.is_set():
            raise StopIteration
        sample = next(self._played.samples)
        arrival_ns = sample.arrival_ns + shift_ns
        if not self._fast:
            arrival_ns = self._await(arrival_ns)
        return replace(sample, stamp_ns=sample.stamp_ns + shift_ns, arrival_ns=arrival_ns)


class RecordedTracker(FileTracker):
    """Samples of a recorded run; time 0 is the start of its lattice of hops.

    Attributes:
        recording: the file.
        head: its description of itself.

    Raises:
        DataError: it is no recording.
    """

    def __init__(self, path: Path, options: TrackerOptions) -> None:
        self.head = read_head(path)
        self.recording = path
        missing = tuple(self.head.missing_columns)
        played = PlayedSamples(str(path), self._read(), None, self.head.rate_hz, missing_columns=missing)
        super().__init__(played, options)
        self.synchronised = self.head.synchronised or options.offset_ms is not None

    def _read(self) -> Iterator[TrackerSample]:
        origin_ns = self.head.origin_ns
        for read in read_messages(self.recording, {SAMPLES}):
            message = read.decode()
            yield replace(
                sample_of(message), stamp_ns=message.stamp_ns - origin_ns, arrival_ns=message.taken_ns - origin_ns
            )


def _open_recorded(address: Address, options: TrackerOptions) -> Tracker:
    try:
        tracker = RecordedTracker(Path(address.path), options)
        return NoTracker() if tracker.head.tracker == NoTracker.source else tracker
    except DataError as error:
        raise TrackerError(str(error)) from None


RECORDED: Final = TrackerDriver(
    name="recording",
    help="the recording of a run",
    example="run.mcap",
    claims=lambda address: is_mcap(Path(address.path)),
    open=_open_recorded,
    check=lambda address, options: _open_recorded(address, options).close(),
    live=False,
)

TRACKER_FILE: Final = TrackerDriver(
    name="file",
    help="a Tobii Pro Lab export (TSV, XLSX), a Gazepoint CSV, lines under a header, or a recording's folder",
    example="tracker.tsv, tracker.xlsx, tracker.csv or a recording's folder",
    parameters={**CAMERA_PARAMETERS, **VALID_PARAMETER},
    claims=lambda address: True,
    open=open_file,
    check=lambda address, options: open_file(address, options).close(),
    live=False,
)
