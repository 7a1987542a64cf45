"""Drawn at random: who a head is, how it looks, its light, its pose and what its face does.

All of it comes from a `numpy.random.Generator`: the same generator draws the same people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.demo_weights.heads import Heads

Floats = NDArray[np.float32]
Units = Mapping[str, float]
"""Face unit of `Heads.units` -> strength, 0 to about 1.3."""

_ANCESTRIES: Final = ("african", "asian", "caucasian")
_MOST_SHAPES: Final = {"eyes": 8, "nose": 8, "mouth": 6, "asym": 4}
_SKIN: Final = np.array(  # B, G, R
    [
        [140, 170, 225], [150, 180, 235], [130, 165, 215], [110, 150, 200], [90, 130, 180],
        [70, 105, 155], [55, 80, 125], [40, 60, 95], [170, 195, 240],
    ],
    np.float32,
)  # fmt: skip
_SKINS: Final = ((4, 5, 6, 7), (0, 1, 2, 3), (0, 1, 2, 8))  # of each ancestry
_HAIR: Final = np.array(
    [
        [15, 15, 18], [20, 25, 35], [30, 45, 70], [45, 75, 120], [90, 140, 185], [40, 60, 140], [150, 150, 150],
        [200, 200, 205],
    ],
    np.float32,
)  # fmt: skip
_HAIR_YOUNG: Final = (0.27, 0.25, 0.18, 0.12, 0.1, 0.06, 0.01, 0.01)
_HAIR_OLD: Final = (0.22, 0.2, 0.16, 0.1, 0.1, 0.06, 0.08, 0.08)
_IRIS: Final = np.array([[20, 35, 60], [25, 50, 90], [110, 95, 60], [70, 100, 70], [15, 20, 30]], np.float32)

POSED: Final[dict[str, dict[str, float]]] = {
    "happiness": {"mouthSmile": 1, "cheekSquint": 0.8, "jawOpen": 0.12, "mouthUpperUp": 0.4},
    "smile open": {"mouthSmile": 1.1, "cheekSquint": 0.7, "jawOpen": 0.3, "mouthUpperUp": 0.6, "mouthLowerDown": 0.4},
    "smile shut": {"mouthSmile": 0.8, "mouthDimple": 0.5, "cheekSquint": 0.4, "mouthPress": 0.2},
    "sadness": {"mouthFrown": 1, "browInnerUp": 1, "eyeSquint": 0.3, "mouthShrugLower": 0.5},
    "surprise": {"jawOpen": 0.6, "browInnerUp": 1, "browOuterUp": 1, "eyeWide": 1},
    "anger": {"browDown": 1.2, "mouthPress": 0.8, "noseSneer": 0.4, "eyeSquint": 0.5},
    "disgust": {"noseSneer": 1.2, "mouthUpperUp": 0.8, "browDown": 0.5, "cheekSquint": 0.4},
    "fear": {"browInnerUp": 1, "browOuterUp": 0.5, "eyeWide": 1, "mouthStretch": 0.9, "jawOpen": 0.25},
    "neutral": {},
    "pressed": {"mouthPress": 0.2},
}
"""Mixtures of face units that people pose, named without their side. No label: the teacher says what is seen."""

_HALVED: Final = ("mouthFunnel", "jawLeft", "jawRight", "mouthLeft", "mouthRight", "jawForward")


@dataclass(frozen=True)
class Person:
    """One identity.

    Attributes:
        vertices: (v, 3) the head at rest.
        ancestry: (3,) shares of African, Asian and Caucasian targets.
        male: 0 to 1.
        old: whether hair may be grey.
        child: without a beard.
    """

    vertices: Floats
    ancestry: NDArray[np.float64]
    male: float
    old: bool
    child: bool


@dataclass(frozen=True)
class Look:
    """Colours and hair of a person. Colours are B, G, R, 0 to 255; places are eye distances from between the eyes.

    Attributes:
        seed: of the skin's pattern.
        skin, hair, lips, iris: colours.
        mottling: depth of the skin's coarse, middle and fine pattern.
        blush, lip_depth, shadow, brow_depth, beard, whites, teeth: strengths.
        full_beard, moustache: whether the beard has them.
        brow: height, arch, tilt, thickness and inner end.
        hair_style: 0 none, 1 long, 2 short.
        hairline, temple, cut: height of the hairline, its bend at the temples, and where long hair ends.
        lashes: whether they are drawn.
        gaze, glint: (3,) directions in the eye's own axes.
        iris_degrees: radius of the iris as seen from the eye's centre.
    """

    seed: int
    skin: Floats
    hair: Floats
    lips: Floats
    iris: Floats
    mottling: tuple[float, float, float]
    blush: float
    lip_depth: float
    shadow: float
    brow_depth: float
    beard: float
    whites: float
    teeth: float
    full_beard: bool
    moustache: bool
    brow: tuple[float, float, float, float, float]
    hair_style: int
    hairline: float
    temple: float
    cut: float
    lashes: bool
    gaze: Floats
    glint: Floats
    iris_degrees: float


@dataclass(frozen=True)
class Light:
    """Lamps and how skin answers.

    Attributes:
        lamps: direction (3,) and colour (3,) of each, B, G, R.
        ambient: (3,) colour.
        wrap: how far light reaches round an edge, 0 to 1.
        creases: depth of shade in folds.
        gloss, shine: exponent and strength of reflections.
        lid, lid_depth: thickness in pixels at 60 pixels between the eyes, and depth, of the line above an eye.
        gamma: of the picture.
        noise: standard deviation of a pixel, 0 to 255.
    """

    lamps: tuple[tuple[Floats, Floats], ...]
    ambient: Floats
    wrap: float
    creases: float
    gloss: float
    shine: float
    lid: float
    lid_depth: float
    gamma: float
    noise: float


@dataclass(frozen=True)
class View:
    """Pose of the head, in radians, and the camera's distance in eye distances."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    distance: float = 14.0


