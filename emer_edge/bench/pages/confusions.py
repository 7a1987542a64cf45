"""What is taken for what, what a probability is worth, how figures spread over participants; what the gap tells."""

from __future__ import annotations

from typing import Final

from emer_edge.bench.pages.scored import Scored, estimate, scored_of, spread
from emer_edge.bench.records.accuracy_records import HeadAccuracy, ParticipantSpread
from emer_edge.bench.records.report_records import BenchReport
from emer_edge.report import words
from emer_edge.report.curves import Line, confusion_plot, curves, reliability_plot, roc_plot
from emer_edge.report.distributions import Strip, strips
from emer_edge.report.html import Block, Details, Figure, Gallery, Paragraph, Section
from emer_edge.report.tables import Estimate, Rows, Table, columns, tabled


@tabled(
    "Over participants",
    "Bundle | Head | Metric | lowest | 1st quartile | median | 3rd quartile | highest | participants",
    "Each participant on their own clips, counted once.",
)
def _people(report: BenchReport) -> Rows:
    for each in scored_of(report):
        for name in words.in_order(each.heads):
            found = each.heads[name].participants
            if found is not None:
                five = (found.min, found.q1, found.median, found.q3, found.max)
                shown = [words.scaled(value, found.metric) for value in five]
                yield (each.name, name, words.metric_label(found.metric), *shown, len(found.figures))


def _people_tables(report: BenchReport) -> dict[str, Table]:
    """Quartiles over participants."""
    return {"people": _people(report)}


def _people_section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    """The section; None in reports without such figures."""
    if "people" not in tables:
        return None
    blocks: list[Block] = []
    for each in scored_of(report)[:1]:
        for metric in ("war", "mae"):
            plot = _plot(each, metric)
            if plot:
                caption = (
                    "A dot is a participant on their own clips; the box holds the middle half, the line is the median."
                )
                blocks.append(Figure(plot, caption))
    return Section("Participants", (*blocks, words.folded(tables["people"])))


def _plot(scored: Scored, metric: str) -> str:
    rows = [
        Strip(name, [words.scaled(each.value, metric) for each in spread.figures])
        for name in words.in_order(scored.heads)
        for spread in (_spread(scored.heads[name], metric),)
        if spread is not None
    ]
    title = f"{words.METRIC_NAMES[metric]} of each participant, {scored.name}"
    return strips(title, words.unit_of(metric), rows, 1 if metric in words.SHARES else 3) if rows else ""


def _spread(head: HeadAccuracy, metric: str) -> ParticipantSpread | None:
    found = head.participants
    return found if found is not None and found.metric == metric else None


def _error_tables(report: BenchReport) -> dict[str, Table]:
    """Confusions in figures, each class, and clips that were left out."""
    return {"recalls": _recalls(report), "confusions": _confusions(report), "excluded": _excluded(report)}


def _error_section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
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
    for name in words.in_order(scored.heads):
        head = scored.heads[name]
        if head.confusion:
            caption = f"{head.clips} clips. A cell is as dark as its share of its row."
            figures.append(Figure(confusion_plot(f"{name}, {scored.name}", head.classes, head.confusion), caption))
        if head.reliability:
            caption = "On the dashed line, confidence is what it says; areas of dots are counts of clips."
            figures.append(Figure(reliability_plot(f"Reliability of {name}", head.reliability), caption))
    return Gallery(tuple(figures)) if figures else None


@tabled(
    "Each class",
    "Bundle | Head | Class | recall (%):1 | precision (%):1 | clips | named so",
    "Recall: of the clips of a class, those that were named so. Precision: of those named so, those that are.",
)
def _recalls(report: BenchReport) -> Rows:
    """What a mean over classes hides."""
    for each in scored_of(report):
        for name in words.in_order(each.heads):
            head = each.heads[name]
            for at, label in enumerate(head.classes if head.confusion else ()):
                clips, named = sum(head.confusion[at]), sum(row[at] for row in head.confusion)
                right = head.confusion[at][at]
                recall, precision = (right / count if count else None for count in (clips, named))
                yield (each.name, name, label, recall, precision, clips, named)


