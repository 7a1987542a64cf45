"""A data set in EMER's layout from a laboratory's recordings: videos, a tracker's export each, and one table of labels.

<output>/face/<participant>_<clip>/00001.png ... and frames.csv   crops; the number is that of the frame
<output>/eye/<participant>_<clip>.tsv                             the 39 columns, with times from the clip's start
<output>/EMER_label.csv, emer_set.txt                             the table's label columns, and folds
<output>/dataset.csv                                              a row a clip: what became of it, and why

Times of clips are those of the video; a tracker's times are put on it by the offset. Columns 33 to 39 are computed.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle.manifest import FaceRecord
from emer_edge.core.columns import COLUMN_KEYS, VALIDITY
from emer_edge.core.errors import CameraError, DataError, OutputExistsError, TrackerError
from emer_edge.core.numbers import number_or_nan
from emer_edge.core.progress import Progress, silent
from emer_edge.core.samples import Display, Frame, StimulusRect
from emer_edge.core.whole_file import Target, whole_folder
from emer_edge.core.window import NANOSECONDS
from emer_edge.data.cache import contents_of
from emer_edge.data.frames import FRAME_TIMES
from emer_edge.data.labels import open_labels
from emer_edge.data.layout import same_name
from emer_edge.data.tables import read_table
from emer_edge.offline.lab_clips import (
    FOLD_FILE,
    LABEL_FILE,
    LabClip,
    by_stem,
    deal_folds,
    find_exports,
    judged,
    read_clips,
    write_csv,
    write_folds,
    write_labels,
)
from emer_edge.offline.prepare import detector_hash, find_videos, read_report, write_crop
from emer_edge.runtime.cameras import open_camera
from emer_edge.runtime.faces import FaceSource
from emer_edge.runtime.options import FaceOptions, Subject
from emer_edge.runtime.session import Session
from emer_edge.runtime.trackers import TrackerOptions, open_tracker
from emer_edge.runtime.trackers.xdf import SUFFIX as XDF
from emer_edge.runtime.trackers.xdf import read_markers
from emer_edge.signals.rows import raw_rows

REPORT_FILE: Final = "dataset.csv"
_TIME: Final = "Recording timestamp [ms]"
_OURS: Final = re.compile(rf"\d{{5,}}\.png|{re.escape(FRAME_TIMES)}")
_COLUMNS: Final = ("clip", "row", "frames", "crops", "eye_rows", "problem", "made_from")


@dataclass(frozen=True)
class MadeClip:
    """What became of a row.

    Attributes:
        clip: the row.
        frames: frames of the video in it.
        crops, eye_rows: what was written.
        problem: why there is no clip, or empty.
        made_from: hash of the files and options behind it.
        kept: it was there before, made from the same files with the same options.
    """

    clip: LabClip
    frames: int = 0
    crops: int = 0
    eye_rows: int = 0
    problem: str = ""
    made_from: str = ""
    kept: bool = False


@dataclass(frozen=True, eq=False)
class Eyes:
    """What a tracker saw, on the video's clock.

    Attributes:
        times_ns: (n,) int64.
        cells: (n, 39) float64, NaN for what is missing.
        markers: text -> seconds of its first marker.
    """

    times_ns: NDArray[np.int64]
    cells: NDArray[np.float64]
    markers: Mapping[str, float]


@dataclass(frozen=True)
class Lab:
    """How recordings become clips.

    Attributes:
        session: the bundle whose detector finds the faces.
        record: template of the crops, and whether brightness is matched.
        subject: which face to follow when a video starts with several.
        display: that of the experiment: pixels and millimetres of gaze.
        offset_ms: of recordings whose row gives none; None: the tracker's first sample belongs to the video's start.
        say: takes sentences about files.
    """

    session: Session
    record: FaceRecord
    subject: Subject = FaceOptions.subject
    display: Display = field(default_factory=Display)
    offset_ms: float | None = None
    say: Callable[[str], None] = lambda text: None


def make_dataset(
    videos: Path,
    trackers: Path,
    labels: Path,
    output: Path,
    *,
    lab: Lab,
    force: bool = False,
    progress: Progress = silent,
) -> tuple[MadeClip, ...]:
    """Make a data set, or go on with one; every row of the label table has its row in the report.

    Clips that were made from the same files with the same options are kept, so that the same command goes on after a
    stop. Folds are dealt by participant, the largest first, into the fold with the fewest clips.

    Raises:
        DataError: the table lacks a column, there are fewer than five participants, no row became a clip, or the disk
            refuses.
        OutputExistsError: the output holds a clip of other files or options, and `force` is false.
    """
    sources = by_stem(find_videos(videos).values()), by_stem(find_exports(trackers))
    table = read_table(labels)
    rows = read_clips(table)
    try:
        (output / "eye").mkdir(parents=True, exist_ok=True)
        write_labels(table, rows, output / LABEL_FILE)
        written = open_labels(output / LABEL_FILE, view="er")
        clips = [judged(clip, *sources, written) for clip in rows]
        folds = deal_folds([clip for clip in clips if not clip.problem], labels)
        write_folds(folds, clips, output / FOLD_FILE)
        before = read_report(output / REPORT_FILE, _COLUMNS)
        made = {clip.row: MadeClip(clip, problem=clip.problem) for clip in clips}
        recordings = dict.fromkeys(same_name(clip.recording) for clip in clips if not clip.problem)
        for number, key in enumerate(recordings, start=1):
            (video,), (export,) = (stems[key] for stems in sources)
            wanted = [clip for clip in clips if same_name(clip.recording) == key and not clip.problem]
            for done in _Cutter(video, export, output, lab, before=before, force=force).cut(wanted):
                made[done.clip.row] = done
            _write_report(output / REPORT_FILE, made.values())
            progress("reading recordings", number, len(recordings))
        _write_report(output / REPORT_FILE, made.values())
    except OSError as error:
        raise DataError(f"can't write the data set {output}: {error.strerror or error}") from error
    if all(each.problem for each in made.values()):
        first = next(iter(made.values()))
        raise DataError(f"no row of {labels} became a clip; row {first.clip.row}: {first.problem}")
    return tuple(made.values())


class _Cutter:
    """Cuts the clips of one recording out of its video and its tracker's export."""

    def __init__(
        self, video: Path, export: Path, output: Path, lab: Lab, *, before: Mapping[str, dict[str, str]], force: bool
    ) -> None:
        self._video, self._export, self._output, self._lab = video, export, output, lab
        self._before, self._force = before, force
        options = lab.record, lab.subject, lab.display, detector_hash(lab.session), contents_of([video, export])
        self._made_of = repr(options)

    def cut(self, clips: Sequence[LabClip]) -> Iterator[MadeClip]:
        """Make the clips, in the order of their starts; those that are there already are kept."""
        todo: list[LabClip] = []
        for clip in clips:
            made_from, known = self._made_from(clip), self._before.get(clip.name, {})
            folder = self._output / "face" / clip.name
            if folder.is_dir() and known.get("made_from") == made_from and not self._force:
                crops, rows, frames = (int(known[key]) for key in ("crops", "eye_rows", "frames"))
                yield MadeClip(clip, frames, crops, rows, made_from=made_from, kept=True)
            elif folder.is_dir() and not self._force:
                raise OutputExistsError(
                    folder, "it was made of other files or with other options; remove it, or --force"
                )
            else:
                todo.append(clip)
        for offset_ms in dict.fromkeys(clip.offset_ms for clip in todo):
            yield from self._of_offset(offset_ms, [clip for clip in todo if clip.offset_ms == offset_ms])

    def _of_offset(self, offset_ms: float | None, clips: Sequence[LabClip]) -> Iterator[MadeClip]:
        try:
            eyes = read_eyes(self._export, self._lab, self._lab.offset_ms if offset_ms is None else offset_ms)
        except (TrackerError, DataError) as error:
            yield from (MadeClip(clip, problem=str(error)) for clip in clips)
            return
        spans: dict[LabClip, tuple[int, int]] = {}
        for clip in clips:
            try:
                spans[clip] = self._span(clip, eyes)
            except DataError as error:
                yield MadeClip(clip, problem=str(error))
        yield from self._faces(spans, eyes)

    def _span(self, clip: LabClip, eyes: Eyes) -> tuple[int, int]:
        """From where to where in the video: nanoseconds."""
        ends = []
        for text, blank in ((clip.start, 0.0), (clip.end, math.inf)):
            seconds = number_or_nan(text) if text else blank
            if math.isnan(seconds):
                if text not in eyes.markers:
                    known = f"markers ({', '.join(list(eyes.markers)[:5])}, ...)" if eyes.markers else "no markers"
                    raise DataError(f"{text!r} is neither seconds nor a marker; {self._export.name} holds {known}")
                seconds = eyes.markers[text]
            ends.append(seconds)
        start, end = ends
        if not max(start, 0.0) < end:
            raise DataError(f"it ends at {end:g} s, which is not after its start at {start:g} s")
        first_s, last_s = (int(eyes.times_ns[at]) / NANOSECONDS for at in (0, -1))
        if end < first_s or start > last_s:
            raise DataError(
                f"the tracker's times ({first_s:.1f} to {last_s:.1f} s) do not meet the clip's ({start:.1f} to "
                f"{end:.1f} s); give what puts them on the video's clock as offset_ms"
            )
        return round(max(start, 0.0) * NANOSECONDS), round(min(end, last_s) * NANOSECONDS)

    def _faces(self, spans: Mapping[LabClip, tuple[int, int]], eyes: Eyes) -> Iterator[MadeClip]:
        """Cut the crops and rows of clips; faces are followed anew in each, so that none hangs on another."""
        waiting = sorted(spans, key=spans.__getitem__, reverse=True)
        try:
            with _Video(self._video) as video:
                while waiting:
                    yield self._clip(waiting[-1], video, eyes, spans[waiting[-1]])
                    waiting.pop()
        except CameraError as error:  # those before it are made
            yield from (MadeClip(clip, problem=str(error)) for clip in reversed(waiting))

    def _clip(self, clip: LabClip, video: _Video, eyes: Eyes, span_ns: tuple[int, int]) -> MadeClip:
        start_ns, end_ns = span_ns
        lab = self._lab
        faces = FaceSource(lab.session.detector, lab.record, NANOSECONDS, FaceOptions(lab.subject, detect_every=1))
        target = Target.of(self._output / "face" / clip.name, self._force, _writes)
        times: dict[str, float] = {}
        with whole_folder(target) as folder:
            for frame in video.between(start_ns, end_ns):
                if (face := faces.on_frame(frame)) is not None:
                    crop = folder / f"{frame.index + 1:05d}.png"
                    write_crop(crop, face.crop)
                    times[crop.name] = (frame.stamp_ns - start_ns) * 1e-6
            if times:
                write_csv(folder / FRAME_TIMES, ("frame", "time_ms"), times.items())
        sheet = self._output / "eye" / f"{clip.name}.tsv"
        if not times:
            sheet.unlink(missing_ok=True)  # of a clip that was replaced
            reasons = ", ".join(f"{count} {reason.value}" for reason, count in faces.missed.most_common())
            return MadeClip(clip, faces.frames, problem=f"no frame has a usable face: {reasons or 'it has no frames'}")
        rows = write_sheet(sheet, eyes, start_ns, end_ns)
        return MadeClip(clip, faces.frames, len(times), rows, made_from=self._made_from(clip))

    def _made_from(self, clip: LabClip) -> str:
        text = f"{self._made_of} {clip.start!r} {clip.end!r} {clip.offset_ms} {self._lab.offset_ms}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def _writes(file: Path) -> bool:
    return _OURS.fullmatch(file.as_posix()) is not None


