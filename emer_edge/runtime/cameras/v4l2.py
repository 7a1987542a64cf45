"""Cameras of Linux (V4L2) by index or path."""

from __future__ import annotations

import os
import re
from pathlib import Path

from emer_edge.data.images import import_cv2
from emer_edge.errors import CameraError
from emer_edge.runtime.cameras.base import open_capture
from emer_edge.runtime.cameras.live import LiveCapture

__all__ = ["device_paths", "is_device", "open_device"]


def is_device(source: str) -> bool:
    """Whether `source` is a camera's index or a path under /dev."""
    return (source.isascii() and source.isdigit()) or source.startswith("/dev/")


def device_paths(folder: Path = Path("/dev")) -> list[str]:
    """The /dev/video* that exist, in order of their numbers."""
    found = [each for each in folder.glob("video*") if re.fullmatch(r"video\d+", each.name)]
    return [str(each) for each in sorted(found, key=lambda each: int(each.name[5:]))]


def open_device(source: str, timeout_s: float = 5.0) -> LiveCapture:
    """Open a camera (see `open_camera`).

    Args:
        source: index, or path such as /dev/video0 or /dev/v4l/by-id/...
        timeout_s: without a frame for so long the camera counts as gone.
    """
    path = f"/dev/video{int(source)}" if source.isdigit() else source
    present = ", ".join(device_paths()) or "no /dev/video* at all: is a camera plugged in?"
    if not os.path.exists(path):
        raise CameraError(f"there is no camera {path}; this machine has {present}")
    if not os.access(path, os.R_OK | os.W_OK):
        raise CameraError(
            f"this user may not open {path}; join its group with: sudo usermod -aG video $USER, then log in again"
        )
    cv2 = import_cv2()
    capture = open_capture(cv2, path, (cv2.CAP_V4L2,))
    if capture is None:
        raise CameraError(
            f"{path} exists but can't be opened as a camera; another program may hold it, or it is no capture "
            f"device (many cameras own two nodes, of which the first has the images). This machine has {present}"
        )
    return LiveCapture(source, capture, timeout_s)
