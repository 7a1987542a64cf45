"""Eye trackers as iterators of TrackerSample: one driver a file, chosen by the source's name in `registry`.

Byte streams are read by decoders, one format a file, in the registry `formats`.
"""

from __future__ import annotations

from emer_edge.runtime.trackers.base import Tracker, TrackerOptions
from emer_edge.runtime.trackers.registry import TRACKERS, TrackerDriver, open_tracker

__all__ = ["TRACKERS", "Tracker", "TrackerDriver", "TrackerOptions", "open_tracker"]
