"""The live view in a terminal: felt and shown side by side, the gap between them, a trace, and the sensors' health."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from emer_edge.bundle import Manifest
from emer_edge.runtime.outputs.live_rows import Shown, lines_of, state_words
from emer_edge.runtime.outputs.watched import Watched
from emer_edge.runtime.pipeline import Stream, Summary
from emer_edge.spec.results import Result

__all__ = ["LiveView", "render"]

_BORDER_LINES, _BORDER_COLUMNS = 3, 4  # the last line of a terminal stays free: a full one would scroll


class LiveView:
    """Draws each result in place; its `Watched` hears items as a tap of the stream.

    Where the console is no terminal, nothing is drawn: a line tells of each change of the state.

    Args:
        manifest: which heads there are.
        console: where to; stderr by default.
        stream: whose sensors are shown; None: they are not known.
    """

    name = "live"

    def __init__(self, manifest: Manifest, console: Console | None = None, stream: Stream | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._drawn = self._console.is_terminal
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._watched = Watched(manifest, stream)

    def begin(self) -> None:
        """Start drawing."""
        if self._drawn:
            self._live.start()
            self._live.update(Text("waiting for the first hop"), refresh=True)

    def result(self, result: Result) -> bool:
        """Draw a result."""
        changed = result.state is not self._watched.state
        shown = self._watched.result(result)
        if self._drawn:
            self._live.update(render(shown, *self._console.size), refresh=True)
        elif changed:
            self._console.print(state_words(result).plain, soft_wrap=True, markup=False, highlight=False)
        return True

    def end(self, summary: Summary | None) -> None:
        """Give the terminal back."""
        if self._drawn:
            self._live.stop()


def render(shown: Shown, width: int, height: int) -> RenderableType:
    """Lay a picture out for a terminal of so many columns and lines."""
    lines = lines_of(shown, max(1, width - _BORDER_COLUMNS), max(1, height - _BORDER_LINES))
    return Panel(
        Group(*lines),
        title=Text.assemble("emer-edge: ", state_words(shown.result)),
        subtitle=f"{shown.manifest.name} · emotion inference is running · Ctrl-C ends",
    )
