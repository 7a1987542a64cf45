"""Cameras and videos as iterators of Frame: one driver per file, chosen by the address in `registry`."""

from __future__ import annotations

from emer_edge.runtime.cameras.base import Camera
from emer_edge.runtime.cameras.grabber import CameraDriver, Target
from emer_edge.runtime.cameras.opening import check_camera, open_camera
from emer_edge.runtime.cameras.registry import cameras
from emer_edge.runtime.capture.grabber import Grab, Grabber

__all__ = ["Camera", "CameraDriver", "Grab", "Grabber", "Target", "cameras", "check_camera", "open_camera"]
