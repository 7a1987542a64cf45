"""How long parts, steps and starts take, and what they need; the live run, stage by stage."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Final

from emer_edge.bench.pages.scored import PageSection, named_bundles, scored_of
from emer_edge.bench.records.latency_records import Latency, SingleStream, Streaming
from emer_edge.bench.records.report_records import BenchReport, BundleBench
from emer_edge.metrics.latency import BINS_A_DECADE
from emer_edge.report.bars import Bar, bars, dots
from emer_edge.report.curves import Points, curves
from emer_edge.report.distributions import distributions
from emer_edge.report.html import Block, Details, Facts, Figure, Gallery, Paragraph, Section
from emer_edge.report.table import Estimate, Rows, Table, tabled
from emer_edge.report.words import BIN_RATIO, MILLISECONDS, folded_of

_MARKED = "Bars are counts, the highest as tall as its row; dark lines are p50, p90 and p99. No outliers were removed."
STEP_LATENCY: Final = "step latency"
END_TO_END: Final = "end-to-end latency"


def _speed_section(report: BenchReport, tables: dict[str, Table]) -> Section:
    blocks: list[Block] = [_parts_figure(report), *folded_of(tables, "speed"), *_distributions(report)]
    blocks += folded_of(tables, "single_stream", "loop_limits")
    if "closed_loop" in tables:
        blocks.append(Details("Closed loop: every figure", (tables["closed_loop"],)))
    if report.ratios:
        rows = [
            Bar(ratio.part, Estimate(ratio.ratio, ratio.low, ratio.high), f"{ratio.bundle} / {ratio.base}")
            for ratio in report.ratios
        ]
        plot = dots("Time relative to the first bundle", "ratio of medians", rows, digits=3, guides=(1.0,), skipped=1)
        caption = "Left of 1: faster than the first. Bundles took turns; whiskers are quartiles of the turns."
        blocks += [Figure(plot, caption), *folded_of(tables, "ratios")]
    blocks += _stream_blocks(report, tables)
    missing = dict.fromkeys(run.energy.reason.rstrip(".") for *_, run in _loops(report) if run.energy.reason)
    blocks += [Paragraph(f"Energy was not measured: {reason}.") for reason in missing]
    return Section("Speed", (*blocks, *folded_of(tables, "energy", "first_result", "loading")))


def _parts_figure(report: BenchReport) -> Figure:
    """The median of each part, one bar per bundle; of the bundles of a set, the median of theirs."""
    groups = _groups(report)
    parts = list(dict.fromkeys(part for bundle in report.bundles for part in bundle.latency))
    items = [
        Bar(part, Estimate(statistics.median(times)), name if len(groups) > 1 else "")
        for part in parts
        for name, bundles in groups.items()
        if (times := [bundle.latency[part].p50_ms for bundle in bundles if part in bundle.latency])
    ]
    return Figure(bars("Median time of each part", "ms", items, digits=2), "Lower is better.")


def _groups(report: BenchReport) -> dict[str, tuple[BundleBench, ...]]:
    """Sets of folds, then the bundles that are in none."""
    groups = {scored.name: scored.bundles for scored in scored_of(report)}
    known = {id(bundle) for bundles in groups.values() for bundle in bundles}
    return {**groups, **{name: (bundle,) for name, bundle in named_bundles(report) if id(bundle) not in known}}


def _distributions(report: BenchReport) -> list[Block]:
    steps: dict[str, Latency] = {}
    rest: dict[str, Latency] = {}
    for name, bundle in named_bundles(report):
        queries = {query: run.latency for query, run in bundle.single_stream.items()} or bundle.latency
        for part, latency in queries.items():
            if latency.bins:
                (steps if part == "live step" else rest)[f"{name}: {part}"] = latency
    blocks: list[Block] = []
    if steps:
        blocks.append(Figure(_distributions_plot("Every live step", steps), _MARKED))
    if rest:
        figure = Figure(_distributions_plot("Every other part", rest), _MARKED)
        blocks.append(Details("Distributions of the other parts", (figure,)))
    return blocks


def _distributions_plot(title: str, latencies: dict[str, Latency]) -> str:
    rows, marked = {}, {}
    for name, latency in latencies.items():
        rows[name] = [(10 ** (at / BINS_A_DECADE), count) for at, count in latency.bins]
        marked[name] = {"p50": latency.p50_ms, "p90": latency.p90_ms, "p99": latency.p99_ms}
    return distributions(title, "ms", rows, ratio=BIN_RATIO, marked=marked)


@tabled(
    "What limits these closed loops",
    "Bundle | Query | Conditions | Rules",
    "Where conditions did not hold, figures say as much of the machine as of a bundle.",
)
def _limits(report: BenchReport) -> Rows:
    return tuple(
        (name, query, "; ".join(run.stability.reasons) or "held", run.reason or "all met")
        for name, query, run in _loops(report)
        if run.reason or not run.stability.stable
    )


def _stream_blocks(report: BenchReport, tables: dict[str, Table]) -> list[Block]:
    lines: dict[str, Points] = {}
    for name, bundles in _groups(report).items():
        times: dict[int, list[float]] = {}
        for record in (record for bundle in bundles for record in bundle.several_streams):
            times.setdefault(record.streams, []).append(record.per_stream_ms)
        if len(times) > 1:
            lines[name] = [(float(streams), Estimate(statistics.median(own))) for streams, own in times.items()]
    if not lines:
        return [*folded_of(tables, "streams")]
    plot = curves("Several people at once", "streams", "ms per stream", lines, digits=2, floor=0.0)
    caption = "One call for all; the engine's share alone. Lower is better."
    return [Gallery((Figure(plot, caption),)), *folded_of(tables, "streams")]


def _milliseconds(latency: Latency) -> tuple[float, float, float, float, int]:
    """The cells of the columns `MILLISECONDS`."""
    return (latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.max_ms, latency.count)


def _speed(report: BenchReport) -> Table:
    rows = (
        (name, part, *_milliseconds(latency))
        for name, bundle in named_bundles(report)
        for part, latency in bundle.latency.items()
    )
    threads, warmup = report.bundles[0].threads, report.options.get("warmup")
    note = (
        f"{threads} thread{'s' if threads != 1 else ''}, one after the other, {warmup} warm-up runs not counted. "
        "Live step: one crop encoded and one window fused. Whole window: all eight crops encoded."
    )
    return Table.of("Time of each part", f"Bundle | Part | {MILLISECONDS}", rows, note)


@tabled(
    "Closed loop",
    "Bundle | Query | p90 claimed (ms) | p50 (ms) | p99 (ms) | queries | conditions | rules",
    "MLPerf Inference's SingleStream: closed loop, batch 1. Claimed: what early stopping allows at 99 % "
    "confidence. Valid: enough queries for that; MLPerf: for 600 s, too.",
)
def _single_stream(report: BenchReport) -> Rows:
    return [
        (name, query, run.p90_claimed_ms, run.latency.p50_ms, run.latency.p99_ms, run.queries,
         *_judged(run))
        for name, query, run in _loops(report)
    ]  # fmt: skip


def _loops(report: BenchReport) -> Iterator[tuple[str, str, SingleStream]]:
    """Every closed loop: its bundle, its query, and the run."""
    for name, bundle in named_bundles(report):
        yield from ((name, query, run) for query, run in bundle.single_stream.items())


def _judged(run: SingleStream) -> tuple[str, str]:
    kept = "MLPerf" if run.mlperf else "valid" if run.valid else "not valid"
    return "stable" if run.stability.stable else "unstable", kept


@tabled(
    "Closed loop: every figure",
    "Bundle | Query | p90 claimed (ms) | p99 claimed (ms) | p50 (ms) | p90 (ms) | p99 (ms) | largest (ms) | "
    "queries | time (s):0 | a second:1 | drift (%):1 | conditions | rules",
    "Claimed: what early stopping allows at 99 % confidence, never below the sample's own percentile. Drift: "
    "median of the second half against the first's.",
)
def _closed_loop(report: BenchReport) -> Rows:
    for name, query, run in _loops(report):
        took = run.latency
        yield (
            name, query, run.p90_claimed_ms, run.p99_claimed_ms, took.p50_ms, took.p90_ms, took.p99_ms, took.max_ms,
            run.queries, run.seconds, run.queries_per_s, run.stability.drift, *_judged(run),
        )  # fmt: skip


@tabled(
    "Beside each other",
    "Part | Bundle | beside | ratio of medians:3 | turns",
    "Bundles took turns in one run, so that both met the same machine. In parentheses quartiles over the turns.",
)
def _ratios(report: BenchReport) -> Rows:
    return tuple(
        (ratio.part, ratio.bundle, ratio.base, Estimate(ratio.ratio, ratio.low, ratio.high), ratio.turns)
        for ratio in report.ratios
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
        for name, bundle in named_bundles(report)
        for one in bundle.several_streams
    ]  # fmt: skip


@tabled(
    "Energy",
    "Bundle | Query | a result (mJ):1 | above idle (mJ):1 | mean (mW):0 | idle (mW):0 | sensor",
    "Everything that the sensor sees is in it.",
)
def _energy(report: BenchReport) -> Rows:
    for name, query, run in _loops(report):
        energy = run.energy
        if energy.millijoules is not None:
            figures = (energy.millijoules, energy.above_idle_millijoules, energy.mean_mw, energy.idle_mw)
            yield (name, query, *figures, energy.source)


@tabled(
    "First result",
    "Bundle | Start | median (ms):0 | fastest (ms):0 | slowest (ms):0 | count | ",
    "From starting the process to its first result. Cold: the bundle's files are read from the disk.",
)
def _first_result(report: BenchReport) -> Rows:
    for name, bundle in named_bundles(report):
        starts = bundle.first_result
        if starts is not None:
            for kind, times in (("cold", starts.cold_ms), ("warm", starts.warm_ms)):
                ordered = sorted(times)
                reason = starts.reason if kind == "cold" and not times else ""
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
    for name, bundle in named_bundles(report):
        load, stream = bundle.loading, bundle.streaming
        yield (
            name, bundle.size_bytes / 1e6, load.start_ms, load.verify_ms, load.open_ms, load.first_step_ms, load.rss_mb,
            stream.peak_rss_mb if stream else None, stream.cpu_share if stream else None,
        )  # fmt: skip


def _latencies(run: Streaming) -> dict[str, Latency]:
    """What each result cost: the stages, of which `total` is the step latency, then the end-to-end latency."""
    return {**run.stages, **({END_TO_END: run.end_to_end} if run.end_to_end is not None else {})}


def _label(stage: str) -> str:
    return STEP_LATENCY if stage == "total" else stage


@tabled(
    "Live run",
    f"Bundle | Stage | {MILLISECONDS}",
    "Simulated camera and tracker in real time. Step latency: deadline to result. End-to-end latency: the newest "
    "frame's capture to its result, the arrival allowance included.",
)
def _stages(report: BenchReport) -> Rows:
    for name, bundle in named_bundles(report):
        if bundle.streaming is not None:
            for stage, latency in {**_latencies(bundle.streaming), **bundle.streaming.ages}.items():
                yield (name, _label(stage), *_milliseconds(latency))


def _live_section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    blocks: list[Block] = []
    for name, bundle in named_bundles(report):
        if bundle.streaming is not None:
            shown: list[Block] = [Facts(_facts(name, bundle.streaming))]
            stages = {_label(stage): latency for stage, latency in _latencies(bundle.streaming).items() if latency.bins}
            if stages:
                shown.append(Figure(_distributions_plot(f"Every stage, {name}", stages), _MARKED))
            blocks += shown if not blocks else [Details(f"The same of {name}", tuple(shown))]
    if not blocks:
        return None
    return Section(
        "Live run", (*blocks, *folded_of(tables, "live"), *_several_figure(report), *folded_of(tables, "live_streams"))
    )


def _several_figure(report: BenchReport) -> list[Block]:
    lines: dict[str, Points] = {}
    for name, bundle in named_bundles(report):
        if bundle.streaming is not None and bundle.live_streams:
            runs = sorted((bundle.streaming, *bundle.live_streams), key=lambda run: run.streams)
            steps = [(float(run.streams), run.stages["total"]) for run in runs]
            lines[name] = [(streams, Estimate(step.p50_ms, step.p50_ms, step.p99_ms)) for streams, step in steps]
    if not lines:
        return []
    plot = curves("Live, several people", "streams", "step latency (ms)", lines, digits=1, floor=0.0)
    caption = "Deadline to result: medians, bands up to the p99. Lower is better."
    return [Gallery((Figure(plot, caption),))]


@tabled(
    "Live runs of several people",
    "Bundle | streams | p50 (ms) | p90 (ms) | p99 (ms) | largest (ms) | end-to-end p50 (ms) | results | states | "
    "dropped | one core (%):0 | RSS (MB):0",
    "Step latency: deadline to the last result of the step. A simulated camera and tracker for each stream.",
)
def _several(report: BenchReport) -> Rows:
    for name, bundle in named_bundles(report):
        for run in (bundle.streaming, *bundle.live_streams) if bundle.streaming and bundle.live_streams else ():
            total, dropped = run.stages["total"], sum(run.dropped.values())
            states = ", ".join(f"{count} {state}" for state, count in run.states.items())
            end_to_end = None if run.end_to_end is None else run.end_to_end.p50_ms
            figures = (total.p50_ms, total.p90_ms, total.p99_ms, total.max_ms, end_to_end, run.results)
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


SPEED: Final[PageSection] = (
    {
        "speed": _speed,
        "single_stream": _single_stream,
        "closed_loop": _closed_loop,
        "loop_limits": _limits,
        "ratios": _ratios,
        "streams": _streams,
        "energy": _energy,
        "first_result": _first_result,
        "loading": _loading,
    },
    _speed_section,
)
LIVE: Final[PageSection] = ({"live": _stages, "live_streams": _several}, _live_section)
