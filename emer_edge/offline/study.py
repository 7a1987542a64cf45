"""What a study's report reads: saved sessions, the recordings of the same runs, and clips without results.

A recording belongs to the session of the same participant that has results at the same times; it adds the gaze. A
recording alone is a session, too, without the baseline and the validation that only `session.json` holds.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle import Bundle
from emer_edge.core.columns import GAZE_POINT, PUPILS
from emer_edge.core.errors import DataError
from emer_edge.core.progress import Progress, silent
from emer_edge.core.results import State
from emer_edge.core.samples import Display, StimulusRect
from emer_edge.core.session_facts import Baseline, Marker, Validation
from emer_edge.core.whole_file import is_claimed
from emer_edge.core.window import NANOSECONDS, NEW_RULE, EventsRule, WindowSpec
from emer_edge.data.dataset import UsableClips
from emer_edge.data.frames import natural_key
from emer_edge.data.layout import find_layout
from emer_edge.data.recordings import is_recording, open_recording
from emer_edge.data.sessions import RESULTS_FILE, SESSION_FILE, open_session
from emer_edge.report.words import in_order
from emer_edge.runtime.recording import messages
from emer_edge.runtime.recording.keep import MCAP
from emer_edge.runtime.recording.mcap_reader import breaks_off, read_head, read_messages
from emer_edge.runtime.trackers.base import NoTracker
from emer_edge.signals.fixations import Fixations, find_fixations, viewing_distance_mm
from emer_edge.signals.rows import network_rows, raw_rows

EYES: Final = ("left", "right")
_SAME_RUN_S: Final = 60.0  # between the beginnings of a session and of its recording
_SHARED: Final = ("started", "version", "bundle", "camera", "tracker")  # by the heads of both


@dataclass(frozen=True, eq=False)
class Gaze:
    """The eye samples of a session.

    Attributes:
        times_ns: (n,) int64 ascending, on the clock of the results.
        points_px: (n, 2) float64, the mean of the valid eyes; NaN where no eye was seen.
        pupils_mm: (n, 2) float64, left and right; NaN where missing.
        fixations: by the bundle's rule.
        distance_mm: of the eyes from the display, median; 650 where the tracker tells none.
    """

    times_ns: NDArray[np.int64]
    points_px: NDArray[np.float64]
    pupils_mm: NDArray[np.float64]
    fixations: Fixations
    distance_mm: float

    @classmethod
    def of(
        cls, cells: NDArray[Any], times_ns: NDArray[np.int64], seen: NDArray[np.bool_], events: EventsRule
    ) -> Gaze | None:
        """From (n, 39) cells, blank ones NaN or 0, their times, and whether an eye was seen; None where n is 0."""
        if not len(cells):
            return None
        rows = network_rows(cells)
        points_px = np.where(seen[:, None], rows[:, GAZE_POINT].astype(np.float64), np.nan)
        pupils_mm = np.where(rows[:, PUPILS] > 0, rows[:, PUPILS].astype(np.float64), np.nan)
        fixations = find_fixations(rows, times_ns, seen, events)
        distance_mm = viewing_distance_mm(rows, seen)
        return cls(times_ns, points_px, pupils_mm, fixations, distance_mm=distance_mm)


@dataclass(frozen=True, eq=False)
class StudySession:
    """One run of one person, or one clip, which has neither results nor markers.

    Attributes:
        participant, session: IDs.
        manifest_sha256: of the bundle; empty where a recording alone tells of it.
        length_ns, hop_ns: of the windows, 0 without any.
        channels: label and unit of each measure: class probabilities, values, the gap, pupils.
        spans_ns: (n, 2) int64, beginning and end of each window.
        states: (n,) of the results.
        slots: (n, 2) covered face and eye slots.
        values: (n, k) float64, NaN where a result holds none.
        baseline: what `--baseline` measured.
        result_notes: notes of its results, each once.
        notes: what a reader must know of this session, as sentences.
    """

    participant: str
    session: str
    path: Path
    display: Display
    started: str = ""
    version: str = ""
    bundle: str = ""
    camera: str = ""
    tracker: str = ""
    manifest_sha256: str = ""
    stimulus: StimulusRect | None = None
    length_ns: int = 0
    hop_ns: int = 0
    channels: tuple[tuple[str, str], ...] = ()
    spans_ns: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    states: tuple[str, ...] = ()
    slots: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    values: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    markers: tuple[Marker, ...] = ()
    baseline: Baseline | None = None
    validation: Validation | None = None
    gaze: Gaze | None = None
    result_notes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Participant and session, or the name of a clip."""
        return f"{self.participant}/{self.session}" if self.bundle else self.session

    @property
    def begins_ns(self) -> int:
        """The beginning of the run, or of a clip's gaze: 0 of all times that are shown."""
        if self.states:
            return int(self.spans_ns[0, 1]) - self.hop_ns
        return 0 if self.gaze is None else int(self.gaze.times_ns[0])

    def seconds(self, time_ns: int) -> float:
        """A time on the clock of the results as seconds since the beginning."""
        return (int(time_ns) - self.begins_ns) / NANOSECONDS

    @property
    def ends_ns(self) -> int:
        """The end of the last window, or just after a clip's last sample."""
        if self.states:
            return int(self.spans_ns[-1, 1])
        return 0 if self.gaze is None else int(self.gaze.times_ns[-1]) + 1


