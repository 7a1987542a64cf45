"""Confusions, reliability of probabilities, spread over participants, and how well the gap finds labels that differ."""

from __future__ import annotations

from typing import Final

from emer_edge.bench.pages.scored import PageSection, Scored, deviation, estimate, scored_heads, scored_of
from emer_edge.bench.records.report_records import BenchReport
from emer_edge.report import words
from emer_edge.report.curves import confusion_plot, curves, reliability_plot, roc_plot
from emer_edge.report.distributions import strips
from emer_edge.report.html import Block, Details, Figure, Gallery, Paragraph, Section
from emer_edge.report.table import Rows, Table, tabled


@tabled(
    "Over participants",
    "Bundle | Head | Metric | lowest | 1st quartile | median | 3rd quartile | highest | participants",
    "Each participant on their own clips, counted once.",
)
def _people(report: BenchReport) -> Rows:
    for scored, name, head in scored_heads(report):
        own = head.participants
        if own is not None:
            shown = [words.scaled(value, own.metric) for value in (own.min, own.q1, own.median, own.q3, own.max)]
            yield (scored.name, name, words.metric_label(own.metric), *shown, len(own.figures))


def _people_section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    if "people" not in tables:
        return None
    caption = "A dot is a participant on their own clips; the box holds the middle half, the line is the median."
    plots = [_plot(scored, metric) for scored in scored_of(report)[:1] for metric in ("war", "mae")]
    figures = [Figure(plot, caption) for plot in plots if plot]
    return Section("Participants", (*figures, words.folded(tables["people"])))


def _plot(scored: Scored, metric: str) -> str:
    rows = {
        name: [words.scaled(figure.value, metric) for figure in own.figures]
        for name in words.in_order(scored.heads)
        if (own := scored.heads[name].participants) is not None and own.metric == metric
    }
    title = f"{words.METRIC_NAMES[metric]} of each participant, {scored.name}"
    return strips(title, words.unit_of(metric), rows, 1 if metric in words.SHARES else 3) if rows else ""


def _error_section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    all_scored = scored_of(report)
    if not all_scored:
        return None
    blocks: list[Block] = [Paragraph(" ".join(map(_counts, all_scored)))]
    for at, scored in enumerate(all_scored):
        drawn = _drawings(scored)
        if drawn:
            blocks.append(drawn if at == 0 else Details(f"The same of {scored.name}", (drawn,)))
    details = tuple(tables[name] for name in ("recalls", "confusions") if name in tables)
    if details:
        blocks.append(Details("Each class, and confusions in figures", details, printed=False))
    if "excluded" in tables:
        blocks.append(Details(f"Clips left out: {len(tables['excluded'].rows)}, and why", (tables["excluded"],)))
    return Section("Errors", tuple(blocks))


def _counts(scored: Scored) -> str:
    scores = [bundle.accuracy for bundle in scored.bundles if bundle.accuracy is not None]
    uncovered = sum(score.uncovered for score in scores)
    out = len({clip.clip for score in scores for clip in score.excluded})
    folds = ", ".join(str(fold) for fold in scored.folds)
    judged = [score for score in scores if score.unlike is not None]
    beyond, seen = sum(score.unlike or 0 for score in judged), sum(score.clips for score in judged)
    guard = f"The face guard alarms on {beyond} of {seen}." if judged else "There is no face guard."
    return (
        f"{scored.name}: {scored.record.clips} clips of {scored.record.participants} participants of fold"
        f"{'s' if scored.is_set else ''} {folds} were scored once; {out} clip{'s' if out != 1 else ''} could not be "
        f"used; {uncovered} of those scored are below the coverage floors, where a live run would name no emotion. "
        f"{guard}"
    )


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
    for scored, name, head in scored_heads(report):
        for at, label in enumerate(head.classes if head.confusion else ()):
            clips, named = sum(head.confusion[at]), sum(row[at] for row in head.confusion)
            recall, precision = (head.confusion[at][at] / count if count else None for count in (clips, named))
            yield (scored.name, name, label, recall, precision, clips, named)


