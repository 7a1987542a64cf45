"""What a bundle leans on, whether figures may come from the film instead of the person, how worse input is borne."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from emer_edge.bench.pages.scored import estimate, named_bundles, names_of
from emer_edge.bench.records.probe_records import Curve, Effect, Effects, FilmDecoding, FilmProbe
from emer_edge.bench.records.report_records import BenchReport
from emer_edge.report import words
from emer_edge.report.bars import Bar, dots
from emer_edge.report.curves import Line, curves
from emer_edge.report.html import Block, Details, Figure, Gallery, Paragraph, Section
from emer_edge.report.tables import Cell, Deviation, Rows, Table, columns, tabled


def _effects(heads: Effects) -> Iterator[tuple[str, str, Effect, tuple[Cell, ...]]]:
    """Head, metric, the effect, and its cells: head, what the metric is called, the figure and its change."""
    for head in words.in_order(heads):
        for metric, found in heads[head].items():
            figures = estimate(found.value, metric), estimate(found.change, metric)
            yield head, metric, found, (head, words.metric_label(metric), *figures)


@tabled(
    "What is leant on",
    "Bundle | Probe | Head | Metric | figure | change | over draws | draws | clips",
    "Change: against the same clips untouched. In parentheses 95 % intervals by bootstrap over participants, "
    "paired for changes. Over draws: mean ± SD over seeded permutations.",
)
def _ablations(report: BenchReport) -> Rows:
    for bundle, held in named_bundles(report):
        for each in held.probes.ablations if held.probes is not None else ():
            for _, metric, found, cells in _effects(each.heads):
                drawn = None
                if found.sd is not None:
                    drawn = Deviation(words.scaled(found.value.value, metric), words.scaled(found.sd, metric))
                yield (bundle, each.name, *cells, drawn, each.permutations, each.clips)


def _ablation_tables(report: BenchReport) -> dict[str, Table]:
    """Every ablation's figures and changes."""
    return {"ablations": _ablations(report)}


def _ablation_section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    """The section; None where it was not asked for."""
    if "ablations" not in tables:
        return None
    blocks: list[Block] = [
        Paragraph(
            "The same clips again, with one thing taken away or exchanged between clips. Where a figure hardly moves, "
            "the bundle did not lean on that; where eyes exchanged within film and FER class cost nothing, they told "
            "no more than the film and the face do."
        )
    ]
    plots = [
        plot
        for at in range(len(report.bundles))
        for metric in ("war", "mae")
        if (plot := _plot(report, at, metric)) is not None
    ]
    blocks += plots[:2]
    if plots[2:]:
        blocks.append(Details("The other bundles", tuple(plots[2:])))
    told = dict.fromkeys(
        f"{each.name}: {each.about}"
        for bundle in report.bundles
        if bundle.probes is not None
        for each in bundle.probes.ablations
    )
    blocks += [Details("What was done", (Paragraph("; ".join(told) + "."),)), words.folded(tables["ablations"])]
    return Section("What it leans on", tuple(blocks))


def _plot(report: BenchReport, at: int, metric: str) -> Figure | None:
    probes, bundle = report.bundles[at].probes, names_of(report)[at]
    items = [
        Bar(each.name, estimate(each.heads[name][metric].change, metric), name)
        for each in (probes.ablations if probes is not None else ())
        for name in words.in_order(each.heads)
        if metric in each.heads[name] and words.main_metric(each.heads[name]) == metric
    ]
    if not items:
        return None
    unit = "points of WAR" if metric == "war" else f"{words.METRIC_NAMES[metric]}, label units"
    side = "Left of 0: worse without it." if metric == "war" else "Right of 0: worse without it."
    plot = dots(f"Change of {words.METRIC_NAMES[metric]}, {bundle}", unit, items, digits=2, guides=(0.0,))
    return Figure(plot, f"{side} Intervals are paired over participants.")


def _film_tables(report: BenchReport) -> dict[str, Table]:
    """Films told from eyes, guesses by film, figures film by film, films that were never trained on."""
    return {
        "film_decoding": _decoding(report),
        "film_guesses": _guesses(report),
        "films": _film_by_film(report),
        "film_means": _means(report),
    }


