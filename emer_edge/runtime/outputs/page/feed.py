"""What visitors are told, as Server-Sent Events: the newest result and the newest gaze, each visitor at its own pace.

There is no queue: a visitor who was away, or whose line is slow, gets what is newest then, and for the traces the
values of up to two minutes in between.
Format: WHATWG HTML, "Server-sent events".
"""

from __future__ import annotations

import json
import math
import threading
from collections import deque
from collections.abc import Mapping
from time import monotonic
from typing import Any, Final

from emer_edge.core.heads import HEADS, ValueHead
from emer_edge.core.results import Result
from emer_edge.core.samples import Frame, TrackerSample
from emer_edge.core.window import EYE_SLOTS, FACE_SLOTS
from emer_edge.runtime.faces import Look
from emer_edge.runtime.outputs.base import Output
from emer_edge.runtime.outputs.page.pictures import Video
from emer_edge.runtime.outputs.sensor_health import SensorMeter
from emer_edge.runtime.pipeline import Stream

_TRACE_S: Final = 120.0
_GAZE_S: Final = 1 / 15
_PULSE_S: Final = 1.0  # visitors hear something at least this often, and one that has gone is noticed


class Channel(Output):
    """One stream on the page: what its visitors hear and see.

    Args:
        feed: results and gaze.
        video: images.

    Attributes:
        feed, video: as above.
    """

    name = "page"

    def __init__(self, feed: Feed, video: Video) -> None:
        self.feed, self.video = feed, video

    def result(self, result: Result) -> bool:
        """Show a result; always True: visitors come and go."""
        self.feed.result(result)
        return True

    def frame(self, frame: Frame, look: Look | None, taken_ns: int) -> None:
        """Count a frame, and keep it while somebody watches."""
        self.feed.frame(frame)
        self.video.offer(frame, look)

    def sample(self, sample: TrackerSample, taken_ns: int) -> None:
        """Count a sample, and keep where it looks while somebody watches."""
        self.feed.sample(sample)

    def close(self) -> None:
        """Say goodbye to the visitors, and forget the image."""
        self.feed.close()
        self.video.close()


class Cursor:
    """How far one visitor is."""

    __slots__ = ("gaze", "greeted", "result")

    def __init__(self) -> None:
        self.greeted = False
        self.result = 0
        self.gaze = 0


