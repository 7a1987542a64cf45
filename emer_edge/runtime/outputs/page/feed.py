"""The page's Server-Sent Events: the newest result and the newest gaze, each visitor at its own pace.

There is no queue: a visitor that was away or has a slow connection gets the newest items, and for the traces the values
of up to two minutes in between.
"""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

from emer_edge.core.results import Result
from emer_edge.core.samples import Frame, TrackerSample
from emer_edge.core.window import EYE_SLOTS, FACE_SLOTS
from emer_edge.data.recordings import SYNTHETIC_FILE
from emer_edge.runtime.faces import Look
from emer_edge.runtime.options import Source
from emer_edge.runtime.outputs.base import Output
from emer_edge.runtime.outputs.pace import Pace
from emer_edge.runtime.outputs.page import events
from emer_edge.runtime.outputs.page.events import event
from emer_edge.runtime.outputs.page.on_request import OnRequest
from emer_edge.runtime.outputs.page.pictures import Video
from emer_edge.runtime.outputs.sensor_health import SensorMeter
from emer_edge.runtime.pipeline import Stream

_TRACE_S: Final = 120.0
_GAZE_S: Final = 1 / 15
_PULSE_S: Final = 1.0  # visitors get an event at least this often, and one that has gone is noticed


@dataclass(slots=True)
class Cursor:
    """What one visitor has got: the greeting, and numbers of the last result and gaze."""

    greeted: bool = False
    result: int = 0
    gaze: int = 0


