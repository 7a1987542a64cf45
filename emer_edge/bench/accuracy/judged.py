"""Which clips a bundle may be judged on, and its answers on them beside the labels and beside guesses."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.accuracy.clip_scores import FoldScores, Reading
from emer_edge.bench.records.report_records import DataFacts, FoldFacts
from emer_edge.bundle import Manifest
from emer_edge.bundle.manifest import BundledHead
from emer_edge.core.errors import DataError
from emer_edge.core.heads import HEADS, PROTOCOLS, ClassHead
from emer_edge.data.dataset import Clip, EmerDataset, clip_hash
from emer_edge.metrics.summed import CORRELATIONS, Summed, summed_choices, summed_classes, summed_values

_MARKER: Final = "synthetic.json"


def facts_of(dataset: EmerDataset) -> DataFacts:
    """Count clips, participants, films and labels; clips whose participant is unknown stand for themselves."""
    folds = []
    for fold in dataset.folds:
        clips = dataset.fold(fold)
        folds.append(
            FoldFacts(fold=fold, clips=len(clips), participants=len({each.participant or each.name for each in clips}))
        )
    labels = {}
    for name in dataset.heads:
        head = HEADS[name]
        if isinstance(head, ClassHead):
            found = Counter(int(clip.labels[name]) for clip in dataset.clips if name in clip.labels)
            labels[name] = {label: found[at] for at, label in enumerate(head.classes)}
    return DataFacts(
        fingerprint=dataset.fingerprint,
        clips=len(dataset.clips),
        participants=len({each.participant or each.name for each in dataset.clips}),
        skipped=len(dataset.skipped),
        folds=tuple(folds),
        regrouped=dataset.regrouped,
        shared_participants=len(dataset.shared_participants),
        stimuli=len({each.stimulus for each in dataset.clips if each.stimulus is not None}),
        labels=labels,
        synthetic=(dataset.root / _MARKER).is_file(),
    )


_NAMED = 5  # participants that a warning names


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


def owner(clip: Clip) -> str:
    """Whose clip it is; a clip whose participant is unknown stands for itself."""
    return f"clip {clip.name}" if clip.participant is None else clip.participant


def split_hash(clips: Sequence[Clip]) -> str:
    """SHA-256, in hexadecimal, of the clips' names, a line each, in their order: which split figures are of."""
    return hashlib.sha256("".join(f"{clip.name}\n" for clip in clips).encode()).hexdigest()


def data_notes(manifests: Sequence[Manifest], dataset: EmerDataset) -> list[str]:
    """What a reader of figures on these bundles and these folds has to know."""
    notes = [
        f"bundle {each.name} does not say which clips it was trained on: nothing vouches that these are new to it"
        for each in manifests
        if each.data is None
    ]
    shared = dataset.shared_participants
    if shared:
        named = ", ".join([*list(shared)[:_NAMED], *(["..."] if len(shared) > _NAMED else [])])
        notes.append(
            f"{len(shared)} participants have clips in several folds ({named}), so bundles were trained on people whom "
            "they are scored on: figures say less about new people, and folds are not independent"
        )
    if dataset.regrouped:
        notes.append("the clips were dealt into five new folds that share no participant: not the published folds")
    return notes


@dataclass(frozen=True, eq=False)
class JudgedHead:
    """The clips that are labelled for one head, and what was said about them.

    Attributes:
        name: the head.
        classes: class names in this project's order; empty for a value head.
        clips: n labelled clips.
        truth: (n,) class indices (int64) or values (float64).
        given: reading -> (t, C) float64 probabilities, or (t, 1) values, of all their windows.
        owners: reading -> (t,) int64, index of the clip.
        guesses: baseline -> (n, C) probabilities with which a class is guessed, or (n, 1) guessed values.
    """

    name: str
    classes: tuple[str, ...]
    clips: tuple[Clip, ...]
    truth: NDArray[np.int64] | NDArray[np.float64]
    given: dict[Reading, NDArray[np.float64]]
    owners: dict[Reading, NDArray[np.int64]]
    guesses: dict[str, NDArray[np.float64]]

    @property
    def people(self) -> list[str]:
        """(n,) whose clip each is."""
        return [owner(clip) for clip in self.clips]

    def summed(self, rows: NDArray[np.float64], clips: NDArray[np.int64] | None = None) -> Summed:
        """Figures of (m, C) answers about the clips (m,), by default about all."""
        truth = self.truth if clips is None else self.truth[clips]
        return summed_classes(truth, rows) if self.classes else summed_values(truth, rows[:, 0])

    def drawn(self, reading: Reading, count: int) -> NDArray[np.float64]:
        """The first `count` windows of each clip, (n, count, C), of a reading that has as many of each clip."""
        rows = self.given[reading]
        found: NDArray[np.float64] = rows.reshape(len(self.clips), -1, rows.shape[1])[:, :count]
        return found


def protocol_of(head: str) -> str:
    """The protocol that a head belongs to."""
    return next(each.name for each in PROTOCOLS if head in each.heads)


def class_order(head: BundledHead) -> tuple[str, ...]:
    """The bundle's classes in this project's order; empty for a value head."""
    named = HEADS[head.name]
    return tuple(each for each in named.classes if each in head.classes) if named.kind == "class" else ()