class Feed:
    """Holds what is newest; written by the run, read by each visitor's thread.

    Args:
        stream: whose.
        feeds: of all streams, this one included: visitors of one hear how the others do.
    """

    def __init__(
        self,
        stream: Stream,
        feeds: Mapping[str | None, Feed],
    ) -> None:
        manifest = self._manifest = stream.bundle.manifest
        self._run, self._display = stream, stream.display
        self._stream, self._feeds = stream.name, feeds
        self._changed = threading.Condition()
        self._result: Result | None = None
        self._number = 0
        self._made: tuple[int, bytes] = (0, b"")
        self._trace: deque[tuple[int, dict[str, Any]]] = deque(
            maxlen=math.ceil(_TRACE_S / (manifest.window.hop_ns * 1e-9))
        )
        self._gaze: tuple[float, float] | None = None
        self._gaze_number = 0
        self._gaze_s = 0.0
        self._meter = SensorMeter()
        self._size_px: tuple[int, int] | None = None
        self._visitors = 0
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the run has ended."""
        return self._closed

    @property
    def visitors(self) -> int:
        """How many watch."""
        return self._visitors

    def result(self, result: Result) -> None:
        """Take a result; it is written out only when a visitor reads it."""
        self._meter.mark()
        with self._changed:
            self._result = result
            self._number += 1
            self._trace.append((self._number, _point(result)))
            self._changed.notify_all()

    def frame(self, frame: Frame) -> None:
        """Count a frame."""
        self._meter.frame()
        if self._size_px is None:
            height, width = frame.image.shape[:2]
            self._size_px = (width, height)

    def sample(self, sample: TrackerSample) -> None:
        """Count a sample; while somebody watches, keep where it looks, at most 15 times a second."""
        eyes = self._meter.sample(sample)
        now_s = monotonic()
        if not self._visitors or now_s - self._gaze_s < _GAZE_S:
            return
        self._gaze_s = now_s
        x, y = (sum(each) / len(eyes) for each in zip(*eyes, strict=True)) if eyes else (math.nan, math.nan)
        with self._changed:
            self._gaze = (x / self._display.width_px, y / self._display.height_px) if eyes else None
            self._gaze_number += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Say goodbye to the visitors."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def enter(self) -> Cursor:
        """Count a visitor in."""
        with self._changed:
            self._visitors += 1
        return Cursor()

    def leave(self) -> None:
        """Count a visitor out."""
        with self._changed:
            self._visitors -= 1

    def next(self, cursor: Cursor) -> bytes:
        """Wait for something new, a second at most, and return the events; `closed` tells when they were the last."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._news(cursor), _PULSE_S if cursor.greeted else 0.0)
            number, result, gaze_number, gaze = self._number, self._result, self._gaze_number, self._gaze
            missed = [point for at, point in self._trace if cursor.result < at < number]
        parts = []
        if not cursor.greeted:
            cursor.greeted = True
            parts.append(b"retry: 1000\n\n" + event("hello", self._hello()))
        if missed:
            parts.append(event("trace", {"points": missed}))
        if result is not None and number > cursor.result:
            cursor.result = number
            parts.append(self._written(number, result))
        if gaze_number > cursor.gaze:
            cursor.gaze = gaze_number
            point = None if gaze is None else [round(gaze[0], 4), round(gaze[1], 4)]
            parts.append(event("gaze", {"at": point}))
        if self._closed:
            parts.append(event("end", {}))
        elif not parts:
            parts.append(event("pulse", {}))
        return b"".join(parts)

    def _news(self, cursor: Cursor) -> bool:
        return self._number > cursor.result or self._gaze_number > cursor.gaze

    def _written(self, number: int, result: Result) -> bytes:
        """The event of a result, written once for all visitors."""
        made = self._made
        if made[0] != number:
            told = result.to_dict() | {"sensors": self._sensors(), "latency": self._latencies()}
            if self._stream is not None:
                told["streams"] = self._streams()
            made = self._made = (number, event("result", told))
        return made[1]

    def _sensors(self) -> dict[str, Any]:
        return {"rates_hz": self._meter.rates_hz(), "counts": dict(self._meter.counts), "camera_px": self._size_px}

    def _latencies(self) -> dict[str, Any]:
        """Stage or age -> percentiles, `count`, and `bins` (see `LatencyRecorder.bins`), of what was recorded."""
        return {
            name: {key: round(value, 3) for key, value in each.summary().to_dict().items()} | {"bins": each.bins()}
            for name, each in list(self._run.latencies.items())
            if each.count
        }

    def _streams(self) -> list[dict[str, Any]]:
        """How all streams do."""
        told = []
        for name, feed in self._feeds.items():
            result = feed._result
            gap = None if result is None or result.gap is None else round(result.gap.distance, 4)
            told.append({"name": name, "state": None if result is None else result.state.value, "gap": gap})
        return told

    def _hello(self) -> dict[str, Any]:
        manifest = self._manifest
        of_several = {} if self._stream is None else {"stream": self._stream, "streams": self._streams()}
        return of_several | {
            "bundle": manifest.name,
            "heads": [_head(each.name, each.classes) for each in manifest.heads],
            "display": [self._display.width_px, self._display.height_px],
            "hop_ms": manifest.window.hop_ns * 1e-6,
            "window_s": manifest.window.length_ns * 1e-9,
            "slots": {"face": FACE_SLOTS, "eye": EYE_SLOTS},
            "floors": {"face": manifest.window.min_face_slots, "eye": manifest.window.min_eye_slots},
            "trace_s": _TRACE_S,
        }


def event(name: str, data: dict[str, Any]) -> bytes:
    """One Server-Sent Event; JSON has no line breaks, so it is one `data` line."""
    return f"event: {name}\ndata: {json.dumps(data, allow_nan=False, separators=(',', ':'))}\n\n".encode()


def _head(name: str, classes: tuple[str, ...]) -> dict[str, Any]:
    kind = HEADS[name]
    told: dict[str, Any] = {"name": name, "view": kind.view, "classes": list(classes)}
    if isinstance(kind, ValueHead):
        told |= {"target": kind.target, "low": kind.low, "high": kind.high}
    return told


def _point(result: Result) -> dict[str, Any]:
    """What the trace shows of a result."""
    values = {name: round(value, 4) for name, value in result.heads.items() if isinstance(value, float)}
    gap = None if result.gap is None else round(result.gap.distance, 4)
    return {"end_ns": result.end_ns, "values": values, "gap": gap, "markers": [each.label for each in result.markers]}
