"""Serial ports, by the link that stays the same when an adapter comes back under another number."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from serial.tools import list_ports

from emer_edge.runtime.devices.found import Device, access_problem

__all__ = ["PORT_HINT", "find_ports"]

PORT_HINT: Final = (
    "no eye tracker: is it plugged in, and its adapter known to the kernel (dmesg | tail, after plugging it in)? "
    "In a container, pass it in with --device /dev/ttyUSB0. Without a tracker: emer-edge simulate tracker"
)


def find_ports(dev: Path = Path("/dev")) -> list[Device]:
    """The serial ports under `dev` that somebody has plugged in: USB adapters and CDC devices."""
    links = {os.path.realpath(each): each for each in sorted(dev.glob("serial/by-id/*"))}
    known = {each.device: each for each in list_ports.comports()}
    paths = sorted(each for kind in ("ttyUSB*", "ttyACM*", "ttyTHS*", "rfcomm*") for each in dev.glob(kind))
    found = []
    for path in paths:
        info = known.get(str(path))
        name = "" if info is None or info.description in (None, "n/a") else str(info.description)
        stable = links.get(os.path.realpath(path), path)
        details = [str(path)] if stable != path else []
        if info is not None and info.vid is not None:
            details.append(f"USB {info.vid:04x}:{info.pid:04x}")
        found.append(
            Device(
                "tracker",
                name or f"serial port {path.name}",
                f"--tracker {stable}",
                tuple(details),
                access_problem(path),
            )
        )
    return found
