"""Scoring what paths name, EMER data sets and recordings, and writing a row a window as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emer_edge.bundle import Manifest
from emer_edge.core.errors import ConfigurationError, DataError, OutputExistsError
from emer_edge.core.progress import Progress, silent
from emer_edge.core.results import Result, State
from emer_edge.core.whole_file import whole_file
from emer_edge.core.window import NANOSECONDS
from emer_edge.data.dataset import Clip, SkippedClip
from emer_edge.data.layout import find_layout
from emer_edge.data.recordings import is_recording, open_recording
from emer_edge.offline.predict import ClipScores, score_clips, score_recording
from emer_edge.runtime.compose import gap_between, head_values, standing_notes
from emer_edge.runtime.options import FaceOptions, Source
from emer_edge.runtime.session import Session

_GAP: Final = ("distance", "percentile", "valence", "arousal")


@dataclass(frozen=True, slots=True)
class Prediction:
    """One scored window.

    Attributes:
        source: the data set or recording it comes from.
        name: the clip's name, or the recording's.
        result: what the bundle says; `end_ns` counts from the video's first frame, and is 0 for a clip.
    """

    source: Path
    name: str
    result: Result


def predict_paths(
    session: Session,
    paths: Sequence[Path],
    *,
    strict: bool = False,
    faces: FaceOptions = FaceOptions(),
    skipped: list[SkippedClip] | None = None,
    progress: Progress = silent,
) -> Iterator[Prediction]:
    """Score EMER data sets (all their clips, labelled or not) and recordings.

    Args:
        session: the loaded bundle.
        paths: folders, each an EMER data set or a recording.
        strict: fail on the first clip that can't be read.
        faces: whose face is read in a recording.
        skipped: receives the clips that could not be read.
        progress: told while scoring.

    Raises:
        ConfigurationError: no paths.
        DataError: a path is neither, or, with `strict`, a clip can't be read.
    """
    if not paths:
        raise ConfigurationError("name at least one EMER data set or recording to score")
    for path in paths:
        if is_recording(path):
            yield from _recording(session, path, faces, progress)
        else:
            yield from _data_set(session, path, strict=strict, skipped=skipped, progress=progress)


def write_csv(path: Path, predictions: Iterable[Prediction], manifest: Manifest, force: bool = False) -> int:
    """Write a row a window: where from, state, coverage, every head, the gap, notes; cells without a value are empty.

    A class head has its top class in the column `<head>` and probabilities in `<head> <class>`.

    Args:
        path: the file; there whole or not at all.
        predictions: the rows.
        manifest: names the heads.
        force: replace the file if it exists.

    Returns:
        Number of rows.

    Raises:
        OutputExistsError: the file exists and `force` is false.
        DataError: it can't be written.
    """
    if path.exists() and not force:
        raise OutputExistsError(path)
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(_header(manifest))
            for each in predictions:
                writer.writerow(_row(each, manifest))
                count += 1
    except OSError as error:
        raise DataError(f"can't write {path}: {error.strerror or error}") from error
    return count


def _recording(session: Session, path: Path, faces: FaceOptions, progress: Progress) -> Iterator[Prediction]:
    recording = open_recording(path)
    source = Source(
        str(recording.video),
        str(recording.tracker),
        offset_ms=recording.offset_ms,
        display=recording.display,
        stimulus=recording.stimulus,
        faces=faces,
    )
    for result in score_recording(session, source, progress):
        yield Prediction(path, recording.name, result)


def _data_set(
    session: Session, path: Path, *, strict: bool, skipped: list[SkippedClip] | None, progress: Progress
) -> Iterator[Prediction]:
    layout = find_layout(path)
    lost = [SkippedClip(name, reason) for name, reason in sorted(layout.broken.items())]
    clips = []
    for files in layout.clips:
        try:
            clips.append(Clip.of(files))
        except DataError as error:
            lost.append(SkippedClip(files.name, str(error)))
    if strict and lost:
        raise DataError(f"{path}: clip {lost[0].name}: {lost[0].reason}")
    scores = score_clips(session, clips, strict=strict, progress=progress)
    if skipped is not None:
        skipped += [*lost, *scores.skipped]
    for at, clip in enumerate(scores.clips):
        yield Prediction(path, clip.name, _clip_result(session.bundle.manifest, scores, at))


def _clip_result(manifest: Manifest, scores: ClipScores, at: int) -> Result:
    faces, eyes = int(scores.face_slots[at]), int(scores.eye_slots[at])
    state = manifest.window.coverage(faces, eyes)
    heads = head_values(manifest, {name: each[at] for name, each in scores.outputs.items()})
    heads = heads if state is State.OK else {}
    notes = standing_notes(manifest, causal=False)  # a clip's sheet has the events that the bundle was trained on
    return Result(
        0, state, heads=heads, gap=gap_between(heads, manifest), face_slots=faces, eye_slots=eyes, notes=notes
    )


def _header(manifest: Manifest) -> list[str]:
    cells = ["source", "name", "end_s", "state", "face_slots", "eye_slots"]
    for each in manifest.heads:
        cells += [each.name, *(f"{each.name} {name}" for name in each.classes)]
    return [*cells, *(f"gap {name}" for name in _GAP), "notes"]


def _row(prediction: Prediction, manifest: Manifest) -> list[str]:
    result = prediction.result
    end_s = f"{result.end_ns / NANOSECONDS:.3f}" if result.end_ns else ""
    slots = [str(result.face_slots), str(result.eye_slots)]
    cells = [str(prediction.source), prediction.name, end_s, result.state.value, *slots]
    for each in manifest.heads:
        value = result.heads.get(each.name)
        if isinstance(value, dict):
            top = result.top(each.name)
            cells += [top[0] if top else "", *(f"{value[name]:.6f}" for name in each.classes)]
        else:
            cells += [_number(value), *("" for _ in each.classes)]
    cells += [_number(getattr(result.gap, name, None)) for name in _GAP]
    return [*cells, "; ".join(result.notes)]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"
