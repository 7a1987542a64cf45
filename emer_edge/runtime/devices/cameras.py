"""Cameras: V4L2 nodes, and the CSI sensors of a Jetson, which appear among them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from emer_edge.runtime.cameras.v4l2 import stable_path
from emer_edge.runtime.devices.found import Device, access_problem
from emer_edge.runtime.devices.v4l2_query import Mode, NodeInfo, query_node

__all__ = ["CAMERA_HINT", "find_cameras", "told_modes"]

CAMERA_HINT: Final = (
    "no camera: is it plugged in (lsusb lists USB cameras), and are its nodes here (ls /dev/video*)? In a container, "
    "pass them in with --device /dev/video0. A CSI camera needs JetPack's configuration (jetson-io.py). "
    "Without a camera: --camera synthetic://"
)
_CSI: Final = re.compile(r"^vi-output, (\S+)")  # how NVIDIA's driver names the node of a sensor
_SHOWN: Final = 6


def find_cameras(root: Path = Path("/")) -> list[Device]:
    """The cameras of this machine; `root` holds its `sys` and `dev`."""
    nodes = (root / "sys/class/video4linux").glob("video*")
    numbered = sorted((int(each.name[5:]), each) for each in nodes if each.name[5:].isdigit())
    found: list[Device] = []
    sensors = 0
    for _, node in numbered:
        name = _read(node / "name") or node.name
        path = root / "dev" / node.name
        sensor = _CSI.match(name)
        if sensor is not None:
            found.append(Device("camera", sensor[1], f"--camera csi://{sensors}", (f"CSI sensor, {path}",)))
            sensors += 1
            continue
        device = _v4l2(path, name, _read(node / "index"), root / "dev/v4l/by-id")
        if device is not None:
            found.append(device)
    return found


def told_modes(modes: tuple[Mode, ...]) -> tuple[str, ...]:
    """The largest sizes of each pixel format, a line each: `MJPG: 1280x720 at 30, 640x480 at 60`."""
    formats: dict[str, list[Mode]] = {}
    for each in modes:
        formats.setdefault(each.fourcc, []).append(each)
    lines = []
    for fourcc, known in formats.items():
        known.sort(key=lambda each: each.width * each.height, reverse=True)
        told = [
            f"{each.width}x{each.height}" + (f" at {each.rates_hz[0]:g}" if each.rates_hz else "")
            for each in known[:_SHOWN]
        ]
        more = f" and {len(known) - _SHOWN} smaller" if len(known) > _SHOWN else ""
        lines.append(f"{fourcc}: {', '.join(told)}{more}")
    return tuple(lines)


def _v4l2(path: Path, name: str, index: str, by_id: Path) -> Device | None:
    """The device of a node, None for a node without images."""
    argument = f"--camera {stable_path(str(path), by_id)}"
    problem = access_problem(path) if path.exists() else f"{path} does not exist: is this a container without it?"
    info: NodeInfo | None = None
    if problem is None:
        try:
            info = query_node(path)
        except OSError as error:
            problem = f"{path} does not answer as a camera: {error.strerror or error}"
    if info is None:
        return None if index not in ("", "0") else Device("camera", name, argument, (str(path),), problem)
    if not info.captures:
        return None
    return Device("camera", info.name or name, argument, (f"{path}, {info.bus}", *told_modes(info.modes)))


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