def open_study(
    paths: Sequence[Path], bundle: Bundle | None = None, progress: Progress = silent, *, sheet_rate_hz: float = 0.0
) -> tuple[StudySession, ...]:
    """Read sessions, recordings, folders with any of them below, recordings of labs, and data sets.

    Args:
        paths: as named by a person.
        bundle: of the sessions; its rule of eye movements finds the fixations, else the rule of new bundles.
        progress: called for each session.
        sheet_rate_hz: rows a second of a data set's sheets that tell no times.

    Raises:
        DataError: nothing to read, a file that can't be read, two sessions of one name, or sessions of different
            bundles or windows, or of another bundle than `bundle`.
        MissingExtraError: a recording, and the package `mcap` is not installed.
    """
    events: EventsRule = NEW_RULE if bundle is None else bundle.manifest.events
    found: dict[Path, Path] = {}
    clips: list[StudySession] = []
    for path in paths:
        if not path.exists():
            raise DataError(f"there is no session, recording or data set at {path}")
        below = [path] if path.is_file() else _below(path)
        found |= {one.resolve(): one for one in sorted(below)}
        if not below:
            clips += _of_clips(path, bundle, events, sheet_rate_hz)
    saved, recorded = [], []
    for at, path in enumerate(found.values(), 1):
        if path.name == SESSION_FILE:
            saved.append(_of_folder(path.parent))
        else:
            recorded.append(_of_recording(path, NEW_RULE if events == "published" else events))
        progress("reading sessions", at, len(found))
    sessions = [*_joined(saved, recorded), *clips]
    sessions.sort(key=lambda one: (natural_key(one.participant), one.started, natural_key(one.session)))
    named: dict[str, Path] = {}
    for one in sessions:
        if (other := named.setdefault(one.name, one.path)) != one.path:
            raise DataError(f"{other} and {one.path} are both called {one.name}; report one of them at a time")
    if not any(one.states or one.gaze is not None for one in sessions):
        raise DataError(
            next((f"{one.path}: {one.notes[0]}" for one in sessions), f"{paths[0]} holds nothing to report")
        )
    _refuse_mixture([one for one in sessions if one.states], bundle)
    return tuple(sessions)


def _below(folder: Path) -> list[Path]:
    """Sessions and recordings in a folder and below it, without what begins with a dot: a run is making it."""
    found = []
    for place, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if not name.startswith(".")]
        found += [Path(place, name) for name in names if name == SESSION_FILE or name.endswith(MCAP)]
    return found


def _of_folder(folder: Path) -> StudySession:
    saved = open_session(folder)
    head, heads = saved.head, dict[str, tuple[str, ...]]()
    for name, value in (item for result in saved.results for item in result.get("heads", {}).items()):
        heads.setdefault(name, tuple(value) if isinstance(value, dict) else ())
    notes = ["a run is writing it: figures are of what was there"] if is_claimed(folder / RESULTS_FILE) else []
    if not notes and (head.state != "ended" or saved.cut):
        notes.append("its run was interrupted: figures are of what was saved until then")
    session = StudySession(
        head.participant, head.session, folder, head.display, **{name: getattr(head, name) for name in _SHARED},
        manifest_sha256=head.manifest_sha256, markers=saved.markers, baseline=head.baseline,
        validation=head.validation, notes=tuple(notes),
    )  # fmt: skip
    return _with_results(session, saved.results, {name: heads[name] for name in in_order(heads)})


