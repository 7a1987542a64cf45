"""The ways in which input gets worse, and how far each goes: a worse tracker, line, camera, room, things in view."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import DIRECTION, GAZE_MCS, GAZE_MM, GAZE_POINT, GAZE_POINT_MCS, GAZE_PX, POSITION
from emer_edge.core.samples import Display
from emer_edge.core.window import FACE_SIZE_PX, NANOSECONDS
from emer_edge.data.images import import_cv2
from emer_edge.data.windows import AlterRows

Rows = NDArray[np.float32]
Times = NDArray[np.int64]
Flags = NDArray[np.bool_]

_EYES: Final = tuple(zip(GAZE_PX, DIRECTION, POSITION, GAZE_MM, GAZE_MCS, strict=True))
_NOISE_PX: Final = (5, 10, 20, 50, 100)
_LOST: Final = (0.1, 0.3, 0.5, 0.7, 0.9)
_HIDDEN: Final = (0.1, 0.2, 0.3, 0.4)
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
        noisy = rows.astype(np.float64)
        has = np.stack([rows[:, eye[0]].any(axis=1) for eye in _EYES])
        for (px, direction, position, mm, mcs), off, given in zip(_EYES, noise, has, strict=True):
            for columns, unit in ((px, 1.0), (mm, mm_px), (mcs, 1 / size_px)):
                there = given & rows[:, columns].any(axis=1)
                noisy[there, columns] += off[there] * unit
            there = given & rows[:, direction].any(axis=1) & rows[:, position].any(axis=1) & rows[:, mm].any(axis=1)
            ray = np.concatenate([noisy[there, mm], np.zeros((there.sum(), 1))], axis=1) - noisy[there, position]
            noisy[there, direction] = ray / np.linalg.norm(ray, axis=1, keepdims=True)
        has[0] |= ~has.any(axis=0)  # a tracker that gives one point for both eyes
        both = (noise * has[..., None]).sum(axis=0) / has.sum(axis=0)[:, None]
        for columns, unit in ((GAZE_POINT, np.ones(2)), (GAZE_POINT_MCS, 1 / size_px)):
            there = rows[:, columns].any(axis=1)
            noisy[there, columns] += both[there] * unit
        return noisy.astype(np.float32), times_ns, seen

    return alter


def dropped_samples(share: float, rng: np.random.Generator, *_: object) -> AlterRows:
    """Rows lost one by one, each with the same chance; those lost at a lower share are among those at a higher one."""

    def alter(rows: Rows, times_ns: Times, seen: Flags) -> tuple[Rows, Times, Flags]:
        kept = rng.random(len(rows)) >= share
        return rows[kept], times_ns[kept], seen[kept]

    return alter


def dropped_bursts(share: float, rng: np.random.Generator, *_: object) -> AlterRows:
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
