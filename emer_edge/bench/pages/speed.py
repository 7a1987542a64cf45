"""How long parts, steps and starts take, and what they need."""

from __future__ import annotations

import statistics

from emer_edge.bench.pages.scored import names_of, scored_of
from emer_edge.bench.pages.words import BIN_RATIO, BUNDLE, MILLISECONDS, curve_of, folded, percentiles
from emer_edge.bench.records import BenchReport, BundleBench, Latency, SingleStream
from emer_edge.report.curves import Line, curves
from emer_edge.report.distributions import distributions
from emer_edge.report.dots import dots
from emer_edge.report.html import Block, Details, Figure, Gallery, Paragraph, Section
from emer_edge.report.plots import Bar, bars
from emer_edge.report.tables import Cell, Column, Estimate, Table

__all__ = ["parts_figure", "section", "tables"]

_MARKED = "Bars are counts, the highest as high as its row; dark lines are p50, p90 and p99. No duration was left out."


def tables(report: BenchReport) -> dict[str, Table]:
    """Parts, the closed loop, bundles beside each other, several streams, energy, starts, loading."""
    return {
        "speed": _speed(report),
        "single_stream": _single_stream(report),
        "closed_loop": _closed_loop(report),
        "loop_limits": _limits(report),
        "ratios": _ratios(report),
        "streams": _streams(report),
        "energy": _energy(report),
        "first_result": _first_result(report),
        "loading": _loading(report),
    }


def section(report: BenchReport, tables: dict[str, Table]) -> Section:
    """The section."""
    blocks: list[Block] = [parts_figure(report)]
    blocks += [folded(tables[name]) for name in ("speed",) if name in tables]
    blocks += _distributions(report)
    blocks += [folded(tables[name]) for name in ("single_stream", "loop_limits") if name in tables]
    if "closed_loop" in tables:
        blocks.append(Details("Closed loop: every figure", (tables["closed_loop"],)))
    if report.ratios:
        rows = [
            Bar(each.part, Estimate(each.ratio, each.low, each.high), f"{each.bundle} / {each.base}")
            for each in report.ratios
        ]
        plot = dots("Time beside the first bundle's", "ratio of medians", rows, 3, (1.0,), skipped=1)
        blocks.append(
            Figure(plot, "Left of 1: faster than the first. Bundles took turns; whiskers are quartiles of the turns.")
        )
        blocks += [folded(tables[name]) for name in ("ratios",) if name in tables]
    blocks += _stream_blocks(report, tables)
    energies = [found.energy for each in report.bundles for found in each.single_stream.values()]
    missing = dict.fromkeys(each.reason.rstrip(".") for each in energies if each.reason)
    blocks += [Paragraph(f"Energy was not measured: {each}.") for each in missing]
    blocks += [folded(tables[name]) for name in ("energy", "first_result", "loading") if name in tables]
    return Section("Speed", tuple(blocks))


def parts_figure(report: BenchReport) -> Figure:
    """The median of each part, a bar a bundle; of the bundles of a set, the median of theirs."""
    groups = _groups(report)
    parts = list(dict.fromkeys(part for each in report.bundles for part in each.latency))
    items = [
        Bar(part, Estimate(statistics.median(times)), name if len(groups) > 1 else "")
        for part in parts
        for name, bundles in groups.items()
        if (times := [each.latency[part].p50_ms for each in bundles if part in each.latency])
    ]
    return Figure(bars("Median time of each part", "ms", items, digits=2), "Lower is better.")


def _groups(report: BenchReport) -> dict[str, tuple[BundleBench, ...]]:
    """Sets of folds, then the bundles that are in none."""
    groups = {each.name: each.bundles for each in scored_of(report)}
    known = {id(each) for bundles in groups.values() for each in bundles}
    alone = {at: name for at, name in names_of(report).items() if id(report.bundles[at]) not in known}
    return {**groups, **{name: (report.bundles[at],) for at, name in alone.items()}}


def _distributions(report: BenchReport) -> list[Block]:
    names = names_of(report)
    steps: dict[str, Latency] = {}
    rest: dict[str, Latency] = {}
    for at, each in enumerate(report.bundles):
        queries = {f"{query}": found.latency for query, found in each.single_stream.items()} or each.latency
        for part, found in queries.items():
            if found.bins:
                (steps if part == "live step" else rest)[f"{names[at]}: {part}"] = found
    blocks: list[Block] = []
    for title, held in (("Every live step", steps), ("Every other part", rest)):
        if held:
            rows = [curve_of(name, each) for name, each in held.items()]
            plot = distributions(title, "ms", rows, BIN_RATIO, {name: percentiles(each) for name, each in held.items()})
            figure = Figure(plot, _MARKED)
            blocks.append(figure if held is steps else Details("Distributions of the other parts", (figure,)))
    return blocks


