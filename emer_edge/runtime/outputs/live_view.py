"""The live view in a terminal: felt and shown side by side, the gap between them, and the sensors' health."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from emer_edge.bundle import Manifest
from emer_edge.runtime.pipeline import Summary
from emer_edge.signals.rows import column_words
from emer_edge.spec.baseline import FromBaseline
from emer_edge.spec.heads import HEADS, ValueHead
from emer_edge.spec.results import Gap, Result, State
from emer_edge.spec.window import EYE_SLOTS, FACE_SLOTS

__all__ = ["LiveView", "render"]

_BAR = 24
_FULL, _EMPTY = "█", "·"
_WHY = {
    State.FILLING: "filling the first window",
    State.NO_FACE: "no emotion: the face is missing in too much of the window",
    State.NO_GAZE: "no emotion: the eyes are missing in too much of the window",
    State.STALE: "no emotion: a sensor is silent",
}


class LiveView:
    """Draws each result in place.

    Args:
        manifest: which heads there are.
        console: where to; stderr by default.
    """

    def __init__(self, manifest: Manifest, console: Console | None = None) -> None:
        self._manifest = manifest
        self._console = console or Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def begin(self) -> None:
        """Start drawing."""
        self._live.start()
        self._live.update(Text("waiting for the first hop"), refresh=True)

    def result(self, result: Result) -> bool:
        """Draw a result."""
        self._live.update(render(result, self._manifest), refresh=True)
        return True

    def end(self, summary: Summary | None) -> None:
        """Give the terminal back."""
        self._live.stop()


def render(result: Result, manifest: Manifest) -> RenderableType:
    """Lay a result out for a terminal."""
    parts: list[RenderableType] = [_head_line(result)]
    columns = Table.grid(padding=(0, 2))
    columns.add_row(*(_view(result, manifest, view) for view in ("er", "fer")))
    parts += [columns, _gap_line(result.gap), _health(result)]
    if result.from_baseline is not None:
        parts.append(_beside_baseline(result.from_baseline))
    if result.crosses or result.markers:
        parts.append(_markers(result))
    if result.degraded:
        parts.append(
            Text(f"the tracker leaves {len(result.degraded)} columns empty: {column_words(result.degraded)}", "yellow")
        )
    parts += [Text(f"note: {note}", "yellow") for note in result.notes]
    return Panel(
        Group(*parts), title=f"emer-edge · {manifest.name}", subtitle="emotion inference is running · Ctrl-C ends"
    )


def _head_line(result: Result) -> Text:
    if result.state is State.OK:
        return Text("ok", "bold green")
    if result.state is State.FILLING:
        return Text(f"{_WHY[State.FILLING]}: {result.filling_s:.1f} s left", "bold cyan")
    return Text(_WHY[result.state], "bold red")


def _view(result: Result, manifest: Manifest, view: str) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_row(Text("felt (ER)" if view == "er" else "shown (FER)", "bold"))
    for head in (each for each in manifest.heads if HEADS[each.name].view == view):
        value = result.heads.get(head.name)
        if head.classes:
            shares = value if isinstance(value, dict) else dict.fromkeys(head.classes, 0.0)
            best = max(shares, key=shares.__getitem__) if value is not None else None
            for name, share in shares.items():
                figure = f"{share * 100:3.0f} %" if value is not None else "  --"
                grid.add_row(Text(name, "bold" if name == best else ""), _bar(share), figure)
            grid.add_row("")
        else:
            kind = HEADS[head.name]
            assert isinstance(kind, ValueHead)
            known = isinstance(value, float)
            share = (value - kind.low) / (kind.high - kind.low) if isinstance(value, float) else 0.0
            grid.add_row(kind.target, _bar(share), f"{value:+.2f}" if known else "  --")
    return grid


def _bar(share: float) -> Text:
    length = round(min(1.0, max(0.0, share)) * _BAR)
    return Text(_FULL * length, "cyan") + Text(_EMPTY * (_BAR - length), "dim")


def _gap_line(gap: Gap | None) -> Text:
    if gap is None:
        return Text("gap  --", "dim")
    text = Text("gap  ", "bold") + _bar(gap.distance) + Text(f"  {gap.distance:.2f}", "bold magenta")
    if gap.percentile is not None:
        text += Text(f"  wider than {gap.percentile:.0f} % of clips whose labels agree")
    differences = {"valence": gap.valence, "arousal": gap.arousal}
    told = [f"{name} {difference:+.2f}" for name, difference in differences.items() if difference is not None]
    return text + Text(f"\n     felt minus shown: {', '.join(told)}") if told else text


def _beside_baseline(beside: FromBaseline) -> Text:
    heads = [f"{name} {value:+.2f}" for name, value in beside.heads.items()]
    pupils = [f"pupil {eye} {value:+.2f} mm" for eye, value in beside.pupil_change_mm.items()]
    return Text(f"from baseline: {', '.join(heads + pupils)}", "cyan")


def _markers(result: Result) -> Text:
    new = f"marker: {', '.join(each.label for each in result.markers)}   " if result.markers else ""
    crosses = f"this window crosses: {_short_end(result.crosses)}" if result.crosses else ""
    return Text(new, "bold green") + Text(crosses, "green")


def _health(result: Result) -> Text:
    stages = "  ".join(f"{stage} {value:.1f}" for stage, value in result.stages_ms.items())
    lines = [
        f"face: {result.face_slots}/{FACE_SLOTS} slots, newest {_age(result.face_age_ms)} old   "
        f"eyes: {result.eye_slots}/{EYE_SLOTS} slots, newest {_age(result.sample_age_ms)} old",
        f"ms: {stages}",
    ]
    if result.dropped:
        lines.append("dropped: " + ", ".join(f"{count} {place}" for place, count in result.dropped.items()))
    return Text("\n".join(lines), "dim")


def _age(age_ms: float | None) -> str:
    return "--" if age_ms is None else f"{age_ms:.0f} ms" if age_ms < 1000 else f"{age_ms / 1000:.1f} s"


def _short_end(names: tuple[str, ...]) -> str:
    return (f"{len(names) - 3} more and " if len(names) > 3 else "") + ", ".join(names[-3:])