def truth_of(name: str, classes: Sequence[str], clips: Sequence[Clip]) -> NDArray[np.int64] | NDArray[np.float64]:
    """(n,) class indices in `classes`, or values, of clips that are labelled for the head.

    Raises:
        DataError: a label is a class that is not among them.
    """
    labels = [clip.labels[name] for clip in clips]
    named = HEADS[name]
    if named.kind == "value":
        return np.array(labels, np.float64)
    names = [named.classes[int(each)] for each in labels]
    missing = sorted(set(names) - set(classes))
    if missing:
        raise DataError(f"the data hold the class {', '.join(missing)}, which the bundle's {name} lacks")
    return np.array([classes.index(each) for each in names], np.int64)


def judge(
    head: BundledHead, scores: FoldScores, guesses: dict[str, NDArray[np.float64]] | None = None
) -> JudgedHead | None:
    """Put a head's answers beside the labels; None when no clip is labelled for it.

    Args:
        head: as the bundle has it.
        scores: of its fold.
        guesses: baseline -> (C,) probabilities or (1,) value, the same for every clip of the fold.

    Raises:
        DataError: a label is a class that the bundle lacks.
    """
    clips = scores.windows.clips
    having = np.array([at for at, clip in enumerate(clips) if head.name in clip.labels], np.int64)
    if not len(having):
        return None
    classes = class_order(head)
    columns = [head.classes.index(each) for each in classes] if classes else [0]
    labelled = tuple(clips[at] for at in having)
    given: dict[Reading, NDArray[np.float64]] = {}
    owners: dict[Reading, NDArray[np.int64]] = {}
    for reading, rows in scores.outputs.items():
        kept = np.isin(scores.owners[reading], having)
        given[reading] = rows[head.name][kept][:, columns].astype(np.float64)
        owners[reading] = np.searchsorted(having, scores.owners[reading][kept])
    repeated = {name: np.broadcast_to(each, (len(labelled), len(each))) for name, each in (guesses or {}).items()}
    return JudgedHead(
        name=head.name,
        classes=classes,
        clips=labelled,
        truth=truth_of(head.name, classes, labelled),
        given=given,
        owners=owners,
        guesses=repeated,
    )


def join(parts: Sequence[JudgedHead]) -> JudgedHead | None:
    """One head over several folds, each judged by its own bundle; None where the classes differ.

    Readings and guesses that not all of them have are left out.
    """
    first = parts[0]
    if any(each.classes != first.classes for each in parts):
        return None
    starts = np.cumsum([0, *(len(each.clips) for each in parts)])
    readings = [each for each in first.given if all(each in other.given for other in parts)]
    return JudgedHead(
        name=first.name,
        classes=first.classes,
        clips=tuple(clip for each in parts for clip in each.clips),
        truth=np.concatenate([each.truth for each in parts]),
        given={reading: np.concatenate([each.given[reading] for each in parts]) for reading in readings},
        owners={
            reading: np.concatenate([each.owners[reading] + at for each, at in zip(parts, starts, strict=False)])
            for reading in readings
        },
        guesses={
            name: np.concatenate([each.guesses[name] for each in parts])
            for name in first.guesses
            if all(name in each.guesses for each in parts)
        },
    )


FORECASTS = ("uniform chance", "prior chance")
"""Guesses whose probabilities are a forecast, too, so that they have an NLL and a Brier score."""


def guesses_of(
    name: str, classes: Sequence[str], training: Sequence[Clip], test: Sequence[Clip]
) -> dict[str, NDArray[np.float64]]:
    """What each baseline guesses about every clip of a fold.

    Args:
        name: the head.
        classes: its class names; empty for a value head.
        training: the clips of all other folds.
        test: the fold's clips.

    Returns:
        baseline -> (C,) probabilities with which each class is guessed, or (1,) value. Those that need labels of other
        folds are missing where there are none.
    """
    learnt = _labelled(name, classes, training)
    if not classes:
        if not learnt:
            return {}
        values = truth_of(name, classes, learnt)
        return {"training mean": np.array([values.mean()]), "training median": np.array([np.median(values)])}
    found = {}
    if learnt:
        counts = np.bincount(truth_of(name, classes, learnt).astype(np.int64), minlength=len(classes))
        found["training majority"] = np.eye(len(classes))[counts.argmax()]
        found["prior chance"] = counts / counts.sum()
    seen = _labelled(name, classes, test)
    if seen:
        counts = np.bincount(truth_of(name, classes, seen).astype(np.int64), minlength=len(classes))
        found["test majority"] = np.eye(len(classes))[counts.argmax()]
    found["uniform chance"] = np.full(len(classes), 1 / len(classes))
    return found


def baseline_figures(head: JudgedHead) -> dict[str, dict[str, float]]:
    """Baseline -> metric -> figure on the head's clips; expected figures of guesses that are drawn."""
    found = {}
    for name, rows in head.guesses.items():
        if head.classes:
            found[name] = summed_choices(head.truth, rows, forecast=name in FORECASTS).figures()
        else:
            figures = summed_values(head.truth, rows[:, 0]).figures()
            # A constant correlates with nothing; over folds, only the constants' own differences would.
            found[name] = {metric: value for metric, value in figures.items() if metric not in CORRELATIONS}
    return found


def _labelled(name: str, classes: Sequence[str], clips: Sequence[Clip]) -> list[Clip]:
    """Clips labelled for the head, with a class that it has."""
    named = HEADS[name]
    having = [clip for clip in clips if name in clip.labels]
    if named.kind == "value":
        return having
    return [clip for clip in having if named.classes[int(clip.labels[name])] in classes]
