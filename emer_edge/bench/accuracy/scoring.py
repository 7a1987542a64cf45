"""A bundle's accuracy on clips that nothing about it was chosen on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.accuracy.baselines import guesses_of
from emer_edge.bench.accuracy.encoded import EncodedWindows, ReadingPlan
from emer_edge.bench.accuracy.figures import estimates, head_accuracy
from emer_edge.bench.accuracy.gaps import JudgedGap, gap_accuracy, judge_gap
from emer_edge.bench.accuracy.judged import JudgedHead, class_order, judge
from emer_edge.bench.accuracy.kept import Kept
from emer_edge.bench.accuracy.known import owner, refuse_known_clips, split_hash
from emer_edge.bench.accuracy.scores import FoldScores, score_readings
from emer_edge.bench.records import Accuracy, EventColumn, Excluded, HeadAccuracy, ViewAccuracy
from emer_edge.bench.spreading.base import Spread
from emer_edge.bundle import Manifest
from emer_edge.data.dataset import EmerDataset
from emer_edge.data.event_columns import compare_events
from emer_edge.errors import DataError
from emer_edge.runtime.session import Session
from emer_edge.runtime.views import EyeView, ViewScores, score_views
from emer_edge.signals.profiles import TrackerProfile
from emer_edge.spec.progress import Progress, silent

__all__ = ["ScoredFold", "score_fold"]


@dataclass(frozen=True, eq=False)
class ScoredFold:
    """One bundle on one fold: its figures, and what they were worked out from.

    Attributes:
        bundle: the bundle's name.
        precision: that export was asked for.
        accuracy: the record.
        heads: head -> answers beside the labels.
        gap: the gap beside the labels; None without both of them.
        windows: the encoded windows, for probes.
    """

    bundle: str
    precision: str
    accuracy: Accuracy
    heads: dict[str, JudgedHead]
    gap: JudgedGap | None
    windows: EncodedWindows


def score_fold(
    session: Session,
    dataset: EmerDataset,
    fold: int,
    resamples: int,
    plan: ReadingPlan,
    progress: Progress = silent,
    profiles: Sequence[TrackerProfile] = (),
    kept: Kept | None = None,
    spread: Spread | None = None,
) -> ScoredFold:
    """Score the test clips of a fold in every reading.

    Args:
        session: the loaded bundle.
        dataset: a copy of EMER.
        fold: 1 to 5.
        resamples: bootstrap draws of an interval.
        plan: how windows are read from clips; its seed is that of all draws.
        progress: told of clips and heads.
        profiles: trackers through which the same clips are scored too, and with the other rule of eye movements
            where the sheets hold any.
        kept: where scores of an interrupted run lie, and those of this one are put.
        spread: who scores clips; this process by default.

    Raises:
        ConfigurationError: the fold has no clips.
        DataError: the bundle knows some of them, or none can be scored.
        WorkerError: a process or machine that shares the work ended, or can't be used.
    """
    manifest = session.bundle.manifest
    clips = dataset.fold(fold)
    refuse_known_clips(manifest, clips)

    def score() -> tuple[FoldScores, float]:
        began = perf_counter()
        found = FoldScores.of(score_readings(session, clips, plan, progress, spread), manifest)
        return found, perf_counter() - began

    scores, seconds = score() if kept is None else kept.scores(session, clips, plan, score)
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
    records: dict[str, HeadAccuracy] = {}
    for at, (name, head) in enumerate(heads.items()):
        progress("intervals", at, len(heads))
        selection = _of_head(name, manifest.gate.fp32), _of_head(name, manifest.gate.final)
        records[name] = head_accuracy(head, plan, resamples, selection=selection)
    progress("intervals", len(heads), len(heads))
    gap = judge_gap(heads, manifest.gap_quantiles)
    compared = compare_events(windows.clips, manifest.window)
    views = [EyeView(manifest.events, each) for each in profiles]
    if profiles and compared:
        views.append(EyeView("published" if manifest.events == "causal" else "causal"))
    accuracy = Accuracy(
        fold=fold,
        fingerprint=dataset.fingerprint,
        split_hash=split_hash(clips),
        events=manifest.events,
        clips=len(windows),
        participants=len({owner(clip) for clip in windows.clips}),
        uncovered=_uncovered(manifest, windows.face_slots, windows.eye_slots),
        excluded=tuple(Excluded(clip=each.name, reason=each.reason) for each in (*dataset.skipped, *windows.skipped)),
        heads=records,
        clips_per_s=len(windows) / seconds,
        gap=None if gap is None else gap_accuracy(gap, resamples, plan.seed),
        views=tuple(
            _view_accuracy(each, heads, manifest, windows, resamples, plan.seed)
            for each in score_views(session, windows.clips, views, progress, windows.face)
        ),
        event_columns={
            each.column: EventColumn(
                same=each.same,
                mean_difference=each.mean_difference,
                mean_published=each.mean_published,
                slots=each.slots,
            )
            for each in compared
        },
    )
    return ScoredFold(manifest.name, manifest.precision.requested, accuracy, heads, gap, windows)


def _judged(manifest: Manifest, dataset: EmerDataset, fold: int, scores: FoldScores) -> dict[str, JudgedHead]:
    """The heads that both the bundle and the data set have, beside their labels."""
    others = [clip for clip in dataset.clips if clip.fold != fold]
    found = {}
    for head in manifest.heads:
        if head.name not in dataset.heads:
            continue
        guesses = guesses_of(head.name, class_order(head), others, scores.windows.clips)
        judged = judge(head, scores, guesses)
        if judged is not None:
            found[head.name] = judged
    return found


def _view_accuracy(
    found: ViewScores,
    heads: Mapping[str, JudgedHead],
    manifest: Manifest,
    windows: EncodedWindows,
    resamples: int,
    seed: int,
) -> ViewAccuracy:
    profile = found.view.profile
    every = np.arange(len(windows))
    scores = FoldScores(windows, {"newest": found.outputs}, {"newest": every})
    figures = {}
    for head in manifest.heads:
        judged = judge(head, scores) if head.name in heads else None
        if judged is not None:
            figures[head.name] = estimates(judged, judged.given["newest"], resamples, seed)
    return ViewAccuracy(
        name=found.view.name,
        about="all columns of the sheets" if profile is None else profile.about,
        rate_hz=None if profile is None else profile.rate_hz,
        missing=() if profile is None else profile.missing_columns,
        events=found.view.events,
        uncovered=_uncovered(manifest, windows.face_slots, found.eye_slots),
        heads=figures,
    )


def _uncovered(manifest: Manifest, face_slots: NDArray[np.int64], eye_slots: NDArray[np.int64]) -> int:
    window = manifest.window
    return int(np.sum((face_slots < window.min_face_slots) | (eye_slots < window.min_eye_slots)))


def _of_head(name: str, figures: Mapping[str, float]) -> dict[str, float]:
    return {key.split("/", 1)[1]: value for key, value in figures.items() if key.startswith(f"{name}/")}
