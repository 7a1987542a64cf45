"""Measures what a device must match on the data set: landmarks, brightness, the display, quantiles of columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle.manifest import QUANTILES, FaceRecord
from emer_edge.core.columns import COLUMN_KEYS, EVENTS, VALIDITY, column_indices
from emer_edge.core.errors import ConfigurationError
from emer_edge.core.progress import Progress
from emer_edge.core.samples import Display
from emer_edge.core.window import EYE_COLUMN_COUNT, EventsRule, WindowSpec
from emer_edge.data.dataset import Clip
from emer_edge.data.windows import clip_window
from emer_edge.runtime.faces import ARCFACE_TEMPLATE, FaceDetector, grey_level

FEWEST_FACES: Final = 20
"""With fewer detected faces a median of landmarks means nothing, and the generic template is used."""

_FEWEST_ROWS: Final = 200
_WHOLE: Final = frozenset(column_indices(VALIDITY, EVENTS))
_MOST_RESIDUAL_PX: Final = 2.0


def training_samples(
    clips: Sequence[Clip], spec: WindowSpec, events: EventsRule, progress: Progress
) -> tuple[list[NDArray[np.uint8]], NDArray[np.float32]]:
    """Read the first crop of each clip's window, (112, 112, 3) uint8, and the eye rows of all their covered slots.

    Raises:
        DataError: a clip can't be read.
    """
    crops, rows = [], [np.zeros((0, EYE_COLUMN_COUNT), np.float32)]
    for done, clip in enumerate(clips, start=1):
        window = clip_window(clip, spec, events)
        crops.append(clip.frame(int(window.frames[0])))
        rows.append(window.eye[window.covered_eye])
        progress("reading training windows", done, len(clips))
    return crops, np.concatenate(rows)


def measure_faces(
    crops: Sequence[NDArray[np.uint8]], detector: FaceDetector, progress: Progress, match_brightness: bool = False
) -> FaceRecord:
    """Measure the landmarks and the brightness of the data set's own crops.

    Args:
        crops: (112, 112, 3) uint8, B, G, R.
        detector: the bundle's own.
        progress: called after each crop.
        match_brightness: scale live crops to this brightness.

    Raises:
        ConfigurationError: `match_brightness`, and the crops are all black or all equally bright.
    """
    landmarks = []
    for done, crop in enumerate(crops, start=1):
        face = detector.in_crop(crop)
        if face is not None:
            landmarks.append(face.landmarks_px)
        progress("measuring landmarks", done, len(crops))
    template = ARCFACE_TEMPLATE
    if len(landmarks) >= FEWEST_FACES:
        middle = np.median(np.stack(landmarks), axis=0)
        template = tuple((round(float(x), 3), round(float(y), 3)) for x, y in middle)  # type: ignore[assignment]
    levels = np.array([grey_level(crop) for crop in crops])
    if match_brightness and not (levels.size and levels.mean() > 0 and round(float(levels.std()), 3) > 0):
        raise ConfigurationError("--match-brightness needs crops of different brightness; here all have the same")
    return FaceRecord(
        template_px=template,
        template_faces=len(landmarks) if len(landmarks) >= FEWEST_FACES else 0,
        brightness_mean=round(float(levels.mean()), 3) if len(levels) else None,
        brightness_std=round(float(levels.std()), 3) if len(levels) else None,
        match_brightness=match_brightness,
    )


def eye_quantiles(rows: NDArray[np.float32]) -> dict[str, tuple[float, ...]]:
    """Quantiles (1, 5, 25, 50, 75, 95, 99 %) of each column of (n, 39) rows; empty without rows.

    Missing cells are 0 in rows and are skipped, so that the range of an eye's distance does not begin at 0. Validity
    and columns 33 to 39 are taken whole.
    """
    if not len(rows):
        return {}
    quantiles = {}
    for column, key in enumerate(COLUMN_KEYS):
        values = rows[:, column].astype(np.float64)
        if column not in _WHOLE and values.any():
            values = values[values != 0]
        quantiles[key] = tuple(float(f"{quantile:.6g}") for quantile in np.quantile(values, QUANTILES))
    return quantiles


def find_display(rows: NDArray[np.float32]) -> Display | None:
    """Work out the training display from (n, 39) rows in which the same gaze is given in px, mm and as a share.

    Pixels are shares times the width where the film filled the display, and millimetres times the pixel density.
    None where the rows are not on such lines.
    """
    position = {key: at for at, key in enumerate(COLUMN_KEYS)}
    sizes = []
    for axis in "XY":
        pixels = rows[:, position[f"Gaze point left {axis} [DACS px]"]].astype(np.float64)
        shares = rows[:, position[f"Gaze point left {axis} [MCS norm]"]].astype(np.float64)
        millimetres = rows[:, position[f"Gaze point left {axis} [DACS mm]"]].astype(np.float64)
        seen = (pixels != 0) & (shares != 0) & (millimetres != 0)
        if seen.sum() < _FEWEST_ROWS:
            return None
        width_px, offset_px = np.polyfit(shares[seen], pixels[seen], 1)
        density, start_px = np.polyfit(millimetres[seen], pixels[seen], 1)
        off = np.median(np.abs(shares[seen] * width_px + offset_px - pixels[seen]))
        off_mm = np.median(np.abs(millimetres[seen] * density + start_px - pixels[seen]))
        if max(off, off_mm) > _MOST_RESIDUAL_PX or abs(offset_px) > _MOST_RESIDUAL_PX or min(width_px, density) <= 0:
            return None
        sizes.append((round(float(width_px)), round(float(width_px / density), 1)))
    (width, width_mm), (height, height_mm) = sizes
    return Display(width_px=width, height_px=height, width_mm=width_mm, height_mm=height_mm)
