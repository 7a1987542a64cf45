"""What figures of accuracy are about: five folds together where there are such, else one bundle on its fold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from emer_edge.bench.records import BenchReport, BundleBench, FoldSet, FoldSpread, GapAccuracy, HeadAccuracy

__all__ = ["Scored", "names_of", "scored_of"]


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
                    f"{each.name.upper()}, {len(each.folds)} folds", bundles, each.folds, each.clips, each.participants,
                    each.pooled, each.spread, each.gap,
                )
            )  # fmt: skip
    for at, bundle in enumerate(report.bundles):
        accuracy = bundle.accuracy
        if accuracy is not None and at not in used:
            found.append(
                Scored(
                    names[at], (bundle,), (accuracy.fold,), accuracy.clips, accuracy.participants,
                    accuracy.heads, {}, accuracy.gap,
                )
            )  # fmt: skip
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
