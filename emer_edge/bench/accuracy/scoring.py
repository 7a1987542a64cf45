"""A bundle's accuracy on clips that nothing about it was chosen on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.records import Accuracy, Estimated, EventColumn, Excluded, HeadAccuracy, ViewAccuracy
from emer_edge.bundle import Manifest
from emer_edge.bundle.manifest import BundledHead
from emer_edge.data.clips import Clip
from emer_edge.data.dataset import EmerDataset
from emer_edge.data.event_columns import compare_events
from emer_edge.data.hashes import clip_hash
from emer_edge.errors import DataError
from emer_edge.metrics.calibration import brier, ece, nll, reliability
from emer_edge.metrics.classification import confusion, uar, war, weighted_f1
from emer_edge.metrics.intervals import bootstrap
from emer_edge.metrics.published import published_batch_mean
from emer_edge.metrics.regression import mae, mse, rmse
from emer_edge.runtime.predict import ClipScores, score_clips
from emer_edge.runtime.session import Session
from emer_edge.runtime.views import EyeView, ViewScores, score_views
from emer_edge.signals.profiles import TrackerProfile
from emer_edge.spec.heads import HEADS, PROTOCOLS
from emer_edge.spec.progress import Progress, silent

__all__ = ["CLASS_METRICS", "PROBABILITY_METRICS", "VALUE_METRICS", "fold_of", "refuse_known_clips", "score_fold"]

CLASS_METRICS: Final[dict[str, Callable[..., float]]] = {"war": war, "uar": uar, "weighted_f1": weighted_f1}
PROBABILITY_METRICS: Final[dict[str, Callable[..., float]]] = {"ece": ece, "nll": nll, "brier": brier}
VALUE_METRICS: Final[dict[str, Callable[..., float]]] = {"mae": mae, "mse": mse, "rmse": rmse}


def fold_of(manifest: Manifest, asked: int | None) -> int:
    """The fold to score: the one asked for, else the one that the bundle has never seen.

    Raises:
        DataError: nobody says which fold that is.
    """
    if asked is not None:
        return asked
    if manifest.data is None or manifest.data.fold == 0:
        raise DataError(
            f"bundle {manifest.name} does not say which fold it has never seen; name the fold to score: --folds 1"
        )
    return manifest.data.fold


def refuse_known_clips(manifest: Manifest, clips: Sequence[Clip]) -> None:
    """Refuse clips that the bundle was trained, selected or calibrated on.

    Raises:
        DataError: there are such clips; names how many.
    """
    if manifest.data is None:
        return
    trained = set(manifest.data.training_hashes)
    chosen = set(manifest.data.selection_hashes)
    if manifest.calibration is not None:
        chosen |= set(manifest.calibration.clip_hashes)
    hashes = [clip_hash(manifest.data.salt, clip) for clip in clips]
    on = sum(each in trained for each in hashes)
    by = sum(each in chosen - trained for each in hashes)
    if on or by:
        first = next(clip.name for clip, each in zip(clips, hashes, strict=True) if each in trained | chosen)
        unseen = f"score fold {manifest.data.fold}, which it has never seen" if manifest.data.fold else "score others"
        raise DataError(
            f"bundle {manifest.name} was trained on {on} of these {len(clips)} clips, and choices were made on {by} "
            f"more (the first: {first}), so its figures would mean nothing; {unseen}"
        )


def score_fold(
    session: Session,
    dataset: EmerDataset,
    fold: int,
    resamples: int,
    seed: int,
    progress: Progress = silent,
    profiles: Sequence[TrackerProfile] = (),
) -> Accuracy:
    """Score the test clips of a fold, one deterministic window a clip.

    Args:
        session: the loaded bundle.
        dataset: a copy of EMER.
        fold: 1 to 5.
        resamples: bootstrap draws of an interval.
        seed: of these draws.
        progress: told of clips and heads.
        profiles: trackers through which the same clips are scored too, and with the other rule of eye movements
            where the sheets hold any.

    Raises:
        ConfigurationError: the fold has no clips.
        DataError: the bundle knows some of them, or none can be scored.
    """
    manifest = session.bundle.manifest
    clips = dataset.fold(fold)
    refuse_known_clips(manifest, clips)
    began = perf_counter()
    scores = score_clips(session, clips, progress=progress)
    seconds = perf_counter() - began
    if not scores.clips:
        raise DataError(
            f"no clip of fold {fold} of {dataset.root} can be scored; the first: {scores.skipped[0].reason}"
        )
    labelled = [each for each in manifest.heads if each.name in dataset.heads]
    heads = {}
    for at, head in enumerate(labelled):
        progress("intervals", at, len(labelled))
        found = _score_head(head, manifest, scores.clips, scores.outputs[head.name], resamples, seed)
        if found is not None:
            heads[head.name] = found
    progress("intervals", len(labelled), len(labelled))
    if not heads:
        raise DataError(
            f"{dataset.root} labels {', '.join(dataset.heads) or 'nothing'}, the bundle {manifest.name} gives "
            f"{', '.join(manifest.head_names)}: there is nothing to compare"
        )
    compared = compare_events(scores.clips, manifest.window)
    views = [EyeView(manifest.events, each) for each in profiles]
    if profiles and compared:
        views.append(EyeView("published" if manifest.events == "causal" else "causal"))
    excluded = [Excluded(clip=each.name, reason=each.reason) for each in (*dataset.skipped, *scores.skipped)]
    return Accuracy(
        fold=fold,
        fingerprint=dataset.fingerprint,
        events=manifest.events,
        clips=len(scores.clips),
        participants=len(set(_participants(scores.clips))),
        uncovered=int(
            np.sum(
                (scores.face_slots < manifest.window.min_face_slots)
                | (scores.eye_slots < manifest.window.min_eye_slots)
            )
        ),
        excluded=tuple(excluded),
        heads=heads,
        clips_per_s=len(scores.clips) / seconds,
        views=tuple(
            _view_accuracy(each, labelled, manifest, scores, resamples, seed)
            for each in score_views(session, scores.clips, views, progress)
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


def _view_accuracy(
    found: ViewScores,
    labelled: Sequence[BundledHead],
    manifest: Manifest,
    scores: ClipScores,
    resamples: int,
    seed: int,
) -> ViewAccuracy:
    profile = found.view.profile
    heads = {}
    for head in labelled:
        record = _score_head(head, manifest, scores.clips, found.outputs[head.name], resamples, seed)
        if record is not None:
            heads[head.name] = record.metrics
    return ViewAccuracy(
        name=found.view.name,
        about="all columns of the sheets" if profile is None else profile.about,
        rate_hz=None if profile is None else profile.rate_hz,
        missing=() if profile is None else profile.missing_columns,
        events=found.view.events,
        uncovered=int(
            np.sum(
                (scores.face_slots < manifest.window.min_face_slots) | (found.eye_slots < manifest.window.min_eye_slots)
            )
        ),
        heads=heads,
    )


def _score_head(
    head: BundledHead,
    manifest: Manifest,
    clips: Sequence[Clip],
    outputs: NDArray[np.float32],
    resamples: int,
    seed: int,
) -> HeadAccuracy | None:
    """Figures of one head over the clips that are labelled for it; None when none is."""
    having = [at for at, clip in enumerate(clips) if head.name in clip.labels]
    if not having:
        return None
    people = _participants([clips[at] for at in having])
    labels = [clips[at].labels[head.name] for at in having]
    rows = outputs[having]

    def estimated(metrics: dict[str, Callable[..., float]], *arrays: NDArray[Any]) -> dict[str, Estimated]:
        found = {}
        for name, metric in metrics.items():
            found[name] = Estimated.of(bootstrap(metric, people, *arrays, resamples=resamples, seed=seed))
        return found

    record = HeadAccuracy(
        protocol=next(each.name for each in PROTOCOLS if head.name in each.heads),
        clips=len(having),
        metrics={},
        published_batch={},
        fp32_selection=_of_head(head.name, manifest.gate.fp32),
        final_selection=_of_head(head.name, manifest.gate.final),
    )
    if not head.classes:
        values = np.array(labels, np.float64)
        predicted = rows[:, 0].astype(np.float64)
        return msgspec.structs.replace(
            record,
            metrics=estimated(VALUE_METRICS, values, predicted),
            published_batch={
                name: published_batch_mean(each, values, predicted) for name, each in VALUE_METRICS.items()
            },
        )
    truth, chosen = _class_indices(head, labels), rows.argmax(axis=1)
    return msgspec.structs.replace(
        record,
        metrics=estimated(CLASS_METRICS, truth, chosen)
        | estimated(PROBABILITY_METRICS, rows.astype(np.float64), truth),
        published_batch={name: published_batch_mean(each, truth, chosen) for name, each in CLASS_METRICS.items()},
        classes=head.classes,
        confusion=tuple(tuple(row) for row in confusion(truth, chosen, len(head.classes)).tolist()),
        reliability=reliability(rows, truth),
    )


def _class_indices(head: BundledHead, labels: Sequence[int | float]) -> NDArray[np.int64]:
    """From this project's order of classes to the bundle's."""
    named = HEADS[head.name]
    names = named.classes if named.kind == "class" else ()
    missing = {names[int(each)] for each in labels} - set(head.classes)
    if missing:
        raise DataError(f"the data hold the class {', '.join(sorted(missing))}, which the bundle's {head.name} lacks")
    return np.array([head.classes.index(names[int(each)]) for each in labels], np.int64)


def _participants(clips: Sequence[Clip]) -> list[str]:
    """Whose clip each is; a clip whose participant is unknown stands for itself."""
    return [f"clip {each.name}" if each.participant is None else each.participant for each in clips]


def _of_head(name: str, figures: dict[str, float]) -> dict[str, float]:
    return {key.split("/", 1)[1]: value for key, value in figures.items() if key.startswith(f"{name}/")}
