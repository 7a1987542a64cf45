"""Heat maps as PNG files, and as SVG for reports that need no network."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.samples import Display, StimulusRect
from emer_edge.report import svg

# Anchors of matplotlib's `inferno` (CC0): its lightness rises evenly, so it reads the same in grey and to any eye.
_COLOURS: Final = np.array(
    [[0, 0, 4], [31, 12, 72], [85, 15, 109], [136, 34, 106], [186, 54, 85], [227, 89, 51], [249, 140, 10],
     [249, 201, 50], [252, 255, 164]], np.float64
)  # fmt: skip
_BAR: Final = (16, 256)
_OPAQUE: Final = 0.8  # over a picture, which shows through
_CLEAR: Final = 0.25  # share of the highest value below which more of the picture shows


def heat_map_png(values: NDArray[Any], highest: float | None = None, clear: bool = False) -> bytes:
    """Encode a map as a PNG image in colours from black (0) over red to light yellow (`highest`).

    Args:
        values: (H, W), 0 and above.
        highest: the value of the last colour; the map's own largest by default.
        clear: where it is 0 the image is clear, to lie over another one.

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
    channels = [np.interp(at, steps, _COLOURS[:, channel]) for channel in range(3)]
    channels += [255 * _OPAQUE * np.clip(share / _CLEAR, 0, 1)] if clear else []
    return _png(np.rint(np.stack(channels, axis=-1)).astype(np.uint8))


@dataclass(frozen=True)
class Backdrop:
    """A picture below a map: the content of a PNG or JPEG file, and where it is on the display."""

    content: bytes
    rect: StimulusRect


def heat_map_svg(
    values: NDArray[Any],
    title: str,
    description: str,
    display: Display,
    *,
    backdrop: Backdrop | None = None,
    areas: Mapping[str, Sequence[tuple[float, float]]] = {},
) -> str:
    """Draw a map with axes in display pixels and a colour bar: one SVG element that holds its images itself.

    Args:
        values: (H, W) in seconds per square degree, 0 and above, row 0 at the top.
        title: above the map.
        description: for a screen reader.
        display: that the map covers.
        backdrop: what was shown.
        areas: name -> corners, display pixels: drawn over the map.

    Raises:
        ConfigurationError: no (H, W) array of finite numbers.
    """
    highest = float(np.max(values))
    image = heat_map_png(values, clear=backdrop is not None)
    left, top, width = 62.0, svg.TOP, 480.0
    height = width * display.height_px / display.width_px
    x = svg.Scale(0, display.width_px, left, left + width)
    y = svg.Scale(0, display.height_px, top, top + height)
    right, bottom = x.end, y.end
    bar = heat_map_png(np.linspace(1, 0, _BAR[1])[:, None].repeat(_BAR[0], axis=1))
    parts = [*svg.x_axis(x, top, bottom, "x (px)"), *svg.y_axis(y, x, "y (px)")]
    if backdrop is not None:
        rect = backdrop.rect
        size = (x(rect.left_px + rect.width_px) - x(rect.left_px), y(rect.top_px + rect.height_px) - y(rect.top_px))
        parts.append(_image(backdrop.content, x(rect.left_px), y(rect.top_px), size=size))
    parts.append(_image(image, left, top, size=(width, height)))
    for name, corners in areas.items():
        path = "L".join(f"{x(across):.1f} {y(down):.1f}" for across, down in corners)
        parts.append(svg.element("path", d=f"M{path}Z", fill="none", stroke="#fff", stroke_width=1.5))
        parts.append(svg.label(x(corners[0][0]) + 4, y(corners[0][1]) + 14, svg.shortened(name), class_="on"))
    frame = {"fill": "none", "stroke": "currentColor"}
    parts.append(svg.element("rect", x=left, y=top, width=width, height=height, **frame))
    parts.append(_image(bar, right + 14, top, size=(_BAR[0], height)))
    scale = svg.Scale(0, highest, bottom, top)
    for tick in svg.ticks(0, highest, 4):
        parts.append(svg.label(right + 36, scale(tick) + 4, f"{tick:g}"))
    middle, unit = (top + bottom) / 2, right + 84
    turned = {"transform": f"rotate(-90 {unit:g} {middle:g})"}
    parts.append(svg.label(unit, middle, "s per square degree", "middle", **turned))
    return svg.plot((right + 92, bottom + svg.BOTTOM), title, description, parts)


def _image(picture: bytes, x: float, y: float, *, size: tuple[float, float]) -> str:
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    address = f"data:image/{kind};base64," + base64.b64encode(picture).decode()
    return svg.element("image", href=address, x=x, y=y, width=size[0], height=size[1], preserveAspectRatio="none")


def _png(image: NDArray[np.uint8]) -> bytes:
    """(H, W, 3 or 4) uint8, R, G, B and opacity, as PNG (ISO/IEC 15948): one IDAT chunk, no filter."""
    height, width, channels = image.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), image.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 6 if channels == 4 else 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    packed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)
