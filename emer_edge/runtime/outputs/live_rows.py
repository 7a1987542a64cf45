"""The lines of the live view, to fit a terminal of any size: the least important are dropped first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.text import Text

from emer_edge.bundle import Manifest
from emer_edge.core.columns import column_words
from emer_edge.core.heads import HEADS, ValueHead
from emer_edge.core.results import UNLIKE, Result, State
from emer_edge.core.window import EYE_SLOTS, FACE_SLOTS
from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.runtime.outputs.drawing import BOTH, bar, duration, trace
from emer_edge.runtime.outputs.sensor_health import SensorHealth

TRACE_S: Final = 60.0
"""Length of the trace of valence and arousal."""

_FELT, _SHOWN_STYLE = "cyan", "dark_orange"
_VIEWS: Final = (("er", "felt", _FELT), ("fer", "shown", _SHOWN_STYLE))
_AFFECTS: Final = ("valence", "arousal")
_STAGES: Final = {"total": "total", "wait": "wait", "encode": "encode", "fuse": "fuse", "detect": "detect",
                  "align": "align", "face age": "face age", "sample age": "gaze age"}  # fmt: skip
_CELL: Final = 9
_SHORTER: Final = (
    *("trace", "emotions", "gap", "notes", "trace", "latency", "latency"),
    *("session", "trace", "sensors", "notes", "emotions", "latency"),
)
_WHY: Final = {
    State.FILLING: "filling the first window",
    State.NO_FACE: "no emotion: the face is missing in too much of the window",
    State.NO_GAZE: "no emotion: the eyes are missing in too much of the window",
    State.STALE: "no emotion: a sensor is silent",
}

_Lines = list[Text]


@dataclass(frozen=True)
class Shown:
    """All data of one picture of the view.

    Attributes:
        result: the newest.
        past: results of the last minute in order of time, the newest included.
        latencies: stage or age -> all of the run.
        sensors: camera and tracker, where they are known.
    """

    manifest: Manifest
    result: Result
    past: Sequence[Result] = ()
    latencies: Mapping[str, LatencyRecorder] = field(default_factory=dict)
    sensors: Sequence[SensorHealth] = ()


def lines_of(shown: Shown, width: int, height: int) -> list[Text]:
    """At most `height` lines of at most `width` characters.

    Every section comes in several forms; while there are too many lines, the least important section that can take a
    shorter form does so.
    """
    result = shown.result
    sections = {
        "emotions": [_emotions(shown, width, depth) for depth in (2, 1, 0)],
        "gap": [_gap(result), _gap(result)[:1]],
        "trace": [*(_trace(shown, width, rows) for rows in (6, 3, 2)), _affect(shown)],
        "sensors": [_sensors(shown), _sensors(shown)[1:]],
        "latency": [_latency_table(shown, width), _latency_words(shown, width), _latency_words(shown, width)[:1], []],
        "session": [_session(result), []],
        "notes": [_notes(result), _first_of(_notes(result)), []],
    }
    chosen = dict.fromkeys(sections, 0)
    for name in _SHORTER:
        if sum(len(sections[section][form]) for section, form in chosen.items()) <= height:
            break
        chosen[name] += 1
    return cut([line for name, form in chosen.items() for line in sections[name][form]], width, height)


def cut(lines: list[Text], width: int, height: int) -> list[Text]:
    """At most `height` lines, each cut to `width` characters."""
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="ellipsis")
    return lines[:height]


def state_words(result: Result) -> Text:
    """The state in words, with the seconds that a reading covers: why there is no emotion, where there is none."""
    covered = f"the last {(result.end_ns - result.begin_ns) * 1e-9:.1f} s"
    strange = f", but {UNLIKE}" if result.unlike else ""
    if result.state is State.OK:
        return Text(f"ok: {covered}{strange}", "bold yellow" if strange else "bold green")
    if "er" in result.absent:
        return Text(f"FER alone: {covered}, as {result.absent['er']}{strange}", "bold yellow")
    if result.state is State.FILLING:
        return Text(f"{_WHY[State.FILLING]}: {result.filling_s:.1f} s left", "bold cyan")
    return Text(_WHY[result.state], "bold red")


def _emotions(shown: Shown, width: int, depth: int) -> _Lines:
    """Felt and shown side by side: all class heads (2), the first of each (1), or its most probable class (0)."""
    half = (width - 2) // 2
    sides = [_side(shown, view, half, depth) for view in _VIEWS]
    return _beside([side for side in sides if len(side) > 1], half)


def _beside(blocks: Sequence[_Lines], width: int) -> _Lines:
    """Blocks of lines next to each other, each `width` characters wide."""
    lines = []
    for row in range(max((len(block) for block in blocks), default=0)):
        line = Text()
        for number, block in enumerate(blocks):
            cell = block[row].copy() if row < len(block) else Text()
            cell.truncate(width, overflow="ellipsis", pad=True)
            line = Text.assemble(line, "  " if number else "", cell)
        lines.append(line)
    return lines


def _side(shown: Shown, of_view: tuple[str, str, str], width: int, depth: int) -> _Lines:
    view, words, style = of_view
    lines = [Text(f"{words} ({view.upper()})", f"bold {style}")]
    heads = [head for head in shown.manifest.heads if HEADS[head.name].view == view]
    classes = [head for head in heads if head.classes]
    if depth == 0:
        top = shown.result.top(classes[0].name) if classes else None
        lines.append(Text("--" if top is None else f"{top[0]} {top[1]:.0%}", "bold"))
        return lines
    for index, head in enumerate(classes[: None if depth == 2 else 1]):
        value = shown.result.heads.get(head.name)
        shares = value if isinstance(value, dict) else {}
        best = max(shares, key=shares.__getitem__, default=None)
        lines += [Text()] if index else []
        lines += [_bar_line(name, shares.get(name), style, width, best=name == best) for name in head.classes]
    for head in heads:
        kind = HEADS[head.name]
        if isinstance(kind, ValueHead) and kind.target not in _AFFECTS:
            number = _value(shown.result, head.name)
            share = None if number is None else (number - kind.low) / (kind.high - kind.low)
            figure = "--" if number is None else f"{number:+.2f}"
            lines.append(_bar_line(kind.target, share, style, width, figure=figure))
    return lines


def _bar_line(
    name: str, share: float | None, style: str, width: int, *, best: bool = False, figure: str | None = None
) -> Text:
    figure = figure or ("--" if share is None else f"{share * 100:.0f} %")
    drawn = bar(share or 0.0, max(4, min(40, width - 18)), style)
    strong = "bold" if best else ""
    return Text.assemble((f"{name:<10.10} ", strong), drawn, (f" {figure:>5}", strong))


def _gap(result: Result) -> _Lines:
    gap, absent = result.gap, result.absent
    if gap is None:
        why = f": {absent['gap']}" if "gap" in absent else ""
        return [Text(f"gap  --{why}", "dim")]
    if gap.larger_than is None:
        beyond = f"  not compared: {absent['larger_than']}" if "larger_than" in absent else ""
    else:
        beyond = "  larger than {} of {} clips whose labels agree".format(*gap.larger_than)
    figure = (f"  {gap.distance:.2f}", "bold magenta")
    line = Text.assemble(("gap  ", "bold"), bar(gap.distance, 16, "magenta"), figure, beyond)
    differences = zip(_AFFECTS, (gap.valence, gap.arousal), strict=True)
    words = ", ".join(f"{name} {difference:+.2f}" for name, difference in differences if difference is not None)
    more = [f"felt minus shown: {words}"] if words else []
    if gap.p_differ is not None:
        more.append(f"labels differ: {gap.p_differ:.0%}")
    return [line, Text(f"     {'; '.join(more)}")] if more else [line]


def _value_heads(shown: Shown, target: str) -> list[tuple[str, str, str]]:
    """(head, word, style) of the views that have this value."""
    names = {head.name for head in shown.manifest.heads}
    return [(f"{view}-{target}", word, style) for view, word, style in _VIEWS if f"{view}-{target}" in names]


def _figures(shown: Shown, target: str) -> Text:
    line = Text.assemble((target, "bold"))
    for head, word, style in _value_heads(shown, target):
        value = _value(shown.result, head)
        line += Text(f"  {word} --" if value is None else f"  {word} {value:+.2f}", style)
    return line


def _affect(shown: Shown) -> _Lines:
    targets = [target for target in _AFFECTS if _value_heads(shown, target)]
    return [Text("   ").join(_figures(shown, target) for target in targets)] if targets else []


def _trace(shown: Shown, width: int, rows: int) -> _Lines:
    """Valence and arousal over the last minute, side by side, felt and shown on one axis."""
    targets = [target for target in _AFFECTS if _value_heads(shown, target)]
    if not targets:
        return []
    part = (width - 2 * (len(targets) - 1)) // len(targets)
    newest_ns = shown.result.end_ns
    blocks = []
    for target in targets:
        heads = _value_heads(shown, target)
        kind = HEADS[heads[0][0]]
        assert isinstance(kind, ValueHead)
        series = {
            style: [((result.end_ns - newest_ns) * 1e-9, _value(result, head)) for result in shown.past]
            for head, _, style in heads
        }
        drawn = trace(series, (-TRACE_S, 0.0), (kind.low, kind.high), (part - 3, rows))
        labels = {0: f"{kind.high:+.0f}", rows - 1: f"{kind.low:+.0f}"} | ({rows // 2: "0"} if rows > 2 else {})
        block = [_figures(shown, target)]
        block += [Text.assemble((f"{labels.get(row, ''):>2} ", "dim"), line) for row, line in enumerate(drawn)]
        legend = [part for _, word, style in heads for part in ((" ━ ", style), (word, "dim"))]
        legend += [(" ━ ", BOTH), ("both", "dim")] if len(heads) > 1 else []
        room = part - 3 - len(f"-{TRACE_S:.0f} snow") - sum(len(words) for words, _ in legend)
        gap = (" " * (room // 2), "")
        words = (gap, *legend, (" " * (room - room // 2), "")) if room >= 0 else ()
        block.append(
            Text.assemble((f"   -{TRACE_S:.0f} s", "dim"), *words, (f"{'' if words else ' ' * (part - 11)}now", "dim"))
        )
        blocks.append(block)
    return _beside(blocks, part)


def _value(result: Result, head: str) -> float | None:
    value = result.heads.get(head)
    return value if isinstance(value, float) else None


def _sensors(shown: Shown) -> _Lines:
    result = shown.result
    state = {"camera": (result.face_age_ms, result.face_slots, FACE_SLOTS),
             "tracker": (result.sample_age_ms, result.eye_slots, EYE_SLOTS)}  # fmt: skip
    lines = [Text(f"{'':<8}{'Hz':>11} {'newest':>8} {'slots':>6} {'dropped':>8} {'losses':>6}  clock", "dim")]
    known = {health.name: health for health in shown.sensors}
    for name, (age_ms, slots, all_slots) in state.items():
        health = known.get(name)
        age = "--" if age_ms is None else _with_unit(age_ms)
        rate, style = _rate(health)
        dropped, losses, clock = ("--", "--", "") if health is None else (health.dropped, health.losses, health.clock)
        rest = f" {age:>8} {f'{slots}/{all_slots}':>6} {dropped:>8} {losses:>6}  {clock}"
        lines.append(Text.assemble((f"{name:<8}", "bold"), (f"{rate:>11}", style), rest))
    return lines


def _rate(health: SensorHealth | None) -> tuple[str, str]:
    """A sensor's rate against its nominal rate, and its style: red where it gives nothing."""
    if health is None:
        return "--", "dim"
    if health.trouble is not None:
        return health.trouble, "bold red"
    seen = "--" if health.rate_hz is None else f"{health.rate_hz:.1f}"
    if not health.nominal_hz:
        return seen, "green"
    slow = health.rate_hz is not None and health.rate_hz < 0.9 * health.nominal_hz
    return f"{seen}/{health.nominal_hz:.0f}", "yellow" if slow else "green"


