"""Recorded trackers, played: exports of laboratories, and recordings of `run --record FILE.mcap`.

Files are Tobii Pro Lab exports (TSV, XLSX), Gazepoint CSV, `csv` lines, and recordings' folders.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

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
from emer_edge.runtime.trackers.base import Tracker, TrackerDriver, TrackerOptions, unfilled_by
from emer_edge.runtime.trackers.codec import Counters
from emer_edge.runtime.trackers.formats.csv_lines import CsvDecoder, is_header
from emer_edge.runtime.trackers.gazepoint import CAMERA_PARAMETERS, CameraPlace, is_gazepoint_header, read_gazepoint_csv
from emer_edge.signals.rows import nominal_rate_hz

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
        return FileTracker(_csv(table, options), options)
    export = export_of(table.squared())
    _say_notes(path, export.notes, options)
    return FileTracker(PlayedSamples(address.text, export.samples(), int(export.times_ns[0]), export.rate_hz), options)


@dataclass(frozen=True)
class PlayedSamples:
    """The samples of a file.

    Attributes:
        source: its name.
        samples: in order of time; stamps and arrivals in the recording's own clock.
        first_ns: stamp of the first of them.
        rate_hz: nominal rate.
        missing_columns: keys of the eye columns that it can't fill.
        counters: what was lost while reading.
    """

    source: str
    samples: Iterator[TrackerSample]
    first_ns: int
    rate_hz: float
    missing_columns: tuple[str, ...] = ()
    counters: Counters = field(default_factory=Counters)


def _say_notes(path: Path, notes: Sequence[str], options: TrackerOptions) -> None:
    for note in notes:
        options.say(f"{path} {note}")


def _line(cells: Sequence[str]) -> bytes:
    return ",".join(cell.replace(",", " ") for cell in cells).encode("ascii", "replace")


def _csv(table: Table, options: TrackerOptions) -> PlayedSamples:
    path, decoder = table.path, CsvDecoder(options.display)
    lines = [table.header, *table.plain_rows()]
    samples = decoder.feed(b"".join(_line(cells) + b"\n" for cells in lines), 0)
    times_ns = [sample.device_ns for sample in samples if sample.device_ns is not None]
    if not samples:
        raise TrackerError(f"{path} has a header but no sample that can be read ({decoder.counters.garbage} bad lines)")
    if len(times_ns) < len(samples):
        raise TrackerError(f"{path} has no times; a recording needs a column time_us, time_ms or time_s in every line")
    for line, (before, after) in enumerate(pairwise(times_ns), start=2):
        if after < before:
            raise TrackerError(f"{path}, sample {line}: time runs backwards; does the file hold several recordings?")
    timed = [
        replace(sample, stamp_ns=time_ns, arrival_ns=time_ns) for sample, time_ns in zip(samples, times_ns, strict=True)
    ]
    return _played(path, timed, decoder.fields, decoder.counters, options=options)


def _gazepoint(table: Table, options: TrackerOptions, camera: CameraPlace | None) -> PlayedSamples:
    path = table.path
    samples, reader = read_gazepoint_csv(table, options.display, camera)
    played = _played(path, samples, reader.fields, reader.counters, options=options)
    if reader.positions_left_out:
        options.say(
            f"{path}: eye positions are measured from the tracker's camera, whose place is unknown, so they are left "
            f"out. Give it in mm from the display's top left corner as camera=x,y,z: {path}?camera=263,320,20"
        )
    return played


def _played(
    path: Path, samples: list[TrackerSample], fields: set[str], counters: Counters, *, options: TrackerOptions
) -> PlayedSamples:
    if counters.garbage:
        options.say(f"{path}: {counters.garbage} lines can't be read and are left out")
    times_ns = [sample.stamp_ns for sample in samples]
    missing = unfilled_by(fields, options.display)
    rate_hz = nominal_rate_hz(times_ns)
    return PlayedSamples(str(path), iter(samples), times_ns[0], rate_hz, missing_columns=missing, counters=counters)


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
        if options.offset_ms is None and abs(played.first_ns) > _LEAD_IN_NS:
            self._shift_ns = -played.first_ns
            options.say(
                f"{played.source}: its clock starts at {played.first_ns * 1e-9:.1f} s, put at the video's start; "
                "give the offset in milliseconds for an exact match"
            )

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
        played = PlayedSamples(str(path), self._read(), 0, self.head.rate_hz, missing_columns=missing)
        super().__init__(played, options)
        self.synchronised = self.head.synchronised or options.offset_ms is not None

    def _read(self) -> Iterator[TrackerSample]:
        origin_ns = self.head.origin_ns
        for read in read_messages(self.recording, {SAMPLES}):
            message = read.decode()
            yield replace(
                sample_of(message), stamp_ns=message.stamp_ns - origin_ns, arrival_ns=message.taken_ns - origin_ns
            )


def _open_recorded(address: Address, options: TrackerOptions) -> RecordedTracker:
    try:
        return RecordedTracker(Path(address.path), options)
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
    parameters=CAMERA_PARAMETERS,
    claims=lambda address: True,
    open=open_file,
    check=lambda address, options: open_file(address, options).close(),
    live=False,
)
