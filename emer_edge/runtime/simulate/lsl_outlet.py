"""An LSL outlet of type Gaze (extra `lsl`), with the labels and units in its metadata."""

from __future__ import annotations

import uuid
from typing import Any, Final

from emer_edge.runtime.simulate.transport import Transport
from emer_edge.runtime.trackers.lsl import import_pylsl
from emer_edge.spec.samples import Display, EyeReading, TrackerSample

__all__ = ["CHANNELS", "LslOutlet"]

_PARTS: Final = (
    ("x", "ScreenX", "normalized", ""),
    ("y", "ScreenY", "normalized", ""),
    ("position_x", "PositionX", "mm", "DACS"),
    ("position_y", "PositionY", "mm", "DACS"),
    ("position_z", "PositionZ", "mm", "DACS"),
    ("direction_x", "DirectionX", "", "DACS"),
    ("direction_y", "DirectionY", "", "DACS"),
    ("direction_z", "DirectionZ", "", "DACS"),
    ("pupil", "Diameter", "mm", ""),
    ("validity", "Validity", "", ""),
)

CHANNELS: Final = tuple(
    (f"{eye}_{label}", eye, kind, unit, system) for eye in ("left", "right") for label, kind, unit, system in _PARTS
)
"""Label, eye, type, unit and coordinate system of each channel."""


class LslOutlet(Transport):
    """A simulated gaze stream. It stamps with the LSL clock, the first sample with the moment it is sent.

    Args:
        display: what gaze refers to.
        rate_hz: nominal rate.
        name: of the stream.

    Raises:
        MissingExtraError: no pylsl.
        TrackerError: no liblsl.
    """

    def __init__(self, display: Display, rate_hz: float, name: str) -> None:
        self._pylsl = import_pylsl()
        self._display, self._rate_hz, self._name = display, rate_hz, name
        self._id = f"emer-edge-{uuid.uuid4().hex[:12]}"
        self._outlet: Any = None
        self._start_s: float | None = None  # LSL time of device time 0
        self.plug()

    @property
    def address(self) -> str:
        """`lsl://name`."""
        return f"lsl://{self._name}"

    def plug(self) -> None:
        """Announce the stream."""
        pylsl = self._pylsl
        info = pylsl.StreamInfo(self._name, "Gaze", len(CHANNELS), self._rate_hz, pylsl.cf_double64, self._id)
        channels = info.desc().append_child("channels")
        for channel in CHANNELS:
            node = channels.append_child("channel")
            for key, value in zip(("label", "eye", "type", "unit", "coordinate_system"), channel, strict=True):
                node.append_child_value(key, value)
        self._outlet = pylsl.StreamOutlet(info)

    def unplug(self) -> None:
        """Take the stream off the network."""
        self._outlet = None

    def send(self, sample: TrackerSample) -> bool:
        """Send a sample; false while nobody listens."""
        if self._outlet is None:
            return False
        time_ns = sample.stamp_ns if sample.device_ns is None else sample.device_ns
        values = [number for eye in (sample.left, sample.right) for number in self._numbers(eye)]
        if self._start_s is None:
            self._start_s = self._pylsl.local_clock() - time_ns * 1e-9
        listened = self._outlet.have_consumers()
        self._outlet.push_sample(values, self._start_s + time_ns * 1e-9)
        return bool(listened)

    def _numbers(self, eye: EyeReading) -> tuple[float, ...]:
        x, y = eye.gaze_px[0] / self._display.width_px, eye.gaze_px[1] / self._display.height_px
        return (x, y, *eye.position_mm, *eye.direction, eye.pupil_mm, float(eye.valid))
