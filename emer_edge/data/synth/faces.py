"""Draw a packaged face with any expression, participant and pose.

`assets` holds rendered people, who never lived: of each a sheet of eight pictures in one pose and one light (the seven
emotions of `EMOTIONS` at their peak, the last one neutral, then neutral with closed eyes), and in `faces.npz` where
their landmarks are, how every part of the neutral face moves to each peak, and what a teacher network sees in the faces
drawn from them. An expression in between is a morph: parts move by its share, and the pictures fade by it.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import DataError, install_line
from emer_edge.core.heads import EMOTIONS
from emer_edge.core.window import FACE_SIZE_PX
from emer_edge.data.images import import_cv2

Points = NDArray[np.float64]
Image = NDArray[np.uint8]

TEMPLATE_PX: Final = np.array([[37.0, 44.0], [75.0, 44.0], [56.0, 64.0], [40.5, 83.0], [71.5, 83.0]])
"""(5, 2) eyes, nose and mouth corners in aligned crops."""

PICTURE_PX: Final = (176, 208)
"""Width and height of a picture; its scale is that of aligned crops."""

CELL_PX: Final = 8
"""Side of the cells of a picture that a packaged displacement speaks for."""

QUARTER_PX: Final = 0.25
"""Unit of the packaged displacements."""

STRENGTHS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Strengths of an expression at which the teacher looked, evenly spaced."""

COLUMNS: Final = 4
"""Pictures in a row of a sheet."""

_NEUTRAL: Final = EMOTIONS.index("neutral")
_CLOSED: Final = len(EMOTIONS)
_PEAKS: Final = tuple(at for at in range(len(EMOTIONS)) if at != _NEUTRAL)
_ROWS: Final = 2
_ENLARGED: Final = 1.5  # from this scale on the morph is done at the picture's own
_FAINTEST: Final = 0.03  # share of a picture below which it is not faded in
_LID_PX: Final = (13.0, 8.0)  # half an eye's width and height, with its lids
_BAND: Final = 32  # rows
_NOISE: Final = 2.0
_STEP: Final = 7  # faces from one seed to the next
_ASSETS: Final = files("emer_edge.data") / "synth" / "assets"
_FACES: Final = "faces.npz"


@dataclass(frozen=True)
class Pose:
    """The (2, 3) map from pixels of a picture to those of the output, and the output's width and height."""

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
        """Map (n, 2) points of a picture to the output."""
        return np.asarray(points @ self.matrix[:, :2].T + self.matrix[:, 2])


def align_pose(points: Points) -> Pose:
    """The pose that maps (5, 2) landmarks to `TEMPLATE_PX`: least-squares similarity (Umeyama, 1991)."""
    mean_from, mean_to = points.mean(axis=0), TEMPLATE_PX.mean(axis=0)
    a = (points - mean_from) @ np.array([1.0, 1j])
    b = (TEMPLATE_PX - mean_to) @ np.array([1.0, 1j])
    factor = np.vdot(a, b) / np.vdot(a, a)
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return Pose(np.column_stack([linear, mean_to - linear @ mean_from]))


@dataclass(frozen=True)
class Packaged:
    """What `faces.npz` holds of n faces.

    Attributes:
        points: (n, 8, 5, 2) float32, landmarks in every picture, pixels: eyes, nose tip, mouth corners.
        moves: (n, 7, 26, 22, 2) int8, x and y by which cells of the neutral picture move to a peak, quarter pixels.
        seen: (n, 7, 5, 7) float32, the teacher's probabilities of `EMOTIONS` for each shown emotion at `STRENGTHS`.
    """

    points: NDArray[np.float32]
    moves: NDArray[np.int8]
    seen: NDArray[np.float32]


