"""What a V4L2 node says about itself (linux/videodev2.h): its name, whether it gives images, and its modes."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LAYOUTS: Final = {
    "VIDIOC_QUERYCAP": (2, 0, struct.Struct("=16s32s32sIII12x")),
    "VIDIOC_ENUM_FMT": (3, 2, struct.Struct("=III32sI16x")),
    "VIDIOC_ENUM_FRAMESIZES": (3, 74, struct.Struct("=IIIIIIIII8x")),
    "VIDIOC_ENUM_FRAMEINTERVALS": (3, 75, struct.Struct("=IIIIIIIIIII8x")),
}
"""Request -> direction (2 read, 3 both ways), number, and layout of its structure."""

_CAPTURE: Final = 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE and V4L2_CAP_VIDEO_CAPTURE
_HAS_OWN_CAPABILITIES: Final = 0x80000000  # V4L2_CAP_DEVICE_CAPS
_DISCRETE: Final = 1
_MOST: Final = 64  # of anything: a driver that never ends must not hang us


@dataclass(frozen=True)
class Mode:
    """One pixel format at one size.

    Attributes:
        fourcc: pixel format, for example `MJPG`.
        width, height: pixels; the largest where the driver allows a range.
        rates_hz: frame rates, highest first.
    """

    fourcc: str
    width: int
    height: int
    rates_hz: tuple[float, ...]


@dataclass(frozen=True)
class NodeInfo:
    """A node.

    Attributes:
        name: the card's name.
        bus: where it is plugged in.
        captures: whether it gives images; many cameras own a second node that does not.
        modes: in the driver's order.
    """

    name: str
    bus: str
    captures: bool
    modes: tuple[Mode, ...]


def request(name: str) -> int:
    """The number of an ioctl request as linux/ioctl.h composes it: direction, size, the letter V, number."""
    direction, number, layout = LAYOUTS[name]
    return direction << 30 | layout.size << 16 | ord("V") << 8 | number


def query_node(path: Path) -> NodeInfo:
    """Ask a node.

    Raises:
        OSError: it can't be opened, or is no V4L2 node.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        _, card, bus, _, all_of_it, own = _ask(descriptor, "VIDIOC_QUERYCAP")
        capabilities = own if all_of_it & _HAS_OWN_CAPABILITIES else all_of_it
        captures = bool(capabilities & _CAPTURE)
        modes = tuple(_modes(descriptor)) if captures else ()
        return NodeInfo(_text(card), _text(bus), captures, modes)
    finally:
        os.close(descriptor)


def _modes(descriptor: int) -> Iterator[Mode]:
    for at in range(_MOST):
        try:
            *_, code = _ask(descriptor, "VIDIOC_ENUM_FMT", (at, _CAPTURE, 0, b"", 0))
        except OSError:  # there are no more
            return
        fourcc = _text(struct.pack("=I", code & 0x7FFFFFFF)) + ("-BE" if code >> 31 else "")
        for size in range(_MOST):
            try:
                _, _, kind, *numbers = _ask(descriptor, "VIDIOC_ENUM_FRAMESIZES", (size, code, *[0] * 7))
            except OSError:
                break
            width, height = (numbers[0], numbers[1]) if kind == _DISCRETE else (numbers[1], numbers[4])
            yield Mode(fourcc, width, height, tuple(_rates_hz(descriptor, code, width, height)))
            if kind != _DISCRETE:
                break


def _rates_hz(descriptor: int, code: int, width: int, height: int) -> list[float]:
    rates: set[float] = set()
    for at in range(_MOST):
        try:
            answer = _ask(descriptor, "VIDIOC_ENUM_FRAMEINTERVALS", (at, code, width, height, *[0] * 7))
        except OSError:
            break
        kind, seconds, parts = answer[4], answer[5], answer[6]  # of a range: the shortest interval
        if seconds:
            rates.add(round(parts / seconds, 2))
        if kind != _DISCRETE:
            break
    return sorted(rates, reverse=True)


def _ask(descriptor: int, name: str, values: tuple[int | bytes, ...] = ()) -> tuple[int, ...]:
    layout = LAYOUTS[name][2]
    buffer = bytearray(layout.pack(*values) if values else layout.size)
    fcntl.ioctl(descriptor, request(name), buffer)
    return layout.unpack(buffer)


def _text(data: int | bytes) -> str:
    assert isinstance(data, bytes)
    return data.partition(b"\0")[0].decode("ascii", "replace").strip()
