"""Simulated eye tracking of a participant who watches a film and feels something: the 39 columns at 120 Hz.

Films act through luminance and gaze path, participants through pupil size, latency, seat and calibration; neither
depends on a label, and blinks and losses are independent of everything. Cells are rounded as in a Tobii Pro Lab export.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core import columns
from emer_edge.core.columns import VALIDITY, MovementType
from emer_edge.core.errors import ConfigurationError
from emer_edge.core.samples import Display, TrackerSample
from emer_edge.core.window import EYE_COLUMN_COUNT, NANOSECONDS
from emer_edge.data.synth.gaze import Feeling, course, film_luminance, film_target_px, scan
from emer_edge.data.synth.plan import CLIP_SECONDS
from emer_edge.signals.events import numbered_events
from emer_edge.signals.rows import eye_reading

Floats = NDArray[np.float64]

_DECIMALS: Final = (0,) * 6 + (5,) * 6 + (3,) * 2 + (0,) * 2 + (2,) * 6 + (2,) * 4 + (4,) * 6 + (0,) * 5 + (4,) * 2


def _lay_out(
    gaze_px: Floats, position_mm: Floats, pupil_mm: Floats, movement: NDArray[np.int64], lost: NDArray[np.bool_]
) -> Floats:
    """Fill the 39 columns.

    Args:
        gaze_px: (n, 2, 2) gaze point of the left and the right eye on the display, which the stimulus fills.
        position_mm: (n, 2, 3) eyes, DACS.
        pupil_mm: (n, 2).
        movement: (n,) `MovementType`, fixation or saccade.
        lost: (n, 2) where an eye is not seen.

    Returns:
        (n, 39) float64, NaN where an export's cell is blank. Columns 33 to 39 look ahead as exports do: whole
        durations, whole centroids, an index of each type from the recording's start.
    """
    count = len(gaze_px)
    size_px = np.array([DISPLAY.width_px, DISPLAY.height_px])
    size_mm = np.array([DISPLAY.width_mm, DISPLAY.height_mm])
    gaze_mm = gaze_px / size_px * size_mm
    ray = np.concatenate([gaze_mm, np.zeros((count, 2, 1))], axis=2) - position_mm
    direction = ray / np.linalg.norm(ray, axis=2, keepdims=True)
    parts = [gaze_px, direction, pupil_mm[..., None], position_mm, gaze_mm]
    gaze, direction, pupil, position, gaze_mm = (np.where(lost[..., None], np.nan, part) for part in parts)
    seen = ~lost.all(axis=1)
    combined = np.full((count, 2), np.nan)
    combined[seen] = np.nanmean(gaze[seen], axis=1)
    cells = np.empty((count, EYE_COLUMN_COUNT))
    cells[:, columns.GAZE_POINT], cells[:, columns.GAZE_POINT_MCS] = combined, combined / size_px
    cells[:, columns.PUPILS], cells[:, VALIDITY] = pupil[..., 0], ~lost
    for eye in (0, 1):
        cells[:, columns.GAZE_PX[eye]], cells[:, columns.GAZE_MCS[eye]] = gaze[:, eye], gaze[:, eye] / size_px
        cells[:, columns.DIRECTION[eye]], cells[:, columns.POSITION[eye]] = direction[:, eye], position[:, eye]
        cells[:, columns.GAZE_MM[eye]] = gaze_mm[:, eye]
    cells[:, columns.EVENTS] = _events(np.where(seen, movement, int(MovementType.EYES_NOT_FOUND)), combined, size_px)
    for decimals in set(_DECIMALS):
        alike = [column for column, digits in enumerate(_DECIMALS) if digits == decimals]
        cells[:, alike] = np.round(cells[:, alike], decimals) + 0.0  # + 0.0: no negative zero
    return cells


def _events(kind: NDArray[np.int64], combined: Floats, size_px: NDArray[np.int64]) -> Floats:
    """Columns 33 to 39."""
    starts, stops, number, event = numbered_events(kind)
    lengths = stops - starts
    with np.errstate(invalid="ignore"):
        centre = np.add.reduceat(combined, starts, axis=0) / lengths[:, None]
    centre[kind[starts] != MovementType.FIXATION] = np.nan
    duration_ms = lengths * (1000.0 / RATE_HZ)
    return np.column_stack([kind, duration_ms[event], number[event], centre[event], (centre / size_px)[event]])


RATE_HZ: Final = 120.0
DISPLAY: Final = Display()
_DISTANCE_MM: Final = 650.0
_PX_PER_DEGREE: Final = float(np.tan(np.deg2rad(1.0))) * _DISTANCE_MM / DISPLAY.width_mm * DISPLAY.width_px
_SPREAD_PX: Final = 130.0
_LIGHT_DELAY_S: Final = 0.25
_LIGHT_TAU_S: Final = 0.5


@dataclass(frozen=True)
class EyeTraits:
    """A participant's eyes and seat.

    Attributes:
        pupil_mm: diameter at rest.
        light_mm: constriction by full light.
        latency_s: delay of emotional responses.
        position_mm: (3,) middle between the eyes, DACS.
        apart_mm: distance between the eyes.
        error_px: (2, 2) calibration error of the left and the right eye.
        fixation_ms: median fixation.
        blinks_hz, losses_hz: rates of blinks and of tracking losses.
        noise_px: of the gaze point of one eye.
    """

    pupil_mm: float
    light_mm: float
    latency_s: float
    position_mm: Floats
    apart_mm: float
    error_px: Floats
    fixation_ms: float
    blinks_hz: float
    losses_hz: float
    noise_px: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> EyeTraits:
        """Draw a participant."""
        return cls(
            pupil_mm=float(np.clip(rng.normal(3.4, 0.3), 2.4, 4.6)),
            light_mm=rng.uniform(0.4, 0.8),
            latency_s=rng.uniform(0.3, 0.8),
            position_mm=np.array([263.0, 120.0, _DISTANCE_MM]) + rng.normal(0, (15, 12, 18)),
            apart_mm=rng.normal(63, 3),
            error_px=rng.normal(0, 12, (2, 2)),
            fixation_ms=300.0 * float(np.exp(rng.normal(0, 0.12))),
            blinks_hz=rng.uniform(0.1, 0.35),
            losses_hz=rng.uniform(0.0, 0.15),
            noise_px=rng.uniform(1.5, 3.0),
        )


@dataclass(frozen=True)
class SyntheticEyes:
    """An eye recording.

    Attributes:
        cells: (n, 39) float64 in EMER's order and units, NaN where a cell is blank.
        times_ns: (n,) int64, since the start.
    """

    cells: Floats
    times_ns: NDArray[np.int64]

    @property
    def rows(self) -> NDArray[np.float32]:
        """(n, 39) float32 for the network: missing cells are 0."""
        return np.nan_to_num(self.cells, nan=0.0).astype(np.float32)

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(n,) bool, whether any eye was seen."""
        return np.asarray((self.cells[:, VALIDITY] > 0).any(axis=1))


