"""A report as one page for people, as tables, and as a model card."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from emer_edge.bench.against import AGAINST
from emer_edge.bench.pages.card import card_section, card_text
from emer_edge.bench.pages.clip_readings import READING, TRACKER
from emer_edge.bench.pages.confusions import ERROR, GAP, PEOPLE
from emer_edge.bench.pages.method import METHOD
from emer_edge.bench.pages.overview import overview_section
from emer_edge.bench.pages.probed import ABLATION, FILM, ROBUSTNESS
from emer_edge.bench.pages.protocols import PROTOCOLS
from emer_edge.bench.pages.scored import PageSection
from emer_edge.bench.pages.speed import LIVE, SPEED
from emer_edge.bench.records.report_records import BenchReport
from emer_edge.report.html import to_html
from emer_edge.report.table import Table

__all__ = ["card_of", "page_of", "tables_of"]

_SECTIONS: Final[tuple[PageSection, ...]] = (
    PROTOCOLS, READING, PEOPLE, ERROR, GAP, ABLATION, FILM, ROBUSTNESS, TRACKER, SPEED, LIVE, AGAINST, METHOD
)  # fmt: skip
"""In reading order: what makes the tables of each section, by name, and what makes the section of all tables."""


def tables_of(report: BenchReport) -> dict[str, Table]:
    """All tables that have rows, in reading order, by a name that files can have; no column is empty."""
    tables = {name: make(report) for makers, _ in _SECTIONS for name, make in makers.items()}
    return {name: _filled(table) for name, table in tables.items() if table.rows}


def _filled(table: Table) -> Table:
    kept = [at for at in range(len(table.columns)) if any(row[at] not in (None, "") for row in table.rows)]
    rows = tuple(tuple(row[at] for at in kept) for row in table.rows)
    return replace(table, columns=tuple(table.columns[at] for at in kept), rows=rows)


def page_of(report: BenchReport) -> str:
    """The report as one HTML file; a section without content is left out."""
    tables = tables_of(report)
    made = [section(report, tables) for _, section in _SECTIONS]
    sections = [section for section in made if section is not None]
    count = len(report.bundles)
    names = ", ".join(bundle.name for bundle in report.bundles) if count < 5 else f"{count} bundles"
    page = [overview_section(report), *sections, card_section(report, tables)]
    return to_html("emer-edge bench", f"{names}, {report.created}", page)


def card_of(report: BenchReport) -> str:
    """The model card as Markdown."""
    return card_text(report, tables_of(report))