def _of_recording(path: Path, events: EventsRule) -> StudySession:
    head = read_head(path)
    display = Display(**head.display)  # type: ignore[arg-type]
    stimulus = StimulusRect(**head.stimulus) if head.stimulus else None
    markers = tuple(one.decode(Marker) for one in read_messages(path, {messages.MARKERS}))
    samples = [messages.sample_of(one.decode()) for one in read_messages(path, {messages.SAMPLES})]
    samples.sort(key=lambda sample: sample.stamp_ns)
    rect = stimulus or StimulusRect.whole(display)
    cells = raw_rows(samples, display, rect).astype(np.float32)
    seen = np.array([sample.left.valid or sample.right.valid for sample in samples], np.bool_)
    times_ns = np.array([sample.stamp_ns for sample in samples], np.int64)
    notes = [f"a run is writing {path.name}: figures are of what was there"] if is_claimed(path) else []
    if not notes and breaks_off(path):
        notes.append(f"{path.name} breaks off: what comes after its last whole chunk is lost")
    session = StudySession(
        head.participant or path.stem, head.session or path.stem, path, display,
        **{name: getattr(head, name) for name in _SHARED}, stimulus=stimulus, markers=markers,
        gaze=Gaze.of(cells, times_ns, seen, events), notes=tuple(notes),
    )  # fmt: skip
    return _with_results(session, [one.decode() for one in read_messages(path, {messages.RESULTS})], head.heads)


def _with_results(
    session: StudySession, results: Sequence[dict[str, Any]], heads: Mapping[str, tuple[str, ...]]
) -> StudySession:
    if not results:
        return replace(session, notes=(*session.notes, "it holds no result: its run ended before the first"))
    channels = messages.result_channels(dict(heads))
    kept = [at for at, (_, unit) in enumerate(channels) if unit not in ("code", "clips")]
    try:
        spans = np.array([(one["begin_ns"], one["end_ns"]) for one in results], np.int64)
        rows = np.array([messages.result_row(one, dict(heads)) for one in results])[:, kept]
        pupils = [(one.get("from_baseline") or {}).get("pupil_mm", {}) for one in results]
        seen = np.array([[one.get(eye, np.nan) for eye in EYES] for one in pupils], np.float64)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{session.path} holds results that can't be read: {error!r}") from error
    if session.gaze is not None:
        bounds = np.searchsorted(session.gaze.times_ns, spans, side="right")
        seen = np.array([[_median(eye[low:high]) for eye in session.gaze.pupils_mm.T] for low, high in bounds])
    return replace(
        session,
        channels=(*(channels[at] for at in kept), *((f"pupil {eye}", "mm") for eye in EYES)),
        values=np.concatenate([rows, seen], axis=1),
        length_ns=Counter((spans[:, 1] - spans[:, 0]).tolist()).most_common(1)[0][0],
        hop_ns=int(np.median(np.diff(spans[:, 1]))) if len(spans) > 1 else 0,
        spans_ns=spans,
        states=tuple(str(one["state"]) for one in results),
        slots=np.array([(one.get("face_slots", 0), one.get("eye_slots", 0)) for one in results], np.float64),
        result_notes=tuple(dict.fromkeys(note for one in results for note in one.get("notes", ()))),
    )


def _median(numbers: NDArray[np.float64]) -> float:
    known = numbers[np.isfinite(numbers)]
    return float(np.median(known)) if known.size else np.nan


