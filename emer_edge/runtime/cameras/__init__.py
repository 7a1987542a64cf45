"""Cameras and videos as iterators of Frame: one driver a file, chosen by the source's name in `registry`."""

from __future__ import annotations

from emer_edge.runtime.cameras.base import Camera
from emer_edge.runtime.cameras.registry import CAMERAS, CameraDriver, open_camera

__all__ = ["CAMERAS", "Camera", "CameraDriver", "open_camera"]
