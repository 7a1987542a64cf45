"""A report as one page for people, as tables, and as a model card: one module a section."""

from __future__ import annotations

from dataclasses import replace

from emer_edge.bench.pages import (
    ablations,
    accuracy,
    against,
    card,
    errors,
    films,
    gap,
    live,
    method,
    overview,
    people,
    readings,
    robustness,
    speed,
    trackers,
)
from emer_edge.bench.records import BenchReport
from emer_edge.report.html import to_html
from emer_edge.report.tables import Table

__all__ = ["card_of", "page_of", "tables_of"]

_WITH_TABLES = (
    accuracy, readings, people, errors, gap, ablations, films, robustness, trackers, speed, live, against, method,
)  # fmt: skip


def tables_of(report: BenchReport) -> dict[str, Table]:
    """All tables that have rows, in reading order, by a name that files can have; no column is empty."""
    found = {name: table for each in _WITH_TABLES for name, table in each.tables(report).items()}
    return {name: _filled(table) for name, table in found.items() if table.rows}


def _filled(table: Table) -> Table:
    kept = [at for at in range(len(table.columns)) if any(row[at] not in (None, "") for row in table.rows)]
    rows = tuple(tuple(row[at] for at in kept) for row in table.rows)
    return replace(table, columns=tuple(table.columns[at] for at in kept), rows=rows)


def page_of(report: BenchReport) -> str:
    """The report as one HTML file; a section without anything to say is left out."""
    tables = tables_of(report)
    sections = [overview.section(report), *(each.section(report, tables) for each in _WITH_TABLES)]
    sections.append(card.section(report, tables))
    count = len(report.bundles)
    names = ", ".join(each.name for each in report.bundles) if count < 5 else f"{count} bundles"
    return to_html("emer-edge bench", f"{names}, {report.created}", [each for each in sections if each is not None])


def card_of(report: BenchReport) -> str:
    """The model card as Markdown."""
    return card.card_of(report, tables_of(report))
