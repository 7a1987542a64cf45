"""The live view in a terminal: felt and shown side by side, the gap between them, a trace, and the sensors' health."""

from __future__ import annotations

from collections import deque
from math import ceil

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from emer_edge.bundle import Manifest
from emer_edge.runtime.faces import Look
from emer_edge.runtime.outputs.latencies import Latencies
from emer_edge.runtime.outputs.live_rows import TRACE_S, Shown, lines_of, state_words
from emer_edge.runtime.outputs.sensors import SensorHealth, SensorMeter, camera_health, tracker_health
from emer_edge.runtime.pipeline import Pipeline, Summary
from emer_edge.spec.results import Result, State
from emer_edge.spec.samples import Frame, TrackerSample

__all__ = ["LiveView", "render"]

_BORDER_LINES, _BORDER_COLUMNS = 3, 4  # the last line of a terminal stays free: a full one would scroll


class LiveView:
    """Draws each result in place; hears items as a tap of the pipeline.

    Where the console is no terminal, nothing is drawn: a line tells of each change of the state.

    Args:
        manifest: which heads there are.
        console: where to; stderr by default.
        pipeline: whose sensors are shown; None: they are not known.
    """

    name = "live"

    def __init__(self, manifest: Manifest, console: Console | None = None, pipeline: Pipeline | None = None) -> None:
        self._manifest, self._pipeline = manifest, pipeline
        self._console = console or Console(stderr=True)
        self._drawn = self._console.is_terminal
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._latencies = Latencies()
        self._meter = SensorMeter()
        self._past: deque[Result] = deque(maxlen=ceil(TRACE_S / (manifest.window.hop_ns * 1e-9)) + 1)
        self._state: State | None = None
        if pipeline is not None:
            pipeline.tap(self)

    def begin(self) -> None:
        """Start drawing."""
        if self._drawn:
            self._live.start()
            self._live.update(Text("waiting for the first hop"), refresh=True)

    def result(self, result: Result) -> bool:
        """Draw a result."""
        self._latencies.result(result)
        self._meter.mark()
        self._past.append(result)
        shown = Shown(self._manifest, result, tuple(self._past), self._latencies.recorders, self._sensors())
        if self._drawn:
            self._live.update(render(shown, *self._console.size), refresh=True)
        elif result.state is not self._state:
            self._console.print(state_words(result).plain, soft_wrap=True, markup=False, highlight=False)
        self._state = result.state
        return True

    def end(self, summary: Summary | None) -> None:
        """Give the terminal back."""
        if self._drawn:
            self._live.stop()

    def on_origin(self, origin_ns: int) -> None:
        """Nothing to do."""

    def on_frame(self, frame: Frame, look: Look | None, taken_ns: int) -> None:
        """Count a frame, and what it cost to look at it."""
        self._meter.frame()
        self._latencies.look(look)

    def on_sample(self, sample: TrackerSample, taken_ns: int) -> None:
        """Count a sample."""
        self._meter.sample(sample)

    def on_step(self, result: Result) -> None:
        """Nothing to do: results come by `result`."""

    def _sensors(self) -> tuple[SensorHealth, ...]:
        pipeline = self._pipeline
        if pipeline is None or not pipeline.opened:
            return ()
        rates_hz = self._meter.rates_hz()
        return (
            camera_health(pipeline.camera, rates_hz["frames"]),
            tracker_health(pipeline.tracker, rates_hz["samples"]),
        )


def render(shown: Shown, width: int, height: int) -> RenderableType:
    """Lay a picture out for a terminal of so many columns and lines."""
    lines = lines_of(shown, max(1, width - _BORDER_COLUMNS), max(1, height - _BORDER_LINES))
    return Panel(
        Group(*lines),
        title=Text.assemble("emer-edge: ", state_words(shown.result)),
        subtitle=f"{shown.manifest.name} · emotion inference is running · Ctrl-C ends",
    )
