"""Worse eye trackers: rows with noise, and rows that are lost."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import DIRECTION, GAZE_MCS, GAZE_MM, GAZE_POINT, GAZE_POINT_MCS, GAZE_PX, POSITION
from emer_edge.core.samples import Display
from emer_edge.core.window import NANOSECONDS
from emer_edge.data.windows import AlterRows

Rows = NDArray[np.float32]
Times = NDArray[np.int64]
Flags = NDArray[np.bool_]

_EYES: Final = tuple(zip(GAZE_PX, DIRECTION, POSITION, GAZE_MM, GAZE_MCS, strict=True))
_BURST_NS: Final = NANOSECONDS // 2  # mean length of a burst


def tracker_noise(sd_px: float, rng: np.random.Generator, display: Display) -> AlterRows:
    """White noise on each eye's gaze point, and on all that is derived from it.

    Pixels, millimetres, MCS and directions stay those of one gaze point, the combined one is off by the mean of the
    eyes' noise. Columns 33 to 39 follow where they are computed; a sheet's own stay. For MCS the stimulus is taken to
    fill the display.

    Args:
        sd_px: standard deviation along each axis, display pixels.
        rng: source of the noise; its draws do not depend on `sd_px`.
        display: that the pixels refer to.
    """

    def alter(rows: Rows, times_ns: Times, seen: Flags) -> tuple[Rows, Times, Flags]:
        return moved_gaze(rows, sd_px * rng.standard_normal((2, len(rows), 2)), display), times_ns, seen

    return alter


def moved_gaze(rows: Rows, off_px: NDArray[np.float64], display: Display) -> Rows:
    """Rows (n, 39) whose eyes' gaze points are off by (2, n, 2) display pixels, with all that is derived from them.

    The combined gaze point is off by the mean of the eyes that are there.
    """
    mm_px = np.array([display.width_mm / display.width_px, display.height_mm / display.height_px])
    size_px = np.array([display.width_px, display.height_px])
    moved = rows.astype(np.float64)
    has = np.stack([rows[:, eye[0]].any(axis=1) for eye in _EYES])
    for (px, direction, position, mm, mcs), off, given in zip(_EYES, off_px, has, strict=True):
        for columns, unit in ((px, 1.0), (mm, mm_px), (mcs, 1 / size_px)):
            there = given & rows[:, columns].any(axis=1)
            moved[there, columns] += off[there] * unit
        there = given & rows[:, direction].any(axis=1) & rows[:, position].any(axis=1) & rows[:, mm].any(axis=1)
        ray = np.concatenate([moved[there, mm], np.zeros((there.sum(), 1))], axis=1) - moved[there, position]
        moved[there, direction] = ray / np.linalg.norm(ray, axis=1, keepdims=True)
    has[0] |= ~has.any(axis=0)  # a tracker that gives one point for both eyes
    both = (off_px * has[..., None]).sum(axis=0) / has.sum(axis=0)[:, None]
    for columns, unit in ((GAZE_POINT, np.ones(2)), (GAZE_POINT_MCS, 1 / size_px)):
        there = rows[:, columns].any(axis=1)
        moved[there, columns] += both[there] * unit
    return moved.astype(np.float32)


def dropped_samples(share: float, rng: np.random.Generator, *_: object) -> AlterRows:
    """Rows lost one by one, each with the same chance; those lost at a lower share are among those at a higher one."""

    def alter(rows: Rows, times_ns: Times, seen: Flags) -> tuple[Rows, Times, Flags]:
        kept = rng.random(len(rows)) >= share
        return rows[kept], times_ns[kept], seen[kept]

    return alter


def dropped_bursts(share: float, rng: np.random.Generator, *_: object) -> AlterRows:
    """Rows lost in bursts of half a second on average, with pauses that make up the share.

    Both lengths are geometric: Gilbert's channel (1960, doi 10.1002/j.1538-7305.1960.tb03959.x).
    """

    def alter(rows: Rows, times_ns: Times, seen: Flags) -> tuple[Rows, Times, Flags]:
        period_ns = (times_ns[-1] - times_ns[0]) / max(len(times_ns) - 1, 1)
        burst = max(1.0, _BURST_NS / max(period_ns, 1.0))
        pause = max(1.0, burst * (1.0 - share) / share) if share > 0 else np.inf
        kept = np.ones(len(rows), np.bool_)
        at, lost = 0, bool(rng.random() < share)
        while at < len(rows) and np.isfinite(pause):
            length = int(rng.geometric(1 / (burst if lost else pause)))
            kept[at : at + length] = not lost
            at, lost = at + length, not lost
        return rows[kept], times_ns[kept], seen[kept]

    return alter