def generate(
    emotion: str, participant: int = 1, film: int = 1, seconds: float = CLIP_SECONDS, seed: int = 0
) -> SyntheticEyes:
    """Generate the eyes of a participant who feels one emotion, by the numbers of participant, film and seed.

    Raises:
        ConfigurationError: an unknown emotion or a length below one sample.
    """
    traits = EyeTraits.draw(np.random.default_rng([seed, 2, participant]))
    rng = np.random.default_rng([seed, 3, participant, film])
    return record([Feeling(0.0, emotion)], traits, film, round(seconds * RATE_HZ), rng=rng)


def record(
    feelings: Sequence[Feeling], traits: EyeTraits, film: int, count: int, rng: np.random.Generator
) -> SyntheticEyes:
    """Generate `count` rows of a participant whose feelings may change.

    Args:
        feelings: in order of time, the first from second 0 on.
        traits: the participant.
        film: its number.
        count: of rows, 120 per second.
        rng: random numbers.

    Raises:
        ConfigurationError: no feeling, an unknown emotion, or no row.
    """
    if count < 1:
        raise ConfigurationError(f"an eye recording needs at least one row, not {count}")
    lost = _losses(count, traits, rng)  # before anything that depends on feelings: losses carry no label
    times_s = np.arange(count) / RATE_HZ
    dilation_mm, shift_px, spread, fixation, lean_mm = course(feelings, traits.latency_s, times_s, rng)
    target = film_target_px(film, times_s, (DISPLAY.width_px, DISPLAY.height_px)) + shift_px
    point_px, movement = scan(
        target, _SPREAD_PX * spread, traits.fixation_ms * fixation, _PX_PER_DEGREE, rate_hz=RATE_HZ, rng=rng
    )
    gaze = point_px[:, None, :] + traits.error_px + _tremor(times_s, traits, rng)
    pupil = _pupil(film, dilation_mm, traits, times_s, rng=rng)
    head = traits.position_mm + np.stack([_slow_noise(times_s, 2.5, rng) for _ in range(3)], axis=1)
    head[:, 2] += lean_mm
    apart = np.array([[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0]]) * traits.apart_mm
    cells = _lay_out(gaze, head[:, None, :] + apart, pupil, movement, lost=lost)
    return SyntheticEyes(cells, np.round(np.arange(1, count + 1) * (NANOSECONDS / RATE_HZ)).astype(np.int64))


