"""Cameras of Linux (V4L2) by index or path, with size, rate and pixel format."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any, Final

from emer_edge.data.images import import_cv2
from emer_edge.errors import CameraError, ConfigurationError
from emer_edge.runtime.cameras.base import open_capture
from emer_edge.runtime.cameras.grabber import CaptureGrabber
from emer_edge.runtime.cameras.live import Target
from emer_edge.runtime.cameras.source import CameraSource

__all__ = ["check", "claims", "device_paths", "grab", "stable_path"]

_FOURCC: Final = {"mjpeg": "MJPG", "mjpg": "MJPG", "yuyv": "YUYV", "yuy2": "YUYV", "nv12": "NV12", "uyvy": "UYVY",
                  "h264": "H264", "grey": "GREY"}  # fmt: skip
_PREFERRED: Final = "MJPG"  # uncompressed images of full size exceed USB 2 at 30 a second
_BY_ID: Final = Path("/dev/v4l/by-id")


def claims(source: CameraSource) -> bool:
    """Whether the source is a camera's index, or a path under /dev that is no file, folder or pipe."""
    if source.scheme:
        return False
    if source.path.isascii() and source.path.isdigit():
        return True
    return source.path.startswith("/dev/") and not _is_plain(source.path)


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


def check(source: CameraSource) -> Target:
    """See `CameraDriver.check`."""
    _wishes(source)
    path = _device(source)
    present = ", ".join(device_paths()) or "no /dev/video* at all: is a camera plugged in?"
    if not os.path.exists(path):
        raise CameraError(f"there is no camera {path}; this machine has {present}")
    if not os.access(path, os.R_OK | os.W_OK):
        raise CameraError(
            f"this user may not open {path}; join its group with: sudo usermod -aG video $USER, then log in again"
        )
    import_cv2()
    stable = stable_path(path)
    _, question, query = source.text.partition("?")
    return Target(f"{stable}{question}{query}", lambda: os.path.exists(stable))


def grab(source: CameraSource) -> CaptureGrabber:
    """See `CameraDriver.grab`. Parameters: `size` (640x480), `rate` in Hz, `format` (mjpeg where the camera has it)."""
    path = _device(source)
    cv2 = import_cv2()
    capture = open_capture(cv2, path, (cv2.CAP_V4L2,))
    if capture is None:
        present = ", ".join(device_paths()) or "no /dev/video* at all: is a camera plugged in?"
        raise CameraError(
            f"{path} exists but can't be opened as a camera; another program may hold it, or it is no capture "
            f"device (many cameras own two nodes, of which the first has the images). This machine has {present}"
        )
    return CaptureGrabber(
        source.name, capture, _agree(capture, cv2, *_wishes(source), named="format" in source.parameters)
    )


def _is_plain(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISFIFO(mode)


def _device(source: CameraSource) -> str:
    return f"/dev/video{int(source.path)}" if source.path.isdigit() else source.path


def _wishes(source: CameraSource) -> tuple[tuple[int, int] | None, float | None, str]:
    source.allow("size", "rate", "format")
    name = source.parameters.get("format", _PREFERRED)
    fourcc = _FOURCC.get(name.lower(), name.upper())
    if len(fourcc) != 4 or not fourcc.isascii():
        raise ConfigurationError(f"{source.text}: format is one of {', '.join(_FOURCC)} or four letters, not {name!r}")
    return source.size_px(), source.number("rate", 1, 1000), fourcc


def _agree(
    capture: Any, cv2: Any, size_px: tuple[int, int] | None, rate_hz: float | None, fourcc: str, *, named: bool
) -> str:
    """Ask the driver for a mode and return the one that it chose; the format goes first: it decides on the others.

    What was asked for and refused is named; `named`: whether the user asked for the format.
    """
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
