"""Cameras of Linux (V4L2) by index or path, with size, rate and pixel format."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any, Final

from emer_edge.core.errors import CameraError, ConfigurationError
from emer_edge.data.images import import_cv2
from emer_edge.runtime.address import Address
from emer_edge.runtime.cameras.base import open_capture
from emer_edge.runtime.cameras.grabber import CameraDriver, CaptureGrabber, Target

_FOURCC: Final = {"mjpeg": "MJPG", "mjpg": "MJPG", "yuyv": "YUYV", "yuy2": "YUYV", "nv12": "NV12", "uyvy": "UYVY",
                  "h264": "H264", "grey": "GREY"}  # fmt: skip
_PREFERRED: Final = "MJPG"  # uncompressed images of full size exceed USB 2 at 30 a second
_BY_ID: Final = Path("/dev/v4l/by-id")


def _claims(address: Address) -> bool:
    """Whether the source is a camera's index, or a path under /dev that is no file, folder or pipe."""
    if address.path.isascii() and address.path.isdigit():
        return True
    return address.path.startswith("/dev/") and not _is_plain(address.path)


def device_paths(folder: Path = Path("/dev")) -> list[str]:
    """The /dev/video* that exist, in order of their numbers."""
    found = [each for each in folder.glob("video*") if re.fullmatch(r"video\d+", each.name)]
    return [str(each) for each in sorted(found, key=lambda each: int(each.name[5:]))]


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
    return next((str(each) for each in links if os.path.realpath(each) == real), path)


def check(address: Address) -> Target:
    """See `CameraDriver`."""
    _wishes(address)
    path = _device(address)
    present = ", ".join(device_paths()) or "no /dev/video* at all: is a camera plugged in?"
    if not os.path.exists(path):
        raise CameraError(f"there is no camera {path}; this machine has {present}")
    if not os.access(path, os.R_OK | os.W_OK):
        raise CameraError(
            f"this user may not open {path}; join its group with: sudo usermod -aG video $USER, then log in again"
        )
    import_cv2()
    stable = stable_path(path)
    _, question, query = address.text.partition("?")
    return Target(f"{stable}{question}{query}", lambda: os.path.exists(stable))


def _grab(address: Address) -> CaptureGrabber:
    """See `CameraDriver`."""
    path = _device(address)
    cv2 = import_cv2()
    capture = open_capture(cv2, path, (cv2.CAP_V4L2,))
    if capture is None:
        present = ", ".join(device_paths()) or "no /dev/video* at all: is a camera plugged in?"
        raise CameraError(
            f"{path} exists but can't be opened as a camera; another program may hold it, or it is no capture "
            f"device (many cameras own two nodes, of which the first has the images). This machine has {present}"
        )
    return CaptureGrabber(
        address.name, capture, _agree(capture, cv2, _wishes(address), named="format" in address.parameters)
    )


def _is_plain(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISFIFO(mode)


def _device(address: Address) -> str:
    return f"/dev/video{int(address.path)}" if address.path.isdigit() else address.path


def _wishes(address: Address) -> tuple[tuple[int, int] | None, float | None, str]:
    name = address.parameters.get("format", _PREFERRED)
    fourcc = _FOURCC.get(name.lower(), name.upper())
    if len(fourcc) != 4 or not fourcc.isascii():
        raise ConfigurationError(f"{address.text}: format is one of {', '.join(_FOURCC)} or four letters, not {name!r}")
    return address.size_px(), address.number("rate", 1, 1000), fourcc


def _agree(capture: Any, cv2: Any, wishes: tuple[tuple[int, int] | None, float | None, str], *, named: bool) -> str:
    """Ask the driver for a mode and return the one that it chose; the format goes first: it decides on the others.

    What was asked for and refused is named; `named`: whether the user asked for the format.
    """
    size_px, rate_hz, fourcc = wishes
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
    if got != fourcc and named:
        refused.append(fourcc)
    mode = f"{got if got.isprintable() else 'unknown format'} {got_px[0]}x{got_px[1]} at {got_hz:g} fps"
    return f"{mode}, not {', '.join(refused)}" if refused else mode


V4L2: Final = CameraDriver(
    name="v4l2",
    help="a camera of Linux, by index or path",
    example="0 or /dev/video0?size=640x480&rate=30",
    parameters={
        "size": "640x480, for example",
        "rate": "images a second",
        "format": f"{', '.join(_FOURCC)} or four letters; mjpeg where the camera has it",
    },
    claims=_claims,
    grab=_grab,
    check=check,
)
