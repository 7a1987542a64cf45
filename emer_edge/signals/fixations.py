"""Fixations and fixation maps.

EMER's third modality is such maps. The form is the usual one: a Gaussian of one degree of visual angle at every
fixation, weighted by its duration (Le Meur and Baccino, "Methods for comparing scanpaths and saliency maps", Behavior
Research Methods, 2013; Bojko, "Informative or Misleading? Heatmaps Deconstructed", 2009). No network reads the map: the
published variants, and this project's, take gaze points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import DISTANCE, GAZE_POINT, MOVEMENT_TYPE, MovementType
from emer_edge.core.errors import ConfigurationError
from emer_edge.core.samples import Display
from emer_edge.core.window import NEW_RULE, EventsRule
from emer_edge.signals.events import movement_types
from emer_edge.signals.rays import VIEWING_DISTANCE_MM, runs

SIGMA_DEG: Final = 1.0
_PLAUSIBLE_MM: Final = (200.0, 2000.0)
_LONGEST_STEP_NS: Final = 100_000_000  # the most that a row stands for: longer steps are silence


@dataclass(frozen=True, eq=False)
class Fixations:
    """Fixations in order of time.

    Attributes:
        points_px: (n, 2) float64 centroids, display pixels.
        durations_ms: (n,) float64.
        onsets_ns: (n,) int64, the stamps of their first rows.
    """

    points_px: NDArray[np.float64]
    durations_ms: NDArray[np.float64]
    onsets_ns: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.durations_ms)

    def between(self, begin_ns: int, end_ns: int) -> Fixations:
        """Those that begin in [begin, end), cut at its end."""
        inside = (self.onsets_ns >= begin_ns) & (self.onsets_ns < end_ns)
        onsets_ns = self.onsets_ns[inside]
        durations_ms = np.minimum(self.durations_ms[inside], (end_ns - onsets_ns) * 1e-6)
        return Fixations(self.points_px[inside], durations_ms, onsets_ns)


def find_fixations(
    rows: NDArray[np.float32], times_ns: NDArray[np.int64], seen: NDArray[np.bool_], events: EventsRule = NEW_RULE
) -> Fixations:
    """Find the fixations of a recording or clip.

    Args:
        rows: (n, 39) raw columns, missing cells 0.
        times_ns: (n,) ascending.
        seen: (n,) whether any eye was seen.
        events: `causal-2` and `causal` run the causal I-VT over all rows; `published` takes the movement types of
            column 33, where 1 is a fixation.

    Returns:
        Runs of fixation rows: the mean gaze point of the rows with an eye, and the time that the rows stand for.
    """
    if not len(rows):
        return Fixations(np.zeros((0, 2)), np.zeros(0), np.zeros(0, np.int64))
    if events == "published":
        kind = rows[:, MOVEMENT_TYPE].astype(np.int64)
    else:
        kind = movement_types(rows, times_ns, seen, events)
    steps_ns = np.diff(times_ns)
    usual_ns = float(np.median(steps_ns)) if len(steps_ns) else 0.0
    lasts_ms = np.minimum(np.append(steps_ns, usual_ns), _LONGEST_STEP_NS) * 1e-6
    points, durations, onsets = [], [], []
    for begin, end in zip(*runs(kind), strict=True):
        gaze = rows[begin:end, GAZE_POINT][seen[begin:end]]
        if kind[begin] == MovementType.FIXATION and len(gaze):
            points.append(gaze.mean(axis=0, dtype=np.float64))
            durations.append(float(lasts_ms[begin:end].sum()))
            onsets.append(int(times_ns[begin]))
    points_px = np.array(points, np.float64).reshape(-1, 2)
    return Fixations(points_px, np.array(durations, np.float64), np.array(onsets, np.int64))


def viewing_distance_mm(rows: NDArray[np.float32], seen: NDArray[np.bool_]) -> float:
    """Median distance of the eyes from the display of (n, 39) rows; 650 mm where the tracker gives no eye position."""
    depths = np.abs(rows[seen][:, DISTANCE].astype(np.float64))
    depths = depths[(depths > _PLAUSIBLE_MM[0]) & (depths < _PLAUSIBLE_MM[1])]
    return float(np.median(depths)) if depths.size else VIEWING_DISTANCE_MM


def fixation_map(
    fixations: Fixations,
    display: Display,
    distance_mm: float = VIEWING_DISTANCE_MM,
    sigma_deg: float = SIGMA_DEG,
    width: int = 480,
) -> NDArray[np.float32]:
    """Render a fixation map.

    Args:
        fixations: from `find_fixations`.
        display: its size in pixels and millimetres.
        distance_mm: of the eyes from the display.
        sigma_deg: standard deviation of the Gaussians, degrees of visual angle.
        width: columns of the map.

    Returns:
        (H, width) float32, H by the display's proportions, row 0 at its top: seconds of looking per square degree,
        whatever the map's size. The sum over the map times the square degrees of a cell is the duration of all
        fixations, except for what is beyond the display's edges. All 0 without fixations.

    Raises:
        ConfigurationError: a distance, sigma or width that is not above 0.
    """
    if not (distance_mm > 0 and sigma_deg > 0 and width > 0):
        raise ConfigurationError(
            f"a fixation map needs a distance, a sigma and a width above 0, not {distance_mm:g} mm, {sigma_deg:g} "
            f"degrees and {width}"
        )
    height = max(1, round(width * display.height_px / display.width_px))
    degree_mm = 2 * distance_mm * math.tan(math.radians(0.5))

    def densities(axis: int, size_px: int, size_mm: float, cells: int) -> NDArray[np.float64]:
        """(cells, n): a normal density per degree along one axis for each fixation."""
        size_deg = size_mm / degree_mm
        cell_deg = (np.arange(cells) + 0.5) * (size_deg / cells)
        off = (cell_deg[:, None] - fixations.points_px[:, axis] * (size_deg / size_px)) / sigma_deg
        return np.asarray(np.exp(-0.5 * off**2) / (sigma_deg * math.sqrt(2 * math.pi)))

    across = densities(0, display.width_px, display.width_mm, width)
    down = densities(1, display.height_px, display.height_mm, height)
    return np.asarray((down * (fixations.durations_ms * 1e-3)) @ across.T, np.float32)
