"""The ways in which input gets worse, and how far each goes: a worse tracker, line, camera, room, things in view."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.samples import Display
from emer_edge.core.window import FACE_SIZE_PX
from emer_edge.data.images import import_cv2
from emer_edge.data.windows import AlterRows
from emer_edge.data.worse_eyes import dropped_bursts, dropped_samples, tracker_noise

_NOISE_PX: Final = (5, 10, 20, 50, 100)
_LOST: Final = (0.1, 0.3, 0.5, 0.7, 0.9)
_HIDDEN: Final = (0.1, 0.2, 0.3, 0.4)


Image = NDArray[np.uint8]
CropRows = tuple[float, float]
"""Rows of a crop: the eyes' and the mouth's middle."""
AlterImage = Callable[[Image], Image]
"""(112, 112, 3) uint8, B, G, R, changed: a new array."""

_GREY: Final = 128
_GAMMA: Final = 2.2
# A small sensor: electrons of a saturated pixel, noise of reading one, and how far the camera amplifies (24 dB).
_FULL_WELL: Final = 5000.0
_READ_NOISE: Final = 4.0
_MOST_GAIN: Final = 16.0


def low_light(stops: float, rng: np.random.Generator, *_: object) -> AlterImage:
    """So many halvings of the light.

    Shot noise (the square root of the electrons) and read noise are added to linear light; the camera amplifies what is
    left by up to 16, so that images grow noisy first and dark afterwards. Each pixel of the crop stands for one of the
    sensor's: a crop that was shrunk has less noise than this.
    """

    def alter(image: Image) -> Image:
        electrons = (image / 255.0) ** _GAMMA * (_FULL_WELL * 0.5**stops)
        electrons += rng.standard_normal(image.shape) * np.sqrt(electrons + _READ_NOISE**2)
        light = electrons * (min(2.0**stops, _MOST_GAIN) / _FULL_WELL)
        return cast("Image", np.round(255.0 * np.clip(light, 0.0, 1.0) ** (1 / _GAMMA)).astype(np.uint8))

    return alter


def bar(share: float, middle_px: float) -> AlterImage:
    """A grey bar across the crop around the row `middle_px`, of a share of its height; it is moved inside the crop."""
    height = round(share * FACE_SIZE_PX)
    top = int(np.clip(round(middle_px - height / 2), 0, FACE_SIZE_PX - height))
    return _grey(slice(top, top + height), slice(None))


def bar_over_eyes(share: float, _: np.random.Generator, rows: CropRows) -> AlterImage:
    """A `bar` around the eyes."""
    return bar(share, rows[0])


def bar_over_mouth(share: float, _: np.random.Generator, rows: CropRows) -> AlterImage:
    """A `bar` around the mouth."""
    return bar(share, rows[1])


def _grey(rows: slice, columns: slice) -> AlterImage:
    def alter(image: Image) -> Image:
        covered: Image = image.copy()
        covered[rows, columns] = _GREY
        return covered

    return alter


def square(share: float, rng: np.random.Generator, *_: object) -> AlterImage:
    """A grey square of a share of the crop's area, at a place of its own."""
    side = round(math.sqrt(share) * FACE_SIZE_PX)
    top, left = (int(edge) for edge in np.round(rng.random(2) * (FACE_SIZE_PX - side)))
    return _grey(slice(top, top + side), slice(left, left + side))


def blur(sigma_px: float, *_: object) -> AlterImage:
    """Out of focus: a Gaussian of `sigma_px` crop pixels."""
    cv2 = import_cv2()

    def alter(image: Image) -> Image:
        return cast("Image", cv2.GaussianBlur(image, (0, 0), sigma_px))

    return alter


def compression(lost: float, *_: object) -> AlterImage:
    """JPEG at a quality of 100 minus `lost`."""
    cv2: Any = import_cv2()

    def alter(image: Image) -> Image:
        _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, round(100 - lost)])
        return cast("Image", cv2.imdecode(encoded, cv2.IMREAD_COLOR))

    return alter


@dataclass(frozen=True)
class Way:
    """One way for the input to get worse.

    Attributes:
        name, about, axis, unit: as in `Curve`.
        levels: ascending, above 0.
        eyes: level, random numbers, display -> what happens to eye rows.
        face: level, random numbers, rows of eyes and mouth in the crop -> what happens to a crop; there is one of both.
        keeps_events: columns 33 to 39 of the window stay as they are without it.
        draws_of: name of the curve whose random numbers it shares; its own by default.
    """

    name: str
    about: str
    axis: str
    unit: str
    levels: tuple[float, ...]
    eyes: Callable[[float, np.random.Generator, Display], AlterRows] | None = None
    face: Callable[[float, np.random.Generator, CropRows], AlterImage] | None = None
    keeps_events: bool = False
    draws_of: str = ""


WAYS: Final[tuple[Way, ...]] = (
    Way(
        "tracker noise", "white noise on each eye's gaze point, and what it does to eye movements", "SD of the noise",
        "px", levels=_NOISE_PX, eyes=tracker_noise,
    ),
    Way(
        "noise, movements kept", "the same noise, columns 33 to 39 as without it", "SD of the noise",
        "px", levels=_NOISE_PX, eyes=tracker_noise, keeps_events=True, draws_of="tracker noise",
    ),
    Way(
        "dropped samples", "samples lost one by one", "share of samples lost",
        "share", levels=_LOST, eyes=dropped_samples,
    ),
    Way(
        "dropped bursts", "samples lost in bursts of 0.5 s on average", "share of samples lost",
        "share", levels=_LOST, eyes=dropped_bursts,
    ),
    Way(
        "low light", "less light, up to 16 times amplified, with the noise of a small sensor", "light lost",
        "stops", levels=(2, 4, 6, 8), face=low_light,
    ),
    Way(
        "bar over eyes", "a grey bar across the crop", "share of the crop hidden",
        "share", levels=_HIDDEN, face=bar_over_eyes,
    ),
    Way(
        "bar over mouth", "a grey bar across the crop", "share of the crop hidden",
        "share", levels=_HIDDEN, face=bar_over_mouth,
    ),
    Way(
        "square", "a grey square somewhere in the crop, the same place in all of a clip's", "share of the crop hidden",
        "share", levels=(0.1, 0.25, 0.5, 0.75), face=square,
    ),
    Way("blur", "a Gaussian", "SD of the blur", "px", levels=(1, 2, 4), face=blur),
    Way("compression", "JPEG, once more", "100 minus the quality", "", levels=(50, 80, 95), face=compression),
)  # fmt: skip
"""Functions that can be pickled, so that they reach other processes."""
