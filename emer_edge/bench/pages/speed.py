"""How long parts, steps and starts take, and what they need; the live run, stage by stage."""

from __future__ import annotations

import statistics
from typing import Final

from emer_edge.bench.pages.scored import curve_of, named_bundles, names_of, percentiles, scored_of
from emer_edge.bench.records.latency_records import Latency, SingleStream, Streaming
from emer_edge.bench.records.report_records import BenchReport, BundleBench
from emer_edge.report.bars import Bar, bars, dots
from emer_edge.report.curves import Line, curves
from emer_edge.report.distributions import distributions
from emer_edge.report.html import Block, Details, Facts, Figure, Gallery, Paragraph, Section
from emer_edge.report.tables import Estimate, Rows, Table, columns, tabled
from emer_edge.report.words import BIN_RATIO, MILLISECONDS, folded

_MARKED = "Bars are counts, the highest as high as its row; dark lines are p50, p90 and p99. No duration was left out."


def _speed_tables(report: BenchReport) -> dict[str, Table]:
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


def _speed_section(report: BenchReport, tables: dict[str, Table]) -> Section:
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
        plot = dots("Time beside the first bundle's", "ratio of medians", rows, digits=3, guides=(1.0,), skipped=1)
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
    steps: dict[str, Latency] = {}
    rest: dict[str, Latency] = {}
    for name, each in named_bundles(report):
        queries = {f"{query}": found.latency for query, found in each.single_stream.items()} or each.latency
        for part, found in queries.items():
            if found.bins:
                (steps if part == "live step" else rest)[f"{name}: {part}"] = found
    blocks: list[Block] = []
    for title, held in (("Every live step", steps), ("Every other part", rest)):
        if held:
            rows = [curve_of(name, each) for name, each in held.items()]
            plot = distributions(
                title, "ms", rows, ratio=BIN_RATIO, marked={name: percentiles(each) for name, each in held.items()}
            )
            figure = Figure(plot, _MARKED)
            blocks.append(figure if held is steps else Details("Distributions of the other parts", (figure,)))
    return blocks


@tabled(
    "What limits these closed loops",
    "Bundle | Query | Conditions | Rules",
    "Where conditions did not hold, figures say as much of the machine as of a bundle.",
)
def _limits(report: BenchReport) -> Rows:
    return tuple(
        (name, query, "; ".join(found.stability.reasons) or "held", found.reason or "all met")
        for name, each in named_bundles(report)
        for query, found in each.single_stream.items()
        if found.reason or not found.stability.stable
    )


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
    plot = curves("Several people at once", "streams", "ms a stream", lines, digits=2, floor=0.0)
    caption = "One call for all; the engine's share alone. Lower is better."
    return [Gallery((Figure(plot, caption),)), folded(tables["streams"])]


def _speed(report: BenchReport) -> Table:
    rows = [
        (name, part, found.p50_ms, found.p90_ms, found.p99_ms, found.max_ms, found.count)
        for name, each in named_bundles(report)
        for part, found in each.latency.items()
    ]
    threads = report.bundles[0].threads
    warmup = report.options.get("warmup")
    note = (
        f"{threads} thread{'s' if threads != 1 else ''}, one after the other, {warmup} warm-up runs not counted. "
        "Live step: one crop encoded and one window fused. Whole window: all eight crops encoded."
    )
    return Table("Time of each part", columns(f"Bundle | Part | {MILLISECONDS}"), tuple(rows), note)


@tabled(
    "Closed loop",
    "Bundle | Query | p90 claimed (ms) | p50 (ms) | p99 (ms) | queries | conditions | rules",
    "MLPerf Inference's SingleStream: closed loop, batch 1. Claimed: what early stopping allows at 99 % "
    "confidence. Valid: enough queries for that; MLPerf: for 600 s, too.",
)
def _single_stream(report: BenchReport) -> Rows:
    """In so few columns that a terminal holds it."""
    return [
        (name, query, found.p90_claimed_ms, found.latency.p50_ms, found.latency.p99_ms, found.queries,
         *_judged(found))
        for name, each in named_bundles(report)
        for query, found in each.single_stream.items()
    ]  # fmt: skip


