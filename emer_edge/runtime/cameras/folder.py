"""A folder of images played as a video, in the natural order of their names (2.jpg before 10.jpg)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from emer_edge.data.images import import_cv2
from emer_edge.errors import CameraError
from emer_edge.runtime.cameras.base import as_bgr
from emer_edge.runtime.cameras.source import CameraSource
from emer_edge.runtime.cameras.video import PHOTOS, VideoFile

__all__ = ["claims", "open_folder"]

_FPS: Final = 30.0


def claims(source: CameraSource) -> bool:
    """Whether the source is a folder."""
    return not source.scheme and os.path.isdir(source.path)


def open_folder(source: CameraSource, pace: str = "real", start_ns: int | None = None) -> VideoFile:
    """Open a folder of images (see `open_camera`). Parameter: `fps` (30)."""
    source.allow("fps")
    fps = source.number("fps", 0.1, 500) or _FPS
    paths = sorted((each for each in Path(source.path).iterdir() if each.suffix.lower() in PHOTOS), key=_natural)
    if not paths:
        raise CameraError(f"{source.path} is a folder without images ({', '.join(sorted(PHOTOS))})")
    images = _Images(paths)
    _, first = images.read()
    return VideoFile(source.name, images, as_bgr(first, source.name, import_cv2()), fps, pace == "fast", start_ns)


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(each), "") if each.isdigit() else (0, each) for each in re.split(r"(\d+)", path.name)]


class _Images:
    """Images as `VideoFile` reads them: what it needs of cv2.VideoCapture."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._cv2 = import_cv2()
        self._paths = paths
        self._next = 0
        self._shape: tuple[int, ...] | None = None

    def grab(self) -> bool:
        """Pass over an image; false at the end."""
        self._next += 1
        return self._next <= len(self._paths)

    def read(self) -> tuple[bool, Any]:
        """The next image, or false at the end; raise CameraError where it is none, or of another size."""
        if not self.grab():
            return False, None
        path = self._paths[self._next - 1]
        try:
            encoded = np.fromfile(path, np.uint8)
            image = self._cv2.imdecode(encoded, self._cv2.IMREAD_COLOR) if encoded.size else None
        except (OSError, self._cv2.error):
            image = None
        if image is None:
            raise CameraError(f"{path} is not an image that OpenCV can read; copy it again from its source")
        self._shape = self._shape or image.shape
        if image.shape != self._shape:
            raise CameraError(
                f"{path} is {image.shape[1]}x{image.shape[0]}, the first image {self._shape[1]}x{self._shape[0]}"
            )
        return True, image

    def get(self, _: int) -> float:
        """How many images there are: the only property that is asked for."""
        return float(len(self._paths))

    def release(self) -> None:
        """Nothing to let go."""
