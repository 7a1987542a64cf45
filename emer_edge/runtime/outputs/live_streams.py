"""The live view of several streams: a block each while there is room, else a line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from emer_edge.bundle import Manifest
from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.runtime.outputs.drawing import duration
from emer_edge.runtime.outputs.live_rows import Shown, lines_of, state_words
from emer_edge.runtime.outputs.watched import Watched
from emer_edge.runtime.pipeline import Pipeline, Summary
from emer_edge.spec.heads import HEADS
from emer_edge.spec.results import Result, State

__all__ = ["LiveStreams", "StreamRow", "render_streams", "streams_lines"]

_BORDER_LINES, _BORDER_COLUMNS = 3, 4  # the last line of a terminal stays free: a full one would scroll
_LEAST_BLOCK: Final = 7  # lines, its title included: felt and shown, gap, values, both sensors
_STATES: Final = {State.OK: "green", State.FILLING: "cyan"}


@dataclass(frozen=True)
class StreamRow:
    """One stream, now.

    Attributes:
        name: of the stream.
        shown: what is known of it; None before its first result.
    """

    name: str
    shown: Shown | None


class LiveStreams:
    """Draws the newest results of all streams once a step; hears items as a tap of each.

    Where the console is no terminal, nothing is drawn: a line tells of each change of a stream's state.

    Args:
        run: not opened yet.
        console: where to; stderr by default.

    Attributes:
        name: `live`.
    """

    name = "live"

    def __init__(self, run: Pipeline, console: Console | None = None) -> None:
        self._run = run
        self._console = console or Console(stderr=True)
        self._drawn = self._console.is_terminal
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._watched = {str(name): Watched(run.bundle.manifest, stream) for name, stream in run.streams.items()}
        self._rows: dict[str, StreamRow] = {str(name): StreamRow(str(name), None) for name in run.streams}
        self._end_ns = 0
        self._newest: str | None = None
        self._last: str | None = None

    def begin(self) -> None:
        """Start drawing."""
        if self._drawn:
            self._live.start()
            self._live.update(Text("waiting for the first hop"), refresh=True)

    def result(self, result: Result) -> bool:
        """Take a result; draw when it is the last of its step."""
        name = result.stream or ""
        watched = self._watched[name]
        changed = result.state is not watched.state
        shown = watched.result(result)
        if not self._drawn:
            if changed:
                line = f"{name}: {state_words(result).plain}"
                self._console.print(line, soft_wrap=True, markup=False, highlight=False)
            return True
        self._rows[name] = StreamRow(name, shown)
        if result.end_ns != self._end_ns:  # streams that have ended are not in a step any more
            self._end_ns, self._last = result.end_ns, self._newest
        self._newest = name
        if self._last in (None, name):
            rows, size = list(self._rows.values()), self._console.size
            drawn = render_streams(self._run.bundle.manifest, rows, self._run.step_latencies, *size)
            self._live.update(drawn, refresh=True)
        return True

    def end(self, summary: Summary | None) -> None:
        """Give the terminal back."""
        if self._drawn:
            self._live.stop()


def render_streams(
    manifest: Manifest, rows: Sequence[StreamRow], steps: Mapping[str, LatencyRecorder], width: int, height: int
) -> RenderableType:
    """Lay a picture out for a terminal of so many columns and lines; `steps` are latencies of the shared steps."""
    lines = streams_lines(manifest, rows, steps, max(1, width - _BORDER_COLUMNS), max(1, height - _BORDER_LINES))
    return Panel(
        Group(*lines),
        title=f"emer-edge: {len(rows)} streams",
        subtitle=f"{manifest.name} · emotion inference is running · Ctrl-C ends",
    )


def streams_lines(
    manifest: Manifest, rows: Sequence[StreamRow], steps: Mapping[str, LatencyRecorder], width: int, height: int
) -> list[Text]:
    """At most `height` lines of at most `width` characters: blocks, or where there is no room for them a table."""
    common = _common(steps)
    block = (height - 1) // max(1, len(rows))
    if block >= _LEAST_BLOCK:
        lines = [line for row in rows for line in _block(row, width, block)]
    else:
        lines = _table(manifest, rows, height - 1)
    lines.append(common)
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="ellipsis")
    return lines[:height]


def _block(row: StreamRow, width: int, height: int) -> list[Text]:
    """A stream as the view of a single one has it, below its name."""
    if row.shown is None:
        return [Text.assemble((f"{row.name}  ", "bold reverse"), " no result yet")]
    title = Text.assemble((f" {row.name} ", "bold reverse"), " ", state_words(row.shown.result))
    return [title, *lines_of(row.shown, width, height - 1)]


def _table(manifest: Manifest, rows: Sequence[StreamRow], height: int) -> list[Text]:
    """A line a stream; where even those are too many, the last line tells how many are left out."""
    head = Text(
        f"{'stream':<10} {'state':<8} {'felt (ER)':<15} {'shown (FER)':<15} "
        f"{'gap':>4} {'face':>5} {'gaze':>5} {'p99':>5}",
        "dim",
    )
    room = max(1, height - 1)
    kept = rows if len(rows) <= room else rows[: room - 1]
    lines = [head, *(_line(manifest, row) for row in kept)]
    if len(kept) < len(rows):
        lines.append(Text(f"and {len(rows) - len(kept)} more: a taller terminal shows them", "yellow"))
    return lines


def _line(manifest: Manifest, row: StreamRow) -> Text:
    name = row.name if len(row.name) <= 10 else f"{row.name[:9]}…"
    if row.shown is None:
        return Text(f"{name:<10} --")
    result = row.shown.result
    state = f"{result.filling_s:.1f} s" if result.state is State.FILLING else result.state.value
    gap = "--" if result.gap is None else f"{result.gap.distance:.2f}"
    ages = [_age(each) for each in (result.face_age_ms, result.sample_age_ms)]
    return Text.assemble(
        (f"{name:<10} ", "bold"),
        (f"{state:<8} ", _STATES.get(result.state, "bold red")),
        (f"{_top(manifest, result, 'er'):<15} ", "cyan"),
        (f"{_top(manifest, result, 'fer'):<15} ", "dark_orange"),
        (f"{gap:>4} ", "bold magenta"),
        f"{ages[0]:>5} {ages[1]:>5} {_p99(row.shown.latencies.get('total')):>5}",
    )


def _top(manifest: Manifest, result: Result, view: str) -> str:
    heads = [each.name for each in manifest.heads if each.classes and HEADS[each.name].view == view]
    top = result.top(heads[0]) if heads else None
    return "--" if top is None else f"{top[0]:.10} {top[1]:.0%}"


def _age(age_ms: float | None) -> str:
    if age_ms is None:
        return "--"
    return f"{age_ms:.0f}" if age_ms < 10_000 else f"{age_ms / 1000:.0f}s"


def _p99(recorder: LatencyRecorder | None) -> str:
    return "--" if recorder is None or not recorder.count else duration(recorder.percentile_ns(0.99) * 1e-6)


def _common(steps: Mapping[str, LatencyRecorder]) -> Text:
    """What a step of all streams costs."""
    told = [
        f"{name} {duration(each.percentile_ns(0.5) * 1e-6)}/{_p99(each)}"
        for name, each in reversed(list(steps.items()))  # total first: what a narrow terminal cuts off goes last
        if each.count
    ]
    return Text(f"all, ms p50/p99: {', '.join(told) or '--'}", "dim")