def _with_unit(value_ms: float) -> str:
    words = duration(value_ms)
    return words if words.endswith("s") else f"{words} ms"


def _last_ms(result: Result) -> dict[str, float]:
    ages = {"face age": result.face_age_ms, "sample age": result.sample_age_ms}
    return result.stages_ms | {name: value for name, value in ages.items() if value is not None}


def _latency_table(shown: Shown, width: int) -> _Lines:
    """The newest result's stages and ages, and over the whole run p50 and p99 below."""
    names = [name for name in _STAGES if _known(shown, name)][: max(1, (width - 4) // _CELL)]
    last = _last_ms(shown.result)
    rows = {"ms": [_STAGES[name] for name in names],
            "last": [duration(last[name]) if name in last else "--" for name in names]}  # fmt: skip
    for word, share in (("p50", 0.5), ("p99", 0.99)):
        rows[word] = [percentile(shown.latencies.get(name), share) for name in names]
    return [
        Text(f"{word:<4}" + "".join(f"{cell:>{_CELL}}" for cell in cells), "dim" if word == "ms" else "")
        for word, cells in rows.items()
    ]


def _latency_words(shown: Shown, width: int) -> _Lines:
    """The same in fewer lines: name, last, and p50 and p99 in brackets."""
    last = _last_ms(shown.result)
    words = [
        f"{_STAGES[name]} {duration(last[name]) if name in last else '--'} "
        f"({percentile(shown.latencies.get(name), 0.5)} {percentile(shown.latencies.get(name), 0.99)})"
        for name in _STAGES
        if _known(shown, name)
    ]
    lines, line = [], "ms, last (p50 p99):"
    for word in words:
        if len(line) + 2 + len(word) > width:
            lines.append(line)
            line = "   "
        line += f"  {word}"
    return [Text(line, "dim") for line in (*lines, line)]


def _known(shown: Shown, name: str) -> bool:
    recorder = shown.latencies.get(name)
    return name in _last_ms(shown.result) or (recorder is not None and recorder.count > 0)


def percentile(recorder: LatencyRecorder | None, share: float) -> str:
    """A percentile (share 0 to 1) in words, `--` where nothing was recorded."""
    return "--" if recorder is None or not recorder.count else duration(recorder.percentile_ns(share) * 1e-6)


def _session(result: Result) -> _Lines:
    """The distance from the baseline, and markers."""
    lines = []
    change = result.from_baseline
    if change is not None:
        words = [f"{name} {value:+.2f}" for name, value in change.heads.items()]
        words += [f"pupil {eye} {value:+.2f} mm" for eye, value in change.pupil_change_mm.items()]
        lines.append(Text(f"from baseline: {', '.join(words)}", "cyan"))
    if result.markers or result.crosses:
        new = f"marker: {', '.join(marker.label for marker in result.markers)}   " if result.markers else ""
        more = f"{len(result.crosses) - 3} more and " if len(result.crosses) > 3 else ""
        inside = f"this window crosses: {more}{', '.join(result.crosses[-3:])}" if result.crosses else ""
        lines.append(Text.assemble((new, "bold green"), (inside, "green")))
    return lines


def _notes(result: Result) -> _Lines:
    lines = []
    if result.dropped:
        lines.append(f"dropped: {', '.join(f'{count} {place}' for place, count in result.dropped.items())}")
    if result.degraded:
        lines.append(f"the tracker leaves {len(result.degraded)} columns empty: {column_words(result.degraded)}")
    return [Text(line, "yellow") for line in (*lines, *(f"note: {note}" for note in result.notes))]


def _first_of(lines: _Lines) -> _Lines:
    return [Text(f"({len(lines)} notes) ", "yellow") + lines[0]] if len(lines) > 1 else lines
