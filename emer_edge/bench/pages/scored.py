"""What sections share: sets of folds, names of bundles, and how a figure of a record becomes one of a table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from emer_edge.bench.records import Estimated
from emer_edge.bench.records.accuracy_records import FoldSet, FoldSpread, GapAccuracy, HeadAccuracy, Ranged
from emer_edge.bench.records.latency_records import Latency
from emer_edge.bench.records.report_records import BenchReport, BundleBench
from emer_edge.metrics.latency import BINS_A_DECADE
from emer_edge.report.distributions import Distribution
from emer_edge.report.tables import Deviation, Estimate
from emer_edge.report.words import scaled


@dataclass(frozen=True)
class Scored:
    """One set of folds, or one bundle.

    Attributes:
        name: how it is called on the page.
        bundles: one, or one a fold.
        folds: ascending.
        clips, participants: that were scored.
        heads: head -> figures over all of these clips.
        spread: `<head>/<reading>/<metric>` -> spread over the folds; empty for one bundle.
        gap: over all of these clips, or None.
    """

    name: str
    bundles: tuple[BundleBench, ...]
    folds: tuple[int, ...]
    clips: int
    participants: int
    heads: Mapping[str, HeadAccuracy]
    spread: Mapping[str, FoldSpread]
    gap: GapAccuracy | None

    @property
    def is_set(self) -> bool:
        """Whether these are several folds."""
        return len(self.folds) > 1


def names_of(report: BenchReport) -> dict[int, str]:
    """How bundle number `at` is called: its name, with its number where several have the same."""
    seen = Counter(each.name for each in report.bundles)
    return {
        at: each.name if seen[each.name] == 1 else f"{each.name} #{at + 1}" for at, each in enumerate(report.bundles)
    }


def named_bundles(report: BenchReport) -> list[tuple[str, BundleBench]]:
    """Every bundle under the name that it is called by."""
    return [(name, report.bundles[at]) for at, name in names_of(report).items()]


def scored_of(report: BenchReport) -> tuple[Scored, ...]:
    """Every set of several folds, then every bundle that is in none of them."""
    found = []
    used: set[int] = set()
    names = names_of(report)
    for each in report.sets:
        places = _places(report, each, used)
        if len(each.folds) > 1 and each.pooled and len(places) == len(each.folds):
            used |= set(places)
            bundles = tuple(report.bundles[at] for at in places)
            found.append(
                Scored(
                    name=f"{each.name.upper()}, {len(each.folds)} folds",
                    bundles=bundles,
                    folds=each.folds,
                    clips=each.clips,
                    participants=each.participants,
                    heads=each.pooled,
                    spread=each.spread,
                    gap=each.gap,
                )
            )
    for at, bundle in enumerate(report.bundles):
        accuracy = bundle.accuracy
        if accuracy is not None and at not in used:
            found.append(
                Scored(
                    name=names[at],
                    bundles=(bundle,),
                    folds=(accuracy.fold,),
                    clips=accuracy.clips,
                    participants=accuracy.participants,
                    heads=accuracy.heads,
                    spread={},
                    gap=accuracy.gap,
                )
            )
    return tuple(found)


def _places(report: BenchReport, found: FoldSet, used: set[int]) -> list[int]:
    """The bundles of a set: by name, fold and precision, since bundles of several folds and sets may share a name."""
    places: list[int] = []
    precision = found.name.split(" ", 1)[0]
    for name, fold in zip(found.bundles, found.folds, strict=True):
        for at, each in enumerate(report.bundles):
            taken = at in used or at in places
            fits = each.name == name and each.accuracy is not None and each.accuracy.fold == fold
            if fits and not taken and (each.origin is None or each.origin.requested == precision):
                places.append(at)
                break
    return places


def estimate(found: Estimated, metric: str = "") -> Estimate:
    """A figure and its interval as tables take them; in per cent where `metric` is a share, as plots want it."""
    scale = scaled(1.0, metric)
    low, high = (math.nan if each is None else each * scale for each in (found.low, found.high))
    return Estimate(found.value * scale, low, high)


def spread(found: FoldSpread) -> Deviation:
    """Mean and deviation over folds."""
    return Deviation(found.mean, math.nan if found.sd is None else found.sd)


def ranged(found: Ranged) -> Deviation:
    """Mean and deviation over draws or orders."""
    return Deviation(found.mean, math.nan if found.sd is None else found.sd)


def curve_of(name: str, found: Latency) -> Distribution:
    """The distribution of a latency, its bins `BIN_RATIO` wide."""
    edges = [10 ** (at / BINS_A_DECADE) for at, _ in found.bins]
    return Distribution(name, edges, [count for _, count in found.bins])


def percentiles(found: Latency) -> dict[str, float]:
    """What is marked on a distribution."""
    return {"p50": found.p50_ms, "p90": found.p90_ms, "p99": found.p99_ms}
