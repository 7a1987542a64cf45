"""Whether figures may come from the film instead of the person."""

from __future__ import annotations

from emer_edge.bench.pages.scored import names_of
from emer_edge.bench.pages.words import HEAD, METRIC_NAMES, SHARES, estimate, folded, in_order, metric_of, scaled
from emer_edge.bench.records import BenchReport, FilmDecoding, FilmProbe
from emer_edge.report.dots import dots
from emer_edge.report.html import Block, Figure, Paragraph, Section
from emer_edge.report.plots import Bar
from emer_edge.report.tables import Cell, Column, Table

__all__ = ["notes_of", "section", "tables"]


def tables(report: BenchReport) -> dict[str, Table]:
    """Films told from eyes, guesses by film, figures film by film, films that were never trained on."""
    return {
        "film_decoding": _decoding(report),
        "film_guesses": _guesses(report),
        "films": _films(report),
        "film_means": _means(report),
    }


def section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
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
    blocks += [folded(tables[name]) for name in ("film_decoding", "film_guesses", "film_means") if name in tables]
    if "films" in tables:
        blocks.append(folded(tables["films"]))
    return Section("Person or film", tuple(blocks))


def notes_of(report: BenchReport) -> dict[str, list[str]]:
    """Note, such as `may decode the film` -> the bundles that it is about."""
    found: dict[str, list[str]] = {}
    for name, films in _probes(report).items():
        if films.note is not None:
            found.setdefault(films.note, []).append(name)
    return found


def _probes(report: BenchReport) -> dict[str, FilmProbe]:
    found = {}
    for at, name in names_of(report).items():
        probes = report.bundles[at].probes
        if probes is not None and probes.films is not None:
            found[name] = probes.films
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
    for head in in_order(set().union(*(each.heads for each in films.baselines))) if films.baselines else ():
        for each in films.baselines:
            found = each.heads.get(head, {}).get("war")
            if found is not None:
                items.append(Bar(head, estimate(found.value, "war"), each.name))
        if head in films.over_films and items and items[-1].name == head:
            items.append(Bar(head, estimate(films.over_films[head], "war"), f"{name}, mean over films"))
    return items


def _decoding(report: BenchReport) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, films in _probes(report).items():
        found = films.decoding
        if found is not None:
            cells = (found.chance, found.chance_sd, found.p, found.permutations, found.films, found.clips)
            rows.append((name, estimate(found.share), *cells, found.participants, found.folds, found.features))
    columns = (
        Column("Bundle"), Column("films told", "%", 1, 100), Column("permuted", "%", 1, 100), Column("SD", "%", 1, 100),
        Column("p", "", 3), Column("permutations"), Column("films"), Column("clips"), Column("participants"),
        Column("parts"), Column("features"),
    )  # fmt: skip
    note = "A linear classifier on the eyes of a window, cross-validated with participants apart."
    return Table("Films told from eyes alone", columns, tuple(rows), note)


def _guesses(report: BenchReport) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, films in _probes(report).items():
        for each in films.baselines:
            for head in in_order(each.heads):
                for metric, found in each.heads[head].items():
                    shown = f"{METRIC_NAMES.get(metric, metric)}{' (%)' if metric in SHARES else ''}"
                    figures = (estimate(found.value, metric), estimate(found.change, metric))
                    rows.append((name, each.name, head, shown, *figures, each.clips))
    columns = (
        Column("Bundle"), Column("Guess"), HEAD, Column("Metric"), Column("guess", "", 2),
        Column("guess less bundle", "", 2), Column("clips"),
    )  # fmt: skip
    about = dict.fromkeys(
        f"{each.name}: {each.about}" for films in _probes(report).values() for each in films.baselines
    )
    note = f"{'; '.join(about)}. Intervals by bootstrap over participants, paired for differences."
    return Table("Guesses that know the film only", columns, tuple(rows), note)


def _films(report: BenchReport) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, films in _probes(report).items():
        for each in films.by_film:
            for head in in_order(each.heads):
                metric = metric_of(head)
                cells = (scaled(each.heads[head], metric), METRIC_NAMES[metric] + (" (%)" if metric in SHARES else ""))
                rows.append(
                    (name, each.film, each.induced or "", head, cells[1], cells[0], each.clips, each.trained_on)
                )
    columns = (
        Column("Bundle"), Column("Film"), Column("induces"), HEAD, Column("Metric"), Column("figure", "", 2),
        Column("clips"), Column("trained on"),
    )  # fmt: skip
    note = "Trained on: clips of this film that the bundle was trained on, or that choices were made on."
    return Table("Film by film", columns, tuple(rows), note)


def _means(report: BenchReport) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, films in _probes(report).items():
        for head in in_order(films.over_films):
            metric = metric_of(head)
            unseen = films.unseen_films.get(head, {}).get(metric)
            figures = (estimate(films.over_films[head], metric), None if unseen is None else estimate(unseen, metric))
            rows.append((name, head, METRIC_NAMES[metric] + (" (%)" if metric in SHARES else ""), *figures))
    columns = (
        Column("Bundle"), HEAD, Column("Metric"), Column("mean over films", "", 2),
        Column("films never trained on", "", 2),
    )  # fmt: skip
    clips = ", ".join(f"{films.unseen_clips} of {name}" for name, films in _probes(report).items())
    note = f"Each film counted once; intervals by bootstrap over films. Clips of films never trained on: {clips}."
    return Table("Films as the sample", columns, tuple(rows), note)
