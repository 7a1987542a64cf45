"""Faults of the gaze point that no single column shows: swapped axes, another display, a mirror.

A tracker that gives gaze directions and eye positions of its own says twice where the eyes look; the two must agree.
One that gives pixels and millimetres says twice how dense the display is. Without either there is only where viewers
tend to look, which takes a strong case.
"""

from __future__ import annotations

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
_SCALED: Final = 1.2  # both axes lie farther out by this at least
_DENSITY: Final = 0.04
_LEAST_ROWS: Final = 100
_SPREAD_MM: Final = 8.0  # gaze that moves less says nothing about scales


def gaze_fault(cells: Floats, middle: Floats, quarter: Floats, display: Display) -> tuple[str, str] | None:
    """Name the fault of the gaze point, as a stable key and a sentence, or None.

    Args:
        cells: (n, 39) rows in which an eye is seen, NaN where missing.
        middle: (39,) trained medians.
        quarter: (39,) half the distance of the trained quartiles.
        display: what the run believes the display to be.
    """
    return _density_fault(cells, display) or _direction_fault(cells) or _place_fault(cells, middle, quarter, display)


def _density_fault(cells: Floats, display: Display) -> tuple[str, str] | None:
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
        found = float(np.median(px[both] / mm[both]))
        if abs(found / density - 1) > _DENSITY:
            return (
                "gaze display",
                f"Gaze point {axis}: {found:.2f} px a millimetre, the display given has {density:.2f} "
                f"({unit_px} px): another display? Say --display",
            )
    return None


def _direction_fault(cells: Floats) -> tuple[str, str] | None:
    """Directions that meet the display elsewhere than the gaze points they come with."""
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
    said = f"Gaze point and gaze direction: {off.max():.0f} mm apart on the display"
    if min(turned[0, 1], turned[1, 0]) > 0.7 and max(turned[0, 0], turned[1, 1]) < 0.7:
        return "gaze axes", f"{said}: X and Y swapped?"
    for at, axis in enumerate("XY"):
        if turned[at, at] < -0.7:
            return "gaze mirror", f"{said}: {axis} mirrored?"
    if min(turned[0, 0], turned[1, 1]) > 0.9:
        return "gaze display", f"{said}: another display size? Say --display"
    return None


def _place_fault(cells: Floats, middle: Floats, quarter: Floats, display: Display) -> tuple[str, str] | None:
    """Gaze that lies where viewers look only if axes are swapped, or on a larger display.

    A smaller display's pixels lie where a viewer may look, and can't be told.
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
    larger = min(unlikely(seen / each) for each in _LARGER)
    if as_it_is - swapped > needed and swapped <= larger + 1.0:
        return "gaze axes", f"{where}: X and Y swapped?"
    if beyond > _BEYOND and as_it_is - larger > needed and (seen > _SCALED * centre).all():
        return "gaze display", f"{where}: pixels of a larger display? Say --display"
    return None
