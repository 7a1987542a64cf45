"""What the page's `/events` sends; `events.schema.json` beside this file is made of these types.

Format of the stream: WHATWG HTML, "Server-sent events".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypedDict

from emer_edge.core.heads import HEADS, ValueHead
from emer_edge.core.results import Result
from emer_edge.metrics.latency import LatencyRecorder, LatencySummary, percentile

PAGE_SCHEMA: Final = "emer-edge/page/1"
"""Name and version of the events; `hello` holds it."""


Control = Literal["marker", "record"]
"""What a page may let its visitors do: set a marker, start and end recordings."""

Asked = dict[str, str | None]
"""What a visitor posts to `/marker` (`label`) and `/record` (`consent_id`, null to end)."""


class StreamState(TypedDict):
    """One stream of several: name, state of its newest result, and its gap's distance; null where there is none."""

    name: str | None
    state: str | None
    gap: float | None


class OfSeveral(TypedDict, total=False):
    """What only a run of several streams has: whose events these are, and all streams."""

    stream: str | None
    streams: list[StreamState]


class ValueFacts(TypedDict, total=False):
    """What only a value head has: `valence`, `arousal` or `intensity`, and the range of its labels."""

    target: str
    low: float
    high: float


class HeadFacts(ValueFacts):
    """A head of the bundle: `er` (felt) or `fer` (shown), and its classes in output order, empty for a value."""

    name: str
    view: str
    classes: tuple[str, ...]


class Hello(OfSeveral):
    """The first event: facts that stay.

    Attributes:
        schema: name and version of these events.
        bundle: its name.
        heads: of the bundle.
        display: width and height that the gaze falls on, pixels.
        hop_ms, window_s: time between two results, and length of a window.
        slots, floors: `face`, `eye`: slots of a window, and fewest covered ones with which it is read.
        trace_s: `trace` reaches back so far at most.
        usual_gap: at most so large is the gap of 95 % of the selection clips whose two labels agree; null: not known.
        simulated: whether camera or tracker are known to be simulated.
        controls: what visitors may do.
    """

    schema: str
    bundle: str
    heads: list[HeadFacts]
    display: tuple[int, int]
    hop_ms: float
    window_s: float
    slots: dict[str, int]
    floors: dict[str, int]
    trace_s: float
    usual_gap: float | None
    simulated: bool
    controls: list[Control]


class Point(TypedDict):
    """A past result: end of its window (host monotonic time), value heads, gap's distance, labels of its markers."""

    end_ns: int
    values: dict[str, float]
    gap: float | None
    markers: list[str]


class Trace(TypedDict):
    """Results that this visitor has missed, the oldest first; comes before a `result`."""

    points: list[Point]


class Sensors(TypedDict):
    """What the run takes: `frames`, `samples`, and samples with an eye `seen`; null where not known yet."""

    rates_hz: dict[str, float | None]
    counts: dict[str, int]
    camera_px: tuple[int, int] | None


@dataclass(frozen=True)
class Latency(LatencySummary):
    """A distribution over the whole run; `bins`: pairs (k, count) of durations in (10^((k-1)/20), 10^(k/20)] ms."""

    bins: list[tuple[int, int]]


class BesideResult(OfSeveral):
    """What `result` holds beside a result: sensors, stage or age -> its distribution, whether a visitor records."""

    sensors: Sensors
    latency: dict[str, Latency]
    recording: bool


class Gaze(TypedDict):
    """The newest gaze, 15 times a second at most: shares of the display from its left upper corner; null unseen."""

    at: tuple[float, float] | None


class Nothing(TypedDict):
    """No content: `pulse` comes where nothing else did for a second, `end` when the run ends."""


EVENTS: Final[Mapping[str, type]] = {
    "hello": Hello, "trace": Trace, "result": BesideResult, "gaze": Gaze, "pulse": Nothing, "end": Nothing
}  # fmt: skip
"""Event -> its data."""


def event(name: str, data: Mapping[str, Any]) -> bytes:
    """One Server-Sent Event; JSON has no line breaks, so it is one `data` line."""
    return (
        f"event: {name}\ndata: {json.dumps(data, default=asdict, allow_nan=False, separators=(',', ':'))}\n\n".encode()
    )


def head_facts(name: str, classes: tuple[str, ...]) -> HeadFacts:
    """A head of the bundle; `classes` are empty for a value."""
    kind = HEADS[name]
    facts = HeadFacts(name=name, view=kind.view, classes=classes)
    if isinstance(kind, ValueHead):
        facts |= {"target": kind.target, "low": kind.low, "high": kind.high}
    return facts


def point(result: Result) -> Point:
    """A result's part of the trace."""
    values = {name: round(value, 4) for name, value in result.heads.items() if isinstance(value, float)}
    markers = [marker.label for marker in result.markers]
    return {"end_ns": result.end_ns, "values": values, "gap": gap_of(result), "markers": markers}


def gap_of(result: Result | None) -> float | None:
    """The gap's distance, None where there is none."""
    return None if result is None or result.gap is None else round(result.gap.distance, 4)


def latency(recorder: LatencyRecorder) -> Latency:
    """The distribution that was recorded; ConfigurationError where nothing was."""
    rounded = {name: round(value, 3) for name, value in recorder.summary().to_dict().items()}
    return Latency(**rounded, bins=recorder.bins())  # type: ignore[arg-type]  # its count is no float


def usual_gap(agreeing: Sequence[float]) -> float | None:
    """The 95 % quantile of gaps in ascending order, rounded; None without any."""
    return round(percentile(agreeing, 0.95), 4) if agreeing else None
