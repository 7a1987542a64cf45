"""Draw the portrait with any expression, participant and pose.

Brows, creases and the inside of a mouth, which a warp can't make, are painted over the warped face.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.images import import_cv2
from emer_edge.data.synth.portrait import (
    LANDMARKS,
    UNIT_NAMES,
    Pose,
    align_pose,
    expressive_landmarks,
    indices,
    portrait,
    source_map,
)

Points = NDArray[np.float64]
Canvas = NDArray[np.float32]
Line = tuple[Points, float, float]
"""Points, width in pixels of the portrait, depth 0 to 1."""

_BROWS: Final = (
    indices("brow_left_outer", "brow_left_arch", "brow_left_mid", "brow_left_inner"),
    indices("brow_right_inner", "brow_right_mid", "brow_right_arch", "brow_right_outer"),
)
_UPPER_IN: Final = indices("mouth_left", "upper_in", "mouth_right")
_LOWER_IN: Final = indices("mouth_left", "lower_in", "mouth_right")
_MIDDLE: Final = 3  # of the seven points of a lip's inner edge
_LOWER_LIP: Final = indices("lower_3", "lower_in_3")
_OUTER_CORNERS: Final = indices("eye_left_outer", "eye_right_outer")
_ABSORBED: Final = np.array([1.0, 0.9, 0.78], np.float32)  # of B, G, R by shaded skin and hair
_CAVITY: Final = np.array([38.0, 26.0, 58.0], np.float32)
_TEETH: Final = np.array([205.0, 218.0, 226.0], np.float32)
_FAINTEST: Final = 0.02
_LEAST_PX: Final = 8


def _paint(cv2: Any, image: Canvas, at: Points, units: NDArray[np.float64], brow: float) -> None:
    """Paint in place: (n, 2) landmarks in pixels of the image, action units, thickness of the brows, 0 to 1."""
    left, right = _OUTER_CORNERS
    scale = float(np.linalg.norm(at[right] - at[left]) / np.linalg.norm(LANDMARKS[right] - LANDMARKS[left]))
    image, at = _about_face(image, at)
    dark = np.zeros(image.shape[:2], np.float32)
    brows: list[Line] = [(_curve(at[rows]), 1.4 + 2.4 * brow, 0.35 + 0.4 * brow) for rows in _BROWS]
    for line, width, depth in brows + _creases(at, units):
        _stroke(cv2, dark, line, width * scale, depth=depth)
    dark = cv2.GaussianBlur(dark, (0, 0), 0.55 * scale)
    image *= 1.0 - np.minimum(dark, 0.85)[..., None] * _ABSORBED
    _paint_mouth(cv2, image, at, float(np.clip(units[UNIT_NAMES.index("jaw_drop")], 0.0, 1.0)), scale=scale)


def _about_face(image: Canvas, at: Points) -> tuple[Canvas, Points]:
    """View of the image's part with the landmarks, and the landmarks in it: the rest needs no painting."""
    size = np.array(image.shape[1::-1])
    x0, y0 = np.clip(np.floor(at.min(axis=0)).astype(int), 0, size - _LEAST_PX).tolist()
    x1, y1 = np.clip(np.ceil(at.max(axis=0)).astype(int), (x0 + _LEAST_PX, y0 + _LEAST_PX), size).tolist()
    return image[y0:y1, x0:x1], at - (x0, y0)


def _creases(at: Points, units: NDArray[np.float64]) -> list[Line]:
    """Lines of folded skin."""
    unit = dict(zip(UNIT_NAMES, units.tolist(), strict=True))
    brow_left, brow_right, bridge, hairline = at[indices("brow_left_inner", "brow_right_inner", "bridge", "hairline")]
    arch_left, arch_right, tip, chin = at[indices("brow_left_arch", "brow_right_arch", "nose_tip", "chin")]
    middle, across = (brow_left + brow_right) / 2, brow_right - brow_left
    down = bridge - middle
    lines: list[Line] = []
    for side in (-0.2, 0.2):  # between the brows
        top, bottom = middle + side * across - 0.7 * down, middle + 0.8 * side * across + 0.35 * down
        lines.append((np.stack([top, bottom]), 1.6, 0.5 * unit["brow_lowerer"]))
    for level in (0.0, 0.3, 0.6):  # across the nose
        centre, half = bridge + level * (tip - bridge), across * (0.235 + 0.1 * level)
        lines.append((_curve(np.stack([centre - half, centre - 0.18 * down, centre + half])), 1.3,
                      0.42 * unit["nose_wrinkler"]))  # fmt: skip
    for level in (0.3, 0.6):  # on the forehead
        rise = level * (hairline - middle)
        lines.append((_curve(np.stack([arch_left + rise, middle + 1.1 * rise, arch_right + rise])), 1.2,
                      0.17 * (unit["inner_brow_raiser"] + unit["outer_brow_raiser"])))  # fmt: skip
    fold = 0.8 * unit["lip_corner_puller"] + 0.9 * unit["nose_wrinkler"] + 0.4 * unit["upper_lip_raiser"]
    lower = at[indices("lower_3")[0]]
    for side_name in ("left", "right"):  # from the nose to the mouth's corners, and below these
        nose, cheek, corner = at[indices(f"nose_{side_name}", f"fold_{side_name}", f"mouth_{side_name}")]
        lines.append((_curve(np.stack([nose, cheek, cheek + 0.35 * (corner - cheek)])), 1.6, 0.3 * min(fold, 1.2)))
        sag = corner + 0.28 * (chin - lower) + 0.06 * (corner - chin)
        lines.append((np.stack([corner, sag]), 1.8, 0.3 * unit["lip_corner_depressor"]))
    spot = 0.55 * lower + 0.45 * chin
    lines.append((_curve(np.stack([spot - 0.5 * across, spot - 0.15 * down, spot + 0.5 * across])), 1.8,
                  0.4 * unit["chin_raiser"]))  # fmt: skip
    return [line for line in lines if line[2] > _FAINTEST]


