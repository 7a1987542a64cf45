"""The live view in a terminal: felt and shown side by side, the gap between them, a trace, and the sensors' health.

With several people: a block each while there is room, else a line each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from emer_edge.bundle import Manifest
from emer_edge.core.heads import HEADS
from emer_edge.core.results import Result, State
from emer_edge.core.samples import Frame, TrackerSample
from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.runtime.faces import Look
from emer_edge.runtime.outputs.base import Host, Output
from emer_edge.runtime.outputs.live_rows import TRACE_S, Shown, cut, lines_of, percentile, state_words
from emer_edge.runtime.outputs.sensor_health import SensorHealth, SensorMeter, camera_health, tracker_health
from emer_edge.runtime.pipeline import Stream, Summary

_BORDER_LINES, _BORDER_COLUMNS = 3, 4  # the last line of a terminal stays free: a full one would scroll
_LEAST_BLOCK: Final = 7  # lines, its title included: felt and shown, gap, values, both sensors
_STATES: Final = {State.OK: "green", State.FILLING: "cyan"}


class LiveView(Output):
    """Draws the newest results once per hop.

    Where the host's console (or stderr) is no terminal, nothing is drawn: one line reports each change of a state.
    """

    name = "live"
    only_shown = True

    def __init__(self, options: Any, host: Host) -> None:
        self._pipeline = host.pipeline
        self._console = host.console or Console(stderr=True)
        self._drawn = self._console.is_terminal
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._watched = {name: _Watched(self, stream) for name, stream in host.pipeline.streams.items()}
        self._rows: dict[str | None, Shown | None] = dict.fromkeys(self._watched)
        self._first_ns: int | None = None
        self._hop = 0
        self._newest: str | None = None
        self._last: str | None = None

    def part(self, stream: str | None) -> Output:
        """The part that counts a stream's items and keeps its last minute."""
        return self._watched[stream]

    def begin(self) -> None:
        """Start drawing."""
        if self._drawn:
            self._live.start()
            self._live.update(Text("waiting for the first hop"), refresh=True)

    def result(self, result: Result) -> bool:
        """Take a result; draw when it is the last of its hop."""
        name, watched = result.stream, self._watched[result.stream]
        changed = result.state is not watched.state
        shown = self._rows[name] = watched.shown(result)
        if not self._drawn:
            if changed:
                line = state_words(result).plain if name is None else f"{name}: {state_words(result).plain}"
                self._console.print(line, soft_wrap=True, markup=False, highlight=False)
            return True
        self._first_ns = result.end_ns if self._first_ns is None else self._first_ns
        hop = (result.end_ns - self._first_ns) // watched.hop_ns  # the streams' lattices are staggered by less than one
        if hop != self._hop:  # streams that have ended come no more
            self._hop, self._last = hop, self._newest
        self._newest = name
        if self._last in (None, name):
            drawn = render(shown.manifest, self._rows, self._pipeline.step_latencies, size=self._console.size)
            self._live.update(drawn, refresh=True)
        return True

    def end(self, summary: Summary | None) -> None:
        """Give the terminal back."""
        if self._drawn:
            self._live.stop()


class _Watched(Output):
    """Rates and the last minute of one stream; `state` is that of its newest result, None before the first."""

    def __init__(self, view: LiveView, stream: Stream) -> None:
        self._view, self._stream = view, stream
        self._meter = SensorMeter()
        self.hop_ns = stream.bundle.manifest.window.hop_ns
        self._past: deque[Result] = deque(maxlen=ceil(TRACE_S / (self.hop_ns * 1e-9)) + 1)
        self.state: State | None = None

    def frame(self, frame: Frame, look: Look | None, taken_ns: int) -> None:
        """Count a frame."""
        self._meter.frame()

    def sample(self, sample: TrackerSample, taken_ns: int) -> None:
        """Count a sample."""
        self._meter.sample(sample)

    def result(self, result: Result) -> bool:
        """Have it drawn."""
        return self._view.result(result)

    def shown(self, result: Result) -> Shown:
        """Take a result, and return all data of its picture."""
        self._meter.mark()
        self._past.append(result)
        self.state = result.state
        return Shown(
            self._stream.bundle.manifest,
            result,
            past=tuple(self._past),
            latencies=self._stream.latencies,
            sensors=self._sensors() if self._stream.opened else (),
        )

    def _sensors(self) -> tuple[SensorHealth, ...]:
        stream, rates_hz = self._stream, self._meter.rates_hz()
        return camera_health(stream.camera, rates_hz["frames"]), tracker_health(stream.tracker, rates_hz["samples"])


