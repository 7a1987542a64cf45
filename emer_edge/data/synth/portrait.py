"""The packaged portrait, its landmarks, expressions that move them, and the warp.

`assets/landmarks.json` holds the landmarks in pixels of the portrait, placed by hand: of the picture, a broad smile,
and of the face at rest. Left and right are those of the picture. Action units follow Ekman and Friesen's Facial Action
Coding System (1978); `assets/expressions.json` holds its prototypes. The warp is a thin-plate spline through the
landmarks, on a coarse grid (Bookstein, "Principal Warps: Thin-Plate Splines and the Decomposition of Deformations",
1989).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.heads import EMOTIONS
from emer_edge.core.window import FACE_SIZE_PX
from emer_edge.data.images import import_cv2

Points = NDArray[np.float64]

_ASSETS: Final = files("emer_edge.data") / "synth" / "assets"
_PLACED: Final[dict[str, tuple[tuple[float, float], tuple[float, float]]]] = json.loads(
    (_ASSETS / "landmarks.json").read_text("utf-8")
)
_NAMES: Final = tuple(_PLACED)
LANDMARKS: Final[Points] = np.array([place for place, _ in _PLACED.values()], np.float64)
"""(n, 2) landmarks of the picture."""
_REST: Final[Points] = np.array([rest for _, rest in _PLACED.values()], np.float64)


@lru_cache(maxsize=256)
def indices(*names: str) -> list[int]:
    """Rows of `LANDMARKS` with names that start with one of `names`, in the given order."""
    return [row for name in names for row, landmark in enumerate(_NAMES) if landmark.startswith(name)]


@lru_cache(maxsize=1)
def portrait() -> NDArray[np.uint8]:
    """The portrait: (270, 360, 3) uint8, B, G, R.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = import_cv2()
    encoded = np.frombuffer((_ASSETS / "astronaut.jpg").read_bytes(), np.uint8)
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))


def landmarks5(points: Points) -> Points:
    """(5, 2) eye centres, nose tip and mouth corners of (n, 2) landmarks, like those of face detectors."""
    eyes = [points[indices(f"eye_{side}")].mean(axis=0) for side in ("left", "right")]
    return np.stack([*eyes, *points[indices("nose_tip", "mouth_left", "mouth_right")]])


TEMPLATE_PX: Final = np.array([[37.0, 44.0], [75.0, 44.0], [56.0, 64.0], [40.5, 83.0], [71.5, 83.0]])
"""(5, 2) eyes, nose and mouth corners in aligned crops."""

_STEP: Final = 4.6  # of the coarse grid, in pixels of the portrait
_SMOOTHING: Final = 2.0
# Beyond this ring about the head nothing moves.
_RING: Final = np.array([[180 + 118 * np.cos(a), 118 + 128 * np.sin(a)] for a in np.linspace(0, 2 * np.pi, 16, False)])


@dataclass(frozen=True)
class Pose:
    """The (2, 3) map from pixels of the portrait to those of the output, and the output's width and height."""

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
        return np.asarray(points @ self.matrix[:, :2].T + self.matrix[:, 2])

    def unplace(self, points: Points) -> Points:
        """Map (n, 2) points of the output to the portrait."""
        return np.asarray((points - self.matrix[:, 2]) @ np.linalg.inv(self.matrix[:, :2]).T)


def align_pose(points: Points) -> Pose:
    """The pose that maps (n, 2) landmarks to `TEMPLATE_PX`: least-squares similarity (Umeyama, 1991)."""
    source = landmarks5(points)
    mean_from, mean_to = source.mean(axis=0), TEMPLATE_PX.mean(axis=0)
    a = (source - mean_from) @ np.array([1.0, 1j])
    b = (TEMPLATE_PX - mean_to) @ np.array([1.0, 1j])
    factor = np.vdot(a, b) / np.vdot(a, a)
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return Pose(np.column_stack([linear, mean_to - linear @ mean_from]))


def source_map(cv2: Any, points: Points, pose: Pose) -> NDArray[np.float32]:
    """(height, width, 2) float32, x and y on the portrait of each output pixel; `points` are the moved landmarks."""
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
    return np.asarray(fine[step : step + height, step : step + width])


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
    return np.asarray(bent + np.column_stack([np.ones(len(where)), where]) @ weights[count:])


def _kernel(a: Points, b: Points) -> Points:
    squared: Points = np.subtract.outer(a[:, 0], b[:, 0]) ** 2 + np.subtract.outer(a[:, 1], b[:, 1]) ** 2
    return 0.5 * squared * np.log(squared + 1e-9)


_STRONGEST: Final = 1.3
_ROWS: Final = ("upper", "upper_in", "lower_in", "lower")
_ARCH: Final = (0.55, 0.9, 1.0, 0.9, 0.55)  # of a row of lip points, from corner to corner
_REACH: Final = (-0.62, -0.3, 0.0, 0.3, 0.62)


def _unit(**moves: tuple[float, float]) -> Points:
    """Displacement of all landmarks; a name without a side moves both sides, with x outwards."""
    field = np.zeros_like(_REST)
    for key, (x, y) in moves.items():
        both = [row for row, name in enumerate(_NAMES) if key != name and key == re.sub("_left|_right", "", name)]
        for row in both or [_NAMES.index(key)]:
            field[row] += (-x if both and "_left" in _NAMES[row] else x, y)
    return field


def _row(name: str, y: float, flat: float = 0.0) -> Points:
    """Move a row of lip points by `y` at its middle and less towards the corners (flat = 1: the same everywhere)."""
    return _unit(**{f"{name}_{place}": (0.0, y * (flat + (1 - flat) * arch)) for place, arch in enumerate(_ARCH, 1)})


