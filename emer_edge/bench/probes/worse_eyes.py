"""Eye rows as a worse tracker, or a worse line, would have given them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.windows import AlterRows
from emer_edge.spec.columns import GAZE_POINT, GAZE_POINT_LEFT, GAZE_POINT_RIGHT
from emer_edge.spec.samples import Display
from emer_edge.spec.window import NANOSECONDS

__all__ = ["dropped_bursts", "dropped_samples", "tracker_noise"]

Rows = NDArray[np.float32]
Times = NDArray[np.int64]
Flags = NDArray[np.bool_]

_EYES: Final = (  # gaze px, direction, position, gaze mm, gaze MCS
    (GAZE_POINT_LEFT, slice(6, 9), slice(16, 19), slice(22, 24), slice(28, 30)),
    (GAZE_POINT_RIGHT, slice(9, 12), slice(19, 22), slice(24, 26), slice(30, 32)),
)
_MCS: Final = slice(26, 28)
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
    mm_px = np.array([display.width_mm / display.width_px, display.height_mm / display.height_px])
    size_px = np.array([display.width_px, display.height_px])

    def alter(rows: Rows, times_ns: Times, seen: Flags) -> tuple[Rows, Times, Flags]:
        noise = sd_px * rng.standard_normal((2, len(rows), 2))
        found = rows.astype(np.float64)
        has = np.stack([rows[:, each[0]].any(axis=1) for each in _EYES])
        for (px, direction, position, mm, mcs), off, given in zip(_EYES, noise, has, strict=True):
            for columns, unit in ((px, 1.0), (mm, mm_px), (mcs, 1 / size_px)):
                there = given & rows[:, columns].any(axis=1)
                found[there, columns] += off[there] * unit
            there = given & rows[:, direction].any(axis=1) & rows[:, position].any(axis=1) & rows[:, mm].any(axis=1)
            ray = np.concatenate([found[there, mm], np.zeros((there.sum(), 1))], axis=1) - found[there, position]
            found[there, direction] = ray / np.linalg.norm(ray, axis=1, keepdims=True)
        has[0] |= ~has.any(axis=0)  # a tracker that tells one point for both eyes
        both = (noise * has[..., None]).sum(axis=0) / has.sum(axis=0)[:, None]
        for columns, unit in ((GAZE_POINT, np.ones(2)), (_MCS, 1 / size_px)):
            there = rows[:, columns].any(axis=1)
            found[there, columns] += both[there] * unit
        return found.astype(np.float32), times_ns, seen

    return alter


def dropped_samples(share: float, rng: np.random.Generator) -> AlterRows:
    """Rows lost one by one, each with the same chance; those lost at a lower share are among those at a higher one."""

    def alter(rows: Rows, times_ns: Times, seen: Flags) -> tuple[Rows, Times, Flags]:
        kept = rng.random(len(rows)) >= share
        return rows[kept], times_ns[kept], seen[kept]

    return alter


def dropped_bursts(share: float, rng: np.random.Generator) -> AlterRows:
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