@lru_cache(maxsize=1)
def packaged() -> Packaged:
    """Read `faces.npz`.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        with (_ASSETS / _FACES).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            points, moves, seen = (arrays[name] for name in ("points", "moves", "seen"))
            return Packaged(points.astype(np.float32), moves, seen.astype(np.float32))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(_FACES) from error


@lru_cache(maxsize=4)
def _pictures(face: int) -> NDArray[np.uint8]:
    """(8, 208, 176, 3) uint8, B, G, R: the sheet of a face, cut up."""
    cv2, name = import_cv2(), f"{face:03d}.jpg"
    width, height = PICTURE_PX
    try:
        encoded = np.frombuffer((_ASSETS / name).read_bytes(), np.uint8)
        sheet = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    except OSError as error:
        raise _damaged(name) from error
    if sheet is None or sheet.shape != (_ROWS * height, COLUMNS * width, 3):
        raise _damaged(name)
    tiles = sheet.reshape((_ROWS, height, COLUMNS, width, 3)).swapaxes(1, 2)
    return np.ascontiguousarray(tiles.reshape(_ROWS * COLUMNS, height, width, 3))


def _damaged(name: str) -> DataError:
    return DataError(f"{_ASSETS / name}, a packaged face, is missing or damaged: {install_line('synth')} anew")


def face_of(seed: int, participant: int) -> int:
    """The face of a participant, numbered from 1; -> row of `packaged`.

    The faces are two halves. Odd and even seeds begin with different ones, and each seed somewhere else: so two data
    sets of up to 60 people share no face if one seed is odd and one even. Participants beyond the last begin again.
    """
    half = len(packaged().points) // 2
    row = (participant - 1) % (2 * half)
    return (seed + row // half) % 2 * half + (row % half + _STEP * (seed // 2)) % half


def seen(face: int, shown: str, strength: float) -> NDArray[np.float64]:
    """The teacher's (7,) probabilities of `EMOTIONS` for a face that shows an emotion at a strength of 0 to 1."""
    table = packaged().seen[face, EMOTIONS.index(shown)]
    at = min(max(strength, 0.0), 1.0) * (len(STRENGTHS) - 1)
    below = min(int(at), len(STRENGTHS) - 2)
    found = table[below] + (at - below) * (table[below + 1] - table[below])
    return np.asarray(found / found.sum(), np.float64)


@dataclass(frozen=True)
class Appearance:
    """A participant's face, whatever the expression.

    Attributes:
        face: row of `packaged`.
        stretch: (2,) factors of its width and height.
        tint: (3,) gains of B, G, R.
        gamma: tone curve; above 1 is darker.
        light: how much brighter the right and the lower edge is than the opposite one, as a fraction.
    """

    face: int
    stretch: NDArray[np.float64]
    tint: NDArray[np.float64]
    gamma: float = 1.0
    light: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, seed: int, participant: int) -> Appearance:
        """The looks of a participant, numbered from 1."""
        rng = np.random.default_rng([seed, 4, participant])
        warmth, lightness, green = rng.normal(0, (0.04, 0.06, 0.012))
        return cls(
            face=face_of(seed, participant),
            stretch=1.0 + rng.normal(0, (0.025, 0.02)),
            tint=np.exp(lightness + np.array([-warmth, green, warmth])),
            gamma=float(np.exp(rng.normal(0.0, 0.1))),
            light=(rng.normal(0, 0.1), rng.normal(0, 0.1)),
        )

    @property
    def stretched(self) -> NDArray[np.float64]:
        """(2, 3) map of a picture's pixels that stretches it about its middle."""
        return np.column_stack([np.diag(self.stretch), (1.0 - self.stretch) * np.array(PICTURE_PX) / 2])


def landmarks(amounts: NDArray[np.float64], who: Appearance) -> Points:
    """(5, 2) eye centres, nose tip and mouth corners of a participant, in pixels of a stretched picture."""
    points = packaged().points[who.face].astype(np.float64)
    moved = points[_NEUTRAL] + np.tensordot(_shares(amounts), points[list(_PEAKS)] - points[_NEUTRAL], axes=1)
    return Pose(who.stretched).place(moved)


