"""Draw the portrait with any expression, participant and pose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.images import import_cv2
from emer_edge.data.synth.expressions import expressive_landmarks
from emer_edge.data.synth.paint import paint
from emer_edge.data.synth.portrait import LANDMARKS, indices, portrait
from emer_edge.data.synth.warp import Pose, align_pose, source_map

__all__ = ["Appearance", "landmarks", "render"]

Points = NDArray[np.float64]
Image = NDArray[np.uint8]

_NOISE: Final = 2.0


@dataclass(frozen=True)
class Appearance:
    """What is a participant's own, whatever the expression.

    Attributes:
        shape: (n, 2) displacement of the landmarks, pixels of the portrait.
        tint: (3,) gains of B, G, R.
        gamma: tone curve; above 1 is darker.
        light: how much brighter the right and the lower edge is than the opposite one, as a fraction.
        brow: thickness and darkness of the brows, 0 to 1.
    """

    shape: Points
    tint: NDArray[np.float64]
    gamma: float = 1.0
    light: tuple[float, float] = (0.0, 0.0)
    brow: float = 0.6

    @classmethod
    def plain(cls) -> Appearance:
        """The portrait's own looks."""
        return cls(np.zeros_like(LANDMARKS), np.ones(3))

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Appearance:
        """Draw a participant."""
        offset = LANDMARKS - LANDMARKS[indices("nose_tip")]
        shape = offset * rng.normal(0, (0.035, 0.03))  # width and height of the face
        shape[:, 0] += np.where(offset[:, 1] > 15, offset[:, 0] * rng.normal(0, 0.05), 0.0)  # jaw
        shape[:, 1] += np.where(offset[:, 1] > 35, rng.normal(0, 1.2), 0.0)  # chin
        for side in ("left", "right"):
            eye = indices(f"lid_{side}", f"bag_{side}", f"eye_{side}")
            shape[eye] += (LANDMARKS[eye] - LANDMARKS[eye].mean(axis=0)) * rng.normal(0, 0.05)
        shape[indices("brow"), 1] += rng.normal(0, 1.0)
        shape[indices("mouth", "upper", "lower"), 1] += rng.normal(0, 1.0)
        warmth, lightness, green = rng.normal(0, (0.05, 0.08, 0.015))
        return cls(
            shape=shape,
            tint=np.exp(lightness + np.array([-warmth, green, warmth])),
            gamma=float(np.exp(rng.normal(0.12, 0.12))),
            light=(rng.normal(0, 0.12), rng.normal(0, 0.12)),
            brow=rng.uniform(0.35, 0.95),
        )


def landmarks(units: NDArray[np.float64], who: Appearance) -> Points:
    """Return the (n, 2) landmarks of a participant with these action units, in pixels of the portrait."""
    return expressive_landmarks(units) + who.shape


def render(
    units: NDArray[np.float64], who: Appearance, pose: Pose | None = None, rng: np.random.Generator | None = None
) -> Image:
    """Draw one face.

    Args:
        units: strengths of the action units, from `expressions.action_units`.
        who: the participant.
        pose: where the portrait lands; by default the face is aligned to `TEMPLATE_PX` in a 112 x 112 crop.
        rng: adds the camera's noise; None draws without noise.

    Returns:
        (height, width, 3) uint8, B, G, R.

    Raises:
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = import_cv2()
    points = landmarks(units, who)
    pose = pose or align_pose(points)
    source = source_map(cv2, points, pose)
    warped = cv2.remap(portrait(), source[..., 0], source[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    image = warped.astype(np.float32)
    paint(cv2, image, pose.place(points), units, who.brow)
    return _expose(cv2, image, who, rng)


def _expose(cv2: Any, image: NDArray[np.float32], who: Appearance, rng: np.random.Generator | None) -> Image:
    """Tint, tone curve, uneven light and noise."""
    height, width = image.shape[:2]
    levels = np.minimum(np.arange(256)[:, None] * who.tint, 255.0)
    curve = (255.0 * (levels / 255.0) ** who.gamma).astype(np.float32)
    toned = cv2.LUT(np.clip(np.round(image), 0, 255).astype(np.uint8), curve[None])
    x, y = np.linspace(-0.5, 0.5, width), np.linspace(-0.5, 0.5, height)
    toned *= (1.0 + who.light[0] * x[None, :, None] + who.light[1] * y[:, None, None]).astype(np.float32)
    if rng is not None:
        toned += _NOISE * rng.standard_normal((height, width, 1), np.float32)
    exposed: Image = np.clip(np.round(toned), 0, 255).astype(np.uint8)
    return exposed
