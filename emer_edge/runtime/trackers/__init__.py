"""Eye trackers as iterators of TrackerSample: one driver per file, chosen by the address in `registry`.

Byte streams are read by decoders, one format per file in `formats`.
"""

from __future__ import annotations

from emer_edge.runtime.trackers.base import Tracker, TrackerDriver, TrackerOptions
from emer_edge.runtime.trackers.codec import LineDecoder, SampleEncoder, StreamFormat, number_in, reading
from emer_edge.runtime.trackers.registry import check_tracker, open_tracker, trackers

__all__ = [
    "LineDecoder",
    "SampleEncoder",
    "StreamFormat",
    "Tracker",
    "TrackerDriver",
    "TrackerOptions",
    "check_tracker",
    "number_in",
    "open_tracker",
    "reading",
    "trackers",
]
