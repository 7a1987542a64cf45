"""Five folds as one set, and precisions side by side."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from emer_edge.bench.accuracy.encoded import ReadingPlan
from emer_edge.bench.accuracy.figures import head_accuracy
from emer_edge.bench.accuracy.gaps import JudgedGap, auroc_change, gap_accuracy, join_gaps
from emer_edge.bench.accuracy.judged import JudgedHead, join
from emer_edge.bench.accuracy.known import owner
from emer_edge.bench.accuracy.scoring import ScoredFold
from emer_edge.bench.records import Accuracy, Estimated, FoldSet, FoldSpread, PairedSets
from emer_edge.metrics.mcnemar import mcnemar_p
from emer_edge.spec.heads import HEADS
from emer_edge.spec.progress import Progress, silent

__all__ = ["fold_sets", "group", "pair_sets"]


def group(folds: Sequence[ScoredFold]) -> dict[str, tuple[ScoredFold, ...]]:
    """Name of a set -> its folds, ascending: bundles of one precision, each on a fold of its own.

    A bundle whose precision has its fold already opens a second set of that precision, `int8 2`.
    """
    found: dict[str, list[ScoredFold]] = {}
    for each in folds:
        number = 1
        name = each.precision
        while any(other.accuracy.fold == each.accuracy.fold for other in found.get(name, ())):
            number += 1
            name = f"{each.precision} {number}"
        found.setdefault(name, []).append(each)
    return {name: tuple(sorted(members, key=lambda each: each.accuracy.fold)) for name, members in found.items()}


def fold_sets(
    folds: Sequence[ScoredFold], plan: ReadingPlan, resamples: int, progress: Progress = silent
) -> tuple[FoldSet, ...]:
    """The record of every set, in the order in which the sets first appear.

    Args:
        folds: the bundles, scored.
        plan: how the clips were read.
        resamples: draws of an interval.
        progress: told of sets.
    """
    groups = group(folds)
    records = []
    for done, (name, members) in enumerate(groups.items()):
        progress("pooling folds", done, len(groups))
        people = {owner(clip) for each in members for clip in each.windows.clips}
        gap = _gap_of(members)
        records.append(
            FoldSet(
                name=name,
                bundles=tuple(each.bundle for each in members),
                folds=tuple(each.accuracy.fold for each in members),
                clips=sum(each.accuracy.clips for each in members),
                participants=len(people),
                spread=_spread([each.accuracy for each in members]),
                pooled={
                    head: head_accuracy(judged, plan, resamples, published=False)
                    for head, judged in _pooled(members).items()
                },
                gap=None if gap is None else gap_accuracy(gap, resamples, plan.seed),
            )
        )
    progress("pooling folds", len(groups), len(groups))
    return tuple(records)


def pair_sets(folds: Sequence[ScoredFold], resamples: int, seed: int) -> tuple[PairedSets, ...]:
    """Every other set against the first one in FP32, else the first, on the clips that both scored."""
    sets = group(folds)
    groups = {name: _pooled(members) for name, members in sets.items()}
    if len(groups) < 2:
        return ()
    reference = next((name for name in groups if name.split()[0] == "fp32"), next(iter(groups)))
    found = []
    for name, heads in groups.items():
        if name == reference:
            continue
        for head in (each for each in HEADS if each in heads and each in groups[reference]):
            record = _pair(reference, groups[reference][head], name, heads[head], resamples, seed)
            if record is not None:
                found.append(record)
        gaps = _gap_of(sets[reference]), _gap_of(sets[name])
        if gaps[0] is not None and gaps[1] is not None:
            found += _pair_gaps(reference, gaps[0], name, gaps[1], resamples, seed)
    return tuple(found)


def _pair(first: str, one: JudgedHead, second: str, other: JudgedHead, resamples: int, seed: int) -> PairedSets | None:
    at = {clip.name: index for index, clip in enumerate(other.clips)}
    both = [(index, at[clip.name]) for index, clip in enumerate(one.clips) if clip.name in at]
    if not both or one.classes != other.classes:
        return None
    rows, columns = (np.array(each) for each in zip(*both, strict=True))
    before, after = one.given["newest"][rows], other.given["newest"][columns]
    people = [one.people[index] for index in rows]
    change = one.summed(after, rows).minus(one.summed(before, rows)).intervals(people, resamples, seed=seed)
    counts = [0, 0, 0, 0]
    if one.classes:
        right = [given.argmax(axis=1) == one.truth[rows] for given in (before, after)]
        counts = [
            int(np.sum((right[0] == had) & (right[1] == has)))
            for had, has in ((True, True), (True, False), (False, True), (False, False))
        ]
    return PairedSets(
        first=first,
        second=second,
        head=one.name,
        clips=len(rows),
        participants=len(set(people)),
        both=counts[0],
        only_first=counts[1],
        only_second=counts[2],
        neither=counts[3],
        mcnemar_p=mcnemar_p(counts[1], counts[2]) if one.classes else None,
        change={name: Estimated.of(each) for name, each in change.items()},
    )


def _pair_gaps(
    first: str, one: JudgedGap, second: str, other: JudgedGap, resamples: int, seed: int
) -> list[PairedSets]:
    """The gap's AUROC on the clips that both scored; nothing where all labels differ or all agree."""
    at = {clip.name: index for index, clip in enumerate(other.clips)}
    rows = np.array([index for index, clip in enumerate(one.clips) if clip.name in at], np.int64)
    if not len(rows) or one.differ[rows].all() or not one.differ[rows].any():
        return []
    columns = np.array([at[one.clips[index].name] for index in rows], np.int64)
    change = auroc_change(one.among(rows), other.among(columns), resamples, seed)
    return [
        PairedSets(
            first=first,
            second=second,
            head="gap",
            clips=len(rows),
            participants=len({owner(one.clips[index]) for index in rows}),
            both=0,
            only_first=0,
            only_second=0,
            neither=0,
            mcnemar_p=None,
            change={"auroc": Estimated.of(change)},
        )
    ]