class _Video:
    """Frames of a video by their times, in one pass where the spans that are asked for follow each other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open = ExitStack()
        self._frames: Iterator[Frame] = iter(())
        self._at_ns: float = math.inf  # the next frame's time at the least

    def __enter__(self) -> _Video:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def between(self, start_ns: int, end_ns: int) -> Iterator[Frame]:
        if self._at_ns > start_ns:
            self._open.close()
            self._frames = iter(self._open.enter_context(open_camera(str(self._path), "fast")))
        for frame in self._frames:
            self._at_ns = frame.stamp_ns
            if frame.stamp_ns > end_ns:
                self._frames = chain((frame,), self._frames)
                return
            if frame.stamp_ns >= start_ns:
                yield frame


def read_eyes(export: Path, lab: Lab, offset_ms: float | None) -> Eyes:
    """Read a tracker's export on the video's clock.

    Raises:
        TrackerError, DataError: it can't be read, or holds no usable rows.
        MissingExtraError: it is of a kind that needs a library.
    """
    options = TrackerOptions(lab.display, pace="fast", offset_ms=offset_ms, say=lab.say)
    whole = StimulusRect.whole(lab.display)
    with open_tracker(str(export), options) as tracker:
        samples = list(tracker)
        missing = tracker.missing_columns
    if not samples:
        raise TrackerError(f"{export} holds no sample")
    if missing:
        lab.say(f"{export} does not fill {len(missing)} of the 39 eye columns")
    times_ns = np.array([sample.stamp_ns for sample in samples], np.int64)
    cells = raw_rows(samples, lab.display, whole)
    markers = {}
    if export.suffix.lower() == XDF:
        shift_s = (samples[0].stamp_ns - (samples[0].device_ns or 0)) / NANOSECONDS
        markers = {text: time_s + shift_s for text, time_s in read_markers(export).items()}
    return Eyes(times_ns, cells, markers)


def write_sheet(path: Path, eyes: Eyes, start_ns: int, end_ns: int) -> int:
    """Write the rows from `start_ns` to `end_ns` as a sheet with times from its start; return their number.

    Missing cells are blank, as columns 33 to 39 are: they are computed when the sheet is used.
    """
    inside = (eyes.times_ns >= start_ns) & (eyes.times_ns <= end_ns)
    validity = range(*VALIDITY.indices(len(COLUMN_KEYS)))

    def text(at: int, cell: float) -> str:
        if at in validity:
            return "Valid" if cell == 1.0 else "Invalid"
        return "" if math.isnan(cell) else f"{cell:.9g}"

    rows = (
        ((time_ns - start_ns) * 1e-6, *(text(at, cell) for at, cell in enumerate(cells)))
        for time_ns, cells in zip(eyes.times_ns[inside].tolist(), eyes.cells[inside].tolist(), strict=True)
    )
    write_csv(path, (_TIME, *COLUMN_KEYS), rows, delimiter="\t")
    return int(inside.sum())


def _write_report(path: Path, made: Iterable[MadeClip]) -> None:
    rows = (
        (each.clip.name, each.clip.row, each.frames, each.crops, each.eye_rows, each.problem, each.made_from)
        for each in made
    )
    write_csv(path, _COLUMNS, rows)
