"""Faults of the gaze point that no single column shows: swapped axes, another display, a mirror.

Gaze directions with eye positions are a second measurement of where the eyes look, and pixels with millimetres are one
of the display's density; they must agree. Without either, only the places where viewers tend to look remain, which
needs strong evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import DIRECTION, GAZE_MM, GAZE_POINT, GAZE_PX, POSITION
from emer_edge.core.samples import Display

Floats = NDArray[np.float64]

_WANDER: Final = 1.1  # standard deviation of where a viewer looks on average for seconds, in half quartile distances
_STRONG: Final = 12.0  # log likelihood ratio (doubled) that needs no other evidence
_SUPPORTED: Final = 5.0  # with rows beyond the display's edge
_BEYOND: Final = 0.08
_LARGER: Final = (4 / 3, 1.6, 2.0, 8 / 3)  # 2560, 3072, 3840 and 5120 px against 1920
_SCALED: Final = 1.2  # least factor of both axes
_DENSITY: Final = 0.04
_LEAST_ROWS: Final = 100
_SPREAD_MM: Final = 8.0  # gaze that moves less says nothing about scales


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the columns.

    Attributes:
        key: stable name, for example `position unit`.
        text: a sentence for people, with the observed and the trained values.
    """

    key: str
    text: str


def gaze_fault(cells: Floats, middle: Floats, quarter: Floats, display: Display) -> Fault | None:
    """The fault of the gaze point, or None.

    Args:
        cells: (n, 39) rows in which an eye is seen, NaN where missing.
        middle: (39,) trained medians.
        quarter: (39,) half the distance of the trained quartiles.
        display: the run's display.
    """
    return _density_fault(cells, display) or _direction_fault(cells) or _place_fault(cells, middle, quarter, display)


def _density_fault(cells: Floats, display: Display) -> Fault | None:
    """Pixels and millimetres that belong to another display."""
    for axis, density, unit_px in (
        ("X", display.width_px / display.width_mm, display.width_px),
        ("Y", display.height_px / display.height_mm, display.height_px),
    ):
        at = "XY".index(axis)
        px, mm = (np.concatenate([cells[:, eye][:, at] for eye in eyes]) for eyes in (GAZE_PX, GAZE_MM))
        both = np.isfinite(px) & np.isfinite(mm) & (np.abs(mm) > _SPREAD_MM)
        if both.sum() < _LEAST_ROWS:
            continue
        measured = float(np.median(px[both] / mm[both]))
        if abs(measured / density - 1) > _DENSITY:
            return Fault(
                "gaze display",
                f"Gaze point {axis}: {measured:.2f} px a millimetre, the display given has {density:.2f} "
                f"({unit_px} px): another display? Say --display",
            )
    return None


def _direction_fault(cells: Floats) -> Fault | None:
    """Directions that meet the display elsewhere than the gaze points."""
    meets, points = [], []
    for direction, position, point in zip(DIRECTION, POSITION, GAZE_MM, strict=True):
        ray, eye = cells[:, direction], cells[:, position]
        with np.errstate(divide="ignore", invalid="ignore"):
            along = -eye[:, 2] / ray[:, 2]
            meets.append(eye[:, :2] + ray[:, :2] * along[:, None])
        points.append(cells[:, point])
    met, gaze = np.concatenate(meets), np.concatenate(points)
    both = np.isfinite(met).all(axis=1) & np.isfinite(gaze).all(axis=1)
    if both.sum() < _LEAST_ROWS:
        return None
    met, gaze = met[both], gaze[both]
    off = np.median(np.abs(met - gaze), axis=0)
    if off.max() < _SPREAD_MM or min(met.std(axis=0).min(), gaze.std(axis=0).min()) < _SPREAD_MM:
        return None
    turned = np.corrcoef(np.concatenate([met, gaze], axis=1).T)[:2, 2:]  # met X, Y against gaze X, Y
    apart = f"Gaze point and gaze direction: {off.max():.0f} mm apart on the display"
    if min(turned[0, 1], turned[1, 0]) > 0.7 and max(turned[0, 0], turned[1, 1]) < 0.7:
        return Fault("gaze axes", f"{apart}: X and Y swapped?")
    for at, axis in enumerate("XY"):
        if turned[at, at] < -0.7:
            return Fault("gaze mirror", f"{apart}: {axis} mirrored?")
    if min(turned[0, 0], turned[1, 1]) > 0.9:
        return Fault("gaze display", f"{apart}: another display size? Say --display")
    return None


def _place_fault(cells: Floats, middle: Floats, quarter: Floats, display: Display) -> Fault | None:
    """Gaze that is where viewers look only if axes are swapped, or on a larger display.

    A smaller display's pixels are where a viewer may look, so it can't be detected.
    """
    gaze = cells[:, GAZE_POINT]
    gaze = gaze[np.isfinite(gaze).all(axis=1)]
    centre, spread = middle[GAZE_POINT], _WANDER * quarter[GAZE_POINT]
    if len(gaze) < _LEAST_ROWS or not (np.isfinite(centre).all() and (spread > 0).all()):
        return None
    size = np.array([display.width_px, display.height_px])
    seen = np.median(gaze, axis=0)
    beyond = float(np.mean((gaze > size).any(axis=1)))
    needed = _SUPPORTED if beyond > _BEYOND else _STRONG

    def unlikely(point: Floats) -> float:
        return float((((point - centre) / spread) ** 2).sum())

    as_it_is = unlikely(seen)
    swapped = unlikely(seen[::-1])
    where = f"Gaze point X, Y: {seen[0]:.0f}, {seen[1]:.0f}, trained around {centre[0]:.0f}, {centre[1]:.0f}"
    larger = min(unlikely(seen / factor) for factor in _LARGER)
    if as_it_is - swapped > needed and swapped <= larger + 1.0:
        return Fault("gaze axes", f"{where}: X and Y swapped?")
    if beyond > _BEYOND and as_it_is - larger > needed and (seen > _SCALED * centre).all():
        return Fault("gaze display", f"{where}: pixels of a larger display? Say --display")
    return None
