"""Triangles to pixels: the z-buffer of `raster.c`, compiled once with the machine's C compiler."""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import ConfigurationError
from emer_edge.data.cache import cache_folder

_SOURCE: Final = Path(__file__).with_name("raster.c")
_FAR: Final = -1e9


@lru_cache(maxsize=1)
def _library() -> Any:
    code = _SOURCE.read_bytes()
    path = cache_folder() / "raster" / f"{hashlib.sha256(code).hexdigest()[:16]}.so"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{id(path):x}")
        try:
            subprocess.run(["cc", "-O3", "-shared", "-fPIC", "-o", unfinished, _SOURCE, "-lm"], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise ConfigurationError(f"can't compile {_SOURCE}: {error}; install a C compiler (cc)") from None
        unfinished.rename(path)
    return ctypes.CDLL(str(path))


def rasterise(
    triangles: NDArray[np.int32],
    points: NDArray[np.float32],
    attributes: NDArray[np.float32],
    two_sided: NDArray[np.bool_],
    size: tuple[int, int],
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Find what every pixel shows.

    Args:
        triangles: (t, 3) int32, rows of `points`.
        points: (v, 3) float32, x and y in pixels, and depth: larger is nearer.
        attributes: (v, k) float32, interpolated over triangles.
        two_sided: (t,) bool, triangles that are seen from behind, too.
        size: width and height of the image.

    Returns:
        (height, width) int32, the triangle of each pixel, -1 where there is none; and (height, width, k) float32, the
        attributes there, 0 where there is none.

    Raises:
        ConfigurationError: `raster.c` can't be compiled.
    """
    width, height = size
    depth = np.full((height, width), _FAR, np.float32)
    nearest = np.full((height, width), -1, np.int32)
    out = np.zeros((height, width, attributes.shape[1]), np.float32)
    triangles = np.ascontiguousarray(triangles, np.int32)
    points = np.ascontiguousarray(points, np.float32)
    attributes = np.ascontiguousarray(attributes, np.float32)
    seen_behind = np.ascontiguousarray(two_sided, np.uint8)
    _library().raster(
        len(triangles), _at(triangles), _at(points), _at(seen_behind), width, height, _at(depth), _at(nearest),
        attributes.shape[1], _at(attributes), _at(out),
    )  # fmt: skip
    return nearest, out


def _at(array: NDArray[Any]) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)
