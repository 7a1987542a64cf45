"""What a live view keeps of one stream: a tap of it that hears results, too."""

from __future__ import annotations

from collections import deque
from math import ceil

from emer_edge.bundle import Manifest
from emer_edge.runtime.faces import Look
from emer_edge.runtime.outputs.latencies import Latencies
from emer_edge.runtime.outputs.live_rows import TRACE_S, Shown
from emer_edge.runtime.outputs.sensors import SensorHealth, SensorMeter, camera_health, tracker_health
from emer_edge.runtime.pipeline import Stream
from emer_edge.spec.results import Result, State
from emer_edge.spec.samples import Frame, TrackerSample

__all__ = ["Watched"]


class Watched:
    """Latencies, rates and the last minute of a stream.

    Args:
        manifest: which heads there are.
        stream: not opened yet; None: its sensors are not known.

    Attributes:
        latencies: of every look and result.
        meter: counts frames and samples.
        state: of the newest result, None before the first.
    """

    def __init__(self, manifest: Manifest, stream: Stream | None = None) -> None:
        self._manifest, self._stream = manifest, stream
        self.latencies = Latencies()
        self.meter = SensorMeter()
        self._past: deque[Result] = deque(maxlen=ceil(TRACE_S / (manifest.window.hop_ns * 1e-9)) + 1)
        self.state: State | None = None
        if stream is not None:
            stream.tap(self)

    def result(self, result: Result) -> Shown:
        """Take a result, and give all that is to be shown with it."""
        self.latencies.result(result)
        self.meter.mark()
        self._past.append(result)
        self.state = result.state
        return Shown(self._manifest, result, tuple(self._past), self.latencies.recorders, self._sensors())

    def on_origin(self, origin_ns: int) -> None:
        """Nothing to do."""

    def on_frame(self, frame: Frame, look: Look | None, taken_ns: int) -> None:
        """Count a frame, and what it cost to look at it."""
        self.meter.frame()
        self.latencies.look(look)

    def on_sample(self, sample: TrackerSample, taken_ns: int) -> None:
        """Count a sample."""
        self.meter.sample(sample)

    def on_step(self, result: Result) -> None:
        """Nothing to do: results come by `result`."""

    def _sensors(self) -> tuple[SensorHealth, ...]:
        stream = self._stream
        if stream is None or not stream.opened:
            return ()
        rates_hz = self.meter.rates_hz()
        return (
            camera_health(stream.camera, rates_hz["frames"]),
            tracker_health(stream.tracker, rates_hz["samples"]),
        )
