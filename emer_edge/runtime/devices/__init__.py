"""What is plugged in, and how a run is told to use it."""

from __future__ import annotations

from emer_edge.runtime.devices.found import Device, Devices
from emer_edge.runtime.devices.listing import list_devices

__all__ = ["Device", "Devices", "list_devices"]
