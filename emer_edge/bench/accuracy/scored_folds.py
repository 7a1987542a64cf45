"""A bundle's accuracy on clips that nothing about it was chosen on; five folds as one set; precisions side by side."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.accuracy import accuracy_figures, judged
from emer_edge.bench.accuracy.accuracy_figures import JudgedGap
from emer_edge.bench.accuracy.clip_scores import EncodedWindows, FoldScores, score_readings
from emer_edge.bench.accuracy.judged import JudgedHead, owner
from emer_edge.bench.accuracy.kept import Kept
from emer_edge.bench.bench_options import ScoringOptions
from emer_edge.bench.records import Estimated, Excluded
from emer_edge.bench.records import accuracy_records as records
from emer_edge.bundle import Manifest
from emer_edge.core.errors import DataError
from emer_edge.core.heads import HEADS
from emer_edge.core.progress import Progress, silent
from emer_edge.core.results import State
from emer_edge.core.window import NEW_RULE
from emer_edge.data.dataset import EmerDataset
from emer_edge.data.windows import compare_events
from emer_edge.metrics.prediction_metrics import mcnemar_p
from emer_edge.runtime.spreading import Spread
from emer_edge.runtime.views import EyeView, ViewScores, score_views

_COUNTS: Final = {
    "both": (True, True),
    "only_first": (True, False),
    "only_second": (False, True),
    "neither": (False, False),
}
"""Whether the first and the second set were right."""


@dataclass(frozen=True, eq=False)
class ScoredFold:
    """One bundle on one fold: its figures, and what they were worked out from.

    Attributes:
        bundle: the bundle's name.
        precision: that export was run with.
        accuracy: the record.
        heads: head -> answers beside the labels.
        gap: the gap beside the labels; None without both of them.
        windows: the encoded windows, for probes.
    """

    bundle: str
    precision: str
    accuracy: records.Accuracy
    heads: dict[str, JudgedHead]
    gap: JudgedGap | None
    windows: EncodedWindows


def score_fold(
    spread: Spread,
    dataset: EmerDataset,
    fold: int,
    options: ScoringOptions,
    *,
    progress: Progress = silent,
    kept: Kept | None = None,
) -> ScoredFold:
    """Score the test clips of a fold in every reading.

    Args:
        spread: the loaded bundle, and who scores clips.
        dataset: a copy of EMER.
        fold: 1 to 5.
        options: how windows are read from clips; with tracker profiles the same clips are scored through these too,
            and with the other rule of eye movements where the sheets hold any.
        progress: called with clips and heads.
        kept: holds the scores of an interrupted run, and takes those of this one.

    Raises:
        ConfigurationError: the fold has no clips.
        DataError: the bundle knows some of them, or none can be scored.
        WorkerError: a process or machine that shares the work ended, or can't be used.
    """
    session, manifest = spread.session, spread.session.bundle.manifest
    clips = dataset.fold(fold)
    judged.refuse_known_clips(manifest, clips)

    def score() -> tuple[FoldScores, float]:
        began = perf_counter()
        scores = FoldScores.of(score_readings(spread, clips, options, progress), manifest)
        return scores, perf_counter() - began

    scores, seconds = score() if kept is None else kept.scores(session, clips, options, score)
    windows = scores.windows
    if not len(windows):
        raise DataError(
            f"no clip of fold {fold} of {dataset.root} can be scored; the first: {windows.skipped[0].reason}"
        )
    heads = _judged(manifest, dataset, fold, scores)
    if not heads:
        raise DataError(
            f"{dataset.root} labels {', '.join(dataset.heads) or 'nothing'}, the bundle {manifest.name} gives "
            f"{', '.join(manifest.head_names)}: there is nothing to compare"
        )
    figures: dict[str, records.HeadAccuracy] = {}
    for at, (name, head) in enumerate(heads.items()):
        progress("intervals", at, len(heads))
        selection = _of_head(name, manifest.gate.fp32), _of_head(name, manifest.gate.final)
        figures[name] = accuracy_figures.head_accuracy(head, options, selection=selection)
    progress("intervals", len(heads), len(heads))
    record = manifest.gap
    gap = accuracy_figures.judge_gap(heads, manifest.gap_quantiles if record is None else record.agreeing)
    distances = session.face_distance(windows.face)
    compared = compare_events(windows.clips, manifest.window, manifest.events)
    views = [EyeView(manifest.events, profile) for profile in options.profiles]
    if options.profiles and compared:
        views.append(EyeView(NEW_RULE if manifest.events == "published" else "published"))
    accuracy = records.Accuracy(
        fold=fold,
        fingerprint=dataset.fingerprint,
        split_hash=judged.split_hash(clips),
        events=manifest.events,
        clips=len(windows),
        participants=len({owner(clip) for clip in windows.clips}),
        uncovered=_uncovered(manifest, windows.face_slots, windows.eye_slots),
        unlike=None if distances is None else int((distances > 1).sum()),
        excluded=tuple(Excluded(clip=clip.name, reason=clip.reason) for clip in (*dataset.skipped, *windows.skipped)),
        heads=figures,
        clips_per_s=len(windows) / seconds,
        gap=None if gap is None else accuracy_figures.gap_accuracy(gap, options),
        views=tuple(
            _view_accuracy(view, heads, manifest, windows, options=options)
            for view in score_views(session, windows.clips, views, progress, faces=windows.face)
        ),
        event_columns={
            column.column: msgspec.convert(column, records.EventColumn, from_attributes=True) for column in compared
        },
    )
    return ScoredFold(manifest.name, manifest.precision.requested, accuracy, heads, gap=gap, windows=windows)


def _judged(manifest: Manifest, dataset: EmerDataset, fold: int, scores: FoldScores) -> dict[str, JudgedHead]:
    """The heads that both the bundle and the data set have, beside their labels."""
    others = [clip for clip in dataset.clips if clip.fold != fold]
    heads = {}
    for head in manifest.heads:
        if head.name in dataset.heads:
            guesses = judged.guesses_of(head.name, judged.class_order(head), others, scores.windows.clips)
            heads[head.name] = judged.judge(head, scores, guesses)
    return {name: head for name, head in heads.items() if head is not None}


def _view_accuracy(
    scored: ViewScores, heads: Container[str], manifest: Manifest, windows: EncodedWindows, *, options: ScoringOptions
) -> records.ViewAccuracy:
    profile = scored.view.profile
    scores = FoldScores(windows, {"newest": scored.outputs}, {"newest": np.arange(len(windows))})
    figures = {}
    for head in manifest.heads:
        answers = judged.judge(head, scores) if head.name in heads else None
        if answers is not None:
            figures[head.name] = accuracy_figures.estimates(answers, answers.given["newest"], options)
    return records.ViewAccuracy(
        name=scored.view.name,
        about="all columns of the sheets" if profile is None else profile.about,
        rate_hz=None if profile is None else profile.rate_hz,
        missing=() if profile is None else profile.missing_columns,
        events=scored.view.events,
        uncovered=_uncovered(manifest, windows.face_slots, scored.eye_slots),
        heads=figures,
    )


def _uncovered(manifest: Manifest, face_slots: NDArray[np.int64], eye_slots: NDArray[np.int64]) -> int:
    window = manifest.window
    slots = zip(face_slots.tolist(), eye_slots.tolist(), strict=True)
    return sum(window.coverage(*covered) is not State.OK for covered in slots)


def _of_head(name: str, figures: Mapping[str, float]) -> dict[str, float]:
    return {key.split("/", 1)[1]: value for key, value in figures.items() if key.startswith(f"{name}/")}


def group(folds: Sequence[ScoredFold]) -> dict[str, tuple[ScoredFold, ...]]:
    """Name of a set -> its folds, ascending: bundles of one precision, each on a fold of its own.

    A bundle whose fold is already in the set opens a second set of that precision, `int8 2`.
    """
    groups: dict[str, list[ScoredFold]] = {}
    for fold in folds:
        name, number = fold.precision, 1
        while any(other.accuracy.fold == fold.accuracy.fold for other in groups.get(name, ())):
            number += 1
            name = f"{fold.precision} {number}"
        groups.setdefault(name, []).append(fold)
    return {name: tuple(sorted(members, key=lambda member: member.accuracy.fold)) for name, members in groups.items()}


def fold_sets(
    folds: Sequence[ScoredFold], options: ScoringOptions, progress: Progress = silent
) -> tuple[records.FoldSet, ...]:
    """The record of every set, in the order in which the sets first appear."""
    groups = group(folds)
    made = []
    for done, (name, members) in enumerate(groups.items()):
        progress("pooling folds", done, len(groups))
        gap = _gap_of(members)
        made.append(
            records.FoldSet(
                name=name,
                bundles=tuple(member.bundle for member in members),
                folds=tuple(member.accuracy.fold for member in members),
                clips=sum(member.accuracy.clips for member in members),
                participants=len({owner(clip) for member in members for clip in member.windows.clips}),
                spread=_spread([member.accuracy for member in members]),
                pooled={
                    head: accuracy_figures.head_accuracy(answers, options, published=False)
                    for head, answers in _pooled(members).items()
                },
                gap=None if gap is None else accuracy_figures.gap_accuracy(gap, options),
            )
        )
    if groups:
        progress("pooling folds", len(groups), len(groups))
    return tuple(made)


def pair_sets(folds: Sequence[ScoredFold], options: ScoringOptions) -> tuple[records.PairedSets, ...]:
    """Every other set against the first one in FP32, else the first, on the clips that both scored."""
    sets = group(folds)
    groups = {name: _pooled(members) for name, members in sets.items()}
    if len(groups) < 2:
        return ()
    reference = next((name for name in groups if name.split()[0] == "fp32"), next(iter(groups)))
    paired = []
    for name, heads in groups.items():
        if name == reference:
            continue
        before = groups[reference]
        pairs = [_pair(before[head], heads[head], options) for head in HEADS if head in heads and head in before]
        gaps = _gap_of(sets[reference]), _gap_of(sets[name])
        if gaps[0] is not None and gaps[1] is not None:
            pairs.append(_pair_gaps(gaps[0], gaps[1], options))
        paired += [records.PairedSets(first=reference, second=name, **pair) for pair in pairs if pair is not None]
    return tuple(paired)


def _pair(one: JudgedHead, other: JudgedHead, options: ScoringOptions) -> dict[str, Any] | None:
    """What two sets say about one head, on the clips that both scored."""
    rows, columns = accuracy_figures.shared_rows(one.clips, other.clips)
    if not len(rows) or one.classes != other.classes:
        return None
    before, after = one.given["newest"][rows], other.given["newest"][columns]
    people = [one.people[index] for index in rows]
    difference = one.summed(after, rows).minus(one.summed(before, rows))
    change = difference.intervals(people, options.resamples, seed=options.seed)
    counts = dict.fromkeys(_COUNTS, 0)
    if one.classes:
        right = [given.argmax(axis=1) == one.truth[rows] for given in (before, after)]
        counts = {name: int(np.sum((right[0] == had) & (right[1] == has))) for name, (had, has) in _COUNTS.items()}
    return {
        "head": one.name,
        "clips": len(rows),
        "participants": len(set(people)),
        **counts,
        "mcnemar_p": mcnemar_p(counts["only_first"], counts["only_second"]) if one.classes else None,
        "change": {name: Estimated.of(interval) for name, interval in change.items()},
    }


def _pair_gaps(one: JudgedGap, other: JudgedGap, options: ScoringOptions) -> dict[str, Any] | None:
    """The gap's AUROC on the clips that both scored; None where all labels differ or all agree."""
    rows, columns = accuracy_figures.shared_rows(one.clips, other.clips)
    if not len(rows) or one.differ[rows].all() or not one.differ[rows].any():
        return None
    change = accuracy_figures.auroc_change(one.among(rows), other.among(columns), options)
    return {
        "head": "gap",
        "clips": len(rows),
        "participants": len({owner(one.clips[index]) for index in rows}),
        **dict.fromkeys(_COUNTS, 0),
        "mcnemar_p": None,
        "change": {"auroc": Estimated.of(change)},
    }


