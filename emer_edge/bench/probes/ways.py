"""The ways in which input gets worse, and how far each goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from emer_edge.bench.probes.worse_eyes import dropped_bursts, dropped_samples, tracker_noise
from emer_edge.bench.probes.worse_faces import AlterImage, bar, blur, compression, low_light, square
from emer_edge.data.windows import AlterRows
from emer_edge.spec.samples import Display

__all__ = ["EYE_WAYS", "FACE_WAYS", "CropRows", "EyeWay", "FaceWay", "Way"]

_NOISE_PX: Final = (5, 10, 20, 50, 100)
_LOST: Final = (0.1, 0.3, 0.5, 0.7, 0.9)
_HIDDEN: Final = (0.1, 0.2, 0.3, 0.4)

CropRows = tuple[float, float]
"""Rows of a crop: the eyes' and the mouth's middle."""


@dataclass(frozen=True)
class Way:
    """One way for the input to get worse.

    Attributes:
        name, about, axis, unit: as in `Curve`.
        levels: ascending, above 0.
    """

    name: str
    about: str
    axis: str
    unit: str
    levels: tuple[float, ...]


@dataclass(frozen=True)
class EyeWay(Way):
    """One way for eye rows to get worse.

    Attributes:
        alter: level, random numbers, display -> what happens to the rows.
        keeps_events: columns 33 to 39 of the window stay as they are without it.
        draws_of: name of the curve whose random numbers it shares; its own by default.
    """

    alter: Callable[[float, np.random.Generator, Display], AlterRows]
    keeps_events: bool = False
    draws_of: str = ""


@dataclass(frozen=True)
class FaceWay(Way):
    """One way for face crops to get worse.

    Attributes:
        alter: level, random numbers, rows of eyes and mouth in the crop -> what happens to a crop.
    """

    alter: Callable[[float, np.random.Generator, CropRows], AlterImage]


# Functions with names, which reach other processes.
def _dropped_samples(level: float, rng: np.random.Generator, _: Display) -> AlterRows:
    return dropped_samples(level, rng)


def _dropped_bursts(level: float, rng: np.random.Generator, _: Display) -> AlterRows:
    return dropped_bursts(level, rng)


def _low_light(level: float, rng: np.random.Generator, _: CropRows) -> AlterImage:
    return low_light(level, rng)


def _bar_over_eyes(level: float, _: np.random.Generator, rows: CropRows) -> AlterImage:
    return bar(level, rows[0])


def _bar_over_mouth(level: float, _: np.random.Generator, rows: CropRows) -> AlterImage:
    return bar(level, rows[1])


def _square(level: float, rng: np.random.Generator, _: CropRows) -> AlterImage:
    return square(level, rng)


def _blur(level: float, _: np.random.Generator, __: CropRows) -> AlterImage:
    return blur(level)


def _compression(level: float, _: np.random.Generator, __: CropRows) -> AlterImage:
    return compression(level)


EYE_WAYS: Final = (
    EyeWay(
        "tracker noise", "white noise on each eye's gaze point, and what it does to eye movements", "SD of the noise",
        "px", _NOISE_PX, tracker_noise,
    ),
    EyeWay(
        "noise, movements kept", "the same noise, columns 33 to 39 as without it", "SD of the noise",
        "px", _NOISE_PX, tracker_noise, keeps_events=True, draws_of="tracker noise",
    ),
    EyeWay(
        "dropped samples", "samples lost one by one", "share of samples lost", "share", _LOST,
        _dropped_samples,
    ),
    EyeWay(
        "dropped bursts", "samples lost in bursts of 0.5 s on average", "share of samples lost", "share", _LOST,
        _dropped_bursts,
    ),
)  # fmt: skip
FACE_WAYS: Final = (
    FaceWay(
        "low light", "less light, up to 16 times amplified, with the noise of a small sensor", "light lost", "stops",
        (2, 4, 6, 8), _low_light,
    ),
    FaceWay(
        "bar over eyes", "a grey bar across the crop", "share of the crop hidden", "share", _HIDDEN,
        _bar_over_eyes,
    ),
    FaceWay(
        "bar over mouth", "a grey bar across the crop", "share of the crop hidden", "share", _HIDDEN,
        _bar_over_mouth,
    ),
    FaceWay(
        "square", "a grey square somewhere in the crop, the same place in all of a clip's", "share of the crop hidden",
        "share", (0.1, 0.25, 0.5, 0.75), _square,
    ),
    FaceWay(
        "blur", "a Gaussian", "SD of the blur", "px", (1, 2, 4), _blur,
    ),
    FaceWay(
        "compression", "JPEG, once more", "100 minus the quality", "", (50, 80, 95),
        _compression,
    ),
)  # fmt: skip
