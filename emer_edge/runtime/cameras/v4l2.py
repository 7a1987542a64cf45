"""Cameras of Linux (V4L2, linux/videodev2.h) by index or path, and the modes that a device offers."""

from __future__ import annotations

import fcntl
import os
import re
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from emer_edge.core.errors import CameraError, ConfigurationError
from emer_edge.data.images import import_cv2
from emer_edge.runtime.address import Address
from emer_edge.runtime.cameras.base import file_mode, open_capture
from emer_edge.runtime.cameras.grabber import CameraDriver, CaptureGrabber, Target

_FOURCC: Final = {"mjpeg": "MJPG", "mjpg": "MJPG", "yuyv": "YUYV", "yuy2": "YUYV", "nv12": "NV12", "uyvy": "UYVY",
                  "h264": "H264", "grey": "GREY"}  # fmt: skip
_PREFERRED: Final = "MJPG"  # uncompressed images of full size exceed USB 2 at 30 a second
_BY_ID: Final = Path("/dev/v4l/by-id")


def _claims(address: Address) -> bool:
    """Whether the source is a camera's index, or a path under /dev that is no file, folder or pipe."""
    if address.path.isascii() and address.path.isdigit():
        return True
    plain = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFIFO)
    return address.path.startswith("/dev/") and stat.S_IFMT(file_mode(address.path)) not in plain


def device_paths(folder: Path = Path("/dev")) -> list[str]:
    """Paths of the /dev/video* that exist, in order of their numbers."""
    numbers = sorted(int(path.name[5:]) for path in folder.glob("video*") if re.fullmatch(r"video\d+", path.name))
    return [str(folder / f"video{number}") for number in numbers]


def _present() -> str:
    return ", ".join(device_paths()) or "no /dev/video* at all: is a camera plugged in?"


def stable_path(path: str, by_id: Path = _BY_ID) -> str:
    """The link by-id that points to a device, so that it is found again under another number.

    `path` itself where there is none, and where it is a link already: of two cameras that share a link by-id, the user
    may have named one by-path.
    """
    if os.path.islink(path):
        return path
    real = os.path.realpath(path)
    try:
        links = sorted(by_id.iterdir())
    except OSError:
        return path
    return next((str(link) for link in links if os.path.realpath(link) == real), path)


def check(address: Address) -> Target:
    """The capture process's target of a device that this user may open.

    Raises:
        CameraError: there is no such device, or this user may not open it.
        ConfigurationError: parameters that make no sense.
    """
    _requested(address)
    path = _device(address)
    if not os.path.exists(path):
        raise CameraError(f"there is no camera {path}; this machine has {_present()}")
    if not os.access(path, os.R_OK | os.W_OK):
        raise CameraError(
            f"this user may not open {path}; join its group with: sudo usermod -aG video $USER, then log in again"
        )
    import_cv2()
    stable = stable_path(path)
    _, question, query = address.text.partition("?")
    return Target(f"{stable}{question}{query}", lambda: os.path.exists(stable))


def _grab(address: Address) -> CaptureGrabber:
    path = _device(address)
    cv2 = import_cv2()
    capture = open_capture(cv2, path, (cv2.CAP_V4L2,))
    if capture is None:
        raise CameraError(
            f"{path} exists but can't be opened as a camera; another program may hold it, or it is no capture "
            f"device (many cameras own two nodes, of which the first has the images). This machine has {_present()}"
        )
    return CaptureGrabber(address.name, capture, _agree(capture, cv2, address))


def _device(address: Address) -> str:
    return f"/dev/video{int(address.path)}" if address.path.isdigit() else address.path


def _requested(address: Address) -> tuple[tuple[int, int] | None, float | None, str]:
    name = address.parameters.get("format", _PREFERRED)
    fourcc = _FOURCC.get(name.lower(), name.upper())
    if len(fourcc) != 4 or not fourcc.isascii():
        raise ConfigurationError(f"{address.text}: format is one of {', '.join(_FOURCC)} or four letters, not {name!r}")
    return address.size_px(), address.number("rate", 1, 1000), fourcc


