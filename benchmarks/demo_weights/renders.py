"""Pictures of rendered heads: a person, a look, a light, a pose and face units in, a picture with its landmarks out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.demo_weights.heads import HAIR, LASHES, LEFT_EYE, RIGHT_EYE, Heads
from benchmarks.demo_weights.paint import Surface, paint
from benchmarks.demo_weights.people import Light, Look, Person, Units, View
from benchmarks.demo_weights.raster import rasterise
from emer_edge.data.synth.faces import align_pose

Floats = NDArray[np.float32]

_PIVOT: Final = np.array([0, -0.3, -0.7], np.float32)  # a head turns about this point, in eye distances
_NARROWEST: Final = 0.93  # of the eye distance that a turned head may seem to have: it is not drawn larger than that
_SOFT_PX: Final = 0.7
_LID_AT: Final = 60.0  # pixels between the eyes for which `Light.lid` is given
_LID: Final = 20.0
_FINER: Final = 1.4


@dataclass(frozen=True)
class Rendering:
    """One picture.

    Attributes:
        image: (h, w, 3) uint8, B, G, R, over black.
        alpha: (h, w) uint8, 255 where the head is, softened at its edges.
        landmarks: (5, 2) float64, x and y in pixels: the eye that is left in the picture, the right one, the tip of the
            nose, the left and the right corner of the mouth.
        vertices: (v, 2) float32, where each vertex of `Heads.vertices` falls, in pixels.
        facing: (v,) bool, whether the surface there turns towards the camera; something may still be before it.
    """

    image: NDArray[np.uint8]
    alpha: NDArray[np.uint8]
    landmarks: NDArray[np.float64]
    vertices: Floats
    facing: NDArray[np.bool_]

    def over(self, background: NDArray[np.float32]) -> Floats:
        """Put the head before a background (h, w, 3) of the same size, 0 to 255: (h, w, 3) float32."""
        through = 1.0 - self.alpha[..., None].astype(np.float32) / 255.0
        return np.asarray(self.image + background * through, np.float32)


def render(
    heads: Heads,
    person: Person,
    look: Look,
    light: Light,
    units: Units,
    *,
    view: View | None = None,
    size: tuple[int, int] = (160, 160),
    between_eyes: tuple[float, float] = (80.0, 68.0),
    span_px: float = 38.0,
    finer: float = _FINER,
) -> Rendering:
    """Render a head.

    Args:
        heads: the mesh.
        person: who.
        look: in what colours.
        light: under which lamps.
        units: face unit -> strength.
        view: pose; straight ahead by default.
        size: width and height of the picture.
        between_eyes: place of the point between the eyes, in pixels.
        span_px: pixels from eye to eye of a head that looks straight ahead.
        finer: pixels are rendered so many times finer, then averaged.

    Raises:
        KeyError: a name is no face unit.
        ConfigurationError: no C compiler.
    """
    view = view or View()
    width, height = (round(side * finer) for side in size)
    rest, moved = _moved(heads, person, units)
    turn = _rotation(view)
    at = (moved - _PIVOT) @ turn.T + _PIVOT
    flat = at[:, :2] * (view.distance / (view.distance - at[:, 2] + 0.3))[:, None]
    left, right = (flat[rows].mean(axis=0) for rows in heads.eyes)
    scale = finer * span_px / max(float(np.linalg.norm(left - right)), _NARROWEST)
    middle = (left + right) / 2
    x = finer * between_eyes[0] + (flat[:, 0] - middle[0]) * scale
    y = finer * between_eyes[1] - (flat[:, 1] - middle[1]) * scale
    normal = _normals(heads, at)
    rows = np.concatenate([normal, rest, moved, _folds(heads, at, normal)[:, None]], axis=1)[heads.seams]
    shown = np.flatnonzero(_shown(heads, rest, look))
    nearest, out = rasterise(
        heads.triangles[shown],
        np.stack([x, y, at[:, 2]], axis=1)[heads.seams],
        np.concatenate([rows, heads.uv], axis=1),
        np.isin(heads.part[shown], (HAIR, LASHES)),
        (width, height),
    )
    covered = nearest >= 0
    seen = out[covered]
    surface = Surface(
        part=heads.part[shown][nearest[covered]],
        normal=seen[:, :3] / (np.linalg.norm(seen[:, :3], axis=1, keepdims=True) + 1e-6),
        rest=seen[:, 3:6],
        moved=seen[:, 6:9],
        fold=seen[:, 9],
        uv=seen[:, 10:12],
    )
    eyes = (moved[heads.eyes[0]].mean(axis=0), moved[heads.eyes[1]].mean(axis=0))
    image = np.zeros((height, width, 4), np.float32)
    image[covered, :3] = paint(heads, surface, look, light, eyes, float(rest[heads.five[0], 2]))
    image[covered, 3] = 255.0
    _draw_lids(image, covered, surface.part, light, scale)
    np.clip(image, 0, 255, out=image)
    image[..., :3] = 255 * (image[..., :3] / 255) ** light.gamma
    small = cv2.resize(cv2.GaussianBlur(image, (0, 0), _SOFT_PX), size, interpolation=cv2.INTER_AREA)
    whole = np.clip(np.rint(small), 0, 255).astype(np.uint8)
    places = np.stack([x, y], axis=1) / finer
    five = [places[heads.eyes[1]].mean(axis=0), places[heads.eyes[0]].mean(axis=0), *places[list(heads.five)]]
    return Rendering(
        image=np.ascontiguousarray(whole[..., :3]),
        alpha=np.ascontiguousarray(whole[..., 3]),
        landmarks=np.stack(five).astype(np.float64),
        vertices=places.astype(np.float32),
        facing=normal[:, 2] > 0,
    )


def background(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    """Draw a background without any object: a colour, blurred spots of several sizes, sometimes stripes.

    Returns:
        (height, width, 3) float32, 0 to 255, and a little beyond.
    """
    width, height = size
    image = np.full((height, width, 3), rng.uniform(10, 245), np.float32) + rng.normal(0, 20, 3).astype(np.float32)
    if rng.random() < 0.3:
        return image
    depth = rng.uniform(8, 45)
    for cells in (2, 4, 9, 20, 45)[: rng.integers(1, 6)]:
        spots = rng.normal(0, depth, (cells, cells, 3 if rng.random() < 0.5 else 1)).astype(np.float32)
        spots = cv2.resize(spots, size, interpolation=cv2.INTER_CUBIC if rng.random() < 0.7 else cv2.INTER_NEAREST)
        image += spots if spots.ndim == 3 else spots[..., None]
        depth *= rng.uniform(0.4, 0.9)
    if rng.random() < 0.3:
        along = np.add.outer(np.arange(height) * rng.normal(0, 1), np.arange(width) * rng.normal(0, 1))
        image += rng.uniform(5, 40) * np.sign(np.sin(along * rng.uniform(0.02, 0.3)))[..., None]
    return image if rng.random() < 0.4 else cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 6))


def align(
    image: NDArray[np.uint8] | Floats, landmarks: NDArray[np.float64], change: NDArray[np.float64] | None = None
) -> Floats:
    """Cut out a face as the product does: a similarity takes the landmarks onto the synthetic set's template.

    Args:
        image: (h, w, 3).
        landmarks: (5, 2), as of `Rendering`.
        change: a further (2, 3) map within the crop.

    Returns:
        (112, 112, 3) float32 in the image's range.
    """
    matrix = align_pose(landmarks).matrix
    linear, offset = matrix[:, :2], matrix[:, 2]
    if change is not None:
        linear, offset = change[:, :2] @ linear, change[:, :2] @ offset + change[:, 2]
    matrix = np.column_stack([linear, offset]).astype(np.float32)
    crop = cv2.warpAffine(image, matrix, (112, 112), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, np.float32)


def _moved(heads: Heads, person: Person, units: Units) -> tuple[Floats, Floats]:
    """The head at rest and moved, in eye distances from between the eyes."""
    vertices = person.vertices.copy()
    for name, strength in units.items():
        vertices += np.float32(strength) * heads.targets[heads.index[f"face/{name}"]]
    left, right = (person.vertices[rows].mean(axis=0) for rows in heads.eyes)
    middle, apart = (left + right) / 2, np.linalg.norm(left - right)
    return (person.vertices - middle) / apart, (vertices - middle) / apart


def _rotation(view: View) -> Floats:
    (cy, cp, cr), (sy, sp, sr) = (
        (function(view.yaw), function(view.pitch), function(view.roll)) for function in (np.cos, np.sin)
    )
    yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    pitch = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return (roll @ pitch @ yaw).astype(np.float32)


def _normals(heads: Heads, at: Floats) -> Floats:
    a, b, c = (at[heads.corners[:, corner]] for corner in range(3))
    faces = np.cross(b - a, c - a)
    total = np.zeros_like(at)
    for corner in range(3):
        for axis in range(3):
            total[:, axis] += np.bincount(heads.corners[:, corner], faces[:, axis], len(at))
    return total / (np.linalg.norm(total, axis=1, keepdims=True) + 1e-9)


def _folds(heads: Heads, at: Floats, normal: Floats) -> Floats:
    """How far the neighbours of each vertex rise above it along its normal, per length of an edge: (v,)."""
    a, b = heads.edges[:, 0], heads.edges[:, 1]
    count = heads.neighbours
    around = np.stack(
        [np.bincount(a, at[b, axis], len(at)) + np.bincount(b, at[a, axis], len(at)) for axis in range(3)],
        axis=1,
    )
    length = np.repeat(np.linalg.norm(at[a] - at[b], axis=1), 2)
    edge = np.bincount(heads.edges.ravel(), length, len(at)) / count
    rises = ((around / count[:, None] - at) * normal).sum(axis=1)
    return np.clip(rises / (edge + 1e-6), -0.3, 0.3).astype(np.float32)


def _shown(heads: Heads, rest: Floats, look: Look) -> NDArray[np.bool_]:
    """Which triangles are drawn: of long hair, those above its cut and beside the face."""
    shown = np.ones(len(heads.triangles), bool)
    hair = heads.part == HAIR
    if look.hair_style == 1:
        corners = rest[heads.corners[hair]]
        middle = corners.mean(axis=1)
        before = (middle[:, 2] > -1.1) & (abs(middle[:, 0]) < 1.45)
        low = corners[:, :, 1].min(axis=1) < look.hairline - 0.25
        shown[hair] = ~((middle[:, 1] < look.cut) | (before & low))
    else:
        shown[hair] = False
    if not look.lashes:
        shown[heads.part == LASHES] = False
    return shown


def _draw_lids(image: Floats, covered: NDArray[np.bool_], part: NDArray[np.uint8], light: Light, scale: float) -> None:
    """Draw the dark line above each eye, in place."""
    thickness = round(light.lid * scale / _LID_AT)
    if thickness < 1:
        return
    eye = np.zeros(covered.shape, bool)
    eye[covered] = (part == LEFT_EYE) | (part == RIGHT_EYE)
    above = np.zeros_like(eye)
    above[:-thickness] = eye[thickness:]
    line = (above & ~eye).astype(np.float32)
    line = cv2.GaussianBlur(line, (0, 0), 0.8)[..., None] * np.float32(light.lid_depth)
    image[..., :3] += (_LID - image[..., :3]) * line
