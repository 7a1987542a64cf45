"""Offline scoring of EMER clips, one window each, and of recordings, one window per hop, as results and as CSV.

A recording takes the same steps as a live run; only the arithmetic of several hops is batched.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle import Manifest
from emer_edge.core.errors import ConfigurationError, DataError, WorkerError
from emer_edge.core.progress import Progress, silent
from emer_edge.core.public_text import printable
from emer_edge.core.results import GAP_NUMBERS, UNLIKE, Result, State, gap_numbers
from emer_edge.core.whole_file import Target, whole_file
from emer_edge.core.window import FACE_SIZE_PX, FACE_SLOTS, NANOSECONDS, EventsRule
from emer_edge.data.dataset import Clip, SkippedClip, UsableClips, in_order
from emer_edge.data.layout import find_layout
from emer_edge.data.recordings import is_recording, open_recording
from emer_edge.data.windows import clip_window, load_faces
from emer_edge.runtime.options import FaceOptions, MachineOptions, Source
from emer_edge.runtime.pipeline.core import HOPS_AT_ONCE, Stepper
from emer_edge.runtime.pipeline.readings import reading, standing_notes, without_eyes
from emer_edge.runtime.pipeline.replay import Replay, replayed
from emer_edge.runtime.pipeline.stream import Stream
from emer_edge.runtime.say import Say, say_to_log
from emer_edge.runtime.session import Session
from emer_edge.runtime.spreading import Answer, Item, Spread, spread_over
from emer_edge.signals.no_eyes import no_eyes

_CLIPS_AT_ONCE: Final = 4


@dataclass(frozen=True, eq=False)
class ClipScores:
    """Scores of clips.

    Attributes:
        clips: the readable ones, in the order given.
        outputs: head -> (n, C) float32: calibrated probabilities or the value (n, 1).
        face_slots, eye_slots: (n,) int64, covered slots of each clip's window.
        face_distances: (n,) float64, as `Result.face_distance`; empty without a face guard.
        skipped: clips that can't be read.
        notes: of each clip's window.
    """

    clips: tuple[Clip, ...]
    outputs: dict[str, NDArray[np.float32]]
    face_slots: NDArray[np.int64]
    eye_slots: NDArray[np.int64]
    face_distances: NDArray[np.float64]
    skipped: tuple[SkippedClip, ...]
    notes: tuple[tuple[str, ...], ...] = ()


def score_clips(
    session: Session, clips: Sequence[Clip], *, events: EventsRule | None = None, strict: bool = False
) -> ClipScores:
    """Score the deterministic window of each clip, one that lacks eyes without them where the bundle reads faces so.

    A function of the bundle and these clips alone, which are one batch: what else lies in a batch can change the last
    digit.

    Args:
        session: the loaded bundle.
        clips: a few clips; their crops are held at once, 1.2 MB a clip.
        events: how columns 33 to 39 are filled; as in training by default.
        strict: fail on the first clip that can't be read instead of skipping it.

    Raises:
        DataError: with `strict`, a clip can't be read.
    """
    manifest = session.bundle.manifest
    done: list[Clip] = []
    skipped: list[SkippedClip] = []
    faces, windows = [np.zeros((0, 3, FACE_SIZE_PX, FACE_SIZE_PX), np.float32)], []
    for clip in clips:
        try:
            window = clip_window(clip, manifest.window, events or manifest.events)
            faces.append(load_faces(clip, window.frames))
        except DataError as error:
            reason = str(error).removeprefix(f"clip {clip.name}: ")
            if strict:
                raise DataError(f"clip {clip.name}: {reason}") from error
            skipped.append(SkippedClip(clip.name, reason))
            continue
        windows.append(window)
        done.append(clip)
    covered = [(int(window.covered_face.sum()), int(window.covered_eye.sum())) for window in windows]
    eye, gaze = no_eyes(len(windows))
    for at, (window, counts) in enumerate(zip(windows, covered, strict=True)):
        if not without_eyes(manifest, manifest.window.coverage(*counts)):
            eye[at], gaze[at] = window.eye, window.gaze
    encoded = session.encode(np.concatenate(faces)).reshape(len(windows), FACE_SLOTS, session.embedding_width)
    distances = session.face_distance(encoded)
    slots = np.array(covered, np.int64).reshape(-1, 2)
    return ClipScores(
        tuple(done),
        session.fuse(encoded, eye, gaze),
        face_slots=slots[:, 0],
        eye_slots=slots[:, 1],
        face_distances=np.zeros(0) if distances is None else distances,
        skipped=tuple(skipped),
        notes=tuple(window.notes for window in windows),
    )


def score_recording(session: Session, source: Source, progress: Progress = silent) -> Iterator[Result]:
    """Score a recording, one result per hop, with the numbers of a replay through the pipeline.

    Args:
        session: the loaded bundle.
        source: a video and a tracker file; open ones have the pace `fast`.
        progress: called with the scored seconds and a total of 0, as it is unknown.

    Raises:
        CameraError, TrackerError: a source can't be opened.
        ConfigurationError: a source is live.
    """
    stream = Stream(session.bundle, source, MachineOptions(pace="fast"))
    try:
        core = stream.open_core(session, session.detector)
        replay = Replay.of(core, stream.camera, stream.tracker)
        for result in replayed(Stepper(session), [core], [replay], HOPS_AT_ONCE):
            yield result
            progress("scoring a recording", (result.end_ns - core.evidence.origin_ns) // NANOSECONDS, 0)
    finally:
        stream.close_sources()


@dataclass(frozen=True, slots=True)
class Prediction:
    """One scored window.

    Attributes:
        source: its data set or recording.
        name: of the clip or recording.
        result: its `end_ns` counts from the video's first frame, and is 0 for a clip.
        participant: as the data set or the recording names them, None where it does not.
    """

    source: Path
    name: str
    result: Result
    participant: str | None = None


def predict_paths(
    session: Session,
    paths: Sequence[Path],
    *,
    strict: bool = False,
    sheet_rate_hz: float = 0.0,
    faces: FaceOptions = FaceOptions(),
    workers: int = 1,
    say: Say = say_to_log,
    skipped: list[SkippedClip] | None = None,
    opened: Callable[[Path, UsableClips], None] = lambda root, clips: None,
    progress: Progress = silent,
) -> Iterator[Prediction]:
    """Score EMER data sets (all their clips, labelled or not) and recordings.

    Args:
        session: the loaded bundle.
        paths: folders of EMER data sets or recordings.
        strict: fail on the first clip that can't be used.
        sheet_rate_hz: rows a second of sheets that tell no times.
        faces: which face to follow in a recording.
        workers: processes that score clips or several recordings; 0 and 1 score in this one. The results are the same.
        say: told of a worker that died; this process then does what is left.
        skipped: receives the clips that can't be used.
        opened: called with the clips of each data set before they are scored.
        progress: called while scoring.

    Raises:
        ConfigurationError: no paths.
        DataError: a path is neither; many clips of a data set cover too little of a window; or, with `strict`, one
            can't be used.
    """
    check_paths(paths)
    with spread_over(session, workers) as spread:
        deal = partial(_dealt, [spread], say)
        for recorded, group in groupby(paths, is_recording):
            together = list(group)
            if recorded and workers > 1 and len(together) > 1:
                for at, rows in enumerate(deal(partial(_recorded, faces=faces), together), 1):
                    yield from rows
                    progress("scoring recordings", at, len(together))
                continue
            for path in together:
                if recorded:
                    yield from _recording(session, path, faces, progress)
                    continue
                window = session.bundle.manifest.window
                usable = UsableClips.of(find_layout(path), window, progress, sheet_rate_hz=sheet_rate_hz)
                usable = replace(usable, skipped=in_order(usable.skipped, path, strict))
                opened(path, usable)
                usable.refuse_many_uncovered()
                left_out = [] if skipped is None else skipped
                left_out += usable.skipped
                every, count = range(0, len(usable.clips), _CLIPS_AT_ONCE), len(usable.clips)
                few = [usable.clips[begin : begin + _CLIPS_AT_ONCE] for begin in every]
                for begin, scores in zip(every, deal(partial(score_clips, strict=strict), few), strict=True):
                    left_out += scores.skipped
                    for at, clip in enumerate(scores.clips):
                        result = _clip_result(session.bundle.manifest, scores, at)
                        yield Prediction(path, clip.name, result, clip.participant)
                    progress("scoring clips", min(begin + _CLIPS_AT_ONCE, count), count)


def _dealt(
    spreads: list[Spread], say: Say, work: Callable[[Session, Item], Answer], items: Sequence[Item]
) -> Iterator[Answer]:
    """Results of the work by the last of some spreads; where its workers die, one in this process is added."""
    done = 0
    while done < len(items):
        try:
            for answer in spreads[-1].map_ordered(work, items[done:]):
                yield answer
                done += 1
        except WorkerError as error:
            say(f"{error}; this process does what is left")
            spreads.append(Spread(spreads[-1].session))


def check_paths(paths: Sequence[Path]) -> None:
    """Raise as `predict_paths` does where a path is neither a data set nor a recording, before engines are built."""
    if not paths:
        raise ConfigurationError("name at least one EMER data set or recording to score")
    for path in paths:
        if is_recording(path):
            open_recording(path)
        else:
            find_layout(path)


def write_csv(path: Path, predictions: Iterable[Prediction], manifest: Manifest, force: bool = False) -> int:
    """Write one row per window, atomically: whose, source, seconds, state, coverage, heads, gap, notes; count them.

    A class head has its top class in the column `<head>` and probabilities in `<head>_<class>`. Cells without a value
    are empty.

    Raises:
        OutputExistsError: the file exists and `force` is false.
        DataError: it can't be written.
    """
    target = Target.of(path, force)
    count = 0
    try:
        with whole_file(target) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(_header(manifest))
            for prediction in predictions:
                writer.writerow(_row(prediction, manifest))
                count += 1
    except OSError as error:
        raise DataError(f"can't write {path}: {error.strerror or error}") from error
    return count


def _recording(session: Session, path: Path, faces: FaceOptions, progress: Progress) -> Iterator[Prediction]:
    recording = open_recording(path)
    offset_ms, display, stimulus = recording.offset_ms, recording.display, recording.stimulus
    paths = str(recording.video), str(recording.tracker)
    source = Source(*paths, offset_ms=offset_ms, display=display, stimulus=stimulus, faces=faces)
    for result in score_recording(session, source, progress):
        yield Prediction(path, recording.name, result, recording.participant)


def _recorded(session: Session, path: Path, faces: FaceOptions) -> list[Prediction]:
    return list(_recording(session, path, faces, silent))


def _clip_result(manifest: Manifest, scores: ClipScores, at: int) -> Result:
    faces, eyes = int(scores.face_slots[at]), int(scores.eye_slots[at])
    state = manifest.window.coverage(faces, eyes)
    blind = without_eyes(manifest, state)
    outputs = {name: rows[at] for name, rows in scores.outputs.items()} if blind or state is State.OK else None
    distance = float(scores.face_distances[at]) if outputs is not None and len(scores.face_distances) else None
    # a clip's sheet has the events of the training data
    notes = (*standing_notes(manifest, causal=False), *scores.notes[at])
    read = reading(manifest, outputs, distance, state, blind=blind)
    result = Result(0, state, **read, face_slots=faces, eye_slots=eyes, notes=notes)
    return replace(result, notes=(*notes, UNLIKE)) if result.unlike else result


def _header(manifest: Manifest) -> list[str]:
    cells = ["participant", "source", "name", "begin_s", "end_s", "state", "face_slots", "eye_slots"]
    for head in manifest.heads:
        cells += [head.name, *(f"{head.name}_{name}" for name in head.classes)]
    return [*cells, *(f"gap_{name}" for name in GAP_NUMBERS), "face_distance", "absent", "notes"]


def _row(prediction: Prediction, manifest: Manifest) -> list[str]:
    result = prediction.result
    seconds = [f"{time_ns / NANOSECONDS:.3f}" if result.end_ns else "" for time_ns in (result.begin_ns, result.end_ns)]
    slots = [str(result.face_slots), str(result.eye_slots)]
    cells = [
        prediction.participant or "",
        printable(str(prediction.source)),
        prediction.name,
        *seconds,
        result.state.value,
        *slots,
    ]
    for head in manifest.heads:
        value = result.heads.get(head.name)
        if isinstance(value, dict):
            top = result.top(head.name)
            cells += [top[0] if top else "", *(f"{value[name]:.6f}" for name in head.classes)]
        else:
            cells += [_number(value), *("" for _ in head.classes)]
    cells += map(_number, gap_numbers(asdict(result.gap) if result.gap else None))
    absent = "; ".join(f"{name}: {why}" for name, why in result.absent.items())
    return [*cells, _number(result.face_distance), absent, "; ".join(result.notes)]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"