@tabled(
    "What was taken for what",
    "Bundle | Head | true | predicted | clips | of its row (%):1 | recall of the row (%):1",
    "Pairs that did not occur are left out.",
)
def _confusions(report: BenchReport) -> Rows:
    for each in scored_of(report):
        for name in words.in_order(each.heads):
            head = each.heads[name]
            for label, row in zip(head.classes, head.confusion, strict=True):
                total = sum(row)
                recall = row[head.classes.index(label)] / total if total else None
                for predicted, count in zip(head.classes, row, strict=True):
                    if count:
                        yield (each.name, name, label, predicted, count, count / total, recall)


def _excluded(report: BenchReport) -> Table:
    found = {
        (each.clip, each.reason): None
        for bundle in report.bundles
        if bundle.accuracy is not None
        for each in bundle.accuracy.excluded
    }
    return Table("Clips left out", columns("Clip | Reason"), tuple(found))


def _gap_tables(report: BenchReport) -> dict[str, Table]:
    """Areas under the curve, and fifths by gap."""
    return {"gap": _areas(report), "gap_fifths": _fifths(report)}


def _gap_section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    """The section; None without both labels."""
    found = [each for each in scored_of(report) if each.gap is not None]
    if not found:
        return None
    blocks: list[Block] = [
        Paragraph(
            "The gap is the base-2 Jensen-Shannon distance, 0 to 1, of what the person likely feels and what the face "
            "shows. Here it is asked to tell clips whose two labels differ. It is no lie detector."
        )
    ]
    figures: list[Figure] = []
    lines = [
        Line(each.name, tuple((one.mean, estimate(one.disagreeing)) for one in each.gap.bins))
        for each in found
        if each.gap is not None and each.gap.bins
    ]
    if lines:
        shares = [Line(each.name, tuple((at, _percent(value)) for at, value in each.points)) for each in lines]
        plot = curves("Labels that differ, by gap", "mean gap of a fifth of the clips", "differ (%)", shares, floor=0.0)
        figures.append(Figure(plot, "Should rise. Bands are 95 % intervals by bootstrap over participants."))
    curves_of = {each.name: each.gap.roc for each in found if each.gap is not None and each.gap.roc}
    if curves_of:
        areas = {
            each.name: each.gap.auroc.value for each in found if each.gap is not None and each.gap.auroc is not None
        }
        plot = roc_plot("Labels that differ, told by the gap", curves_of, areas)
        figures.append(Figure(plot, "Figures are areas under the curves; on the dashed line the gap tells nothing."))
    blocks += [Gallery(tuple(figures))] if figures else []
    blocks += [words.folded(tables[name]) for name in ("gap", "gap_fifths") if name in tables]
    return Section("The gap", tuple(blocks))


def _percent(found: Estimate) -> Estimate:
    return Estimate(found.value * 100, found.low * 100, found.high * 100)


@tabled(
    "Does the gap tell labels that differ?",
    "Bundle | AUROC:3 | over folds:3 | gap, labels agree:3 | gap, labels differ:3 | KS:3 | differing (%):1 | clips",
    f"{words.INTERVALS} AUROC: how often a clip whose labels differ has the larger gap; 0.5 is chance. KS: largest "
    "distance of the gap's percentiles among agreeing clips from the uniform distribution that they promise.",
)
def _areas(report: BenchReport) -> Rows:
    for each in scored_of(report):
        gap = each.gap
        if gap is not None:
            over = each.spread.get("gap/auroc")
            cells = (
                None if gap.auroc is None else estimate(gap.auroc),
                None if over is None else spread(over),
                gap.mean_agreeing, gap.mean_disagreeing, gap.uniformity, gap.disagreeing, gap.clips,
            )  # fmt: skip
            yield (each.name, *cells)


@tabled(
    "Fifths of the clips by their gap", "Bundle | from:3 | to:3 | mean:3 | labels differ (%):1 | clips", words.INTERVALS
)
def _fifths(report: BenchReport) -> Rows:
    for each in scored_of(report):
        for one in each.gap.bins if each.gap is not None else ():
            yield (each.name, one.low, one.high, one.mean, estimate(one.disagreeing), one.clips)


PEOPLE: Final = (_people_tables, _people_section)
ERROR: Final = (_error_tables, _error_section)
GAP: Final = (_gap_tables, _gap_section)
