"""The table at the end of a run, on stderr."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from emer_edge.core.public_text import one_is_singular
from emer_edge.core.session_facts import Baseline
from emer_edge.metrics.latency import LatencySummary
from emer_edge.runtime.outputs.base import Host, Output
from emer_edge.runtime.outputs.drawing import axis, decades_of, duration, histogram
from emer_edge.runtime.pipeline import Summary
from emer_edge.runtime.pipeline.core import AGES, END_TO_END

_NAMES: Final = {
    "total": "step latency",
    END_TO_END: "end-to-end latency",
    "face age": "age of newest face",
    "sample age": "age of newest sample",
}
_NARROWEST, _WIDEST = 10, 40


class SummaryTable(Output):
    """Prints the summary of the run to a console (`options`); the host's, or stderr by default."""

    name = "summary"
    only_shown = True

    def __init__(self, options: Console | None = None, host: Host | None = None) -> None:
        self._console = options or (host.console if host else None) or Console(stderr=True)

    def end(self, summary: Summary | None) -> None:
        """Print the table."""
        if summary is None:
            return
        dropped = ", ".join(f"{count} {place}" for place, count in summary.dropped.items()) or "nothing"
        missed = ", ".join(f"{count} {why}" for why, count in summary.missed.items())

        def print_line(text: str) -> None:
            self._console.print(text, soft_wrap=True, markup=False, highlight=False)

        print_line(f"{summary.seconds:.1f} s on {summary.engine}; results: {_counted(summary.states)}")
        if summary.engines:
            print_line("engines: " + ", ".join(f"{part} {where}" for part, where in summary.engines.items()))
        print_line(
            f"{summary.frames} frames, {summary.detections} detections, a usable face in {summary.faces}"
            f"{f' ({missed})' if missed else ''}; {summary.samples} samples; dropped: {dropped}"
        )
        self._console.print(_latencies(summary, self._console.width))
        if summary.rss_mb is not None and summary.peak_rss_mb is not None:
            capture = f", {summary.capture_rss_mb:.0f} MB in the capture process" if summary.capture_rss_mb else ""
            print_line(f"memory: {summary.rss_mb:.0f} MB resident, {summary.peak_rss_mb:.0f} MB at most{capture}")
        if summary.board is not None:
            print_line(f"board: {summary.board}")
        if summary.markers:
            print_line(f"markers: {summary.markers}")
        if summary.streams:
            self._console.print(_streams(summary))
        for line in _own_lines(summary):
            print_line(line)
        for name, stream in summary.streams.items():
            for line in (f"results: {_counted(stream.states)}", *_own_lines(stream)):
                print_line(f"{name}: {line}")
        for name, counts in summary.outputs.items():
            print_line(f"lost by {name}: " + ", ".join(f"{n} {what}" for what, n in counts.items()))
        for note in summary.notes:
            print_line(f"note: {note}")


def _counted(states: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in states.items()) or "none"


def _own_lines(summary: Summary) -> list[str]:
    """The lines about one person: the tracker, the validation and the baseline."""
    lines = []
    if summary.tracker:
        clock = "" if summary.clock is None else f"; its clock {summary.clock}"
        lines.append(f"tracker: {summary.tracker}{clock}")
    if summary.validation is not None:
        lines.append(f"gaze validation: {summary.validation}")
    if summary.baseline is not None:
        lines += baseline_lines(summary.baseline)
    return lines


def _streams(summary: Summary) -> Table:
    """One row per stream: its items, its losses, its own latencies."""
    table = Table(title="streams; times in ms, p50 and p99", title_justify="left")
    table.add_column("stream", overflow="fold")
    for name in ("frames", "faces", "samples", "lost", "detect", *AGES):
        table.add_column(name, justify="right", no_wrap=True)
    for name, stream in summary.streams.items():
        counts = (stream.frames, stream.faces, stream.samples, sum(stream.dropped.values()))
        times = (stream.stages.get("detect"), *(stream.ages.get(age) for age in AGES))
        table.add_row(name, *map(str, counts), *map(_two, times))
    return table


def _two(latency: LatencySummary | None) -> str:
    return "--" if latency is None else f"{duration(latency.p50_ms)} {duration(latency.p99_ms)}"


def _latencies(summary: Summary, room: int) -> Table:
    """Every stage and age in `room` characters: the whole distribution as a histogram, and its figures."""
    whole = {} if summary.end_to_end is None else {END_TO_END: summary.end_to_end}
    latencies = summary.stages | whole | summary.ages
    figures = ("p50", "p90", "p99", "max", "count")
    rows = [
        (_NAMES.get(name, name), *map(duration, (one.p50_ms, one.p90_ms, one.p99_ms, one.max_ms)), str(one.count))
        for name, one in latencies.items()
    ]
    widths = [max(map(len, cells)) for cells in zip(("stage", *figures), *rows, strict=True)]
    rules = 3 * (len(widths) + 1) + 1  # a rule and two blanks per column
    width = min(_WIDEST, max(_NARROWEST, room - sum(widths) - rules))
    decades = decades_of(summary.histograms.get(name, []) for name in latencies)
    table = Table(title="latency, ms; no outliers removed", title_justify="left")
    table.add_column("stage", no_wrap=True)
    table.add_column(Text(axis(decades, width)), width=width, no_wrap=True)
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    for name, (stage, *cells) in zip(latencies, rows, strict=True):
        drawn = Text(histogram(summary.histograms.get(name, []), decades, width), "cyan")
        table.add_row(stage, drawn, *cells)
    return table


def baseline_lines(baseline: Baseline) -> list[str]:
    """A baseline in words: pupils, then the heads' values and most probable classes, then the gap."""
    pupils = [
        f"pupil {eye} {pupil.median_mm:.2f} mm (MAD {pupil.mad_mm:.2f}, {pupil.samples} samples)"
        for eye, pupil in baseline.pupils.items()
    ]
    heads = []
    for name, value in baseline.heads.items():
        if isinstance(value, dict):
            best = max(value, key=value.__getitem__)
            heads.append(f"{name} {best} {value[best]:.0%}")
        else:
            heads.append(f"{name} {value:+.2f}")
    gap = [] if baseline.gap_distance is None else [f"gap {baseline.gap_distance:.2f}"]
    return [
        f"baseline, {baseline.seconds:.1f} s of valid data: {', '.join(pupils) or 'no pupils'}",
        one_is_singular(f"          mean of {baseline.windows} windows: {', '.join(heads + gap)}"),
    ]
