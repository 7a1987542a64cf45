"""Trackers that answer over a network: Open Gaze servers, LSL streams, and what the Tobii Pro SDK finds."""

from __future__ import annotations

import re
import socket
from typing import Final
from urllib.parse import quote

from emer_edge.errors import EmerEdgeError
from emer_edge.runtime.devices.found import Device
from emer_edge.runtime.trackers.lsl import import_pylsl
from emer_edge.runtime.trackers.tobii import import_tobii_research

__all__ = ["find_lsl", "find_open_gaze", "find_tobii"]

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
        Device("tracker", f"{each.model} {each.serial_number}", f"--tracker {each.address}")
        if each.address.startswith("tobii://")
        else Device("tracker", f"{each.model} {each.serial_number}", f"--tracker tobii://{each.address}")
        for each in sdk.find_all_eyetrackers()
    ]
