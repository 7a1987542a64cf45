"""Every answer on every clip as CSV, one row per clip, head and reading."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from emer_edge.bench.accuracy.clip_scores import Reading
from emer_edge.bench.accuracy.judged import JudgedHead
from emer_edge.bench.accuracy.scored_folds import ScoredFold
from emer_edge.bench.bench_options import ScoringOptions
from emer_edge.core.heads import EMOTIONS, POLARITIES
from emer_edge.core.whole_file import Target
from emer_edge.data.dataset import Clip
from emer_edge.report import write_whole

FILE_NAME: Final = "predictions.csv"
_CLASSES: Final = tuple(dict.fromkeys((*EMOTIONS, *POLARITIES)))
COLUMNS: Final = (
    "clip", "participant", "fold", "bundle", "precision", "reading", "windows", "head", "label", "predicted",
    "right", *(f"p {label}" for label in _CLASSES), "gap", "gap_percentile", "face_slots", "eye_slots",
)  # fmt: skip
"""`windows`: how many the answer is the mean of. `right`: share of them that name the label, empty for values. `p ...`:
mean probabilities, empty for classes that the head lacks. `gap` and the covered slots are those of the newest-in-slot
window."""


def write_predictions(
    folder: Path, folds: Sequence[ScoredFold], options: ScoringOptions, place: Target | None = None
) -> Path:
    """Write `predictions.csv` into a folder, at its place as found where that is given; return its path.

    Raises:
        OutputExistsError: the place has changed since.
        ConfigurationError: the folder can't be written to.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for fold in folds:
        writer.writerows(_rows(fold, options))
    return write_whole(place or folder / FILE_NAME, text.getvalue())


def _rows(fold: ScoredFold, options: ScoringOptions) -> Iterator[list[str]]:
    windows = fold.windows
    names = [clip.name for clip in windows.clips]
    slots = dict(
        zip(names, zip(windows.face_slots.astype(str), windows.eye_slots.astype(str), strict=True), strict=True)
    )
    gaps: dict[str, list[str]] = {}
    if fold.gap is not None:
        for clip, *cells in zip(fold.gap.clips, fold.gap.distances, fold.gap.percentiles, strict=True):
            gaps[clip.name] = [_number(float(cell)) for cell in cells]
    for head in fold.heads.values():
        for reading in head.given:
            for clip, answer in _answers(head, reading, options):
                yield [
                    clip.name, clip.participant or "", str(fold.accuracy.fold), fold.bundle, fold.precision,
                    reading, *answer, *gaps.get(clip.name, ("", "")), *slots[clip.name],
                ]  # fmt: skip


def _answers(head: JudgedHead, reading: Reading, options: ScoringOptions) -> Iterator[tuple[Clip, list[str]]]:
    """Each clip with a window in the reading, and the cells `windows` to the probabilities."""
    rows, owners = head.given[reading], head.owners[reading]
    if reading in ("draws", "published"):
        drawn = head.drawn(reading, options.draws)
        owners = np.repeat(np.arange(len(drawn)), drawn.shape[1])
        rows = drawn.reshape(-1, drawn.shape[2])
    starts = np.searchsorted(owners, np.arange(len(head.clips) + 1))
    for at, clip in enumerate(head.clips):
        own = rows[starts[at] : starts[at + 1]]
        if not len(own):
            continue
        mean = own.mean(axis=0)
        label, predicted, right = _number(float(clip.labels[head.name])), _number(mean[0]), ""
        given: dict[str, float] = {}
        if head.classes:
            truth = int(head.truth[at])
            label, predicted = head.classes[truth], head.classes[int(mean.argmax())]
            right = f"{float(np.mean(own.argmax(axis=1) == truth)):.4g}"
            given = dict(zip(head.classes, mean.tolist(), strict=True))
        shares = [_number(given[name]) if name in given else "" for name in _CLASSES]
        yield clip, [str(len(own)), head.name, label, predicted, right, *shares]


def _number(value: float) -> str:
    return f"{value:.6f}" if np.isfinite(value) else ""