def draw_person(heads: Heads, rng: np.random.Generator) -> Person:
    """Draw an identity: a mixture of ancestries, sexes, ages and weights, and of the shapes of each feature."""
    vertices = heads.vertices.copy()
    ancestry = rng.dirichlet([0.5] * 3)
    male = float(np.clip(rng.beta(0.5, 0.5), 0, 1))
    age = str(rng.choice(["child", "young", "young", "young", "old"]))
    towards = str(rng.choice(["young", "old"]))
    share = 0.0 if age == "child" else float(rng.random())
    weight = float(rng.uniform(-1, 1))
    for sex, of_sex in (("female", 1 - male), ("male", male)):
        for years, of_years in ((age, 1 - share), (towards, share)):
            for name, part in zip(_ANCESTRIES, ancestry, strict=True):
                vertices += np.float32(part * of_sex * of_years) * _target(heads, f"kind/{name}-{sex}-{years}")
            for name, part in (("average", 1 - abs(weight)), ("max", max(weight, 0)), ("min", max(-weight, 0))):
                target = f"kind/universal-{sex}-{years}-averagemuscle-{name}weight"
                vertices += np.float32(part * of_sex * of_years) * _target(heads, target)
    for group, rows in heads.shapes.items():
        count = int(rng.integers(0, 1 + min(len(rows), _MOST_SHAPES.get(group, 3))))
        for row in rng.choice(rows, count, replace=False):
            vertices += np.float32(rng.uniform(0, 0.3 if group == "asym" else 0.6)) * heads.targets[row]
    old = age == "old" or (towards == "old" and share > 0.5)
    return Person(vertices, ancestry, male, old, age == "child")


def draw_look(person: Person, rng: np.random.Generator) -> Look:
    """Draw the colours and hair of a person."""
    male = person.male > 0.5
    tone = _SKIN[rng.choice(_SKINS[int(rng.choice(3, p=person.ancestry))])]
    skin = tone * np.exp(rng.normal(0, 0.1)) * np.exp(rng.normal(0, 0.04, 3))
    hair = _HAIR[rng.choice(len(_HAIR), p=_HAIR_OLD if person.old else _HAIR_YOUNG)] * np.exp(rng.normal(0, 0.15))
    natural = skin * np.array([0.65, 0.6, 0.85]) * rng.uniform(0.7, 1.05)
    painted = np.array([rng.uniform(30, 110), rng.uniform(30, 80), rng.uniform(120, 210)])
    bearded = male and not person.child and rng.random() < 0.5
    return Look(
        seed=int(rng.integers(1 << 30)),
        skin=skin.astype(np.float32),
        hair=hair.astype(np.float32),
        lips=(natural if male or rng.random() < 0.6 else painted).astype(np.float32),
        iris=_IRIS[rng.integers(len(_IRIS))],
        mottling=(rng.uniform(0, 0.06), rng.uniform(0, 0.06), rng.uniform(0, 0.07)),
        blush=rng.uniform(0, 0.5),
        lip_depth=rng.uniform(0.3, 1),
        shadow=rng.uniform(0, 0.6),
        brow_depth=rng.uniform(0.5, 1),
        beard=rng.uniform(0.1, 0.9) if bearded else 0.0,
        whites=rng.uniform(0.75, 1),
        teeth=rng.uniform(0.8, 1.1),
        full_beard=bool(rng.random() < 0.7),
        moustache=bool(rng.random() < 0.7),
        brow=(
            rng.uniform(0.34, 0.44),
            rng.uniform(0, 1.3),
            rng.normal(0, 0.06),
            rng.uniform(0.03, 0.08),
            rng.uniform(0.1, 0.22),
        ),
        hair_style=int(rng.choice(3, p=(0.1, 0.2, 0.7) if male else (0.1, 0.45, 0.45))),
        hairline=rng.uniform(0.9, 1.35),
        temple=rng.uniform(-0.8, 0.5),
        cut=rng.uniform(-3, 0.6),
        lashes=bool(rng.random() < 0.6),
        gaze=_unit(rng.normal(0, 0.15), rng.normal(0, 0.1)),
        glint=_unit(rng.normal(0, 0.25), rng.uniform(0.1, 0.4)),
        iris_degrees=rng.uniform(25, 31),
    )