def _limits(report: BenchReport) -> Table:
    names = names_of(report)
    rows = tuple(
        (names[at], query, "; ".join(found.stability.reasons) or "held", found.reason or "all met")
        for at, each in enumerate(report.bundles)
        for query, found in each.single_stream.items()
        if found.reason or not found.stability.stable
    )
    note = "Where conditions did not hold, figures say as much of the machine as of a bundle."
    columns = (BUNDLE, Column("Query"), Column("Conditions"), Column("Rules"))
    return Table("What limits these closed loops", columns, rows, note)


def _stream_blocks(report: BenchReport, tables: dict[str, Table]) -> list[Block]:
    lines = []
    for name, bundles in _groups(report).items():
        times: dict[int, list[float]] = {}
        for one in (one for each in bundles for one in each.several_streams):
            times.setdefault(one.streams, []).append(one.per_stream_ms)
        if len(times) > 1:
            points = tuple((float(streams), Estimate(statistics.median(each))) for streams, each in times.items())
            lines.append(Line(name, points))
    if not lines:
        return [folded(tables["streams"])] if "streams" in tables else []
    plot = curves("Several people at once", "streams", "ms a stream", lines, 2, floor=0.0)
    caption = "One call for all; the engine's share alone. Lower is better."
    return [Gallery((Figure(plot, caption),)), folded(tables["streams"])]


def _speed(report: BenchReport) -> Table:
    names = names_of(report)
    rows = [
        (names[at], part, found.p50_ms, found.p90_ms, found.p99_ms, found.max_ms, found.count)
        for at, each in enumerate(report.bundles)
        for part, found in each.latency.items()
    ]
    threads = report.bundles[0].threads
    warmup = report.options.get("warmup")
    note = (
        f"{threads} thread{'s' if threads != 1 else ''}, one after the other, {warmup} warm-up runs not counted. "
        "Live step: one crop encoded and one window fused. Whole window: all eight crops encoded."
    )
    return Table("Time of each part", (BUNDLE, Column("Part"), *MILLISECONDS), tuple(rows), note)


def _single_stream(report: BenchReport) -> Table:
    """In so few columns that a terminal holds it."""
    names = names_of(report)
    rows = [
        (names[at], query, found.p90_claimed_ms, found.latency.p50_ms, found.latency.p99_ms, found.queries,
         *_judged(found))
        for at, each in enumerate(report.bundles)
        for query, found in each.single_stream.items()
    ]  # fmt: skip
    columns = (
        BUNDLE, Column("Query"), Column("p90 claimed", "ms"), Column("p50", "ms"), Column("p99", "ms"),
        Column("queries"), Column("conditions"), Column("rules"),
    )  # fmt: skip
    note = (
        "MLPerf Inference's SingleStream: closed loop, batch 1. Claimed: what early stopping allows at 99 % "
        "confidence. Valid: enough queries for that; MLPerf: for 600 s, too."
    )
    return Table("Closed loop", columns, tuple(rows), note)


def _judged(found: SingleStream) -> tuple[str, str]:
    kept = "MLPerf" if found.mlperf else "valid" if found.valid else "not valid"
    return "stable" if found.stability.stable else "unstable", kept


def _closed_loop(report: BenchReport) -> Table:
    names = names_of(report)
    rows: list[tuple[Cell, ...]] = []
    for at, each in enumerate(report.bundles):
        for query, found in each.single_stream.items():
            took = found.latency
            rows.append(
                (
                    names[at], query, found.p90_claimed_ms, found.p99_claimed_ms, took.p50_ms, took.p90_ms, took.p99_ms,
                    took.max_ms, found.queries, found.seconds, found.queries_per_s, found.stability.drift,
                    *_judged(found),
                )
            )  # fmt: skip
    columns = (
        BUNDLE, Column("Query"), Column("p90 claimed", "ms"), Column("p99 claimed", "ms"), *MILLISECONDS[:4],
        Column("queries"), Column("time", "s", 0), Column("a second", "", 1), Column("drift", "%", 1, 100),
        Column("conditions"), Column("rules"),
    )  # fmt: skip
    note = (
        "Claimed: what early stopping allows at 99 % confidence, never below the sample's own percentile. Drift: "
        "median of the second half against the first's."
    )
    return Table("Closed loop: every figure", columns, tuple(rows), note)


