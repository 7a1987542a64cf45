"""What is taken for what, what a probability is worth, and which clips were left out."""

from __future__ import annotations

from emer_edge.bench.pages.scored import Scored, scored_of
from emer_edge.bench.pages.words import HEAD, in_order
from emer_edge.bench.records import BenchReport
from emer_edge.report.confusion import confusion_plot
from emer_edge.report.html import Block, Details, Figure, Gallery, Paragraph, Section
from emer_edge.report.plots import reliability_plot
from emer_edge.report.tables import Cell, Column, Table

__all__ = ["section", "tables"]


def tables(report: BenchReport) -> dict[str, Table]:
    """Confusions in figures, each class, and clips that were left out."""
    return {"recalls": _recalls(report), "confusions": _confusions(report), "excluded": _excluded(report)}


def section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    """The section; None without a data set."""
    found = scored_of(report)
    if not found:
        return None
    blocks: list[Block] = [Paragraph(_counts(report))]
    for at, each in enumerate(found):
        drawn = _drawings(each)
        if drawn:
            blocks.append(drawn if at == 0 else Details(f"The same of {each.name}", (drawn,)))
    held = tuple(tables[name] for name in ("recalls", "confusions") if name in tables)
    if held:
        blocks.append(Details("Each class, and confusions in figures", held, printed=False))
    if "excluded" in tables:
        blocks.append(Details(f"Clips left out: {len(tables['excluded'].rows)}, and why", (tables["excluded"],)))
    return Section("Errors", tuple(blocks))


def _counts(report: BenchReport) -> str:
    told = []
    for each in scored_of(report):
        scores = [bundle.accuracy for bundle in each.bundles if bundle.accuracy is not None]
        uncovered, out = (
            sum(one.uncovered for one in scores),
            len({gone.clip for one in scores for gone in one.excluded}),
        )
        folds = ", ".join(str(fold) for fold in each.folds)
        told.append(
            f"{each.name}: {each.clips} clips of {each.participants} participants of fold{'s' if each.is_set else ''} "
            f"{folds} were scored once; {out} clip{'s' if out != 1 else ''} could not be used; {uncovered} of those "
            "scored are below the coverage floors, where a live run would name no emotion."
        )
    return " ".join(told)


def _drawings(scored: Scored) -> Gallery | None:
    figures = []
    for name in in_order(scored.heads):
        head = scored.heads[name]
        if head.confusion:
            caption = f"{head.clips} clips. A cell is as dark as its share of its row."
            figures.append(Figure(confusion_plot(f"{name}, {scored.name}", head.classes, head.confusion), caption))
        if head.reliability:
            caption = "On the dashed line, confidence is what it says; areas of dots are counts of clips."
            figures.append(Figure(reliability_plot(f"Reliability of {name}", head.reliability), caption))
    return Gallery(tuple(figures)) if figures else None


def _recalls(report: BenchReport) -> Table:
    """What a mean over classes hides."""
    rows: list[tuple[Cell, ...]] = []
    for each in scored_of(report):
        for name in in_order(each.heads):
            head = each.heads[name]
            for at, label in enumerate(head.classes if head.confusion else ()):
                clips, named = sum(head.confusion[at]), sum(row[at] for row in head.confusion)
                right = head.confusion[at][at]
                recall, precision = (right / count if count else None for count in (clips, named))
                rows.append((each.name, name, label, recall, precision, clips, named))
    columns = (
        Column("Bundle"), HEAD, Column("Class"), Column("recall", "%", 1, 100), Column("precision", "%", 1, 100),
        Column("clips"), Column("named so"),
    )  # fmt: skip
    note = "Recall: of the clips of a class, those that were named so. Precision: of those named so, those that are."
    return Table("Each class", columns, tuple(rows), note)


def _confusions(report: BenchReport) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for each in scored_of(report):
        for name in in_order(each.heads):
            head = each.heads[name]
            for label, row in zip(head.classes, head.confusion, strict=True):
                total = sum(row)
                recall = row[head.classes.index(label)] / total if total else None
                for predicted, count in zip(head.classes, row, strict=True):
                    if count:
                        rows.append((each.name, name, label, predicted, count, count / total, recall))
    columns = (
        Column("Bundle"), HEAD, Column("true"), Column("predicted"), Column("clips"), Column("of its row", "%", 1, 100),
        Column("recall of the row", "%", 1, 100),
    )  # fmt: skip
    return Table("What was taken for what", columns, tuple(rows), "Pairs that did not occur are left out.")


def _excluded(report: BenchReport) -> Table:
    found = {
        (each.clip, each.reason): None
        for bundle in report.bundles
        if bundle.accuracy is not None
        for each in bundle.accuracy.excluded
    }
    return Table("Clips left out", (Column("Clip"), Column("Reason")), tuple(found))
