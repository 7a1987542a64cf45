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
from emer_edge.data.overview import overview
from emer_edge.metrics.summed import CORRELATIONS, Summed, summed_choices, summed_classes, summed_values

_MARKER: Final = "synthetic.json"


def facts_of(dataset: EmerDataset) -> DataFacts:
    """Count clips, participants, films and labels; a clip whose participant is unknown counts as a participant."""
    labels = {}
    for name in dataset.heads:
        head = HEADS[name]
        if isinstance(head, ClassHead):
            counts = Counter(int(clip.labels[name]) for clip in dataset.clips if name in clip.labels)
            labels[name] = {label: counts[at] for at, label in enumerate(head.classes)}
    return DataFacts(
        fingerprint=dataset.fingerprint,
        clips=len(dataset.clips),
        participants=len(set(map(owner, dataset.clips))),
        skipped=len(dataset.skipped),
        folds=tuple(
            FoldFacts(fold=fold, clips=len(clips), participants=len(set(map(owner, clips))))
            for fold, clips in ((fold, dataset.fold(fold)) for fold in dataset.folds)
        ),
        regrouped=dataset.regrouped,
        shared_participants=len(dataset.shared_participants),
        stimuli=len({clip.film for clip in dataset.clips} - {None}),
        labels=labels,
        synthetic=(dataset.root / _MARKER).is_file(),
        overview=overview(dataset),
    )


_NAMED = 5  # participants that a warning names