def draw_light(rng: np.random.Generator) -> Light:
    """Draw one to three lamps that together expose a face about right."""
    lamps = []
    for _ in range(rng.integers(1, 4)):
        direction = _unit(rng.normal(0, 0.7), rng.normal(0.35, 0.5))
        lamps.append((direction, rng.uniform(0.25, 0.9) * np.exp(rng.normal(0, 0.06, 3))))
    ambient = rng.uniform(0.2, 0.55) * np.exp(rng.normal(0, 0.05, 3))
    exposure = rng.uniform(0.8, 1.15) / (sum(0.8 * float(colour.mean()) for _, colour in lamps) + ambient.mean())
    return Light(
        lamps=tuple((direction, (colour * exposure).astype(np.float32)) for direction, colour in lamps),
        ambient=(ambient * exposure).astype(np.float32),
        wrap=rng.uniform(0, 0.35),
        creases=rng.uniform(0.3, 1.2),
        gloss=rng.uniform(8, 40),
        shine=rng.uniform(0, 0.22),
        lid=rng.uniform(0, 3.4),
        lid_depth=rng.uniform(0.2, 0.9),
        gamma=rng.uniform(0.8, 1.2),
        noise=rng.uniform(0, 4),
    )


def draw_view(rng: np.random.Generator) -> View:
    """Draw a pose of somebody who looks at a screen."""
    return View(rng.normal(0, 0.16), rng.normal(0, 0.12), rng.normal(0, 0.05), rng.uniform(7, 25))


def draw_units(heads: Heads, rng: np.random.Generator) -> dict[str, float]:
    """Draw what a face does: a posed mixture with some units of its own, or a few units at random; a quarter blink."""
    stems = sided(heads)
    mixture: dict[str, float] = {}
    if rng.random() < 0.65:
        for _ in range(1 if rng.random() < 0.7 else 2):
            strength = rng.uniform(0.25, 1.25)
            for name, share in POSED[str(rng.choice(list(POSED)))].items():
                mixture[name] = mixture.get(name, 0) + strength * share * rng.uniform(0.6, 1.3)
        for name in rng.choice(stems, rng.integers(0, 4), replace=False):
            mixture[str(name)] = mixture.get(str(name), 0) + rng.uniform(0, 0.35)
    else:
        for name in rng.choice(stems, rng.integers(1, 8), replace=False):
            mixture[str(name)] = rng.beta(1.2, 1.5)
    for name in _HALVED:
        if name in mixture:
            mixture[name] *= 0.5
    units = both_sides(heads, mixture, rng)
    if rng.random() < 0.25:
        units["eyeBlinkLeft"] = units["eyeBlinkRight"] = rng.uniform(0.2, 1)
    return {name: float(np.clip(strength, 0, 1.4)) for name, strength in units.items()}


def sided(heads: Heads) -> list[str]:
    """Names of face units without their side; gaze, blinks and the tongue are left out."""
    stems = {name.removesuffix("Left").removesuffix("Right") for name in heads.units}
    stems -= {"jaw", "mouth"}  # jawLeft, mouthRight ... are units of their own
    stems |= {"jawLeft", "jawRight", "mouthLeft", "mouthRight"}
    return sorted(name for name in stems if not name.startswith(("eyeLook", "eyeBlink", "tongue")))


def both_sides(heads: Heads, mixture: Units, rng: np.random.Generator | None = None) -> dict[str, float]:
    """Turn a mixture of units without sides into one of `Heads.units`; with a generator the sides differ a little.

    Raises:
        KeyError: a name is no face unit.
    """
    units: dict[str, float] = {}
    for name, strength in mixture.items():
        lean = rng.normal(0, 0.12) if rng is not None else 0.0
        if f"{name}Left" in heads.units:
            units[f"{name}Left"], units[f"{name}Right"] = strength * (1 + lean), strength * (1 - lean)
        elif name in heads.units:
            units[name] = strength
        else:
            raise KeyError(f"{name} is no face unit")
    return units


def _target(heads: Heads, name: str) -> Floats:
    row = heads.index.get(name)
    return np.zeros_like(heads.vertices) if row is None else heads.targets[row]


def _unit(x: float, y: float) -> Floats:
    vector = np.array([x, y, 1.0])
    return (vector / np.linalg.norm(vector)).astype(np.float32)