def render(
    manifest: Manifest,
    rows: Mapping[str | None, Shown | None],
    steps: Mapping[str, LatencyRecorder],
    *,
    size: tuple[int, int],
) -> RenderableType:
    """Lay a picture out.

    Args:
        manifest: of the bundle.
        rows: stream -> its data, None before its first result; the only stream of a run is under None.
        steps: latencies of the steps, which all streams share.
        size: columns and lines of the terminal.
    """
    width, height = max(1, size[0] - _BORDER_COLUMNS), max(1, size[1] - _BORDER_LINES)
    alone = rows.get(None)
    if alone is None:
        title: str | Text = f"emer-edge: {len(rows)} streams"
        lines = streams_lines(manifest, rows, steps, size=(width, height))
    else:
        title, lines = Text.assemble("emer-edge: ", state_words(alone.result)), lines_of(alone, width, height)
    return Panel(
        Group(*lines),
        title=title,
        subtitle=f"{manifest.name} · emotion inference is running · Ctrl-C ends",
    )


def streams_lines(
    manifest: Manifest,
    rows: Mapping[str | None, Shown | None],
    steps: Mapping[str, LatencyRecorder],
    *,
    size: tuple[int, int],
) -> list[Text]:
    """As many columns and lines as `size` allows: blocks, or where there is no room for them a table."""
    width, height = size
    named = [(name or "", shown) for name, shown in rows.items()]
    block = (height - 1) // max(1, len(rows))
    if block >= _LEAST_BLOCK:
        lines = [line for row in named for line in _block(*row, width, block)]
    else:
        lines = _table(manifest, named, height - 1)
    return cut([*lines, _common(steps)], width, height)


def _block(name: str, shown: Shown | None, width: int, height: int) -> list[Text]:
    """A stream as in the view of a single one, below its name."""
    if shown is None:
        return [Text.assemble((f"{name}  ", "bold reverse"), " no result yet")]
    title = Text.assemble((f" {name} ", "bold reverse"), " ", state_words(shown.result))
    return [title, *lines_of(shown, width, height - 1)]


def _table(manifest: Manifest, rows: Sequence[tuple[str, Shown | None]], height: int) -> list[Text]:
    """One line per stream; where even those are too many, the last line counts the others."""
    head = Text(
        f"{'stream':<10} {'state':<8} {'felt (ER)':<15} {'shown (FER)':<15} "
        f"{'gap':>4} {'face':>5} {'gaze':>5} {'p99':>5}",
        "dim",
    )
    room = max(1, height - 1)
    kept = rows if len(rows) <= room else rows[: room - 1]
    lines = [head, *(_line(manifest, *row) for row in kept)]
    if len(kept) < len(rows):
        lines.append(Text(f"and {len(rows) - len(kept)} more: a taller terminal shows them", "yellow"))
    return lines


def _line(manifest: Manifest, name: str, shown: Shown | None) -> Text:
    name = name if len(name) <= 10 else f"{name[:9]}…"
    if shown is None:
        return Text(f"{name:<10} --")
    result = shown.result
    state = f"{result.filling_s:.1f} s" if result.state is State.FILLING else result.state.value
    gap = "--" if result.gap is None else f"{result.gap.distance:.2f}"
    face_age, sample_age = map(_age, (result.face_age_ms, result.sample_age_ms))
    return Text.assemble(
        (f"{name:<10} ", "bold"),
        (f"{state:<8} ", _STATES.get(result.state, "bold red")),
        (f"{_top(manifest, result, 'er'):<15} ", "cyan"),
        (f"{_top(manifest, result, 'fer'):<15} ", "dark_orange"),
        (f"{gap:>4} ", "bold magenta"),
        f"{face_age:>5} {sample_age:>5} {percentile(shown.latencies.get('total'), 0.99):>5}",
    )


def _top(manifest: Manifest, result: Result, view: str) -> str:
    heads = [head.name for head in manifest.heads if head.classes and HEADS[head.name].view == view]
    top = result.top(heads[0]) if heads else None
    return "--" if top is None else f"{top[0]:.10} {top[1]:.0%}"


def _age(age_ms: float | None) -> str:
    if age_ms is None:
        return "--"
    return f"{age_ms:.0f}" if age_ms < 10_000 else f"{age_ms / 1000:.0f}s"


def _common(steps: Mapping[str, LatencyRecorder]) -> Text:
    """Latencies of the steps, which all streams share."""
    words = [
        f"{name} {percentile(recorder, 0.5)}/{percentile(recorder, 0.99)}"
        for name, recorder in reversed(list(steps.items()))  # total first: a narrow terminal cuts off the last
        if recorder.count
    ]
    return Text(f"all, ms p50/p99: {', '.join(words) or '--'}", "dim")
