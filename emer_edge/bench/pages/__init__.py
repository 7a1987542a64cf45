"""A report as one page for people, and as tables: one module a section."""

from __future__ import annotations

from emer_edge.bench.pages import accuracy, errors, method, speed, trackers
from emer_edge.bench.records import BenchReport
from emer_edge.report.html import to_html
from emer_edge.report.tables import Table

__all__ = ["page_of", "tables_of"]

_WITH_TABLES = (speed, accuracy, trackers)


def tables_of(report: BenchReport) -> dict[str, Table]:
    """All tables that have rows, in reading order, by a name that files can have."""
    found = {name: table for each in _WITH_TABLES for name, table in each.tables(report).items()}
    return {name: table for name, table in found.items() if table.rows}


def page_of(report: BenchReport) -> str:
    """The report as one HTML file; a section without anything to say is left out."""
    tables = tables_of(report)
    sections = [each.section(report, tables) for each in _WITH_TABLES]
    sections += [*errors.sections(report), method.section(report)]
    names = ", ".join(each.name for each in report.bundles)
    return to_html("emer-edge bench", f"{names}, {report.created}", [each for each in sections if each is not None])