def _gap_of(members: Sequence[ScoredFold]) -> JudgedGap | None:
    gaps = [each.gap for each in members if each.gap is not None]
    return join_gaps(gaps) if len(gaps) == len(members) else None


def _pooled(members: Sequence[ScoredFold]) -> dict[str, JudgedHead]:
    """The heads that all folds have, each clip judged by the bundle of its fold."""
    found = {}
    for name in members[0].heads:
        if all(name in each.heads for each in members):
            joined = join([each.heads[name] for each in members])
            if joined is not None:
                found[name] = joined
    return found


def _spread(accuracies: Sequence[Accuracy]) -> dict[str, FoldSpread]:
    """Mean and standard deviation over folds of every figure that all of them have."""
    figures = [dict(_figures(each)) for each in accuracies]
    found = {}
    for key in figures[0]:
        if all(key in each for each in figures):
            values = tuple(each[key] for each in figures)
            sd = statistics.stdev(values) if len(values) > 1 else None
            found[key] = FoldSpread(values=values, mean=statistics.fmean(values), sd=sd)
    return found


def _figures(accuracy: Accuracy) -> Iterator[tuple[str, float]]:
    for name, head in accuracy.heads.items():
        readings: Mapping[str, Mapping[str, Estimated]] = {
            "newest": head.metrics,
            **{reading: each.metrics for reading, each in head.readings.items()},
        }
        for reading, metrics in readings.items():
            yield from ((f"{name}/{reading}/{metric}", each.value) for metric, each in metrics.items())
        yield from ((f"{name}/published_batch/{metric}", each.mean) for metric, each in head.published_batch.items())
    if accuracy.gap is not None and accuracy.gap.auroc is not None:
        yield "gap/auroc", accuracy.gap.auroc.value
