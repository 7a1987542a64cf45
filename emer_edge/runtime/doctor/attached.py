"""What is plugged in, and whether this user may open it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from emer_edge.runtime.devices.cameras import find_cameras
from emer_edge.runtime.devices.found import Device
from emer_edge.runtime.devices.serial_ports import find_ports
from emer_edge.runtime.doctor.finding import Finding, Level

__all__ = ["look_at_devices"]

_BRLTTY = ("usr/lib/udev/rules.d/85-brltty.rules", "lib/udev/rules.d/85-brltty.rules")


def look_at_devices(root: Path = Path("/")) -> Iterator[Finding]:
    """Findings about cameras and serial ports; none is opened to be read, and no network is searched."""
    cameras = find_cameras(root)
    yield from _each("camera", cameras)
    if not cameras:
        yield Finding(
            "camera",
            "warning",
            "none is plugged in, or none was passed into this container",
            "plug one in and look at: emer-edge devices; --camera also takes files and addresses",
        )
    ports = find_ports(root / "dev")
    yield from _each("serial port", ports)
    if not ports:
        yield Finding(
            "serial port",
            "warning",
            "none is plugged in, or none was passed into this container",
            "plug the tracker in and look at: emer-edge devices; --tracker also takes addresses and files",
        )
    if any((root / each).exists() for each in _BRLTTY):
        yield Finding(
            "brltty",
            "warning",
            "it is installed, and takes CH340 and CP210x serial adapters for braille displays",
            "sudo apt remove brltty",
        )


def _each(subject: str, found: list[Device]) -> Iterator[Finding]:
    usable = any(each.problem is None for each in found)
    for each in found:
        if each.problem is None:
            yield Finding(subject, "ok", f"{each.name}: {each.argument}")
            continue
        level: Level = "warning" if usable else "problem"  # what can be opened may be what is used
        told, _, mend = each.problem.partition("; ")
        yield Finding(subject, level, f"{each.name}: {told}", mend)