def render(
    amounts: NDArray[np.float64],
    who: Appearance,
    pose: Pose | None = None,
    rng: np.random.Generator | None = None,
    *,
    eyes_closed: bool = False,
) -> Image:
    """Draw one face.

    Args:
        amounts: (7,) of each of `EMOTIONS`, 1 for its peak; that of neutral changes nothing.
        who: the participant.
        pose: by default the face is aligned to `TEMPLATE_PX` in a 112 x 112 crop.
        rng: of the camera's noise; None for no noise.
        eyes_closed: in a blink.

    Returns:
        (height, width, 3) uint8, B, G, R.

    Raises:
        DataError: the package's pictures are damaged.
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = import_cv2()
    pose = pose or align_pose(landmarks(amounts, who))
    there = (_square(pose.matrix) @ _square(who.stretched))[:2]
    if np.hypot(*there[:, 0]) < _ENLARGED:
        return _expose(cv2, _morph(amounts, who.face, there, pose.size, shut=eyes_closed), who, rng)
    whole = _morph(amounts, who.face, np.eye(2, 3), PICTURE_PX, shut=eyes_closed)
    image = cv2.warpAffine(whole, there, pose.size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return _expose(cv2, image, who, rng)


def _morph(
    amounts: NDArray[np.float64], face: int, there: NDArray[np.float64], size: tuple[int, int], *, shut: bool
) -> NDArray[np.float32]:
    """(height, width, 3) float32: the pictures of a face, moved and faded; `there` maps a picture to the output."""
    cv2 = import_cv2()
    pictures, moves, shares = _pictures(face), packaged().moves[face], _shares(amounts)
    back = np.linalg.inv(_square(there))[:2]
    to_cells = back / CELL_PX
    to_cells[:, 2] += 0.5 / CELL_PX - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

    def moved(shares_of: dict[int, float]) -> NDArray[np.float32]:
        cells = sum(np.float32(QUARTER_PX * share) * moves[at].astype(np.float32) for at, share in shares_of.items())
        return np.asarray(cv2.warpAffine(cells, to_cells, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))

    def drawn(at: int, where: NDArray[np.float32]) -> NDArray[np.float32]:
        picture = cv2.remap(pictures[at], where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(picture.astype(np.float32))

    shown = {at: float(share) for at, share in zip(_PEAKS, shares, strict=True) if share}
    x, y = np.arange(size[0])[None, :, None], np.arange(size[1])[:, None, None]
    place = np.asarray(back[:, 0] * x + back[:, 1] * y + back[:, 2], np.float32)
    if shown:
        place -= moved(shown)
    faded = {at: share for at, share in shown.items() if share >= _FAINTEST}
    image: NDArray[np.float32] = np.float32(1.0 - sum(faded.values())) * drawn(_NEUTRAL, place)
    for at, share in faded.items():
        image += np.float32(share) * drawn(at, place + moved({at: 1.0}))
    if shut:
        lids = _lids(place, packaged().points[face, _CLOSED, :2])[..., None]
        image += lids * (drawn(_CLOSED, place) - image)
    return image


def _shares(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    """(6,) shares of the peaks: the amounts, scaled down where their sum is above 1."""
    peaks = np.maximum(amounts[list(_PEAKS)], 0.0)
    return np.asarray(peaks / max(1.0, float(peaks.sum())))


def _square(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.vstack([matrix, [0.0, 0.0, 1.0]])


def _lids(place: NDArray[np.float32], eyes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(height, width) 0 to 1, where the eyes and their lids are; `eyes` (2, 2) in pixels of a picture."""
    off = (place[..., None, :] - eyes) / np.array(_LID_PX, np.float32)
    return np.asarray(np.exp(-np.square(np.square(off).sum(axis=-1))).max(axis=-1), np.float32)


def _expose(cv2: Any, image: NDArray[np.float32], who: Appearance, rng: np.random.Generator | None) -> Image:
    """Tint, tone curve, uneven light and noise."""
    height, width = image.shape[:2]
    levels = np.minimum(np.arange(256)[:, None] * who.tint, 255.0)
    curve = (255.0 * (levels / 255.0) ** who.gamma).astype(np.float32)
    x, y = np.linspace(-0.5, 0.5, width), np.linspace(-0.5, 0.5, height)
    exposed = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _BAND):  # what stays in the processor's cache is several times faster
        rows = slice(top, top + _BAND)
        toned = cv2.LUT(_levels(image[rows]), curve[None])
        light = (1.0 + who.light[0] * x[None, :] + who.light[1] * y[rows, None]).astype(np.float32)
        toned *= cv2.merge([light] * 3)  # numpy is slow where three channels share a number
        if rng is not None:
            noise = rng.standard_normal(light.shape, np.float32)
            noise *= np.float32(_NOISE)
            toned += cv2.merge([noise] * 3)
        exposed[rows] = _levels(toned)
    return exposed


def _levels(image: NDArray[np.float32]) -> Image:
    """Round to whole levels; the image is changed on the way."""
    np.rint(image, out=image)
    return np.asarray(np.clip(image, 0, 255, out=image).astype(np.uint8))