def _judged(found: SingleStream) -> tuple[str, str]:
    kept = "MLPerf" if found.mlperf else "valid" if found.valid else "not valid"
    return "stable" if found.stability.stable else "unstable", kept


@tabled(
    "Closed loop: every figure",
    "Bundle | Query | p90 claimed (ms) | p99 claimed (ms) | p50 (ms) | p90 (ms) | p99 (ms) | largest (ms) | "
    "queries | time (s):0 | a second:1 | drift (%):1 | conditions | rules",
    "Claimed: what early stopping allows at 99 % confidence, never below the sample's own percentile. Drift: "
    "median of the second half against the first's.",
)
def _closed_loop(report: BenchReport) -> Rows:
    for name, each in named_bundles(report):
        for query, found in each.single_stream.items():
            took = found.latency
            yield (
                name, query, found.p90_claimed_ms, found.p99_claimed_ms, took.p50_ms, took.p90_ms, took.p99_ms,
                took.max_ms, found.queries, found.seconds, found.queries_per_s, found.stability.drift, *_judged(found),
            )  # fmt: skip


@tabled(
    "Beside each other",
    "Part | Bundle | beside | ratio of medians:3 | turns",
    "Bundles took turns in one run, so that both met the same machine. In parentheses quartiles over the turns.",
)
def _ratios(report: BenchReport) -> Rows:
    return tuple(
        (each.part, each.bundle, each.base, Estimate(each.ratio, each.low, each.high), each.turns)
        for each in report.ratios
    )


@tabled(
    "Several streams",
    "Bundle | streams | p50 (ms) | p90 (ms) | p99 (ms) | a stream (ms) | against one | fit into a hop | count",
    "Fit into a hop: by the median and the engine's share alone, without cameras, trackers and faces to be found.",
)
def _streams(report: BenchReport) -> Rows:
    return [
        (name, one.streams, one.latency.p50_ms, one.latency.p90_ms, one.latency.p99_ms, one.per_stream_ms,
         one.against_one, one.most_streams, one.latency.count)
        for name, each in named_bundles(report)
        for one in each.several_streams
    ]  # fmt: skip


@tabled(
    "Energy",
    "Bundle | Query | a result (mJ):1 | above idle (mJ):1 | mean (mW):0 | idle (mW):0 | sensor",
    "Everything that the sensor sees is in it.",
)
def _energy(report: BenchReport) -> Rows:
    for name, each in named_bundles(report):
        for query, one in each.single_stream.items():
            found = one.energy
            if found.millijoules is not None:
                figures = (found.millijoules, found.above_idle_millijoules, found.mean_mw, found.idle_mw)
                yield (name, query, *figures, found.source)