def _agree(capture: Any, cv2: Any, address: Address) -> str:
    """Set the requested mode and return the one that the driver chose, and what it refused.

    The format is set first: it decides on the others.
    """
    size_px, rate_hz, fourcc = _requested(address)
    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*fourcc))
    if size_px is not None:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, size_px[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size_px[1])
    if rate_hz is not None:
        capture.set(cv2.CAP_PROP_FPS, rate_hz)
    got_code = int(capture.get(cv2.CAP_PROP_FOURCC))
    got = "".join(chr(got_code >> shift & 0xFF) for shift in (0, 8, 16, 24))
    got_px = (int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
    got_hz = float(capture.get(cv2.CAP_PROP_FPS))
    refused = []
    if size_px is not None and got_px != size_px:
        refused.append(f"{size_px[0]}x{size_px[1]}")
    if rate_hz is not None and abs(got_hz - rate_hz) > 0.5:
        refused.append(f"{rate_hz:g} fps")
    if got != fourcc and "format" in address.parameters:
        refused.append(fourcc)
    mode = f"{got if got.isprintable() else 'unknown format'} {got_px[0]}x{got_px[1]} at {got_hz:g} fps"
    return f"{mode}, not {', '.join(refused)}" if refused else mode


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
_MOST: Final = 64  # of anything, so that a driver with endless lists does not hang this process


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
    """A device file.

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


def request_number(name: str) -> int:
    """Number of an ioctl request as linux/ioctl.h composes it: direction, size, the letter V, number."""
    direction, number, layout = LAYOUTS[name]
    return direction << 30 | layout.size << 16 | ord("V") << 8 | number


def query_node(path: Path) -> NodeInfo:
    """Read the name and the modes of a node.

    Raises:
        OSError: it can't be opened, or is no V4L2 node.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        _, card, bus, _, of_card, of_node = _request(descriptor, "VIDIOC_QUERYCAP")
        capabilities = of_node if of_card & _HAS_OWN_CAPABILITIES else of_card
        captures = bool(capabilities & _CAPTURE)
        modes = tuple(_modes(descriptor)) if captures else ()
        return NodeInfo(_text(card), _text(bus), captures, modes)
    finally:
        os.close(descriptor)


def _modes(descriptor: int) -> Iterator[Mode]:
    for at in range(_MOST):
        try:
            *_, code = _request(descriptor, "VIDIOC_ENUM_FMT", (at, _CAPTURE, 0, b"", 0))
        except OSError:  # there are no more
            return
        fourcc = _text(struct.pack("=I", code & 0x7FFFFFFF)) + ("-BE" if code >> 31 else "")
        for size in range(_MOST):
            try:
                _, _, kind, *numbers = _request(descriptor, "VIDIOC_ENUM_FRAMESIZES", (size, code, *[0] * 7))
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
            answer = _request(descriptor, "VIDIOC_ENUM_FRAMEINTERVALS", (at, code, width, height, *[0] * 7))
        except OSError:
            break
        kind, seconds, parts = answer[4], answer[5], answer[6]  # of a range: the shortest interval
        if seconds:
            rates.add(round(parts / seconds, 2))
        if kind != _DISCRETE:
            break
    return sorted(rates, reverse=True)


def _request(descriptor: int, name: str, values: tuple[int | bytes, ...] = ()) -> tuple[int, ...]:
    layout = LAYOUTS[name][2]
    buffer = bytearray(layout.pack(*values) if values else layout.size)
    fcntl.ioctl(descriptor, request_number(name), buffer)
    return layout.unpack(buffer)


def _text(data: int | bytes) -> str:
    assert isinstance(data, bytes)
    return data.partition(b"\0")[0].decode("ascii", "replace").strip()


V4L2: Final = CameraDriver(
    name="v4l2",
    help="a camera of Linux, by index or path",
    example="0 or /dev/video0?size=640x480&rate=30",
    parameters={
        "size": "640x480, for example",
        "rate": "images per second",
        "format": f"{', '.join(_FOURCC)} or four letters; mjpeg where the camera has it",
    },
    claims=_claims,
    grab=_grab,
    check=check,
)
