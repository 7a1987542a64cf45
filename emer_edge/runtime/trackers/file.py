"""Recorded trackers: Tobii Pro Lab exports (TSV, XLSX), Gazepoint CSV, files of `csv` lines, recordings' folders."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final

from emer_edge.data.recordings import RECORDING_FILE, is_recording, open_recording
from emer_edge.data.tobii import read_export
from emer_edge.errors import ConfigurationError, TrackerError
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.trackers.base import Counters, Tracker, TrackerOptions, nominal_rate_hz, unfilled_by
from emer_edge.runtime.trackers.csv_lines import CsvDecoder, is_header
from emer_edge.runtime.trackers.formats import camera_place
from emer_edge.runtime.trackers.gazepoint import CameraPlace
from emer_edge.runtime.trackers.gazepoint_file import is_gazepoint_header, read_gazepoint_csv
from emer_edge.runtime.trackers.source import TrackerSource
from emer_edge.spec.samples import TrackerSample
from emer_edge.spec.window import NANOSECONDS

__all__ = ["FileTracker", "check_file", "is_file", "open_file"]

_LEAD_IN_NS: Final = NANOSECONDS  # a first sample within a second of time 0 is where it belongs


def is_file(source: TrackerSource) -> bool:
    """Whether the source is a path without scheme."""
    return not source.scheme


def check_file(source: TrackerSource, options: TrackerOptions) -> None:
    """See `TrackerDriver.check`; the recording is read."""
    open_file(source, options).close()


def open_file(source: TrackerSource, options: TrackerOptions) -> FileTracker:
    """Open a recording (see `open_tracker`); of a recording's folder its tracker, by default with its offset.

    Parameters, of a Gazepoint CSV alone: `camera` and `axes` (see `CameraPlace`).
    """
    source.allow("camera", "axes")
    camera = camera_place(source.parameters)
    path = Path(source.path)
    if not path.exists():
        raise TrackerError(f"there is no tracker file {path}; give a TSV, XLSX or CSV, or a port such as /dev/ttyUSB0")
    if path.is_dir():
        if not is_recording(path):
            raise TrackerError(f"{path} is a folder without {RECORDING_FILE}; give the tracker's file in it")
        recording = open_recording(path)
        path = recording.tracker
        if options.offset_ms is None:
            options = replace(options, offset_ms=recording.offset_ms)
    try:
        with path.open("rb") as file:
            first = file.readline(4096)
    except OSError as error:
        raise TrackerError(f"can't read {path}: {error.strerror or error}") from error
    first = first.removeprefix(b"\xef\xbb\xbf").strip()
    if is_gazepoint_header(first) and not is_header(first):
        return _open_gazepoint(path, options, camera)
    if camera is not None:
        raise ConfigurationError(f"{path} is no Gazepoint CSV: its eye positions need no camera=")
    if is_header(first):
        return _open_csv(path, options)
    export = read_export(path)
    return FileTracker(
        source.text, lambda: export.samples(), int(export.times_ns[0]), export.rate_hz, (), Counters(), options
    )


def _open_csv(path: Path, options: TrackerOptions) -> FileTracker:
    decoder = CsvDecoder(options.display)
    samples = decoder.feed(path.read_bytes().removeprefix(b"\xef\xbb\xbf") + b"\n", 0)
    times_ns = [each.device_ns for each in samples if each.device_ns is not None]
    if not samples:
        raise TrackerError(f"{path} has a header but no sample that can be read ({decoder.counters.garbage} bad lines)")
    if len(times_ns) < len(samples):
        raise TrackerError(f"{path} has no times; a recording needs a column time_us, time_ms or time_s in every line")
    for line, (before, after) in enumerate(pairwise(times_ns), start=2):
        if after < before:
            raise TrackerError(f"{path}, sample {line}: time runs backwards; does the file hold several recordings?")
    if decoder.counters.garbage:
        options.say(f"{path}: {decoder.counters.garbage} lines can't be read and are left out")
    timed = [replace(each, stamp_ns=time_ns) for each, time_ns in zip(samples, times_ns, strict=True)]
    return FileTracker(
        str(path),
        lambda: iter(timed),
        times_ns[0],
        nominal_rate_hz(times_ns),
        unfilled_by(decoder.fields, options.display),
        decoder.counters,
        options,
    )


def _open_gazepoint(path: Path, options: TrackerOptions, camera: CameraPlace | None) -> FileTracker:
    read = read_gazepoint_csv(path, options.display, camera)
    if read.counters.garbage:
        options.say(f"{path}: {read.counters.garbage} lines can't be read and are left out")
    if read.positions_left_out:
        options.say(
            f"{path}: eye positions are counted from the tracker's camera, whose place is not known: left out. "
            f"camera=x,y,z says it, in mm from the display's top left corner: {path}?camera=263,320,20"
        )
    return FileTracker(
        str(path),
        lambda: iter(read.samples),
        read.samples[0].stamp_ns,
        nominal_rate_hz([each.stamp_ns for each in read.samples]),
        unfilled_by(set(read.fields), options.display),
        read.counters,
        options,
    )


class FileTracker(Tracker):
    """A recording played as a tracker; made by `open_file`.

    Args:
        source: its name.
        samples: makes the samples, in order of time, stamped in the recording's own clock.
        first_ns: stamp of the first of them.
        rate_hz: nominal rate.
        missing_columns: keys of the columns it can't fill.
        counters: what was lost while reading.
        options: pace, start and offset.
    """

    live = False
    clock = "media"

    def __init__(
        self,
        source: str,
        samples: Callable[[], Iterator[TrackerSample]],
        first_ns: int,
        rate_hz: float,
        missing_columns: tuple[str, ...],
        counters: Counters,
        options: TrackerOptions,
    ) -> None:
        self.source = source
        self.synchronised = options.offset_ms is not None
        self._samples = samples()
        self._rate_hz = rate_hz
        self._missing_columns = missing_columns
        self._counters = counters
        self._fast = options.pace == "fast"
        self._start_ns = 0 if self._fast and options.start_ns is None else options.start_ns
        self._shift_ns = 0 if options.offset_ms is None else round(options.offset_ms * 1e6)
        if options.offset_ms is None and abs(first_ns) > _LEAD_IN_NS:
            self._shift_ns = -first_ns
            options.say(
                f"{source}: its clock starts at {first_ns * 1e-9:.1f} s, put at the video's start; "
                "the offset in milliseconds, given explicitly, would say better"
            )
        self._closed = threading.Event()

    @property
    def rate_hz(self) -> float:
        """Rate of the recording, from its times."""
        return self._rate_hz

    @property
    def missing_columns(self) -> tuple[str, ...]:
        """Keys of the eye columns that the file lacks; none in a Tobii export, which is refused otherwise."""
        return self._missing_columns

    @property
    def dropped(self) -> dict[str, int]:
        """Lines that could not be read, samples missing from the sequence."""
        return self._counters.losses()

    def start(self, start_ns: int) -> None:
        """Put time 0 at this host time; to be called before the first sample is read."""
        self._start_ns = start_ns

    def __next__(self) -> TrackerSample:
        if self._start_ns is None:
            self._start_ns = monotonic_ns()
        if self._closed.is_set():
            raise StopIteration
        sample = next(self._samples)
        stamp_ns = sample.stamp_ns + self._shift_ns + self._start_ns
        if self._fast:
            return replace(sample, stamp_ns=stamp_ns, arrival_ns=stamp_ns)
        if self._closed.wait(max(0, stamp_ns - monotonic_ns()) / NANOSECONDS):
            raise StopIteration
        return replace(sample, stamp_ns=stamp_ns, arrival_ns=max(stamp_ns, monotonic_ns()))

    def close(self) -> None:
        """End the iteration."""
        self._closed.set()
