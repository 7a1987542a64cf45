"""What sections share: sets of folds, names of bundles, and how a figure of a record becomes one of a table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from emer_edge.bench.records import Estimated
from emer_edge.bench.records.accuracy_records import Accuracy, FoldSet, FoldSpread, HeadAccuracy, Ranged
from emer_edge.bench.records.report_records import BenchReport, BundleBench
from emer_edge.report.html import Section
from emer_edge.report.table import Deviation, Estimate, Table
from emer_edge.report.words import in_order, scaled

PageSection = tuple[
    Mapping[str, Callable[[BenchReport], Table]], Callable[[BenchReport, dict[str, Table]], Section | None]
]
"""What makes the tables of a section, by name, and what makes the section of all tables."""


@dataclass(frozen=True)
class Scored:
    """One set of folds, or one bundle.

    Attributes:
        name: how it is called on the page.
        bundles: one, or one per fold.
        folds: ascending.
        heads: head -> figures over all of these clips.
        spread: `<head>/<reading>/<metric>` -> spread over the folds; empty for one bundle.
        record: of the set or the bundle: clips, participants, and the gap over all of these clips.
    """

    name: str
    bundles: tuple[BundleBench, ...]
    folds: tuple[int, ...]
    heads: Mapping[str, HeadAccuracy]
    spread: Mapping[str, FoldSpread]
    record: FoldSet | Accuracy

    @property
    def is_set(self) -> bool:
        """Whether these are several folds."""
        return len(self.folds) > 1


def names_of(report: BenchReport) -> dict[int, str]:
    """Number of each bundle -> its name on the page, with the number where several share a name."""
    seen = Counter(bundle.name for bundle in report.bundles)
    return {
        at: bundle.name if seen[bundle.name] == 1 else f"{bundle.name} #{at + 1}"
        for at, bundle in enumerate(report.bundles)
    }


def named_bundles(report: BenchReport) -> list[tuple[str, BundleBench]]:
    """Every bundle with its name on the page."""
    return list(zip(names_of(report).values(), report.bundles, strict=True))


def scored_of(report: BenchReport) -> tuple[Scored, ...]:
    """Every set of several folds, then every bundle that is in none of them."""
    all_scored = []
    used: set[int] = set()
    names = names_of(report)
    for fold_set in report.sets:
        places = _places(report, fold_set, used)
        if len(fold_set.folds) > 1 and fold_set.pooled and len(places) == len(fold_set.folds):
            used |= set(places)
            name, bundles = f"{fold_set.name.upper()}, {len(places)} folds", tuple(report.bundles[at] for at in places)
            pooled, spread = fold_set.pooled, fold_set.spread
            all_scored.append(Scored(name, bundles, fold_set.folds, heads=pooled, spread=spread, record=fold_set))
    for at, bundle in enumerate(report.bundles):
        accuracy = bundle.accuracy
        if accuracy is not None and at not in used:
            folds = (accuracy.fold,)
            all_scored.append(Scored(names[at], (bundle,), folds, heads=accuracy.heads, spread={}, record=accuracy))
    return tuple(all_scored)


def scored_heads(report: BenchReport) -> Iterator[tuple[Scored, str, HeadAccuracy]]:
    """Every head of every set or bundle that was scored: the set, the name of the head, its figures."""
    for scored in scored_of(report):
        for name in in_order(scored.heads):
            yield scored, name, scored.heads[name]


def _places(report: BenchReport, fold_set: FoldSet, used: set[int]) -> list[int]:
    """The bundles of a set, by name, fold and precision: bundles of several folds and sets may share a name."""
    places: list[int] = []
    precision = fold_set.name.split(" ", 1)[0]
    for name, fold in zip(fold_set.bundles, fold_set.folds, strict=True):
        for at, bundle in enumerate(report.bundles):
            taken = at in used or at in places
            fits = bundle.name == name and bundle.accuracy is not None and bundle.accuracy.fold == fold
            if fits and not taken and (bundle.origin is None or bundle.origin.requested == precision):
                places.append(at)
                break
    return places


def estimate(figure: Estimated, metric: str = "") -> Estimate:
    """A figure and its interval as tables take them; in per cent where `metric` is a share."""
    scale = scaled(1.0, metric)
    low, high = (math.nan if limit is None else limit * scale for limit in (figure.low, figure.high))
    return Estimate(figure.value * scale, low, high)


def deviation(over: FoldSpread | Ranged, metric: str = "") -> Deviation:
    """Mean and standard deviation over folds, draws or orders; in per cent where `metric` is a share."""
    return Deviation(scaled(over.mean, metric), math.nan if over.sd is None else scaled(over.sd, metric))
