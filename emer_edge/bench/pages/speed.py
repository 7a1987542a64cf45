"""How long things take, and what they need."""

from __future__ import annotations

from emer_edge.bench.pages.words import BUNDLE, MILLISECONDS
from emer_edge.bench.records import BenchReport, BundleBench
from emer_edge.report.html import Block, Facts, Figure, Paragraph, Section
from emer_edge.report.plots import Bar, bars
from emer_edge.report.tables import Cell, Column, Estimate, Table

__all__ = ["section", "tables"]


def tables(report: BenchReport) -> dict[str, Table]:
    """Parts, the live run, loading and memory."""
    return {"speed": _speed(report), "live": _live(report), "loading": _loading(report)}


def section(report: BenchReport, tables: dict[str, Table]) -> Section:
    """The section."""
    return Section("Speed", _speed_blocks(report, tables))


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


def _warnings(report: BenchReport) -> list[Block]:
    said = dict.fromkeys([*report.notes, *(note for each in report.bundles for note in each.notes)])
    return [Paragraph(f"{note[0].upper()}{note[1:]}.", warning=True) for note in said]


def _speed(report: BenchReport) -> Table:
    rows = [
        (each.name, part, found.p50_ms, found.p90_ms, found.p99_ms, found.max_ms, found.count)
        for each in report.bundles
        for part, found in each.latency.items()
    ]
    threads = report.bundles[0].threads
    warmup = report.options.get("warmup")
    note = (
        f"{threads} thread{'s' if threads != 1 else ''}, one after the other, {warmup} warm-up runs not counted. "
        "Live step: one crop encoded and one window fused. Whole window: all eight crops encoded."
    )
    return Table("Time of each part", (BUNDLE, Column("Part"), *MILLISECONDS), tuple(rows), note)


def _live(report: BenchReport) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for each in report.bundles:
        if each.streaming is not None:
            for stage, found in {**each.streaming.stages, **each.streaming.ages}.items():
                rows.append((each.name, stage, found.p50_ms, found.p90_ms, found.p99_ms, found.max_ms, found.count))
    note = "Simulated camera and tracker in real time. Total: from the hop's deadline to the result."
    return Table("Live run", (BUNDLE, Column("Stage"), *MILLISECONDS), tuple(rows), note)


def _loading(report: BenchReport) -> Table:
    columns = (
        BUNDLE,
        Column("Size", "MB", 1),
        Column("start", "ms", 0),
        Column("verify", "ms", 0),
        Column("open", "ms", 0),
        Column("first step", "ms", 1),
        Column("RSS loaded", "MB", 0),
        Column("RSS running", "MB", 0),
        Column("one core", "%", 1, 100),
    )
    rows: list[tuple[Cell, ...]] = []
    for each in report.bundles:
        load, stream = each.loading, each.streaming
        rows.append(
            (
                each.name,
                each.size_bytes / 1e6,
                load.start_ms,
                load.verify_ms,
                load.open_ms,
                load.first_step_ms,
                load.rss_mb,
                stream.peak_rss_mb if stream else None,
                stream.cpu_share if stream else None,
            )
        )
    note = (
        "Each in a process of its own. Start: Python and imports. RSS running: the peak of the live run, simulated "
        "sensors included, as is their work in the share of one core."
    )
    return Table("Loading and memory", columns, tuple(rows), note)
