"""All kinds of devices, one after another."""

from __future__ import annotations

from emer_edge.runtime.devices.cameras import CAMERA_HINT, find_cameras
from emer_edge.runtime.devices.found import Devices
from emer_edge.runtime.devices.serial_ports import PORT_HINT, find_ports
from emer_edge.runtime.devices.streams import find_lsl, find_open_gaze, find_tobii

__all__ = ["list_devices"]


def list_devices() -> Devices:
    """Look for cameras and eye trackers; takes about two seconds where LSL is installed."""
    cameras = find_cameras()
    trackers = [*find_ports(), *find_open_gaze(), *find_tobii(), *find_lsl()]
    hints = [hint for hint, found in ((CAMERA_HINT, cameras), (PORT_HINT, trackers)) if not found]
    return Devices((*cameras, *trackers), tuple(hints))