@tabled(
    "First result",
    "Bundle | Start | median (ms):0 | fastest (ms):0 | slowest (ms):0 | count | ",
    "From starting the process to its first result. Cold: the bundle's files are read from the disk.",
)
def _first_result(report: BenchReport) -> Rows:
    for name, each in named_bundles(report):
        found = each.first_result
        if found is not None:
            for kind, times in (("cold", found.cold_ms), ("warm", found.warm_ms)):
                ordered = sorted(times)
                reason = found.reason if kind == "cold" and not times else ""
                figures = (ordered[(len(ordered) - 1) // 2], ordered[0], ordered[-1]) if ordered else (None, None, None)
                yield (name, kind, *figures, len(times), reason)


@tabled(
    "Loading and memory",
    "Bundle | Size (MB):1 | start (ms):0 | verify (ms):0 | open (ms):0 | first step (ms):1 | "
    "RSS loaded (MB):0 | RSS running (MB):0 | one core (%):1",
    "Each in a process of its own. Start: Python and imports. RSS running: the peak of the live run, simulated "
    "sensors included, as is their work in the share of one core.",
)
def _loading(report: BenchReport) -> Rows:
    for name, each in named_bundles(report):
        load, stream = each.loading, each.streaming
        yield (
            name, each.size_bytes / 1e6, load.start_ms, load.verify_ms, load.open_ms, load.first_step_ms, load.rss_mb,
            stream.peak_rss_mb if stream else None, stream.cpu_share if stream else None,
        )  # fmt: skip


@tabled(
    "Live run",
    f"Bundle | Stage | {MILLISECONDS}",
    "Simulated camera and tracker in real time. Total: from the hop's deadline to the result.",
)
def _stages(report: BenchReport) -> Rows:
    for name, each in named_bundles(report):
        if each.streaming is not None:
            for stage, found in {**each.streaming.stages, **each.streaming.ages}.items():
                yield (name, stage, found.p50_ms, found.p90_ms, found.p99_ms, found.max_ms, found.count)


def _live_tables(report: BenchReport) -> dict[str, Table]:
    """Stages and ages; several people at once."""
    return {"live": _stages(report), "live_streams": _several(report)}


def _live_section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    """The section; None where no live run was asked for."""
    blocks: list[Block] = []
    for name, each in named_bundles(report):
        if each.streaming is not None:
            held: list[Block] = [Facts(_facts(name, each.streaming))]
            stages = {name: found for name, found in each.streaming.stages.items() if found.bins}
            if stages:
                rows = [curve_of(name, found) for name, found in stages.items()]
                marked = {name: percentiles(found) for name, found in stages.items()}
                plot = distributions(f"Every stage, {name}", "ms", rows, ratio=BIN_RATIO, marked=marked)
                held.append(Figure(plot, "Dark lines are p50, p90 and p99. Nothing was left out."))
            blocks += held if not blocks else [Details(f"The same of {name}", tuple(held))]
    if not blocks:
        return None
    blocks += [folded(tables["live"]), *_several_figure(report)]
    blocks += [folded(tables[name]) for name in ("live_streams",) if name in tables]
    return Section("Live run", tuple(blocks))


def _several_figure(report: BenchReport) -> list[Block]:
    lines = []
    for name, each in named_bundles(report):
        if each.streaming is not None and each.live_streams:
            runs = sorted((each.streaming, *each.live_streams), key=lambda run: run.streams)
            totals = [(float(run.streams), run.stages["total"]) for run in runs]
            points = tuple((many, Estimate(found.p50_ms, found.p50_ms, found.p99_ms)) for many, found in totals)
            lines.append(Line(name, points))
    if not lines:
        return []
    plot = curves("Live, several people", "streams", "total (ms)", lines, digits=1, floor=0.0)
    return [
        Gallery(
            (Figure(plot, "From the hop's deadline to the result: medians, bands up to the p99. Lower is better."),)
        )
    ]


@tabled(
    "Live runs of several people",
    "Bundle | streams | p50 (ms) | p90 (ms) | p99 (ms) | largest (ms) | results | states | dropped | "
    "one core (%):0 | RSS (MB):0",
    "From the hop's deadline to the last result of the step. A simulated camera and tracker for each stream.",
)
def _several(report: BenchReport) -> Rows:
    """Live runs of one person and of several, where there is any of several."""
    for name, each in named_bundles(report):
        for run in (each.streaming, *each.live_streams) if each.streaming and each.live_streams else ():
            total, dropped = run.stages["total"], sum(run.dropped.values())
            states = ", ".join(f"{count} {state}" for state, count in run.states.items())
            figures = (total.p50_ms, total.p90_ms, total.p99_ms, total.max_ms, run.results)
            yield (name, run.streams, *figures, states, dropped, run.cpu_share, run.peak_rss_mb)


def _facts(name: str, stream: Streaming) -> tuple[tuple[str, str], ...]:
    states = ", ".join(f"{count} {state}" for state, count in stream.states.items())
    drops = ", ".join(f"{count} {place}" for place, count in stream.dropped.items()) or "none"
    rates = f"at {stream.frame_rate_hz:g} and {stream.sample_rate_hz:g} Hz"
    return (
        (f"Live run of {name}", f"{stream.seconds:.1f} s, {stream.results} results ({states})"),
        ("Taken", f"{stream.frames:,} frames and {stream.samples:,} samples, {rates}"),
        ("Dropped", drops),
    )


SPEED: Final = (_speed_tables, _speed_section)
LIVE: Final = (_live_tables, _live_section)
