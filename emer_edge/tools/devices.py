"""Connected cameras and eye trackers, and the arguments of a run that select them.

Cameras are V4L2 nodes, and the CSI sensors of a Jetson, which appear among them. Serial ports are named by the link
that stays the same when an adapter comes back under another number. Open Gaze servers, LSL streams and trackers of the
Tobii Pro SDK are found over the network.
"""

from __future__ import annotations

import grp
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final
from urllib.parse import quote

from serial.tools import list_ports

from emer_edge.core.errors import EmerEdgeError
from emer_edge.runtime.board import read_text
from emer_edge.runtime.cameras import cameras
from emer_edge.runtime.cameras.v4l2 import Mode, NodeInfo, query_node, stable_path
from emer_edge.runtime.drivers import kinds_in_lines
from emer_edge.runtime.trackers import trackers
from emer_edge.runtime.trackers.formats import stream_formats
from emer_edge.runtime.trackers.lsl import import_pylsl
from emer_edge.runtime.trackers.tobii import import_tobii_research


@dataclass(frozen=True)
class Device:
    """A camera or an eye tracker.

    Attributes:
        kind: `camera` or `tracker`.
        name: its own name.
        argument: selects it, for example `--camera /dev/v4l/by-id/...`.
        details: formats, rates, where it is plugged in.
        problem: why it can't be used now, and how to fix it; None where nothing is known to be wrong.
    """

    kind: str
    name: str
    argument: str
    details: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class Devices:
    """All devices.

    Attributes:
        devices: cameras first.
        hints: one sentence per kind without a device: what to check.
    """

    devices: tuple[Device, ...]
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
_CSI: Final = re.compile(r"^vi-output, (\S+)")  # name of a sensor's node in NVIDIA's driver
_SHOWN: Final = 6


def find_cameras(root: Path = Path("/")) -> list[Device]:
    """The cameras of this machine; `root` holds its `sys` and `dev`."""
    nodes = (root / "sys/class/video4linux").glob("video*")
    numbered = sorted((int(node.name[5:]), node) for node in nodes if node.name[5:].isdigit())
    cameras: list[Device] = []
    sensors = 0
    for _, node in numbered:
        name = read_text(node / "name") or node.name
        path = root / "dev" / node.name
        sensor = _CSI.match(name)
        if sensor is not None:
            cameras.append(Device("camera", sensor[1], f"--camera csi://{sensors}", (f"CSI sensor, {path}",)))
            sensors += 1
            continue
        device = _v4l2(path, name, read_text(node / "index") or "", root / "dev/v4l/by-id")
        if device is not None:
            cameras.append(device)
    return cameras


def mode_lines(modes: tuple[Mode, ...]) -> tuple[str, ...]:
    """One line per pixel format with its largest sizes: `MJPG: 1280x720 at 30, 640x480 at 60`."""
    sizes: dict[str, list[str]] = {}
    for mode in sorted(modes, key=lambda mode: mode.width * mode.height, reverse=True):
        rate = f" at {mode.rates_hz[0]:g}" if mode.rates_hz else ""
        sizes.setdefault(mode.fourcc, []).append(f"{mode.width}x{mode.height}{rate}")
    lines = []
    for fourcc in dict.fromkeys(mode.fourcc for mode in modes):
        more = len(sizes[fourcc]) - _SHOWN
        lines.append(f"{fourcc}: {', '.join(sizes[fourcc][:_SHOWN])}" + (f" and {more} smaller" if more > 0 else ""))
    return tuple(lines)


def _v4l2(path: Path, name: str, index: str, by_id: Path) -> Device | None:
    """The device of a node; None for a node without images."""
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
    return Device("camera", info.name or name, argument, (f"{path}, {info.bus}", *mode_lines(info.modes)))


PORT_HINT: Final = (
    "no eye tracker: is it plugged in, and its adapter known to the kernel (dmesg | tail, after plugging it in)? "
    "In a container, pass it in with --device /dev/ttyUSB0. Without a tracker: emer-edge simulate tracker"
)


