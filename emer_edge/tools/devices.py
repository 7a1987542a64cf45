"""What is plugged in, and how a run is told to use it.

Cameras are V4L2 nodes, and the CSI sensors of a Jetson, which appear among them. Serial ports are named by the link
that stays the same when an adapter comes back under another number. Over a network answer Open Gaze servers, LSL
streams, and what the Tobii Pro SDK finds.
"""

from __future__ import annotations

import grp
import json
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Final
from urllib.parse import quote

from serial.tools import list_ports

from emer_edge.core.errors import EmerEdgeError
from emer_edge.runtime.cameras import cameras
from emer_edge.runtime.cameras.v4l2 import stable_path
from emer_edge.runtime.drivers import told_kinds
from emer_edge.runtime.trackers import trackers
from emer_edge.runtime.trackers.formats import stream_formats
from emer_edge.runtime.trackers.lsl import import_pylsl
from emer_edge.runtime.trackers.tobii import import_tobii_research
from emer_edge.tools.v4l2_query import Mode, NodeInfo, query_node


@dataclass(frozen=True)
class Device:
    """A camera or an eye tracker.

    Attributes:
        kind: `camera` or `tracker`.
        name: what it calls itself.
        argument: what to write for it, for example `--camera /dev/v4l/by-id/...`.
        details: what else is known, for people: formats, rates, where it is plugged in.
        problem: why it can't be used now, and what to do; None where nothing is known to be wrong.
    """

    kind: str
    name: str
    argument: str
    details: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class Devices:
    """All that was found.

    Attributes:
        found: cameras first.
        hints: what to check for a kind of which nothing was found, a sentence each.
    """

    found: tuple[Device, ...]
    hints: tuple[str, ...]


def access_problem(path: Path) -> str | None:
    """Why this user may not open a device file, with the group to join; None where they may."""
    if os.access(path, os.R_OK | os.W_OK):
        return None
    try:
        group = grp.getgrgid(path.stat().st_gid).gr_name
    except (OSError, KeyError):
        return f"this user may not open {path}"
    if group == "root":
        return f"this user may not open {path}, which belongs to root alone: a udev rule gives it to a group"
    return (
        f"this user may not open {path}; join its group with: sudo usermod -aG {group} $USER, then log out and in again"
    )


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
        return None if index not in ("", "0") else Device("camera", name, argument, (str(path),), problem=problem)
    if not info.captures:
        return None
    return Device("camera", info.name or name, argument, (f"{path}, {info.bus}", *told_modes(info.modes)))


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


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
                problem=access_problem(path),
            )
        )
    return found


_GET: Final = b'<GET ID="PRODUCT_ID" />\r\n'
_PRODUCT: Final = re.compile(rb'<ACK ID="PRODUCT_ID"([^>]*)/>')
_FIELD: Final = re.compile(rb'(\w+)="([^"]*)"')


def find_open_gaze(host: str = "127.0.0.1", port: int = 4242, wait_s: float = 0.5) -> list[Device]:
    """The Open Gaze server at an address, where one answers."""
    heard = b""
    try:
        with socket.create_connection((host, port), wait_s) as link:
            link.settimeout(wait_s)
            link.sendall(_GET)
            while len(heard) < 65536 and _PRODUCT.search(heard) is None:
                data = link.recv(4096)
                if not data:
                    break
                heard += data
    except OSError:
        pass
    found = _PRODUCT.search(heard)
    if found is None and b"<REC" not in heard and b"<ACK" not in heard:
        return []
    fields = {
        name.decode(): value.decode("utf-8", "replace") for name, value in _FIELD.findall(found[1] if found else b"")
    }
    name = fields.get("VALUE") or "Open Gaze server"
    details = (f"{fields['RATE']} Hz",) if fields.get("RATE", "").isdigit() else ()
    shown = "localhost" if host == "127.0.0.1" else host
    return [Device("tracker", name, f"--tracker opengaze://{shown}:{port}", details)]


def find_lsl(wait_s: float = 1.0) -> list[Device]:
    """The gaze streams on this network; none where pylsl or its library is missing."""
    try:
        pylsl = import_pylsl()
    except EmerEdgeError:
        return []
    found = []
    for each in pylsl.resolve_streams(wait_s):
        if each.type().lower() != "gaze":
            continue
        rate_hz = each.nominal_srate()
        details = (f"LSL, {each.channel_count()} channels" + (f", {rate_hz:g} Hz" if rate_hz else ""), each.hostname())
        found.append(Device("tracker", each.name(), f"--tracker lsl://{quote(each.name(), safe='')}", details))
    return sorted(found, key=lambda each: each.name)


def find_tobii() -> list[Device]:
    """The trackers that the Tobii Pro SDK finds; none where it is not installed."""
    try:
        sdk = import_tobii_research()
    except EmerEdgeError:
        return []
    return [
        Device(
            "tracker",
            f"{each.model} {each.serial_number}",
            f"--tracker tobii://{each.address.removeprefix('tobii://')}",
        )
        for each in sdk.find_all_eyetrackers()
    ]


def list_devices() -> Devices:
    """Look for cameras and eye trackers; takes about two seconds where LSL is installed."""
    cameras = find_cameras()
    trackers = [*find_ports(), *find_open_gaze(), *find_tobii(), *find_lsl()]
    hints = [hint for hint, found in ((CAMERA_HINT, cameras), (PORT_HINT, trackers)) if not found]
    return Devices((*cameras, *trackers), tuple(hints))


def told_json(devices: Devices) -> str:
    """One JSON object: `devices`, each with kind, name, argument, details and problem, and `hints`."""
    return json.dumps({"devices": [asdict(each) for each in devices.found], "hints": devices.hints}, indent=2)


def told(devices: Devices) -> Iterator[str]:
    """Lines for people."""
    for kind, each_kind in groupby(devices.found, key=lambda each: each.kind):
        yield f"{kind}s"
        for each in each_kind:
            yield f"  {each.name}"
            yield f"    {each.argument}"
            yield from (f"    {line}" for line in each.details)
            if each.problem is not None:
                yield f"    PROBLEM: {each.problem}"
    yield from devices.hints


def told_sources() -> Iterator[str]:
    """Lines for people: what `--camera` and `--tracker` take, other packages' plug-ins too."""
    for title, kinds in (
        ("--camera", cameras().values()),
        ("--tracker", trackers().values()),
        ("formats of serial lines", stream_formats().values()),
    ):
        yield title
        yield from (f"  {line}" for line in told_kinds(kinds))