def _paint_mouth(cv2: Any, image: Canvas, at: Points, cavity: float, scale: float) -> None:
    """Close the smile with lips and a seam, or fill an open mouth with teeth and, by `cavity`, darkness."""
    upper, lower = _curve(at[_UPPER_IN]), _curve(at[_LOWER_IN])
    gap = float(np.linalg.norm(at[_LOWER_IN[_MIDDLE]] - at[_UPPER_IN[_MIDDLE]])) / scale
    shut, opened = max(0.0, 1.0 - gap / 3.0), float(np.clip((gap - 1.2) / 1.5, 0.0, 1.0))
    if shut > 0:  # lips go over what the warp leaves of the teeth
        over = np.array([0.0, 1.3 * scale])
        lips = _filled(cv2, image, np.vstack([upper - over, lower[::-1] + over]), 0.6 * scale)
        image += (0.9 * shut * lips)[..., None] * (_colour(image, at[_LOWER_LIP].mean(axis=0)) - image)
    seam = np.zeros(image.shape[:2], np.float32)
    _stroke(cv2, seam, (upper + lower) / 2, 1.3 * scale, depth=0.55)
    image *= 1.0 - cv2.GaussianBlur(seam, (0, 0), 0.5 * scale)[..., None] * max(0.0, 1.0 - gap / 4.0)
    if opened == 0.0:
        return
    inside = _filled(cv2, image, np.vstack([upper, lower[::-1]]), 0.5 * scale)
    reach = min(gap, 7.0 - 1.5 * cavity) / gap
    edge = upper + (lower - upper) * reach
    teeth = _filled(cv2, image, np.vstack([upper, edge[::-1]]), 0.5 * scale) * inside * (1.0 - 0.35 * cavity)
    light = 0.5 + float(image.mean()) / 280.0
    inner = light * (_CAVITY + teeth[..., None] * (_TEETH - _CAVITY))
    image += (inside * opened)[..., None] * (inner - image)


def _colour(image: Canvas, point: Points) -> NDArray[np.float32]:
    """Mean colour of the 3 x 3 pixels about a point inside the image."""
    x, y = np.clip(np.round(point).astype(int), 1, np.array(image.shape[1::-1]) - 2).tolist()
    return np.asarray(image[y - 1 : y + 2, x - 1 : x + 2].mean(axis=(0, 1)))


def _filled(cv2: Any, image: Canvas, polygon: Points, blur_px: float) -> Canvas:
    """Mask of a polygon, (height, width) 0 to 1, with soft edges."""
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(polygon * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(mask.astype(np.float32) / 255.0, (0, 0), max(blur_px, 0.3)))


def _stroke(cv2: Any, dark: Canvas, line: Points, width_px: float, depth: float) -> None:
    """Darken along a line, in place; OpenCV draws whole widths, so the depth compensates for rounding."""
    mask = np.zeros(dark.shape, np.uint8)
    thick = max(1, round(width_px))
    strength = depth * min(1.0, width_px / thick)
    cv2.polylines(mask, [np.round(line * 16).astype(np.int32)], False, 255, thick, cv2.LINE_AA, 4)
    np.maximum(dark, mask.astype(np.float32) * np.float32(strength / 255.0), out=dark)


def _curve(points: Points, parts: int = 6) -> Points:
    """Catmull-Rom curve through the points."""
    padded = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    t = np.linspace(0.0, 1.0, parts, endpoint=False)[:, None, None]
    p0, p1, p2, p3 = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    bends = 2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    return np.vstack([0.5 * bends.transpose(1, 0, 2).reshape(-1, 2), points[-1:]])


Image = NDArray[np.uint8]

_NOISE: Final = 2.0


@dataclass(frozen=True)
class Appearance:
    """A participant's face, whatever the expression.

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
    """(n, 2) landmarks of a participant with these action units, in pixels of the portrait."""
    return expressive_landmarks(units) + who.shape


def render(
    units: NDArray[np.float64], who: Appearance, pose: Pose | None = None, rng: np.random.Generator | None = None
) -> Image:
    """Draw one face.

    Args:
        units: strengths of the action units, from `action_units`.
        who: the participant.
        pose: by default the face is aligned to `TEMPLATE_PX` in a 112 x 112 crop.
        rng: of the camera's noise; None for no noise.

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
    _paint(cv2, image, pose.place(points), units, brow=who.brow)
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
    return np.asarray(np.clip(np.round(toned), 0, 255).astype(np.uint8))