def _film_section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    """The section; None where it was not asked for."""
    found = _probes(report)
    if not found:
        return None
    reasons: dict[tuple[str | None, str], list[str]] = {}
    for name, films in found.items():
        reasons.setdefault((films.note, films.reason), []).append(name)
    blocks: list[Block] = []
    for (note, reason), names in reasons.items():
        head = f"{', '.join(names)}{f' {note}' if note is not None else ''}"
        blocks.append(Paragraph(f"{head}: {reason.rstrip('.')}.", warning=note is not None))
    for name, films in found.items():
        if films.decoding is not None:
            blocks.append(Paragraph(_told(name, films.decoding)))
            break
    for name, films in list(found.items())[:1]:
        items = _bars(name, films)
        if items:
            caption = (
                "A guess knows the film and has seen nothing of the person. Intervals by bootstrap over participants."
            )
            blocks.append(Figure(dots("WAR beside guesses by the film", "WAR (%)", items), caption))
    blocks += [words.folded(tables[name]) for name in ("film_decoding", "film_guesses", "film_means") if name in tables]
    if "films" in tables:
        blocks.append(words.folded(tables["films"]))
    return Section("Person or film", tuple(blocks))


def film_notes_of(report: BenchReport) -> dict[str, list[str]]:
    """Note, such as `may decode the film` -> the bundles that it is about."""
    found: dict[str, list[str]] = {}
    for name, films in _probes(report).items():
        if films.note is not None:
            found.setdefault(films.note, []).append(name)
    return found


def _probes(report: BenchReport) -> dict[str, FilmProbe]:
    found = {}
    for name, each in named_bundles(report):
        if each.probes is not None and each.probes.films is not None:
            found[name] = each.probes.films
    return found


def _told(name: str, found: FilmDecoding) -> str:
    return (
        f"From eyes alone, {found.share.value:.1%} of {found.clips} clips of the fold of {name} tell which of "
        f"{found.films} films was watched; {found.chance:.1%} when films are permuted within participants (p = "
        f"{found.p:.3f} of {found.permutations} permutations). A linear classifier on {found.features} numbers a "
        "window, participants apart."
    )


def _bars(name: str, films: FilmProbe) -> list[Bar]:
    items = []
    for head in words.in_order(set().union(*(each.heads for each in films.baselines))) if films.baselines else ():
        for each in films.baselines:
            found = each.heads.get(head, {}).get("war")
            if found is not None:
                items.append(Bar(head, estimate(found.value, "war"), each.name))
        if head in films.over_films and items and items[-1].name == head:
            items.append(Bar(head, estimate(films.over_films[head], "war"), f"{name}, mean over films"))
    return items


@tabled(
    "Films told from eyes alone",
    "Bundle | films told (%):1 | permuted (%):1 | SD (%):1 | p:3 | permutations | films | clips | "
    "participants | parts | features",
    "A linear classifier on the eyes of a window, cross-validated with participants apart.",
)
def _decoding(report: BenchReport) -> Rows:
    for name, films in _probes(report).items():
        found = films.decoding
        if found is not None:
            cells = (found.chance, found.chance_sd, found.p, found.permutations, found.films, found.clips)
            yield (name, estimate(found.share), *cells, found.participants, found.folds, found.features)


def _guesses(report: BenchReport) -> Table:
    found = _probes(report)
    rows = [
        (name, each.name, *cells, each.clips)
        for name, films in found.items()
        for each in films.baselines
        for *_, cells in _effects(each.heads)
    ]
    about = dict.fromkeys(f"{each.name}: {each.about}" for films in found.values() for each in films.baselines)
    note = f"{'; '.join(about)}. Intervals by bootstrap over participants, paired for differences."
    header = columns("Bundle | Guess | Head | Metric | guess | guess less bundle | clips")
    return Table("Guesses that know the film only", header, tuple(rows), note)