def fold_of(manifest: Manifest, requested: int | None) -> int:
    """The fold to score: the requested one, else the one that the bundle has never seen.

    Raises:
        DataError: nobody says which fold that is.
    """
    if requested is not None:
        return requested
    if manifest.data is None or manifest.data.fold == 0:
        raise DataError(
            f"bundle {manifest.name} does not say which fold it has never seen; name the fold to score: --fold 1"
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
    hashes = {clip.name: clip_hash(manifest.data.salt, clip) for clip in clips}
    known = [name for name, digest in hashes.items() if digest in trained | chosen]
    if known:
        on = sum(hashes[name] in trained for name in known)
        unseen = f"score fold {manifest.data.fold}, which it has never seen" if manifest.data.fold else "score others"
        raise DataError(
            f"bundle {manifest.name} was trained on {on} of these {len(clips)} clips, and choices were made on "
            f"{len(known) - on} more (the first: {known[0]}), so its figures would mean nothing; {unseen}"
        )


def owner(clip: Clip) -> str:
    """The participant of a clip; a clip whose participant is unknown stands for itself."""
    return f"clip {clip.name}" if clip.participant is None else clip.participant


def split_hash(clips: Sequence[Clip]) -> str:
    """SHA-256, in hexadecimal, of the clips' names, one per line, in their order: it identifies the split."""
    return hashlib.sha256("".join(f"{clip.name}\n" for clip in clips).encode()).hexdigest()


def data_notes(manifests: Sequence[Manifest], dataset: EmerDataset) -> list[str]:
    """What a reader of figures on these bundles and these folds has to know."""
    notes = [
        f"bundle {manifest.name} does not say which clips it was trained on: nothing vouches that these are new to it"
        for manifest in manifests
        if manifest.data is None
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
        """(n,) participant of each clip."""
        return [owner(clip) for clip in self.clips]

    def summed(self, rows: NDArray[np.float64], clips: NDArray[np.int64] | None = None) -> Summed:
        """Figures of (m, C) answers about the clips (m,), by default about all."""
        truth = self.truth if clips is None else self.truth[clips]
        return summed_classes(truth, rows) if self.classes else summed_values(truth, rows[:, 0])

    def drawn(self, reading: Reading, count: int) -> NDArray[np.float64]:
        """The first `count` windows of each clip, (n, count, C), of a reading that has as many of each clip."""
        rows = self.given[reading]
        drawn: NDArray[np.float64] = rows.reshape(len(self.clips), -1, rows.shape[1])[:, :count]
        return drawn


def protocol_of(head: str) -> str:
    """The protocol that a head belongs to."""
    return next(protocol.name for protocol in PROTOCOLS if head in protocol.heads)


def class_order(head: BundledHead) -> tuple[str, ...]:
    """The bundle's classes in this project's order; empty for a value head."""
    named = HEADS[head.name]
    return tuple(label for label in named.classes if label in head.classes) if named.kind == "class" else ()


def truth_of(name: str, classes: Sequence[str], clips: Sequence[Clip]) -> NDArray[np.int64] | NDArray[np.float64]:
    """(n,) class indices in `classes`, or values, of clips that are labelled for the head.

    Raises:
        DataError: a label is a class that is not among them.
    """
    labels = [clip.labels[name] for clip in clips]
    named = HEADS[name]
    if named.kind == "value":
        return np.array(labels, np.float64)
    names = [named.classes[int(label)] for label in labels]
    missing = sorted(set(names) - set(classes))
    if missing:
        raise DataError(f"the data hold the class {', '.join(missing)}, which the bundle's {name} lacks")
    return np.array([classes.index(label) for label in names], np.int64)


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
    labelled = np.array([at for at, clip in enumerate(clips) if head.name in clip.labels], np.int64)
    if not len(labelled):
        return None
    classes = class_order(head)
    columns = [head.classes.index(label) for label in classes] if classes else [0]
    kept = {reading: np.isin(owners, labelled) for reading, owners in scores.owners.items()}
    own = tuple(clips[at] for at in labelled)
    return JudgedHead(
        name=head.name,
        classes=classes,
        clips=own,
        truth=truth_of(head.name, classes, own),
        given={
            reading: outputs[head.name][kept[reading]][:, columns].astype(np.float64)
            for reading, outputs in scores.outputs.items()
        },
        owners={
            reading: np.searchsorted(labelled, scores.owners[reading][kept[reading]]) for reading in scores.outputs
        },
        guesses={name: np.broadcast_to(row, (len(own), len(row))) for name, row in (guesses or {}).items()},
    )


def join(parts: Sequence[JudgedHead]) -> JudgedHead | None:
    """One head over several folds, each judged by its own bundle; None where the classes differ.

    Readings and guesses that not all of them have are left out.
    """
    first = parts[0]
    if any(part.classes != first.classes for part in parts):
        return None
    starts = np.cumsum([0, *(len(part.clips) for part in parts[:-1])])
    readings = [reading for reading in first.given if all(reading in part.given for part in parts)]
    guesses = [name for name in first.guesses if all(name in part.guesses for part in parts)]
    return JudgedHead(
        name=first.name,
        classes=first.classes,
        clips=tuple(clip for part in parts for clip in part.clips),
        truth=np.concatenate([part.truth for part in parts]),
        given={reading: np.concatenate([part.given[reading] for part in parts]) for reading in readings},
        owners={
            reading: np.concatenate([part.owners[reading] + at for part, at in zip(parts, starts, strict=True)])
            for reading in readings
        },
        guesses={name: np.concatenate([part.guesses[name] for part in parts]) for name in guesses},
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
    learnt, seen = (truth_of(name, classes, _labelled(name, classes, clips)) for clips in (training, test))
    if not classes:
        if not len(learnt):
            return {}
        return {"training mean": np.array([learnt.mean()]), "training median": np.array([np.median(learnt)])}
    guesses = {}
    for kind, truth in (("training", learnt), ("test", seen)):
        if len(truth):
            counts = np.bincount(truth.astype(np.int64), minlength=len(classes))
            guesses[f"{kind} majority"] = np.eye(len(classes))[counts.argmax()]
            if kind == "training":
                guesses["prior chance"] = counts / counts.sum()
    return {**guesses, "uniform chance": np.full(len(classes), 1 / len(classes))}


def baseline_figures(head: JudgedHead) -> dict[str, dict[str, float]]:
    """Baseline -> metric -> figure on the head's clips; expected figures of guesses that are drawn."""
    baselines = {}
    for name, rows in head.guesses.items():
        if head.classes:
            baselines[name] = summed_choices(head.truth, rows, forecast=name in FORECASTS).figures()
        else:
            figures = summed_values(head.truth, rows[:, 0]).figures()
            # A constant correlates with nothing; over folds, only the constants' own differences would.
            baselines[name] = {metric: value for metric, value in figures.items() if metric not in CORRELATIONS}
    return baselines


def _labelled(name: str, classes: Sequence[str], clips: Sequence[Clip]) -> list[Clip]:
    """Clips labelled for the head, with a class that it has."""
    head = HEADS[name]
    return [
        clip
        for clip in clips
        if name in clip.labels and (head.kind == "value" or head.classes[int(clip.labels[name])] in classes)
    ]