class Feed(Output):
    """One stream on the page: holds its newest items; written by the run, read by each visitor's thread.

    Args:
        stream: of the run.
        feeds: of all streams, this one included: visitors of one see the states of the others.
        video: its images.
        pace: of the run's results.

    Attributes:
        video: as above.
        results: how many it has taken.
        meter: counts frames and samples.
        visitors: how many watch.
        closed: whether the run has ended.
        recorder: what a visitor can start and end; None: nothing.
        controls: what visitors may do -> does what a request holds; raises EmerEdgeError where it can't be done, and
            KeyError where the request lacks something.
    """

    name = "page"

    def __init__(self, stream: Stream, feeds: Mapping[str | None, Feed], video: Video, pace: Pace) -> None:
        self.controls: dict[events.Control, Callable[[events.Asked], None]] = {}
        self.recorder: OnRequest | None = None
        manifest = self._manifest = stream.bundle.manifest
        self._run, self._display = stream, stream.display
        self._stream, self._feeds, self.video, self._pace = stream.name, feeds, video, pace
        self._changed = threading.Condition()
        self._result: Result | None = None
        self.results = 0
        self._made: tuple[int, bytes] = (0, b"")
        self._trace: deque[tuple[int, events.Point]] = deque(
            maxlen=math.ceil(_TRACE_S / (manifest.window.hop_ns * 1e-9))
        )
        self._gaze: tuple[float, float] | None = None
        self._gaze_number = 0
        self._gaze_s = 0.0
        self.meter = SensorMeter()
        self._size_px: tuple[int, int] | None = None
        self.visitors = 0
        self.closed = False

    def result(self, result: Result) -> bool:
        """Take a result; it is encoded only when a visitor reads it. Always True: visitors come and go."""
        self.meter.mark()
        self._pace.mark()
        with self._changed:
            self._result = result
            self.results += 1
            self._trace.append((self.results, events.point(result)))
            self._changed.notify_all()
        return True

    def frame(self, frame: Frame, look: Look | None, taken_ns: int) -> None:
        """Count a frame, and keep it while somebody watches."""
        self.meter.frame()
        if self._size_px is None:
            height, width = frame.shape[:2]
            self._size_px = (width, height)
        self.video.offer(frame, look)

    def sample(self, sample: TrackerSample, taken_ns: int) -> None:
        """Count a sample; while somebody watches, keep its gaze, at most 15 times a second."""
        eyes = self.meter.sample(sample)
        now_s = monotonic()
        if not self.visitors or now_s - self._gaze_s < _GAZE_S:
            return
        self._gaze_s = now_s
        x, y = (sum(axis) / len(eyes) for axis in zip(*eyes, strict=True)) if eyes else (math.nan, math.nan)
        with self._changed:
            self._gaze = (x / self._display.width_px, y / self._display.height_px) if eyes else None
            self._gaze_number += 1
            self._changed.notify_all()

    def close(self) -> None:
        """End the streams of all visitors, and drop the image."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()
        self.video.close()

    def enter(self) -> Cursor:
        """Count one more visitor."""
        with self._changed:
            self.visitors += 1
        return Cursor()

    def leave(self) -> None:
        """Count one visitor less."""
        with self._changed:
            self.visitors -= 1

    def next(self, cursor: Cursor) -> bytes:
        """Wait for something new, a second at most, and return the events; with `closed` they were the last."""

        def has_news() -> bool:
            return self.closed or self.results > cursor.result or self._gaze_number > cursor.gaze

        with self._changed:
            self._changed.wait_for(has_news, _PULSE_S if cursor.greeted else 0.0)
            number, result, gaze_number, gaze = self.results, self._result, self._gaze_number, self._gaze
            missed = [point for at, point in self._trace if cursor.result < at < number]
        parts = []
        if not cursor.greeted:
            cursor.greeted = True
            parts.append(b"retry: 1000\n\n" + event("hello", self._hello()))
        if missed:
            parts.append(event("trace", events.Trace(points=missed)))
        if result is not None and number > cursor.result:
            cursor.result = number
            parts.append(self._encoded(number, result))
        if gaze_number > cursor.gaze:
            cursor.gaze = gaze_number
            at = None if gaze is None else (round(gaze[0], 4), round(gaze[1], 4))
            parts.append(event("gaze", events.Gaze(at=at)))
        if self.closed:
            parts.append(event("end", {}))
        elif not parts:
            parts.append(event("pulse", {}))
        return b"".join(parts)

    def _encoded(self, number: int, result: Result) -> bytes:
        """The event of a result, encoded once for all visitors."""
        made = self._made
        if made[0] != number:
            counts = dict(self.meter.counts)
            more: events.BesideResult = {
                "sensors": {"rates_hz": self.meter.rates_hz(), "counts": counts, "camera_px": self._size_px},
                "latency": {name: events.latency(one) for name, one in list(self._run.latencies.items()) if one.count},
                "recording": self.recorder is not None and self.recorder.path is not None,
            }
            if self._stream is not None:
                more["streams"] = self._streams()
            made = self._made = (number, event("result", result.to_dict() | dict(more)))
        return made[1]

    def _streams(self) -> list[events.StreamState]:
        """State and gap of every stream."""
        newest = {name: feed._result for name, feed in self._feeds.items()}
        return [
            {"name": name, "state": None if result is None else result.state.value, "gap": events.gap_of(result)}
            for name, result in newest.items()
        ]

    def _hello(self) -> events.Hello:
        manifest = self._manifest
        hello: events.Hello = {
            "schema": events.PAGE_SCHEMA,
            "bundle": manifest.name,
            "heads": [events.head_facts(head.name, head.classes) for head in manifest.heads],
            "display": (self._display.width_px, self._display.height_px),
            "hop_ms": manifest.window.hop_ns * 1e-6,
            "window_s": manifest.window.length_ns * 1e-9,
            "slots": {"face": FACE_SLOTS, "eye": EYE_SLOTS},
            "floors": {"face": manifest.window.min_face_slots, "eye": manifest.window.min_eye_slots},
            "trace_s": _TRACE_S,
            "usual_gap": None if manifest.gap is None else events.usual_gap(manifest.gap.agreeing),
            "simulated": is_simulated(self._run.source),
            "controls": list(self.controls),
        }
        if self._stream is not None:
            hello |= {"stream": self._stream, "streams": self._streams()}
        return hello


def is_simulated(source: Source) -> bool:
    """Whether camera or tracker are known to be simulated: `synthetic://`, or files that `simulate recording` wrote.

    A simulated tracker at a port is not known from a real one.
    """
    texts = [text for text in (source.camera, source.tracker) if isinstance(text, str)]
    files = [Path(text) for text in texts if os.path.exists(text)]
    folders = [path if path.is_dir() else path.parent for path in files]
    return any(text.startswith("synthetic:") for text in texts) or any(
        (at / SYNTHETIC_FILE).is_file() for at in folders
    )
