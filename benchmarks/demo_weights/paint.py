"""The colour of what a pixel shows: skin with its pattern, brows, beard, lips, hair, teeth and eyes; then light.

All of it is procedural, so that no photograph of anybody takes part. Places on the head at rest decide what is painted,
in eye distances from the point between the eyes, so that paint moves with the skin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.demo_weights.heads import (
    HAIR,
    LASHES,
    LEFT_EYE,
    RIGHT_EYE,
    SKIN,
    TEETH,
    TONGUE,
    Heads,
    sample,
)
from benchmarks.demo_weights.people import Light, Look

Floats = NDArray[np.float32]

_MOUTH: Final = np.array([35, 30, 75], np.float32)
_TEETH: Final = np.array([190, 215, 225], np.float32)
_TONGUE: Final = np.array([90, 85, 165], np.float32)
_WHITES: Final = np.array([215, 222, 232], np.float32)
_PUPIL: Final = np.array([15, 15, 15], np.float32)
_PUPIL_DEGREES: Final = 11.0
_BLUSH: Final = np.array([-0.6, -0.5, 0.1], np.float32)
_LID: Final = np.array([0.4, 0.5, 0.5], np.float32)


@dataclass(frozen=True)
class Surface:
    """What the visible pixels show, one row each.

    Attributes:
        part: (n,) part of the mesh.
        normal: (n, 3) unit vectors.
        rest: (n, 3) place on the head at rest, in eye distances from between the eyes.
        moved: (n, 3) place after the face has moved.
        fold: (n,) curvature, positive in creases.
        uv: (n, 2) place on the masks.
    """

    part: NDArray[np.uint8]
    normal: Floats
    rest: Floats
    moved: Floats
    fold: Floats
    uv: Floats


def paint(
    heads: Heads, surface: Surface, look: Look, light: Light, eyes: tuple[Floats, Floats], nose: float
) -> NDArray[np.float32]:
    """Colour every pixel of a surface.

    Args:
        heads: the masks.
        surface: what pixels show.
        look: colours and hair.
        light: lamps.
        eyes: centres of the left and the right eyeball after the face has moved, as `Surface.moved`.
        nose: depth of the foremost point at rest.

    Returns:
        (n, 3) B, G, R, 0 to 255 and beyond.
    """
    skin = (surface.part == SKIN).astype(np.float32)
    lips, inside, lids = (sample(mask, surface.uv) * skin for mask in heads.masks)
    rng = np.random.default_rng(look.seed)
    coarse, middle, fine = (_pattern(surface.rest, rng, *waves) for waves in ((0.4, 1.5, 4), (3, 8, 4), (12, 30, 5)))
    colour = look.skin * np.exp(np.stack([coarse, middle, fine], 1) @ np.array(look.mottling, np.float32))[:, None]
    colour = colour * np.exp(look.blush * _cheeks(surface.rest)[:, None] * _BLUSH)
    hair = look.hair
    if look.beard > 0:
        colour = _over(colour, hair, _beard(surface.rest, look, fine) * skin * (1 - lips) * (1 - inside))
    colour = _over(colour, hair, _brows(surface.rest, look, fine) * skin)
    colour = _over(colour, look.lips, lips * look.lip_depth)
    colour = _over(colour, _MOUTH, inside * 0.7)
    colour = colour * (1 - (lids * look.shadow)[:, None] * _LID)
    if look.hair_style:
        colour = _over(colour, hair, _scalp(surface.rest, look, middle, fine) * skin)
    strands = surface.part == HAIR
    if strands.any():
        along = _pattern(surface.rest[strands] * np.array([1, 0.15, 1], np.float32), rng, 8, 20, 6)
        colour[strands] = hair * np.exp(0.25 * along + 0.15 * coarse[strands])[:, None]
    colour[surface.part == LASHES] = np.minimum(hair, 60) * 0.6
    colour[surface.part == TEETH] = _TEETH * look.teeth
    colour[surface.part == TONGUE] = _TONGUE
    for part, centre in zip((LEFT_EYE, RIGHT_EYE), eyes, strict=True):
        seen = surface.part == part
        if seen.any():
            colour[seen] = _eye(surface.moved[seen] - centre, look, coarse[seen])
    return _lit(colour, surface, inside, light, nose).astype(np.float32)


def _lit(colour: Floats, surface: Surface, inside: Floats, light: Light, nose: float) -> Floats:
    normal = surface.normal
    shade = light.ambient * (1 + 0.35 * normal[:, 1:2])
    for direction, lamp in light.lamps:
        shade = shade + np.clip((normal @ direction + light.wrap) / (1 + light.wrap), 0, None)[:, None] * lamp
    fold = surface.fold
    open_ = np.exp(light.creases * (0.5 * np.clip(-fold, 0, 0.3) - 6 * np.clip(fold, 0, 0.3)))
    in_mouth = (surface.part == TEETH) | (surface.part == TONGUE) | (inside > 0.5)
    open_ *= 1 - 0.75 * in_mouth * np.clip(0.6 * nose - surface.moved[:, 2], 0, 0.7)
    open_[(surface.part == LEFT_EYE) | (surface.part == RIGHT_EYE)] *= 0.9
    half = light.lamps[0][0] + np.array([0, 0, 1], np.float32)
    mirrored = np.clip(normal @ (half / np.linalg.norm(half)), 0, 1) ** light.gloss
    return colour * shade * open_[:, None] + (mirrored * light.shine * 255 * (surface.part == SKIN))[:, None]


def _over(below: Floats, above: Floats, cover: Floats) -> Floats:
    return below + (above - below) * cover[:, None]


def _pattern(at: Floats, rng: np.random.Generator, low: float, high: float, waves: int) -> Floats:
    """A sum of sines in random directions, `low` to `high` periods per unit, variance one half: (n,)."""
    total = np.zeros(len(at), np.float32)
    for _ in range(waves):
        vector = rng.normal(size=3)
        vector *= 2 * np.pi * rng.uniform(low, high) / np.linalg.norm(vector)
        total += np.sin(at @ vector.astype(np.float32) + np.float32(rng.uniform(0, 2 * np.pi)))
    return total / np.float32(waves**0.5)


def _cheeks(at: Floats) -> Floats:
    x, y = abs(at[:, 0]), at[:, 1] + 0.55
    return np.exp(-((x - 0.55) ** 2 + y**2) / 0.06) + 0.7 * np.exp(-(x**2 + y**2) / 0.02)


def _beard(at: Floats, look: Look, fine: Floats) -> Floats:
    x, y, z = abs(at[:, 0]), at[:, 1], at[:, 2]
    full = np.clip((-y - 0.75 - 0.15 * np.clip(0.5 - x, 0, 1)) * 5, 0, 1) * np.clip((z + 1.1) * 3, 0, 1)
    moustache = np.exp(-(((y + 0.93) / 0.09) ** 2)) * (x < 0.45)
    cover = np.clip(full * look.full_beard + moustache * look.moustache, 0, 1)
    return cover * np.clip(0.7 + 0.5 * fine, 0, 1) * look.beard * (y > -2.2)


def _brows(at: Floats, look: Look, fine: Floats) -> Floats:
    height, arch, tilt, thickness, inner = look.brow
    x, y = abs(at[:, 0]), at[:, 1]
    middle = height + 0.06 * arch * np.cos(np.clip((x - 0.52) / 0.4, -1, 1) * np.pi / 2) - tilt * (x - 0.5)
    thick = thickness * np.clip(1.15 - 0.6 * np.clip((x - 0.3) / 0.6, 0, 1), 0.3, 1.2)
    ends = np.clip((x - inner) / 0.05, 0, 1) * np.clip((0.92 - x) / 0.08, 0, 1) * (at[:, 2] > -0.5)
    return np.exp(-(((y - middle) / thick) ** 4)) * ends * look.brow_depth * np.clip(0.8 + 0.4 * fine, 0, 1)


def _scalp(at: Floats, look: Look, middle: Floats, fine: Floats) -> Floats:
    line = look.hairline + 0.25 * np.clip(at[:, 0] ** 2, 0, 1) * look.temple + 0.04 * middle
    behind = 0.55 * np.clip(-at[:, 2] - 0.75, 0, 2)
    return np.clip((at[:, 1] - line + behind) * 12, 0, 1) * np.clip(0.85 + 0.25 * fine, 0, 1)


def _eye(out: Floats, look: Look, coarse: Floats) -> Floats:
    """Colour of an eyeball at (n, 3) places from its centre."""
    out = out / (np.linalg.norm(out, axis=1, keepdims=True) + 1e-9)
    degrees = np.degrees(np.arccos(np.clip(out @ look.gaze, -1, 1)))[:, None]
    rim = 1 - 0.5 * (degrees > look.iris_degrees - 4)
    white = _WHITES * look.whites - 8 * coarse[:, None]
    colour = np.where(degrees < look.iris_degrees, look.iris * rim, white)
    colour = np.where(degrees < _PUPIL_DEGREES, _PUPIL, colour)
    glint = np.exp(-((out - look.glint) ** 2).sum(axis=1) / 0.006)
    return np.asarray(colour + 120 * glint[:, None], np.float32)