def _widen(x: float) -> Points:
    """Move all lip points outwards, those near the corners most."""
    return _unit(**{f"{row}_{place}": (x * reach, 0.0) for row in _ROWS for place, reach in enumerate(_REACH, 1)})


# At full strength, in pixels of the portrait, relative to the face at rest.
_UNITS: Final[dict[str, Points]] = {
    "inner_brow_raiser": _unit(brow_inner=(0, -7.5), brow_mid=(0, -3.5), hairline=(0, -1.5), bridge=(0, -1)),
    "outer_brow_raiser": _unit(brow_outer=(0, -5), brow_arch=(0, -7), brow_mid=(0, -4), hair=(0, -2.5)),
    "brow_lowerer": _unit(brow_inner=(-4, 6), brow_mid=(-3, 4.5), brow_arch=(-1, 1.5), bridge=(0, 1.5)),
    "upper_lid_raiser": _unit(lid_1=(0, -3.2), lid_2=(0, -4.2), lid_3=(0, -3.4), bag_2=(0, 1)),
    "cheek_raiser": _unit(cheek=(0, -3.5), bag_1=(0, -1.8), bag_2=(0, -2.4), bag_3=(0, -1.8), fold=(1, -1.5)),
    "lid_tightener": _unit(lid_1=(0, 1.4), lid_2=(0, 1.9), lid_3=(0, 1.4))
    + _unit(bag_1=(0, -1.4), bag_2=(0, -2), bag_3=(0, -1.4)),
    "nose_wrinkler": _unit(nose=(0.8, -4), nose_base=(0, -3), nose_tip=(0, -2.5), bridge=(0, 1))
    + _unit(brow_inner=(-2, 3.5), brow_mid=(0, 2), fold=(1, -4), cheek=(0, -3.5)),
    "upper_lip_raiser": _row("upper", -5.5, 0.5) + _row("upper_in", -6.0, 0.35) + _unit(fold=(0, -3)),
    "lip_corner_puller": _unit(mouth=(6.5, -7.5), fold=(4, -2.5), cheek=(0.5, -3), upper_3=(0, -2), upper_in_3=(0, -3))
    + _unit(upper_1=(0, -4.5), upper_2=(0, -2.5), upper_4=(0, -2.5), upper_5=(0, -4.5))
    + _unit(upper_in_1=(0, -4.5), upper_in_2=(0, -3.5), upper_in_4=(0, -3.5), upper_in_5=(0, -4.5))
    + _unit(lower_in_1=(0, -1.5), lower_in_5=(0, -1.5), lower_1=(0, -1), lower_5=(0, -1))
    + _widen(8.0),
    "lip_corner_depressor": _unit(mouth=(1, 7.5), fold=(0, 3.5), upper_1=(0, 3.5), upper_5=(0, 3.5))
    + _unit(upper_in_1=(0, 4), upper_in_5=(0, 4), lower_in_1=(0, 4), lower_in_5=(0, 4))
    + _unit(lower_1=(0, 3.5), lower_5=(0, 3.5)),
    "chin_raiser": _unit(chin=(0, -4.5))
    + (_row("lower", -2.5, 0.3) + _row("upper_in", -1.5) + _row("lower_in", -1.5) + _row("upper", -1.5)),
    "lip_stretcher": _unit(mouth=(7.5, 3), fold=(3, 1)) + _widen(9.0),
    "lip_pucker": _unit(mouth=(-7, 0), fold=(-2, 0)) + _widen(-7.0),
    "lip_pressor": _row("upper", 1.2, 0.8) + _row("lower", -2.6, 0.8) + _unit(mouth=(-1, 0)),
    "lips_part": _row("lower_in", 6.0) + _row("lower", 5.0, 0.2) + _row("upper_in", -1.5),
    "jaw_drop": _row("lower_in", 17.0)
    + (_row("lower", 16.0, 0.2) + _row("upper_in", -1.0))
    + _unit(chin=(0, 12), jaw_mid=(0, 10), jaw=(0, 8), side_low=(0, 3), mouth=(0, 4), fold=(-1, 3), cheek=(0, 2)),
    "eyes_closed": _unit(lid_1=(0, 5.6), lid_2=(0, 8.2), lid_3=(0, 6)),
}
UNIT_NAMES: Final = tuple(_UNITS)

_PROTOTYPES: Final[dict[str, dict[str, float]]] = json.loads((_ASSETS / "expressions.json").read_text("utf-8"))
_LIDS: Final = [UNIT_NAMES.index(name) for name in ("upper_lid_raiser", "lid_tightener", "eyes_closed")]
_FIELD: Final = np.stack(list(_UNITS.values()))
_WEIGHTS: Final = np.array([[_PROTOTYPES[emotion].get(unit, 0.0) for unit in UNIT_NAMES] for emotion in EMOTIONS])


def action_units(amounts: NDArray[np.float64], eyes_closed: bool = False) -> NDArray[np.float64]:
    """Blend expressions.

    Args:
        amounts: (7,) of each of `EMOTIONS`, 1 for its prototype at full strength.
        eyes_closed: in a blink.

    Returns:
        (units,) strength of each action unit of `UNIT_NAMES`, at most 1.3.
    """
    blended: NDArray[np.float64] = np.minimum(amounts @ _WEIGHTS, _STRONGEST)
    if eyes_closed:
        blended[_LIDS] = (0.0, 0.0, 1.0)
    return blended


def expressive_landmarks(units: NDArray[np.float64]) -> Points:
    """(n, 2) landmarks with these action units, in pixels of the portrait."""
    return np.asarray(_REST + np.tensordot(units, _FIELD, axes=1))