@tabled(
    "Film by film",
    "Bundle | Film | induces | Head | Metric | figure | clips | trained on",
    "Trained on: clips of this film that the bundle was trained on, or that choices were made on.",
)
def _film_by_film(report: BenchReport) -> Rows:
    for name, films in _probes(report).items():
        for each in films.by_film:
            for head in words.in_order(each.heads):
                metric = words.metric_of(head)
                cells = (words.scaled(each.heads[head], metric), words.metric_label(metric))
                yield (name, each.film, each.induced or "", head, cells[1], cells[0], each.clips, each.trained_on)


def _means(report: BenchReport) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, films in _probes(report).items():
        for head in words.in_order(films.over_films):
            metric = words.metric_of(head)
            unseen = films.unseen_films.get(head, {}).get(metric)
            figures = (estimate(films.over_films[head], metric), None if unseen is None else estimate(unseen, metric))
            rows.append((name, head, words.metric_label(metric), *figures))
    header = columns("Bundle | Head | Metric | mean over films | films never trained on")
    clips = ", ".join(f"{films.unseen_clips} of {name}" for name, films in _probes(report).items())
    note = f"Each film counted once; intervals by bootstrap over films. Clips of films never trained on: {clips}."
    return Table("Films as the sample", header, tuple(rows), note)


@tabled(
    "Worse input",
    "Bundle | Input | level:3 | unit | Head | Metric | figure | change | below floor | clips",
    "Below floor: clips whose window a live run would name no emotion for; they count all the same. In parentheses "
    "95 % intervals by bootstrap over participants, paired for changes.",
)
def _worse_input(report: BenchReport) -> Rows:
    for at, bundle in names_of(report).items():
        for curve in _curves(report, at):
            for level in curve.levels:
                for *_, cells in _effects(level.heads):
                    yield (bundle, curve.name, level.level, curve.unit, *cells, level.uncovered, curve.clips)


def _robustness_tables(report: BenchReport) -> dict[str, Table]:
    """Every point of every curve."""
    return {"robustness": _worse_input(report)}


def _robustness_section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    """The section; None where it was not asked for."""
    if "robustness" not in tables:
        return None
    blocks: list[Block] = []
    for at, bundle in names_of(report).items():
        found = _curves(report, at)
        if not found:
            continue
        classes = Gallery(tuple(each for curve in found for each in _curve_figures(curve, "war")))
        values = Gallery(tuple(each for curve in found for each in _curve_figures(curve, "mae")))
        rest = Details(f"Value heads of {bundle}", (values,)) if values.figures else None
        held: tuple[Block, ...] = (classes, rest) if rest is not None else (classes,)
        blocks += held if not blocks else [Details(f"The same of {bundle}", held)]
    told = dict.fromkeys(
        f"{curve.name[:1].upper()}{curve.name[1:]}: {curve.about}"
        for at in range(len(report.bundles))
        for curve in _curves(report, at)
    )
    about = Paragraph(f"The same clips, made worse step by step. {'. '.join(told)}.")
    return Section("Worse input", (about, *blocks, words.folded(tables["robustness"])))


def _curves(report: BenchReport, at: int) -> tuple[Curve, ...]:
    probes = report.bundles[at].probes
    return probes.curves if probes is not None else ()


def _curve_figures(curve: Curve, metric: str) -> tuple[Figure, ...]:
    lines = []
    for name in words.in_order(set().union(*(level.heads for level in curve.levels))):
        points = tuple(
            (level.level, estimate(level.heads[name][metric].value, metric))
            for level in curve.levels
            if metric in level.heads.get(name, {})
        )
        if points:
            lines.append(Line(name, points))
    if not lines:
        return ()
    title = f"{curve.name[:1].upper()}{curve.name[1:]}"
    below = curve.levels[-1].uncovered
    caption = f"{curve.clips} clips at every level." + (
        f" At the last, {below} are below the coverage floors." if below else ""
    )
    axis = f"{curve.axis} ({curve.unit})" if curve.unit else curve.axis
    plot = curves(title, axis, words.unit_of(metric), lines, digits=1 if metric in words.SHARES else 3)
    return (Figure(plot, caption),)


ABLATION: Final = (_ablation_tables, _ablation_section)
FILM: Final = (_film_tables, _film_section)
ROBUSTNESS: Final = (_robustness_tables, _robustness_section)