def samples(eyes: SyntheticEyes, start_ns: int = 0) -> Iterator[TrackerSample]:
    """Yield a recording as the samples of a live tracker, from host time `start_ns` and device time 0."""
    for row, time_ns in zip(eyes.cells.tolist(), eyes.times_ns.tolist(), strict=True):
        left, right = (eye_reading(row, eye, valid > 0) for eye, valid in enumerate(row[VALIDITY]))
        yield TrackerSample(time_ns, start_ns + time_ns, start_ns + time_ns, left=left, right=right)


def _tremor(times_s: Floats, traits: EyeTraits, rng: np.random.Generator) -> Floats:
    """Drift of both eyes and noise of each, (n, 2, 2) px."""
    drift = np.stack([_slow_noise(times_s, 4.0, rng) for _ in range(2)], axis=1)
    return np.asarray(drift[:, None, :] + rng.normal(0, traits.noise_px, (len(times_s), 2, 2)))


def _pupil(film: int, dilation: Floats, traits: EyeTraits, times_s: Floats, rng: np.random.Generator) -> Floats:
    """Diameters of both eyes, (n, 2) mm: size at rest, light, dilation, hippus, noise."""
    lead = round(4 * _LIGHT_TAU_S * RATE_HZ)
    before_s = np.concatenate([times_s[:1].repeat(lead), np.maximum(times_s - _LIGHT_DELAY_S, 0.0)])
    kernel = np.exp(-np.arange(lead + 1) / (_LIGHT_TAU_S * RATE_HZ))
    light = np.convolve(film_luminance(film, before_s), kernel / kernel.sum(), "valid")
    both = traits.pupil_mm - traits.light_mm * (light - 0.5) + dilation + _slow_noise(times_s, 0.05, rng)
    apart = rng.normal(0, 0.05) * np.array([-0.5, 0.5])
    return np.asarray(np.clip(both[:, None] + apart + rng.normal(0, 0.015, (len(times_s), 2)), 1.5, 8.0))


def _losses(count: int, traits: EyeTraits, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Where each eye is not seen, (n, 2): blinks of both eyes, and losses of one or both."""
    lost = np.zeros((count, 2), np.bool_)
    seconds = count / RATE_HZ
    for _ in range(rng.poisson(traits.blinks_hz * seconds)):
        start, lasting = rng.integers(count), rng.uniform(0.1, 0.3)
        lost[start : start + round(lasting * RATE_HZ)] = True
    for _ in range(rng.poisson(traits.losses_hz * seconds)):
        start, lasting, which = rng.integers(count), rng.uniform(0.03, 0.5), rng.integers(3)
        lost[start : start + round(lasting * RATE_HZ), ((0,), (1,), (0, 1))[which]] = True
    return lost


def _slow_noise(times_s: Floats, deviation: float, rng: np.random.Generator) -> Floats:
    """Smooth noise of a standard deviation: six slow waves (hippus, sway and drift are below half a hertz)."""
    frequency, phase = rng.uniform(0.04, 0.5, 6), rng.uniform(0, 2 * np.pi, 6)
    waves = np.sin(2 * np.pi * times_s[:, None] * frequency + phase).sum(axis=1)
    return np.asarray(waves * (deviation / np.sqrt(3.0)))
