"""Warp the portrait: thin-plate splines through its landmarks, evaluated on a coarse grid.

Source: Bookstein, "Principal Warps: Thin-Plate Splines and the Decomposition of Deformations" (1989).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.synth.portrait import LANDMARKS, landmarks5
from emer_edge.spec.window import FACE_SIZE_PX

__all__ = ["TEMPLATE_PX", "Pose", "align_pose", "source_map"]

Points = NDArray[np.float64]

TEMPLATE_PX: Final = np.array([[37.0, 44.0], [75.0, 44.0], [56.0, 64.0], [40.5, 83.0], [71.5, 83.0]])
"""(5, 2) where the aligned crops have the eyes, the nose and the mouth's corners."""

_STEP: Final = 4.6  # of the coarse grid, in pixels of the portrait
_SMOOTHING: Final = 2.0
# Beyond this ring about the head nothing moves.
_RING: Final = np.array([[180 + 118 * np.cos(a), 118 + 128 * np.sin(a)] for a in np.linspace(0, 2 * np.pi, 16, False)])


@dataclass(frozen=True)
class Pose:
    """Where the portrait lands in the output.

    Attributes:
        matrix: (2, 3) pixels of the portrait to pixels of the output.
        size: width and height of the output.
    """

    matrix: NDArray[np.float64]
    size: tuple[int, int] = (FACE_SIZE_PX, FACE_SIZE_PX)

    def jittered(self, degrees: float, scale: float, shift: tuple[float, float]) -> Pose:
        """Turn by `degrees` and grow by `scale` about the output's centre, then move by `shift` pixels."""
        angle = np.deg2rad(degrees)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = np.array(self.size, np.float64) / 2
        offset = turn @ (self.matrix[:, 2] - centre) + centre + shift
        return Pose(np.column_stack([turn @ self.matrix[:, :2], offset]), self.size)

    def place(self, points: Points) -> Points:
        """Map (n, 2) points of the portrait to the output."""
        placed: Points = points @ self.matrix[:, :2].T + self.matrix[:, 2]
        return placed

    def unplace(self, points: Points) -> Points:
        """Map (n, 2) points of the output to the portrait."""
        back: Points = (points - self.matrix[:, 2]) @ np.linalg.inv(self.matrix[:, :2]).T
        return back


def align_pose(points: Points) -> Pose:
    """Return the pose that brings (n, 2) landmarks onto `TEMPLATE_PX`: least-squares similarity (Umeyama, 1991)."""
    source = landmarks5(points)
    mean_from, mean_to = source.mean(axis=0), TEMPLATE_PX.mean(axis=0)
    a = (source - mean_from) @ np.array([1.0, 1j])
    b = (TEMPLATE_PX - mean_to) @ np.array([1.0, 1j])
    factor = np.vdot(a, b) / np.vdot(a, a)
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return Pose(np.column_stack([linear, mean_to - linear @ mean_from]))


def source_map(cv2: Any, points: Points, pose: Pose) -> NDArray[np.float32]:
    """Tell where each output pixel comes from.

    Args:
        cv2: OpenCV.
        points: (n, 2) where the landmarks have moved, pixels of the portrait.
        pose: where the portrait lands.

    Returns:
        (height, width, 2) float32, x and y on the portrait.
    """
    width, height = pose.size
    step = max(2, round(_STEP * float(np.hypot(*pose.matrix[:, 0]))))
    columns, rows = -(-width // step) + 2, -(-height // step) + 2
    # Grid points sit where cv2.resize puts the centres of enlarged pixels, one cell beyond each edge.
    x = (np.arange(columns) - 0.5) * step - 0.5
    y = (np.arange(rows) - 0.5) * step - 0.5
    grid = pose.unplace(np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2))
    moved, unmoved = np.vstack([points, _RING]), np.vstack([LANDMARKS, _RING])
    coarse = (grid + _spline(moved, unmoved - moved, grid)).reshape(rows, columns, 2).astype(np.float32)
    fine = cv2.resize(coarse, (columns * step, rows * step), interpolation=cv2.INTER_LINEAR)
    cut: NDArray[np.float32] = fine[step : step + height, step : step + width]
    return cut


def _spline(centres: Points, values: Points, where: Points) -> Points:
    """Thin-plate spline through `values` at `centres`, lightly smoothed, evaluated at `where`."""
    count = len(centres)
    plane = np.column_stack([np.ones(count), centres])
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _kernel(centres, centres) + _SMOOTHING * np.eye(count)
    system[:count, count:] = plane
    system[count:, :count] = plane.T
    weights = np.linalg.solve(system, np.vstack([values, np.zeros((3, 2))]))
    bent = _kernel(where, centres) @ weights[:count]
    surface: Points = bent + np.column_stack([np.ones(len(where)), where]) @ weights[count:]
    return surface


def _kernel(a: Points, b: Points) -> Points:
    squared: Points = np.subtract.outer(a[:, 0], b[:, 0]) ** 2 + np.subtract.outer(a[:, 1], b[:, 1]) ** 2
    return 0.5 * squared * np.log(squared + 1e-9)
