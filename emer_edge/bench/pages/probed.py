"""Sections on ablations, on participant or film effects, and on worse input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from emer_edge.bench.pages.scored import PageSection, estimate, named_bundles
from emer_edge.bench.records.probe_records import Curve, Effect, Effects, FilmDecoding, FilmProbe
from emer_edge.bench.records.report_records import BenchReport, BundleBench
from emer_edge.report import words
from emer_edge.report.bars import Bar, dots
from emer_edge.report.curves import curves
from emer_edge.report.html import Block, Details, Figure, Gallery, Paragraph, Section
from emer_edge.report.table import Cell, Deviation, Estimate, Rows, Table, tabled


def _effects(heads: Effects) -> Iterator[tuple[str, str, Effect, tuple[Cell, ...]]]:
    """Head, metric, the effect, and its cells: head, what the metric is called, the figure and its change."""
    for head in words.in_order(heads):
        for metric, effect in heads[head].items():
            figures = estimate(effect.value, metric), estimate(effect.change, metric)
            yield head, metric, effect, (head, words.metric_label(metric), *figures)


@tabled(
    "Ablations",
    "Bundle | Probe | Head | Metric | figure | change | over draws | draws | clips",
    "Change: against the same clips untouched. In parentheses 95 % intervals by bootstrap over participants, "
    "paired for changes. Over draws: mean ± SD over seeded permutations.",
)
def _ablations(report: BenchReport) -> Rows:
    for name, bundle in named_bundles(report):
        for ablation in bundle.probes.ablations if bundle.probes is not None else ():
            for _, metric, effect, cells in _effects(ablation.heads):
                drawn = None
                if effect.sd is not None:
                    drawn = Deviation(words.scaled(effect.value.value, metric), words.scaled(effect.sd, metric))
                yield (name, ablation.name, *cells, drawn, ablation.permutations, ablation.clips)


def _ablation_section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    if "ablations" not in tables:
        return None
    text = (
        "The same clips again, with one thing taken away or exchanged between clips. Where a figure hardly moves, "
        "the bundle did not use that; where eyes exchanged within film and FER class cost nothing, they added "
        "nothing to the film and the face."
    )
    drawn = (_plot(name, bundle, metric) for name, bundle in named_bundles(report) for metric in ("war", "mae"))
    plots = [plot for plot in drawn if plot is not None]
    blocks: list[Block] = [Paragraph(text), *plots[:2]]
    if plots[2:]:
        blocks.append(Details("The other bundles", tuple(plots[2:])))
    descriptions = dict.fromkeys(
        f"{ablation.name}: {ablation.about}"
        for bundle in report.bundles
        if bundle.probes is not None
        for ablation in bundle.probes.ablations
    )
    blocks.append(Details("What was done", (Paragraph("; ".join(descriptions) + "."),)))
    return Section("Ablations", (*blocks, words.folded(tables["ablations"])))


def _plot(name: str, bundle: BundleBench, metric: str) -> Figure | None:
    items = [
        Bar(ablation.name, estimate(ablation.heads[head][metric].change, metric), head)
        for ablation in (bundle.probes.ablations if bundle.probes is not None else ())
        for head in words.in_order(ablation.heads)
        if metric in ablation.heads[head] and words.main_metric(ablation.heads[head]) == metric
    ]
    if not items:
        return None
    unit = "points of WAR" if metric == "war" else f"{words.METRIC_NAMES[metric]}, label units"
    side = "Left of 0: worse without it." if metric == "war" else "Right of 0: worse without it."
    plot = dots(f"Change of {words.METRIC_NAMES[metric]}, {name}", unit, items, digits=2, guides=(0.0,))
    return Figure(plot, f"{side} Intervals are paired over participants.")


def _film_section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    probes = _probes(report)
    if not probes:
        return None
    reasons: dict[tuple[str | None, str], list[str]] = {}
    for name, films in probes.items():
        reasons.setdefault((films.note, films.reason), []).append(name)
    blocks: list[Block] = []
    for (note, reason), names in reasons.items():
        head = f"{', '.join(names)}{f' {note}' if note is not None else ''}"
        blocks.append(Paragraph(f"{head}: {reason.rstrip('.')}.", warning=note is not None))
    decoded = [_decoded(name, films.decoding) for name, films in probes.items() if films.decoding is not None]
    blocks += map(Paragraph, decoded[:1])
    items = _bars(*next(iter(probes.items())))
    if items:
        caption = "A guess knows the film and nothing of the person. Intervals by bootstrap over participants."
        blocks.append(Figure(dots("WAR beside guesses by the film", "WAR (%)", items), caption))
    blocks += words.folded_of(tables, "film_decoding", "film_guesses", "film_means")
    blocks += words.folded_of(tables, "films")
    return Section("Participant or film effects", tuple(blocks))


def film_notes_of(report: BenchReport) -> dict[str, list[str]]:
    """Note, such as `may decode the film` -> the bundles that it is about."""
    notes: dict[str, list[str]] = {}
    for name, films in _probes(report).items():
        if films.note is not None:
            notes.setdefault(films.note, []).append(name)
    return notes


def _probes(report: BenchReport) -> dict[str, FilmProbe]:
    return {
        name: bundle.probes.films
        for name, bundle in named_bundles(report)
        if bundle.probes is not None and bundle.probes.films is not None
    }


def _decoded(name: str, decoding: FilmDecoding) -> str:
    return (
        f"From the eyes alone, the film of {decoding.share.value:.1%} of {decoding.clips} clips of the fold of {name} "
        f"is decoded, out of {decoding.films} films; {decoding.chance:.1%} when films are permuted within participants "
        f"(p = {decoding.p:.3f} of {decoding.permutations} permutations). A linear classifier on {decoding.features} "
        "numbers per window, participants apart."
    )


def _bars(name: str, films: FilmProbe) -> list[Bar]:
    items = []
    for head in words.in_order(set().union(*(baseline.heads for baseline in films.baselines))):
        for baseline in films.baselines:
            effect = baseline.heads.get(head, {}).get("war")
            if effect is not None:
                items.append(Bar(head, estimate(effect.value, "war"), baseline.name))
        if head in films.over_films and items and items[-1].name == head:
            items.append(Bar(head, estimate(films.over_films[head], "war"), f"{name}, mean over films"))
    return items


@tabled(
    "Films decoded from the eyes alone",
    "Bundle | films decoded (%):1 | permuted (%):1 | SD (%):1 | p:3 | permutations | films | clips | "
    "participants | parts | features",
    "A linear classifier on the eyes of a window, cross-validated with participants apart.",
)
def _decoding(report: BenchReport) -> Rows:
    for name, films in _probes(report).items():
        decoding = films.decoding
        if decoding is not None:
            chance = (decoding.chance, decoding.chance_sd, decoding.p, decoding.permutations)
            counts = (decoding.films, decoding.clips, decoding.participants, decoding.folds, decoding.features)
            yield (name, estimate(decoding.share), *chance, *counts)


def _guesses(report: BenchReport) -> Table:
    probes = _probes(report)
    rows = (
        (name, baseline.name, *cells, baseline.clips)
        for name, films in probes.items()
        for baseline in films.baselines
        for *_, cells in _effects(baseline.heads)
    )
    about = dict.fromkeys(
        f"{baseline.name}: {baseline.about}" for films in probes.values() for baseline in films.baselines
    )
    note = f"{'; '.join(about)}. Intervals by bootstrap over participants, paired for differences."
    header = "Bundle | Guess | Head | Metric | guess | guess less bundle | clips"
    return Table.of("Guesses that know the film only", header, rows, note)


@tabled(
    "Film by film",
    "Bundle | Film | induces | Head | Metric | figure | clips | trained on",
    "Trained on: clips of this film that the bundle was trained on, or that choices were made on.",
)
def _film_by_film(report: BenchReport) -> Rows:
    for name, films in _probes(report).items():
        for film in films.by_film:
            for head in words.in_order(film.heads):
                metric = words.metric_of(head)
                cells = (words.scaled(film.heads[head], metric), words.metric_label(metric))
                yield (name, film.film, film.induced or "", head, cells[1], cells[0], film.clips, film.trained_on)


def _means(report: BenchReport) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, films in _probes(report).items():
        for head in words.in_order(films.over_films):
            metric = words.metric_of(head)
            unseen = films.unseen_films.get(head, {}).get(metric)
            figures = (estimate(films.over_films[head], metric), None if unseen is None else estimate(unseen, metric))
            rows.append((name, head, words.metric_label(metric), *figures))
    header = "Bundle | Head | Metric | mean over films | films never trained on"
    clips = ", ".join(f"{films.unseen_clips} of {name}" for name, films in _probes(report).items())
    note = f"Each film counted once; intervals by bootstrap over films. Clips of films never trained on: {clips}."
    return Table.of("Films as the sample", header, rows, note)


@tabled(
    "Worse input",
    "Bundle | Input | level:3 | unit | Head | Metric | figure | change | below floor | clips",
    "Below floor: clips for whose window a live run would name no emotion; they count all the same. In parentheses "
    "95 % intervals by bootstrap over participants, paired for changes.",
)
def _worse_input(report: BenchReport) -> Rows:
    for name, bundle in named_bundles(report):
        for curve in bundle.probes.curves if bundle.probes is not None else ():
            for level in curve.levels:
                for *_, cells in _effects(level.heads):
                    yield (name, curve.name, level.level, curve.unit, *cells, level.uncovered, curve.clips)


def _robustness_section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    if "robustness" not in tables:
        return None
    blocks: list[Block] = []
    descriptions: dict[str, None] = {}
    for name, bundle in named_bundles(report):
        drawn = bundle.probes.curves if bundle.probes is not None else ()
        if not drawn:
            continue
        descriptions |= dict.fromkeys(f"{_capital(curve.name)}: {curve.about}" for curve in drawn)
        classes, values = (
            Gallery(tuple(figure for curve in drawn for figure in _curve_figures(curve, metric)))
            for metric in ("war", "mae")
        )
        shown: list[Block] = [classes, *([Details(f"Value heads of {name}", (values,))] if values.figures else [])]
        blocks += shown if not blocks else [Details(f"The same of {name}", tuple(shown))]
    about = Paragraph(f"The same clips, made worse step by step. {'. '.join(descriptions)}.")
    return Section("Worse input", (about, *blocks, words.folded(tables["robustness"])))


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _curve_figures(curve: Curve, metric: str) -> list[Figure]:
    lines: dict[str, list[tuple[float, Estimate]]] = {}
    for name in words.in_order(set().union(*(level.heads for level in curve.levels))):
        for level in curve.levels:
            if metric in level.heads.get(name, {}):
                figure = estimate(level.heads[name][metric].value, metric)
                lines.setdefault(name, []).append((level.level, figure))
    if not lines:
        return []
    below = curve.levels[-1].uncovered
    more = f" At the last, {below} are below the coverage floors." if below else ""
    axis = f"{curve.axis} ({curve.unit})" if curve.unit else curve.axis
    digits = 1 if metric in words.SHARES else 3
    plot = curves(_capital(curve.name), axis, words.unit_of(metric), lines, digits=digits)
    return [Figure(plot, f"{curve.clips} clips at every level.{more}")]


ABLATION: Final[PageSection] = ({"ablations": _ablations}, _ablation_section)
FILM: Final[PageSection] = (
    {"film_decoding": _decoding, "film_guesses": _guesses, "films": _film_by_film, "film_means": _means},
    _film_section,
)
ROBUSTNESS: Final[PageSection] = ({"robustness": _worse_input}, _robustness_section)