def find_ports(dev: Path = Path("/dev")) -> list[Device]:
    """Plugged-in serial ports under `dev`: USB adapters and CDC devices."""
    links = {os.path.realpath(link): link for link in sorted(dev.glob("serial/by-id/*"))}
    known = {port.device: port for port in list_ports.comports()}
    paths = sorted(path for kind in ("ttyUSB*", "ttyACM*", "ttyTHS*", "rfcomm*") for path in dev.glob(kind))
    ports = []
    for path in paths:
        info = known.get(str(path))
        name = "" if info is None or info.description in (None, "n/a") else str(info.description)
        stable = links.get(os.path.realpath(path), path)
        details = [str(path)] if stable != path else []
        if info is not None and info.vid is not None:
            details.append(f"USB {info.vid:04x}:{info.pid:04x}")
        name = name or f"serial port {path.name}"
        ports.append(Device("tracker", name, f"--tracker {stable}", tuple(details), problem=access_problem(path)))
    return ports


_ANSWER_S: Final = 0.5
_GET: Final = b'<GET ID="PRODUCT_ID" />\r\n'
_PRODUCT: Final = re.compile(rb'<ACK ID="PRODUCT_ID"([^>]*)/>')
_FIELD: Final = re.compile(rb'(\w+)="([^"]*)"')


def find_open_gaze(port: int = 4242) -> list[Device]:
    """The Open Gaze server of this machine at a port, where one answers."""
    answer = b""
    try:
        with socket.create_connection(("127.0.0.1", port), _ANSWER_S) as link:
            link.settimeout(_ANSWER_S)
            link.sendall(_GET)
            while len(answer) < 65536 and _PRODUCT.search(answer) is None:
                data = link.recv(4096)
                if not data:
                    break
                answer += data
    except OSError:
        pass
    product = _PRODUCT.search(answer)
    if product is None and b"<REC" not in answer and b"<ACK" not in answer:
        return []
    pairs = _FIELD.findall(product[1]) if product else []
    fields = {name.decode(): value.decode("utf-8", "replace") for name, value in pairs}
    name = fields.get("VALUE") or "Open Gaze server"
    details = (f"{fields['RATE']} Hz",) if fields.get("RATE", "").isdigit() else ()
    return [Device("tracker", name, f"--tracker opengaze://localhost:{port}", details)]


def find_lsl(wait_s: float = 1.0) -> list[Device]:
    """Gaze streams on this network; none where pylsl or its library is missing."""
    try:
        pylsl = import_pylsl()
    except EmerEdgeError:
        return []
    streams = []
    for stream in pylsl.resolve_streams(wait_s):
        if stream.type().lower() != "gaze":
            continue
        rate_hz = stream.nominal_srate()
        rate = f", {rate_hz:g} Hz" if rate_hz else ""
        details = (f"LSL, {stream.channel_count()} channels{rate}", stream.hostname())
        streams.append(Device("tracker", stream.name(), f"--tracker lsl://{quote(stream.name(), safe='')}", details))
    return sorted(streams, key=lambda device: device.name)


def find_tobii() -> list[Device]:
    """Trackers that the Tobii Pro SDK finds; none where it is not installed."""
    try:
        sdk = import_tobii_research()
    except EmerEdgeError:
        return []
    found = [(f"{one.model} {one.serial_number}", one.address) for one in sdk.find_all_eyetrackers()]
    return [Device("tracker", name, f"--tracker tobii://{at.removeprefix('tobii://')}") for name, at in found]


def list_devices() -> Devices:
    """Look for cameras and eye trackers; takes about two seconds where LSL is installed."""
    cameras = find_cameras()
    trackers = [*find_ports(), *find_open_gaze(), *find_tobii(), *find_lsl()]
    hints = [hint for hint, devices in ((CAMERA_HINT, cameras), (PORT_HINT, trackers)) if not devices]
    return Devices((*cameras, *trackers), tuple(hints))


def device_lines(devices: Devices) -> Iterator[str]:
    """Lines of text."""
    for kind, of_kind in groupby(devices.devices, key=lambda device: device.kind):
        yield f"{kind}s"
        for device in of_kind:
            yield f"  {device.name}"
            yield from (f"    {line}" for line in (device.argument, *device.details))
            if device.problem is not None:
                yield f"    PROBLEM: {device.problem}"
    yield from devices.hints


def source_lines() -> Iterator[str]:
    """Lines of text: the sources of `--camera` and `--tracker`, other packages' plug-ins too."""
    for title, kinds in (
        ("--camera", cameras().values()),
        ("--tracker", trackers().values()),
        ("formats of serial lines", stream_formats().values()),
    ):
        yield title
        yield from (f"  {line}" for line in kinds_in_lines(kinds))