def _gap_of(members: Sequence[ScoredFold]) -> JudgedGap | None:
    gaps = [member.gap for member in members if member.gap is not None]
    return accuracy_figures.join_gaps(gaps) if len(gaps) == len(members) else None


def _pooled(members: Sequence[ScoredFold]) -> dict[str, JudgedHead]:
    """The heads that all folds have, each clip judged by the bundle of its fold."""
    names = [name for name in members[0].heads if all(name in member.heads for member in members)]
    joined = {name: judged.join([member.heads[name] for member in members]) for name in names}
    return {name: head for name, head in joined.items() if head is not None}


def _spread(accuracies: Sequence[records.Accuracy]) -> dict[str, records.FoldSpread]:
    """Mean and standard deviation over folds of every figure that all of them have."""
    folds = [dict(_all_figures(accuracy)) for accuracy in accuracies]
    spreads = {}
    for key in folds[0]:
        if all(key in figures for figures in folds):
            values = tuple(figures[key] for figures in folds)
            over = records.Ranged.of(values)
            spreads[key] = records.FoldSpread(values=values, mean=over.mean, sd=over.sd)
    return spreads


def _all_figures(accuracy: records.Accuracy) -> Iterator[tuple[str, float]]:
    for name, head in accuracy.heads.items():
        readings: dict[str, records.HeadAccuracy | records.ReadingAccuracy] = {"newest": head, **head.readings}
        for reading, record in readings.items():
            yield from ((f"{name}/{reading}/{metric}", figure.value) for metric, figure in record.metrics.items())
        yield from ((f"{name}/published_batch/{metric}", over.mean) for metric, over in head.published_batch.items())
    if accuracy.gap is not None and accuracy.gap.auroc is not None:
        yield "gap/auroc", accuracy.gap.auroc.value
