"""Areas of interest: a table of rectangles and polygons by stimulus, and what fixations did in them.

Columns `stimulus`, `area`, and `left_px`, `top_px`, `width_px`, `height_px` of a rectangle, or `polygon_px`, the
corners of a polygon as `x y; x y; x y`; display pixels from the top left. Geometry is Shapely's (extra `study`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import DataError
from emer_edge.core.packages import require
from emer_edge.core.samples import Display
from emer_edge.data.tables import Header, cell_text, read_table
from emer_edge.offline.stimuli import Segment
from emer_edge.offline.study import StudySession

AREA_FIGURES: Final = ("dwell_ms", "dwell_share", "fixations", "visits", "first_fixation_ms", "first_duration_ms")
"""Summed fixations and their share of all, how many they are, runs of them, and the first one after the onset."""
_RECTANGLE: Final = ("left_px", "top_px", "width_px", "height_px")
_POLYGON: Final = "polygon_px"


@dataclass(frozen=True)
class Area:
    """One area: its `corners` in display pixels; `place` is where it is in its file."""

    stimulus: str
    name: str
    corners: tuple[tuple[float, float], ...]
    place: str


def read_areas(path: Path, stimuli: Collection[str], display: Display) -> tuple[list[Area], list[str]]:
    """Read the areas of some stimuli from a table in any form that `read_table` reads.

    Returns:
        The areas, and sentences about rows that are left out and areas that reach beyond the display.

    Raises:
        DataError: no such table, a row that is no area, the same area twice, one beyond the display, or no area of any
            of the stimuli.
    """

    def fits(header: Header) -> None:
        if not {"stimulus", "area"} <= set(header) or not ({_POLYGON} | set(_RECTANGLE[:1])) & set(header):
            wanted = f"stimulus, area and {', '.join(_RECTANGLE)} or {_POLYGON}"
            raise DataError(f"{path} has the columns {', '.join(header)}; areas of interest need {wanted}")

    table = read_table(path, fits)
    areas: dict[tuple[str, str], Area] = {}
    notes, unknown = [], dict[str, str]()
    for number, row in enumerate(table.plain_rows(), table.first_row):
        cells = {name: cell_text(cell) for name, cell in zip(table.header, row, strict=True)}
        place = f"{path}, row {number}"
        if not any(cells.values()):
            continue
        area = Area(cells["stimulus"], cells["area"], _corners(cells, place), place)
        x, y = np.array(area.corners).T
        if x.max() <= 0 or y.max() <= 0 or x.min() >= display.width_px or y.min() >= display.height_px:
            size = f"{display.width_px} x {display.height_px} px"
            raise DataError(f"{place}: the area {area.name!r} lies outside of the display of {size}")
        if (other := areas.get((area.stimulus, area.name))) is not None:
            raise DataError(f"{place}: the area {area.name!r} of {area.stimulus!r} is there already: {other.place}")
        if min(x.min(), y.min()) < 0 or x.max() > display.width_px or y.max() > display.height_px:
            notes.append(f"{place}: the area {area.name!r} reaches beyond the display")
        if area.stimulus in stimuli:
            areas[area.stimulus, area.name] = area
        else:
            unknown.setdefault(area.stimulus, place)
    known = ", ".join(map(repr, stimuli))
    notes += [f"{place}: no session has a stimulus {name!r}; there are {known}" for name, place in unknown.items()]
    if not areas:
        raise DataError(notes[-1] if unknown else f"{path} names no area")
    return list(areas.values()), notes


def _corners(cells: dict[str, str], place: str) -> tuple[tuple[float, float], ...]:
    text = cells.get(_POLYGON, "")
    try:
        if text:
            numbers = [float(part) for part in re.split(r"[\s,;]+", text.strip(" ;,"))]
        else:
            left, top, width, height = (float(cells.get(name, "")) for name in _RECTANGLE)
            numbers = [left, top, left + width, top, left + width, top + height, left, top + height]
            numbers = numbers if min(width, height) > 0 else []
        corners = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    except ValueError:
        corners = ()
    if len(corners) < 3 or not np.isfinite(corners).all() or not cells["stimulus"] or not cells["area"]:
        wanted = f"a stimulus, an area, and {', '.join(_RECTANGLE)} above 0 or three corners x y; x y; x y"
        raise DataError(f"{place} is no area of interest; it needs {wanted}")
    return corners


def area_figures(
    session: StudySession, segment: Segment, areas: Sequence[Area]
) -> list[tuple[Area, NDArray[np.float64]]]:
    """The (6,) `AREA_FIGURES` of each area of a segment's stimulus; a fixation counts in every area that it lies in.

    Raises:
        DataError: a polygon that crosses itself.
        MissingExtraError: Shapely is not installed.
    """
    own = [area for area in areas if area.stimulus == segment.stimulus]
    if session.gaze is None or not own:
        return []
    require("measuring areas of interest", ["shapely"], "study")
    import shapely

    fixations = session.gaze.fixations.between(segment.begin_ns, segment.end_ns)
    lasts, after_ms = fixations.durations_ms, (fixations.onsets_ns - segment.begin_ns) * 1e-6
    figures = []
    for area in own:
        polygon = shapely.Polygon(area.corners)
        if not polygon.is_valid:
            why = shapely.is_valid_reason(polygon)
            raise DataError(f"{area.place}: the polygon of {area.name!r} can't be an area: {why}")
        hit = np.asarray(shapely.intersects_xy(polygon, *fixations.points_px.T), np.bool_)
        first = int(np.argmax(hit)) if hit.any() else None
        visits = int((hit & ~np.append(False, hit[:-1])).sum())
        share = lasts[hit].sum() / lasts.sum() if lasts.sum() else np.nan
        firsts = (np.nan, np.nan) if first is None else (after_ms[first], lasts[first])
        figures.append((area, np.array([lasts[hit].sum(), share, hit.sum(), visits, *firsts], np.float64)))
    return figures