@tabled(
    "Confusions",
    "Bundle | Head | true | predicted | clips | of its row (%):1 | recall of the row (%):1",
    "Pairs that did not occur are left out.",
)
def _confusions(report: BenchReport) -> Rows:
    for scored, name, head in scored_heads(report):
        for at, (label, row) in enumerate(zip(head.classes, head.confusion, strict=True)):
            total = sum(row)
            for predicted, count in zip(head.classes, row, strict=True):
                if count:
                    yield (scored.name, name, label, predicted, count, count / total, row[at] / total)


@tabled("Clips left out", "Clip | Reason")
def _excluded(report: BenchReport) -> Rows:
    scores = [bundle.accuracy for bundle in report.bundles if bundle.accuracy is not None]
    return dict.fromkeys((clip.clip, clip.reason) for score in scores for clip in score.excluded)


def _gap_section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    gaps = {scored.name: scored.record.gap for scored in scored_of(report) if scored.record.gap is not None}
    if not gaps:
        return None
    text = (
        "The gap is the base-2 Jensen-Shannon distance, 0 to 1, of what the person likely feels and what the face "
        "shows. Here it has to find the clips whose two labels differ. It is no lie detector."
    )
    figures: list[Figure] = []
    lines = {
        name: [(fifth.mean, estimate(fifth.disagreeing, "war")) for fifth in gap.bins]
        for name, gap in gaps.items()
        if gap.bins
    }
    if lines:
        plot = curves("Labels that differ, by gap", "mean gap of a fifth of the clips", "differ (%)", lines, floor=0.0)
        figures.append(Figure(plot, "Should rise. Bands are 95 % intervals by bootstrap over participants."))
    rates = {name: gap.roc for name, gap in gaps.items() if gap.roc}
    if rates:
        areas = {name: gap.auroc.value for name, gap in gaps.items() if gap.auroc is not None}
        plot = roc_plot("Labels that differ, by the gap", rates, areas)
        figures.append(Figure(plot, "Figures are areas under the curves; on the dashed line the gap shows nothing."))
    gallery = [Gallery(tuple(figures))] if figures else []
    return Section("The gap", (Paragraph(text), *gallery, *words.folded_of(tables, "gap", "gap_fifths")))


@tabled(
    "Does the gap find labels that differ?",
    "Bundle | AUROC:3 | over folds:3 | gap, labels agree:3 | gap, labels differ:3 | KS:3 | differing (%):1 | clips",
    f"{words.INTERVALS} AUROC: how often a clip whose labels differ has the larger gap; 0.5 is chance. KS: largest "
    "distance of the gap's percentiles among agreeing clips from the uniform distribution that they promise.",
)
def _areas(report: BenchReport) -> Rows:
    for scored in scored_of(report):
        gap = scored.record.gap
        if gap is not None:
            over = scored.spread.get("gap/auroc")
            cells = (
                None if gap.auroc is None else estimate(gap.auroc),
                None if over is None else deviation(over),
                gap.mean_agreeing, gap.mean_disagreeing, gap.uniformity, gap.disagreeing, gap.clips,
            )  # fmt: skip
            yield (scored.name, *cells)


@tabled(
    "Fifths of the clips by their gap", "Bundle | from:3 | to:3 | mean:3 | labels differ (%):1 | clips", words.INTERVALS
)
def _fifths(report: BenchReport) -> Rows:
    for scored in scored_of(report):
        for fifth in scored.record.gap.bins if scored.record.gap is not None else ():
            yield (scored.name, fifth.low, fifth.high, fifth.mean, estimate(fifth.disagreeing), fifth.clips)


PEOPLE: Final[PageSection] = ({"people": _people}, _people_section)
ERROR: Final[PageSection] = ({"recalls": _recalls, "confusions": _confusions, "excluded": _excluded}, _error_section)
GAP: Final[PageSection] = ({"gap": _areas, "gap_fifths": _fifths}, _gap_section)
