"""Markers: a log that deals them out to results, and the sources that fill it."""

from __future__ import annotations

from emer_edge.runtime.markers.log import MarkerLog
from emer_edge.runtime.markers.source import MarkerSource, marker_sources

__all__ = ["MarkerLog", "MarkerSource", "marker_sources"]