def _ratios(report: BenchReport) -> Table:
    rows = tuple(
        (each.part, each.bundle, each.base, Estimate(each.ratio, each.low, each.high), each.turns)
        for each in report.ratios
    )
    columns = (Column("Part"), BUNDLE, Column("beside"), Column("ratio of medians", "", 3), Column("turns"))
    note = "Bundles took turns in one run, so that both met the same machine. In parentheses quartiles over the turns."
    return Table("Beside each other", columns, rows, note)


def _streams(report: BenchReport) -> Table:
    names = names_of(report)
    rows = [
        (names[at], one.streams, one.latency.p50_ms, one.latency.p90_ms, one.latency.p99_ms, one.per_stream_ms,
         one.against_one, one.most_streams, one.latency.count)
        for at, each in enumerate(report.bundles)
        for one in each.several_streams
    ]  # fmt: skip
    columns = (
        BUNDLE, Column("streams"), *MILLISECONDS[:3], Column("a stream", "ms"), Column("against one", "", 2),
        Column("fit into a hop"), Column("count"),
    )  # fmt: skip
    note = (
        "Fit into a hop: by the median and the engine's share alone, without cameras, trackers and faces to be found."
    )
    return Table("Several streams", columns, tuple(rows), note)


def _energy(report: BenchReport) -> Table:
    names = names_of(report)
    rows: list[tuple[Cell, ...]] = []
    for at, each in enumerate(report.bundles):
        for query, one in each.single_stream.items():
            found = one.energy
            if found.millijoules is not None:
                figures = (found.millijoules, found.above_idle_millijoules, found.mean_mw, found.idle_mw)
                rows.append((names[at], query, *figures, found.source))
    columns = (
        BUNDLE, Column("Query"), Column("a result", "mJ", 1), Column("above idle", "mJ", 1), Column("mean", "mW", 0),
        Column("idle", "mW", 0), Column("sensor"),
    )  # fmt: skip
    return Table("Energy", columns, tuple(rows), "Everything that the sensor sees is in it.")


def _first_result(report: BenchReport) -> Table:
    names = names_of(report)
    rows: list[tuple[Cell, ...]] = []
    for at, each in enumerate(report.bundles):
        found = each.first_result
        if found is not None:
            for kind, times in (("cold", found.cold_ms), ("warm", found.warm_ms)):
                ordered = sorted(times)
                reason = found.reason if kind == "cold" and not times else ""
                figures = (ordered[(len(ordered) - 1) // 2], ordered[0], ordered[-1]) if ordered else (None, None, None)
                rows.append((names[at], kind, *figures, len(times), reason))
    columns = (
        BUNDLE, Column("Start"), Column("median", "ms", 0), Column("fastest", "ms", 0), Column("slowest", "ms", 0),
        Column("count"), Column(""),
    )  # fmt: skip
    note = "From starting the process to its first result. Cold: the bundle's files are read from the disk."
    return Table("First result", columns, tuple(rows), note)


def _loading(report: BenchReport) -> Table:
    columns = (
        BUNDLE, Column("Size", "MB", 1), Column("start", "ms", 0), Column("verify", "ms", 0), Column("open", "ms", 0),
        Column("first step", "ms", 1), Column("RSS loaded", "MB", 0), Column("RSS running", "MB", 0),
        Column("one core", "%", 1, 100),
    )  # fmt: skip
    names = names_of(report)
    rows: list[tuple[Cell, ...]] = []
    for at, each in enumerate(report.bundles):
        load, stream = each.loading, each.streaming
        rows.append(
            (
                names[at], each.size_bytes / 1e6, load.start_ms, load.verify_ms, load.open_ms, load.first_step_ms,
                load.rss_mb, stream.peak_rss_mb if stream else None, stream.cpu_share if stream else None,
            )
        )  # fmt: skip
    note = (
        "Each in a process of its own. Start: Python and imports. RSS running: the peak of the live run, simulated "
        "sensors included, as is their work in the share of one core."
    )
    return Table("Loading and memory", columns, tuple(rows), note)
