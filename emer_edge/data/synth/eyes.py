"""What an eye tracker sees of a participant who watches a film and feels something: the 39 columns at 120 Hz.

Films act through their luminance and their gaze path, participants through pupil size, latency, seat and calibration;
neither is tied to a label, and blinks and losses are independent of everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.synth.cells import lay_out
from emer_edge.data.synth.feelings import Feeling, course
from emer_edge.data.synth.gaze import film_luminance, film_target_px, scan
from emer_edge.data.synth.plan import CLIP_SECONDS
from emer_edge.errors import ConfigurationError
from emer_edge.spec.columns import VALIDITY
from emer_edge.spec.samples import Display, EyeReading, TrackerSample
from emer_edge.spec.window import NANOSECONDS

__all__ = ["DISPLAY", "RATE_HZ", "EyeTraits", "SyntheticEyes", "generate", "record", "samples"]

Floats = NDArray[np.float64]

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
        light_mm: how far full light constricts it.
        latency_s: delay of emotional responses.
        position_mm: (3,) middle between the eyes, DACS.
        apart_mm: distance between the eyes.
        error_px: (2, 2) calibration error of the left and the right eye.
        fixation_ms: median fixation.
        blinks_hz: blinks a second.
        losses_hz: tracking losses a second.
        noise_px: noise of the gaze point of one eye.
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
        cells: (n, 39) float64 in EMER's order and units, rounded as exports are, NaN where a cell is blank.
        times_ns: (n,) int64, time of each row since the start.
    """

    cells: Floats
    times_ns: NDArray[np.int64]

    @property
    def rows(self) -> NDArray[np.float32]:
        """(n, 39) float32 as the network reads them: missing cells are 0."""
        return np.nan_to_num(self.cells, nan=0.0).astype(np.float32)

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(n,) bool, whether any eye was seen."""
        return np.asarray((self.cells[:, VALIDITY] > 0).any(axis=1))


def generate(
    emotion: str, participant: int = 1, film: int = 1, seconds: float = CLIP_SECONDS, seed: int = 0
) -> SyntheticEyes:
    """Generate the eyes of one participant who feels one emotion.

    Args:
        emotion: one of `EMOTIONS`.
        participant: number of the participant; same number and seed, same eyes.
        film: number of the film watched.
        seconds: length.
        seed: same seed, same rows.

    Raises:
        ConfigurationError: an unknown emotion or a length below one sample.
    """
    traits = EyeTraits.draw(np.random.default_rng([seed, 2, participant]))
    rng = np.random.default_rng([seed, 3, participant, film])
    return record([Feeling(0.0, emotion)], traits, film, round(seconds * RATE_HZ), rng)


def record(
    feelings: Sequence[Feeling], traits: EyeTraits, film: int, count: int, rng: np.random.Generator
) -> SyntheticEyes:
    """Generate the eyes of a participant whose feelings may change.

    Args:
        feelings: in order of time, the first from second 0 on.
        traits: the participant.
        film: number of the film watched.
        count: rows, 120 a second.
        rng: source of chance.

    Raises:
        ConfigurationError: no feeling, an unknown emotion, or no row.
    """
    if count < 1:
        raise ConfigurationError(f"an eye recording needs at least one row, not {count}")
    lost = _losses(count, traits, rng)  # before anything that depends on feelings: losses carry no label
    times_s = np.arange(count) / RATE_HZ
    felt = course(feelings, traits.latency_s, times_s, rng)
    target = film_target_px(film, times_s, (DISPLAY.width_px, DISPLAY.height_px)) + felt.shift_px
    path = scan(target, _SPREAD_PX * felt.spread, traits.fixation_ms * felt.fixation, _PX_PER_DEGREE, RATE_HZ, rng)
    gaze = path.point_px[:, None, :] + traits.error_px + _tremor(times_s, traits, rng)
    pupil = _pupil(film, felt.pupil_mm, traits, times_s, rng)
    head = traits.position_mm + np.stack([_slow_noise(times_s, 2.5, rng) for _ in range(3)], axis=1)
    head[:, 2] += felt.lean_mm
    apart = np.array([[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0]]) * traits.apart_mm
    cells = lay_out(gaze, head[:, None, :] + apart, pupil, path.movement, lost, DISPLAY, RATE_HZ)
    return SyntheticEyes(cells, np.round(np.arange(1, count + 1) * (NANOSECONDS / RATE_HZ)).astype(np.int64))


def samples(eyes: SyntheticEyes, start_ns: int = 0) -> Iterator[TrackerSample]:
    """Yield a recording as a live tracker would, NaN where missing.

    Args:
        eyes: the recording.
        start_ns: host time of its start; device time starts at 0.
    """
    for row, time_ns in zip(eyes.cells.tolist(), eyes.times_ns.tolist(), strict=True):
        left, right = (
            EyeReading(
                gaze_px=(row[2 + 2 * eye], row[3 + 2 * eye]),
                gaze_mm=(row[22 + 2 * eye], row[23 + 2 * eye]),
                direction=(row[6 + 3 * eye], row[7 + 3 * eye], row[8 + 3 * eye]),
                position_mm=(row[16 + 3 * eye], row[17 + 3 * eye], row[18 + 3 * eye]),
                pupil_mm=row[12 + eye],
                valid=row[14 + eye] > 0,
            )
            for eye in (0, 1)
        )
        yield TrackerSample(time_ns, start_ns + time_ns, start_ns + time_ns, left, right)


def _tremor(times_s: Floats, traits: EyeTraits, rng: np.random.Generator) -> Floats:
    """Drift shared by both eyes and the tracker's noise of each: (n, 2, 2) px."""
    drift = np.stack([_slow_noise(times_s, 4.0, rng) for _ in range(2)], axis=1)
    noise: Floats = drift[:, None, :] + rng.normal(0, traits.noise_px, (len(times_s), 2, 2))
    return noise


def _pupil(film: int, dilation: Floats, traits: EyeTraits, times_s: Floats, rng: np.random.Generator) -> Floats:
    """Diameters of both eyes, (n, 2) mm: size at rest, light, dilation, hippus, noise."""
    lead = round(4 * _LIGHT_TAU_S * RATE_HZ)
    before_s = np.concatenate([times_s[:1].repeat(lead), np.maximum(times_s - _LIGHT_DELAY_S, 0.0)])
    kernel = np.exp(-np.arange(lead + 1) / (_LIGHT_TAU_S * RATE_HZ))
    light = np.convolve(film_luminance(film, before_s), kernel / kernel.sum(), "valid")
    both = traits.pupil_mm - traits.light_mm * (light - 0.5) + dilation + _slow_noise(times_s, 0.05, rng)
    apart = rng.normal(0, 0.05) * np.array([-0.5, 0.5])
    pupil: Floats = np.clip(both[:, None] + apart + rng.normal(0, 0.015, (len(times_s), 2)), 1.5, 8.0)
    return pupil


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
    """Smooth noise of a standard deviation: a few slow waves (hippus, sway, drift all live below half a hertz)."""
    frequency, phase = rng.uniform(0.04, 0.5, 6), rng.uniform(0, 2 * np.pi, 6)
    waves = np.sin(2 * np.pi * times_s[:, None] * frequency + phase).sum(axis=1)
    return np.asarray(waves * (deviation / np.sqrt(3.0)))
