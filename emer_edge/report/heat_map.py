"""Heat maps as PNG files, and as SVG for reports that need no network."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import ConfigurationError
from emer_edge.report.svg import drawing, element, label

# Anchors of matplotlib's `inferno` (CC0): its lightness rises evenly, so it reads the same in grey and to any eye.
_COLOURS: Final = np.array(
    [[0, 0, 4], [31, 12, 72], [85, 15, 109], [136, 34, 106], [186, 54, 85], [227, 89, 51], [249, 140, 10],
     [249, 201, 50], [252, 255, 164]], np.float64
)  # fmt: skip
_BAR: Final = (16, 256)


def heat_map_png(values: NDArray[Any], highest: float | None = None) -> bytes:
    """Encode a map as a PNG image in colours from black (0) over red to light yellow (`highest`).

    Args:
        values: (H, W), 0 and above.
        highest: the value of the last colour; the map's own largest by default.

    Raises:
        ConfigurationError: no (H, W) array of finite numbers.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise ConfigurationError(f"a heat map is a (H, W) array of finite numbers, not one of shape {values.shape}")
    top = float(values.max()) if highest is None else highest
    share = np.clip(values / top, 0, 1) if top > 0 else np.zeros_like(values)
    at = share * (len(_COLOURS) - 1)
    steps = np.arange(len(_COLOURS))
    image = np.stack([np.interp(at, steps, _COLOURS[:, channel]) for channel in range(3)], axis=-1)
    return _png(np.rint(image).astype(np.uint8))


def heat_map_svg(values: NDArray[Any], title: str, description: str) -> str:
    """Draw a map with its colour bar: one SVG element that holds its images itself.

    Args:
        values: (H, W) in seconds per square degree, 0 and above, row 0 at the top.
        title: above the map.
        description: for a screen reader.

    Raises:
        ConfigurationError: no (H, W) array of finite numbers.
    """
    image = heat_map_png(values)
    rows, columns = np.asarray(values).shape
    width, height = 480.0, 480.0 * rows / columns
    bar = heat_map_png(np.linspace(1, 0, _BAR[1])[:, None].repeat(_BAR[0], axis=1))
    left, top = 8.0, 28.0
    parts = [
        label(left, 18, title),
        _image(image, left, top, size=(width, height)),
        element("rect", x=left, y=top, width=width, height=height, fill="none", stroke="currentColor"),
        _image(bar, left + width + 12, top, size=(_BAR[0], height)),
        label(left + width + 34, top + 10, f"{float(np.max(values)):.3g}"),
        label(left + width + 34, top + height, "0"),
        label(left + width + 12, top + height + 16, "s per square degree", anchor="middle"),
    ]
    return drawing((left + width + 110, top + height + 24), title, description, parts)


def _image(png: bytes, x: float, y: float, *, size: tuple[float, float]) -> str:
    address = "data:image/png;base64," + base64.b64encode(png).decode()
    return element("image", href=address, x=x, y=y, width=size[0], height=size[1], preserveAspectRatio="none")


def _png(image: NDArray[np.uint8]) -> bytes:
    """(H, W, 3) uint8, R, G, B, as PNG (ISO/IEC 15948): one IDAT chunk, no filter."""
    height, width = image.shape[:2]
    lines = np.concatenate([np.zeros((height, 1), np.uint8), image.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    packed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)