def _joined(saved: Sequence[StudySession], recorded: list[StudySession]) -> Iterator[StudySession]:
    """Saved sessions with the gaze of their recordings, then the other recordings; what they lack is in their notes."""
    left = list(recorded)
    for one in saved:
        own = next((other for other in left if _is_same_run(one, other)), None)
        if own is not None:
            left.remove(own)
            if one.states and own.states:
                _, ours, theirs = np.intersect1d(one.spans_ns[:, 1], own.spans_ns[:, 1], return_indices=True)
                one.values[ours, -len(EYES) :] = own.values[theirs, -len(EYES) :]
            one = replace(one, stimulus=own.stimulus, gaze=own.gaze, notes=(*one.notes, *own.notes))
        yield replace(one, notes=(*one.notes, *_lacks(one)))
    yield from (replace(one, notes=(*one.notes, *_lacks(one))) for one in left)


def _is_same_run(saved: StudySession, recorded: StudySession) -> bool:
    both = saved.states and recorded.states
    if saved.participant != recorded.participant or (both and not np.isin(recorded.spans_ns, saved.spans_ns).any()):
        return False
    begun, other = (datetime.fromisoformat(one.started.replace("Z", "+00:00")) for one in (saved, recorded))
    unnamed = recorded.session == recorded.path.stem and abs((begun - other).total_seconds()) < _SAME_RUN_S
    return recorded.session == saved.session or unnamed


def _lacks(session: StudySession) -> Iterator[str]:
    if not session.states:
        return
    if State.OK.value not in session.states:
        counts = ", ".join(f"{count} {state}" for state, count in Counter(session.states).items())
        yield f"no result holds both emotions ({counts})"
    if not session.markers:
        yield "it has no markers: its figures are those of the whole session"
    if session.tracker == NoTracker.source:
        yield "it was recorded without eyes: no felt emotion, gap, pupils or gaze"
    elif session.gaze is None:
        yield "its gaze was not recorded: for maps and areas, run with --record and name the recording, too"


def _of_clips(path: Path, bundle: Bundle | None, events: EventsRule, sheet_rate_hz: float) -> Iterator[StudySession]:
    usual = (None if bundle is None else bundle.manifest.display) or Display()
    if is_recording(path):
        lab = open_recording(path)
        export = lab.export()
        gaze, display = Gaze.of(export.rows, export.times_ns, export.seen, events), lab.display or export.display
        yield StudySession(lab.participant or lab.name, lab.name, path, display or usual, gaze=gaze)
        return
    window = WindowSpec() if bundle is None else bundle.manifest.window
    try:
        layout = find_layout(path)
    except DataError as error:
        raise DataError(f"{path} holds no session and no recording, and is no data set: {error}") from error
    usable = UsableClips.of(layout, window, sheet_rate_hz=sheet_rate_hz)
    for clip in usable.clips:
        track = clip.eye()
        gaze = Gaze.of(track.rows, track.times_in(window.length_ns), track.seen, events)
        yield StudySession(clip.participant or clip.name, clip.name, clip.sheet_path, usual, gaze=gaze)
    for skipped in usable.skipped:
        yield StudySession(skipped.name, skipped.name, path / skipped.name, usual, notes=(skipped.reason,))


def _refuse_mixture(sessions: Sequence[StudySession], bundle: Bundle | None) -> None:
    """Raise DataError where figures can't be compared: bundles or windows differ."""

    def made(session: StudySession) -> str:
        return f"{session.bundle} ({session.manifest_sha256[:12]})" if session.manifest_sha256 else session.bundle

    for one in sessions:
        first, ends = sessions[0], "their figures can't be compared; report them one after the other"
        hashes = {one.manifest_sha256, first.manifest_sha256} - {""}
        if one.bundle != first.bundle or len(hashes) > 1:
            raise DataError(f"{first.name} was made by {made(first)}, {one.name} by {made(one)}: {ends}")
        if bundle is not None and (one.bundle != bundle.manifest.name or hashes - {bundle.manifest_sha256}):
            raise DataError(f"{one.name} was made by {made(one)}, not by {bundle.path}; name that bundle, or none")
        if (one.length_ns, one.hop_ns) != (first.length_ns, first.hop_ns):
            (a, b), (c, d) = ((one.length_ns / NANOSECONDS, one.hop_ns / NANOSECONDS) for one in (first, one))
            windows = f"{first.name} has windows of {a:g} s every {b:g} s, {one.name} of {c:g} s every {d:g} s"
            raise DataError(f"{windows}: {ends}")
