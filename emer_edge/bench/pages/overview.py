"""The first screen: accuracy against latency, the figures one looks for, what was found in plain words, warnings."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Final

from emer_edge.bench.pages.probed import film_notes_of
from emer_edge.bench.pages.protocols import guesses_of
from emer_edge.bench.pages.scored import Scored, names_of, scored_of
from emer_edge.bench.pages.scored import estimate as estimated
from emer_edge.bench.pages.speed import parts_figure
from emer_edge.bench.records.latency_records import Latency
from emer_edge.bench.records.report_records import BenchReport, BundleBench
from emer_edge.report.html import Block, Details, Figure, Gallery, Paragraph, Section, Tile, Tiles
from emer_edge.report.scatter import Mark, Rule, scatter
from emer_edge.report.svg import WIDTH
from emer_edge.report.tables import Estimate
from emer_edge.report.words import in_order, scaled, sentence, unit_of

_WARNINGS: Final = 7
"""More of them are opened by a click."""
_NARROW: Final = 352.0
"""Px: a telephone held upright."""


def overview_section(report: BenchReport) -> Section:
    """The section: the picture first."""
    found = scored_of(report)
    pictures = [picture for metric, head in _choices(found) if (picture := _picture(found, head, metric))]
    blocks: list[Block] = [pictures[0] if pictures else parts_figure(report)]
    blocks.append(Tiles(tuple(_tiles(report, found))))
    blocks += [Paragraph(each) for each in _facts(report, found)]
    warnings = [Paragraph(each, warning=True) for each in _warnings(report)]
    blocks += warnings[:_WARNINGS]
    if warnings[_WARNINGS:]:
        blocks.append(Details(f"{len(warnings) - _WARNINGS} more to know", tuple(warnings[_WARNINGS:])))
    if pictures[1:]:
        others = Gallery(tuple(Figure(each.narrow, each.caption) for each in pictures[1:]))
        blocks.append(Details("Accuracy against time by UAR, and of other heads", (others,)))
    return Section("In short", tuple(blocks))


def step_of(bundle: BundleBench) -> Latency | None:
    """The latency of a live step: of the closed loop where it ran."""
    found = bundle.single_stream.get("live step")
    return found.latency if found is not None else bundle.latency.get("live step")


def _choices(found: tuple[Scored, ...]) -> Iterator[tuple[str, str]]:
    heads = in_order(set().union(*(each.heads for each in found))) if found else []
    for head in heads:
        if any("war" in each.heads[head].metrics for each in found if head in each.heads):
            yield from (("war", head), ("uar", head))
    for head in heads:
        if any("mae" in each.heads[head].metrics for each in found if head in each.heads):
            yield "mae", head


def _picture(found: tuple[Scored, ...], head: str, metric: str) -> Figure | None:
    marks, rules = [], {}
    clips = people = 0
    for each in found:
        took = [step for bundle in each.bundles if (step := step_of(bundle)) is not None]
        record = each.heads.get(head)
        if not took or record is None or metric not in record.metrics:
            continue
        p50, p90 = (statistics.median(getattr(step, name) for step in took) for name in ("p50_ms", "p90_ms"))
        marks.append(
            Mark(each.name, Estimate(p50, p50, p90), estimated(record.metrics[metric], metric), _precision(each))
        )
        clips, people = max(clips, record.clips), max(people, each.participants)
        for guess, value in guesses_of(record, metric).items():
            if guess in ("training majority", "uniform chance", "training mean"):
                rules[guess] = scaled(value, metric)
    if not marks:
        return None
    what = f"{head}: {unit_of(metric).partition(' (')[0]} against"
    lines = [Rule(name, value) for name, value in _merged(rules).items()]
    wide, narrow = (
        scatter(
            f"{what} {title}",
            "live step (ms, logarithmic)",
            unit_of(metric),
            marks,
            rules=lines,
            logarithmic=True,
            width=width,
        )
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
    found: dict[float, str] = {}
    for name, value in rules.items():
        key = round(value, 2)
        found[key] = f"{found[key]}, {name}" if key in found else name
    return {name: value for value, name in found.items()}


def _precision(scored: Scored) -> str:
    used = [how for bundle in scored.bundles for how in bundle.precision.values()]
    return next((each.upper() for each in ("int8", "fp16") if each in used), "FP32")


def _tiles(report: BenchReport, found: tuple[Scored, ...]) -> Iterator[Tile]:
    names = names_of(report)
    timed = [(step, at) for at, each in enumerate(report.bundles) if (step := step_of(each)) is not None]
    if timed:
        step, at = min(timed, key=lambda each: each[0].p50_ms)
        whose = f"{names[at]}, " if len(names) > 1 else ""
        yield Tile(
            "A live step",
            f"{step.p50_ms:.2f} ms",
            f"{whose}median of {step.count:,}; p90 {step.p90_ms:.2f} ms, largest {step.max_ms:.2f} ms",
        )
    live = [(each.streaming, at) for at, each in enumerate(report.bundles) if each.streaming is not None]
    if live:
        stream, at = min(live, key=lambda each: each[0].cpu_share)
        yield Tile(
            "Live, of one core",
            f"{stream.cpu_share:.0%}",
            f"{names[at]}, {stream.results} results in {stream.seconds:.0f} s, sensors simulated",
        )
    for head in ("er-7", "fer-7"):
        scored = [each for each in found if head in each.heads and "war" in each.heads[head].metrics]
        if scored:
            best = max(scored, key=lambda each: each.heads[head].metrics["war"].value)
            war = estimated(best.heads[head].metrics["war"], "war")
            limits = f"{war.low:.1f} to {war.high:.1f}, " if war.has_interval else ""
            whose = f"{best.name}, " if len(found) > 1 else ""
            yield Tile(f"{head.upper()}, WAR", f"{war.value:.1f} %", f"{whose}{limits}{best.heads[head].clips:,} clips")
    gaps = [each for each in found if each.gap is not None and each.gap.auroc is not None]
    if gaps:
        best = gaps[0]
        assert best.gap is not None
        assert best.gap.auroc is not None
        yield Tile("The gap, AUROC", f"{best.gap.auroc.value:.2f}", f"{best.name}; 0.5 is chance")


def _facts(report: BenchReport, found: tuple[Scored, ...]) -> Iterator[str]:
    count = len(report.bundles)
    machine = report.environment
    where = f"{machine.machine}{f', {machine.cpu}' if machine.cpu else ''}, {machine.cores} cores"
    threads = ", ".join(str(each) for each in sorted({each.threads for each in report.bundles}))
    engines = ", ".join(dict.fromkeys(each.engine for each in report.bundles))
    yield (
        f"{count} bundle{'s were' if count != 1 else ' was'} measured on {where}, by {engines} with {threads} "
        f"thread{'s' if threads != '1' else ''}."
    )
    for each in found:
        fold = "" if each.is_set else f" fold {each.folds[0]},"
        told = [text for head in ("er-7", "fer-7") if (text := _sure(each, head))]
        if told:
            yield f"{each.name},{fold} {each.clips:,} clips of {each.participants} participants: {'; '.join(told)}."


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
    """What concerns everything, then what bundles say of themselves; unstable loops are told in one line."""
    said = [*report.notes]
    for note, held in film_notes_of(report).items():
        if not any(note in each for each in said):
            said.append(f"{note}: {', '.join(held)}")
    if report.data is not None and report.data.synthetic:
        said.append("the clips are synthetic: figures of accuracy show that the machinery works, not how people feel")
    loops = [found for each in report.bundles for found in each.single_stream.values()]
    unstable = [", ".join(each.stability.reasons) for each in loops if not each.stability.stable]
    if unstable:
        said.append(f"{len(unstable)} of {len(loops)} closed loops were unstable: see Speed")
    if report.conditions is not None and report.conditions.changed:
        said.append("the machine's conditions changed while it was measured: see Machine and method")
    of_bundles = [note for each in report.bundles for note in each.notes]
    said += [each for each in of_bundles if not any(reasons in each for reasons in unstable)]
    return [sentence(each) for each in dict.fromkeys(said)]
