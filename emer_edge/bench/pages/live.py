"""The live run: every stage of it, how old its evidence was, what was dropped."""

from __future__ import annotations

from emer_edge.bench.pages.scored import names_of
from emer_edge.bench.pages.words import BIN_RATIO, BUNDLE, MILLISECONDS, curve_of, folded, percentiles
from emer_edge.bench.records import BenchReport, Streaming
from emer_edge.report.curves import Line, curves
from emer_edge.report.distributions import distributions
from emer_edge.report.html import Block, Details, Facts, Figure, Gallery, Section
from emer_edge.report.tables import Cell, Column, Estimate, Table

__all__ = ["section", "tables"]


def tables(report: BenchReport) -> dict[str, Table]:
    """Stages and ages; several people at once."""
    names = names_of(report)
    rows: list[tuple[Cell, ...]] = []
    for at, each in enumerate(report.bundles):
        if each.streaming is not None:
            for stage, found in {**each.streaming.stages, **each.streaming.ages}.items():
                rows.append((names[at], stage, found.p50_ms, found.p90_ms, found.p99_ms, found.max_ms, found.count))
    note = "Simulated camera and tracker in real time. Total: from the hop's deadline to the result."
    live = Table("Live run", (BUNDLE, Column("Stage"), *MILLISECONDS), tuple(rows), note)
    return {"live": live, "live_streams": _several(report)}


def section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    """The section; None where no live run was asked for."""
    names = names_of(report)
    blocks: list[Block] = []
    for at, each in enumerate(report.bundles):
        if each.streaming is not None:
            held: list[Block] = [Facts(_facts(names[at], each.streaming))]
            stages = {name: found for name, found in each.streaming.stages.items() if found.bins}
            if stages:
                rows = [curve_of(name, found) for name, found in stages.items()]
                marked = {name: percentiles(found) for name, found in stages.items()}
                plot = distributions(f"Every stage, {names[at]}", "ms", rows, BIN_RATIO, marked)
                held.append(Figure(plot, "Dark lines are p50, p90 and p99. Nothing was left out."))
            blocks += held if not blocks else [Details(f"The same of {names[at]}", tuple(held))]
    if not blocks:
        return None
    blocks += [folded(tables["live"]), *_several_figure(report)]
    blocks += [folded(tables[name]) for name in ("live_streams",) if name in tables]
    return Section("Live run", tuple(blocks))


def _several_figure(report: BenchReport) -> list[Block]:
    names = names_of(report)
    lines = []
    for at, each in enumerate(report.bundles):
        if each.streaming is not None and each.live_streams:
            runs = sorted((each.streaming, *each.live_streams), key=lambda run: run.streams)
            totals = [(float(run.streams), run.stages["total"]) for run in runs]
            points = tuple((many, Estimate(found.p50_ms, found.p50_ms, found.p99_ms)) for many, found in totals)
            lines.append(Line(names[at], points))
    if not lines:
        return []
    plot = curves("Live, several people", "streams", "total (ms)", lines, 1, floor=0.0)
    return [
        Gallery(
            (Figure(plot, "From the hop's deadline to the result: medians, bands up to the p99. Lower is better."),)
        )
    ]


def _several(report: BenchReport) -> Table:
    """Live runs of one person and of several, where there is any of several."""
    names = names_of(report)
    rows: list[tuple[Cell, ...]] = []
    for at, each in enumerate(report.bundles):
        for run in (each.streaming, *each.live_streams) if each.streaming and each.live_streams else ():
            total, dropped = run.stages["total"], sum(run.dropped.values())
            states = ", ".join(f"{count} {state}" for state, count in run.states.items())
            figures = (total.p50_ms, total.p90_ms, total.p99_ms, total.max_ms, run.results)
            rows.append((names[at], run.streams, *figures, states, dropped, run.cpu_share, run.peak_rss_mb))
    columns = (
        BUNDLE, Column("streams"), *MILLISECONDS[:4], Column("results"), Column("states"), Column("dropped"),
        Column("one core", "%", 0, 100), Column("RSS", "MB", 0),
    )  # fmt: skip
    note = "From the hop's deadline to the last result of the step. A simulated camera and tracker for each stream."
    return Table("Live runs of several people", columns, tuple(rows), note)


def _facts(name: str, stream: Streaming) -> tuple[tuple[str, str], ...]:
    states = ", ".join(f"{count} {state}" for state, count in stream.states.items())
    drops = ", ".join(f"{count} {place}" for place, count in stream.dropped.items()) or "none"
    rates = f"at {stream.frame_rate_hz:g} and {stream.sample_rate_hz:g} Hz"
    return (
        (f"Live run of {name}", f"{stream.seconds:.1f} s, {stream.results} results ({states})"),
        ("Taken", f"{stream.frames:,} frames and {stream.samples:,} samples, {rates}"),
        ("Dropped", drops),
    )
