"""The summary: accuracy against latency, the main figures, the results in plain words, warnings."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Final

from emer_edge.bench.pages.probed import film_notes_of
from emer_edge.bench.pages.protocols import guesses_of
from emer_edge.bench.pages.scored import Scored, named_bundles, scored_of
from emer_edge.bench.pages.scored import estimate as estimated
from emer_edge.bench.records.latency_records import Latency
from emer_edge.bench.records.report_records import BenchReport, BundleBench
from emer_edge.report.html import Block, Details, Figure, Gallery, Paragraph, Section, Tile, Tiles
from emer_edge.report.scatter import Mark, scatter
from emer_edge.report.svg import WIDTH
from emer_edge.report.table import Estimate
from emer_edge.report.words import in_order, scaled, sentence, unit_of

_WARNINGS: Final = 7
"""More of them are opened by a click."""
_NARROW: Final = 352.0
"""Px: a telephone held upright."""


def overview_section(report: BenchReport) -> Section:
    """The section: the picture first, then what a reader must know."""
    all_scored = scored_of(report)
    pictures = [picture for metric, head in _choices(all_scored) if (picture := _picture(all_scored, head, metric))]
    blocks: list[Block] = list(pictures[:1])  # times alone have their section
    blocks.append(Tiles(tuple(_tiles(report, all_scored))))
    blocks += [Paragraph(fact) for fact in _facts(report, all_scored)]
    warnings = [Paragraph(warning, warning=True) for warning in _warnings(report)]
    blocks += warnings[:_WARNINGS]
    if warnings[_WARNINGS:]:
        blocks.append(Details(f"{len(warnings) - _WARNINGS} more to know", tuple(warnings[_WARNINGS:])))
    if pictures[1:]:
        others = Gallery(tuple(Figure(picture.narrow, picture.caption) for picture in pictures[1:]))
        blocks.append(Details("Accuracy against time by UAR, and of other heads", (others,)))
    return Section("Summary", tuple(blocks))


def step_of(bundle: BundleBench) -> Latency | None:
    """The latency of a live step: of the closed loop where it ran."""
    run = bundle.single_stream.get("live step")
    return run.latency if run is not None else bundle.latency.get("live step")


def _choices(all_scored: tuple[Scored, ...]) -> Iterator[tuple[str, str]]:
    """Metric and head of each picture: class heads first."""
    metrics: dict[str, set[str]] = {}
    for scored in all_scored:
        for name, head in scored.heads.items():
            metrics.setdefault(name, set()).update(head.metrics)
    heads = in_order(metrics)
    yield from ((metric, head) for head in heads if "war" in metrics[head] for metric in ("war", "uar"))
    yield from (("mae", head) for head in heads if "mae" in metrics[head])


def _picture(all_scored: tuple[Scored, ...], head: str, metric: str) -> Figure | None:
    marks, rules = [], {}
    clips = people = 0
    for scored in all_scored:
        took = [step for bundle in scored.bundles if (step := step_of(bundle)) is not None]
        record = scored.heads.get(head)
        if not took or record is None or metric not in record.metrics:
            continue
        p50, p90 = (statistics.median(getattr(step, name) for step in took) for name in ("p50_ms", "p90_ms"))
        marks.append(
            Mark(scored.name, Estimate(p50, p50, p90), estimated(record.metrics[metric], metric), _precision(scored))
        )
        clips, people = max(clips, record.clips), max(people, scored.record.participants)
        for guess, value in guesses_of(record, metric).items():
            if guess in ("training majority", "uniform chance", "training mean"):
                rules[guess] = scaled(value, metric)
    if not marks:
        return None
    what = f"{head}: {unit_of(metric).partition(' (')[0]} against"
    units = "live step (ms, logarithmic)", unit_of(metric)
    wide, narrow = (
        scatter(f"{what} {title}", *units, marks, _merged(rules), logarithmic=True, width=width)
        for width, title in ((WIDTH, "the time of a live step"), (_NARROW, "step time"))
    )
    better = "Up" if metric != "mae" else "Down"
    caption = (
        f"{better} and left is better. Across: median, whisker to the p90; upright: 95 % interval by bootstrap over "
        f"participants. {clips:,} clips of {people} participants."
    )
    return Figure(wide, caption, narrow)


def _merged(rules: dict[str, float]) -> dict[str, float]:
    """Guesses of the same figure share a line."""
    merged: dict[float, list[str]] = {}
    for name, value in rules.items():
        merged.setdefault(round(value, 2), []).append(name)
    return {", ".join(names): value for value, names in merged.items()}


def _precision(scored: Scored) -> str:
    used = {precision for bundle in scored.bundles for precision in bundle.precision.values()}
    return next((precision.upper() for precision in ("int8", "fp16") if precision in used), "FP32")


def _tiles(report: BenchReport, all_scored: tuple[Scored, ...]) -> Iterator[Tile]:
    timed = [(step, name) for name, bundle in named_bundles(report) if (step := step_of(bundle)) is not None]
    if timed:
        step, name = min(timed, key=lambda pair: pair[0].p50_ms)
        owner = f"{name}, " if len(report.bundles) > 1 else ""
        note = f"{owner}median of {step.count:,}; p90 {step.p90_ms:.2f} ms, largest {step.max_ms:.2f} ms"
        yield Tile("A live step", f"{step.p50_ms:.2f} ms", note)
    live = [(bundle.streaming, name) for name, bundle in named_bundles(report) if bundle.streaming is not None]
    if live:
        stream, name = min(live, key=lambda pair: pair[0].cpu_share)
        note = f"{name}, {stream.results} results in {stream.seconds:.0f} s, sensors simulated"
        yield Tile("Live, of one core", f"{stream.cpu_share:.0%}", note)
    for head in ("er-7", "fer-7"):
        scored = [one for one in all_scored if head in one.heads and "war" in one.heads[head].metrics]
        if scored:
            best = max(scored, key=lambda one: one.heads[head].metrics["war"].value)
            war = estimated(best.heads[head].metrics["war"], "war")
            limits = f"{war.low:.1f} to {war.high:.1f}, " if war.has_interval else ""
            owner = f"{best.name}, " if len(all_scored) > 1 else ""
            yield Tile(f"{head.upper()}, WAR", f"{war.value:.1f} %", f"{owner}{limits}{best.heads[head].clips:,} clips")
    for one in all_scored:
        if one.record.gap is not None and one.record.gap.auroc is not None:
            yield Tile("The gap, AUROC", f"{one.record.gap.auroc.value:.2f}", f"{one.name}; 0.5 is chance")
            break


def _facts(report: BenchReport, all_scored: tuple[Scored, ...]) -> Iterator[str]:
    count = len(report.bundles)
    machine = report.environment
    where = f"{machine.machine}{f', {machine.cpu}' if machine.cpu else ''}, {machine.cores} cores"
    threads = ", ".join(str(count) for count in sorted({bundle.threads for bundle in report.bundles}))
    engines = ", ".join(dict.fromkeys(bundle.engine for bundle in report.bundles))
    yield (
        f"{count} bundle{'s were' if count != 1 else ' was'} measured on {where}, by {engines} with {threads} "
        f"thread{'s' if threads != '1' else ''}."
    )
    for scored in all_scored:
        fold = "" if scored.is_set else f" fold {scored.folds[0]},"
        sentences = [text for head in ("er-7", "fer-7") if (text := _sure(scored, head))]
        if sentences:
            clips = f"{scored.record.clips:,} clips of {scored.record.participants} participants"
            yield f"{scored.name},{fold} {clips}: {'; '.join(sentences)}."


def _sure(scored: Scored, head: str) -> str:
    record = scored.heads.get(head)
    if record is None or "war" not in record.metrics:
        return ""
    war = estimated(record.metrics["war"], "war")
    text = f"{head.upper()} is right in {war.value:.1f} %"
    guess = guesses_of(record, "war").get("training majority")
    if not war.has_interval:
        return f"{text}, of too few participants to say how sure that is"
    text += f" (95 % interval {war.low:.1f} to {war.high:.1f})"
    if guess is None:
        return text
    against = f"always guessing the most frequent class gives {guess * 100:.1f} %"
    clear = war.low > guess * 100
    return f"{text}, {against}{', which the interval excludes' if clear else ', which the interval does not exclude'}"


def _warnings(report: BenchReport) -> list[str]:
    """What concerns everything, then what bundles say of themselves; unstable loops share one line."""
    said = [*report.notes]
    for note, held in film_notes_of(report).items():
        if not any(note in warning for warning in said):
            said.append(f"{note}: {', '.join(held)}")
    if report.data is not None and report.data.synthetic:
        said.append("the clips are synthetic: figures of accuracy show that the machinery works, not how people feel")
    loops = [run for bundle in report.bundles for run in bundle.single_stream.values()]
    unstable = [", ".join(loop.stability.reasons) for loop in loops if not loop.stability.stable]
    if unstable:
        said.append(f"{len(unstable)} of {len(loops)} closed loops were unstable: see Speed")
    if report.conditions is not None and report.conditions.changed:
        said.append("the machine's conditions changed while it was measured: see Machine and method")
    of_bundles = [note for bundle in report.bundles for note in bundle.notes]
    said += [note for note in of_bundles if not any(reasons in note for reasons in unstable)]
    return [sentence(warning) for warning in dict.fromkeys(said)]
