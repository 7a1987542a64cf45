"""A report as one page for people."""

from __future__ import annotations

from collections.abc import Iterator

from emer_edge.bench.records import BenchReport, BundleBench, Environment
from emer_edge.bench.tables import INTERVALS, METRIC_NAMES, SHARES, estimate, heads_with, tables_of
from emer_edge.report.html import Block, Facts, Figure, Paragraph, Section, to_html
from emer_edge.report.plots import Bar, bars, reliability_plot
from emer_edge.report.tables import Cell, Column, Estimate, Table
from emer_edge.spec.heads import HEADS

__all__ = ["page_of"]


def page_of(report: BenchReport) -> str:
    """The report as one HTML file."""
    tables = tables_of(report)
    names = ", ".join(each.name for each in report.bundles)
    sections = [Section("Speed", _speed_blocks(report, tables))]
    if any(each.accuracy for each in report.bundles):
        sections.append(Section("Accuracy", _accuracy_blocks(report, tables)))
        for each in report.bundles:
            if each.accuracy is not None:
                sections.append(Section(f"Errors: {each.name}", tuple(_error_blocks(each))))
    sections.append(Section("Machine and method", _method_blocks(report)))
    return to_html("emer-edge bench", f"{names}, {report.created}", sections)


def _speed_blocks(report: BenchReport, tables: dict[str, Table]) -> tuple[Block, ...]:
    parts = list(report.bundles[0].latency)
    several = len(report.bundles) > 1
    items = [
        Bar(part, Estimate(each.latency[part].p50_ms), each.name if several else "")
        for part in parts
        for each in report.bundles
        if part in each.latency
    ]
    blocks: list[Block] = [
        *_warnings(report),
        Figure(bars("Median time of each part", "ms", items, digits=2), "Lower is better."),
        tables["speed"],
    ]
    blocks += [tables[name] for name in ("live", "loading") if name in tables]
    for each in report.bundles:
        if each.streaming is not None:
            blocks.append(Facts(_live_facts(each)))
    return tuple(blocks)


def _live_facts(bundle: BundleBench) -> tuple[tuple[str, str], ...]:
    stream = bundle.streaming
    assert stream is not None
    states = ", ".join(f"{count} {state}" for state, count in stream.states.items())
    drops = ", ".join(f"{count} {place}" for place, count in stream.dropped.items()) or "none"
    return (
        (f"Live run of {bundle.name}", f"{stream.seconds:.1f} s, {stream.results} results ({states})"),
        ("Taken", f"{stream.frames} frames and {stream.samples} samples"),
        ("Dropped", drops),
    )


def _accuracy_blocks(report: BenchReport, tables: dict[str, Table]) -> tuple[Block, ...]:
    several = len(report.bundles) > 1
    blocks: list[Block] = []
    for metric, high in (("war", 100.0), ("mae", None)):
        items = []
        scale = 100 if metric in SHARES else 1
        for bundle, name, head in heads_with(report, metric):
            found = estimate(head.metrics[metric])
            scaled = Estimate(found.value * scale, found.low * scale, found.high * scale)
            items.append(Bar(name, scaled, bundle.name if several else ""))
        order = list(HEADS)
        items.sort(key=lambda each: order.index(each.name))  # one head's bars of all bundles beside each other
        if items:
            unit = "%" if high else "label units"
            title = f"{METRIC_NAMES[metric]} of each head"
            blocks.append(Figure(bars(title, unit, items, 1 if high else 3, high), INTERVALS))
    names = ("classes", "values", "probabilities", "trackers", "event_columns", "folds", "published_batch")
    return (*blocks, *(tables[name] for name in names if name in tables))


def _error_blocks(bundle: BundleBench) -> Iterator[Block]:
    accuracy = bundle.accuracy
    assert accuracy is not None
    yield Paragraph(
        f"Fold {accuracy.fold}: {accuracy.clips} clips of {accuracy.participants} participants were scored once, "
        f"{len(accuracy.excluded)} clips of the data set could not be used. {accuracy.uncovered} of those scored are "
        "below the coverage floors; a live run would name no emotion there."
    )
    for name, head in accuracy.heads.items():
        if head.confusion:
            columns = (Column("true"), *(Column(each) for each in head.classes))
            rows: tuple[tuple[Cell, ...], ...] = tuple(
                (label, *row) for label, row in zip(head.classes, head.confusion, strict=True)
            )
            yield Table(f"Confusion of {name}", columns, rows, "Rows are labels, columns predictions.")
            yield Figure(reliability_plot(f"Reliability of {name}", head.reliability))
    if accuracy.excluded:
        rows_out = tuple((each.clip, each.reason) for each in accuracy.excluded)
        yield Table("Clips left out", (Column("Clip"), Column("Reason")), rows_out)


def _warnings(report: BenchReport) -> list[Block]:
    said = dict.fromkeys([*report.notes, *(note for each in report.bundles for note in each.notes)])
    return [Paragraph(f"{note[0].upper()}{note[1:]}.", warning=True) for note in said]


def _method_blocks(report: BenchReport) -> tuple[Block, ...]:
    options = ", ".join(f"{name} {value}" for name, value in report.options.items())
    blocks: list[Block] = [Facts(_environment_facts(report.environment))]
    for each in report.bundles:
        precision = ", ".join(f"{part} {how}" for part, how in each.precision.items())
        blocks.append(
            Facts(((each.name, each.path), ("Engine", f"{each.engine}, {each.device}"), ("Precision", precision)))
        )
    text = (
        f"Options: {options}. Percentiles are nearest ranks of all durations; none was left out as an outlier. WAR is "
        "the weighted average recall, which is the accuracy; UAR the mean of the recalls of the classes that occur. A "
        "clip is one window, cut as a live run would cut it."
    )
    return (*blocks, Paragraph(text))


def _environment_facts(found: Environment) -> tuple[tuple[str, str], ...]:
    def known(value: float | str | None, unit: str = "") -> str:
        if value is None:
            return "not told by this machine"
        return f"{value:.1f} {unit}".strip() if isinstance(value, float) else value

    return (
        ("Machine", found.machine),
        ("Processor", known(found.cpu)),
        ("Cores", str(found.cores)),
        ("Governor", known(found.governor)),
        ("Memory", known(found.memory_mb, "MB")),
        ("Load before", known(found.load_average)),
        (
            "Temperature",
            f"{known(found.temperature_before_c, '°C')} before, {known(found.temperature_after_c, '°C')} after",
        ),
        ("Versions", ", ".join(f"{name} {each}" for name, each in found.versions.items())),
    )
