"""Markers: a log that assigns them to results, and the sources that fill it."""

from __future__ import annotations

from emer_edge.runtime.markers.marker_log import MarkerLog, MarkerSource
from emer_edge.runtime.markers.marker_sources import marker_sources

__all__ = ["MarkerLog", "MarkerSource", "marker_sources"]
