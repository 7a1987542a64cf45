"""Eye movements of noisy trackers: rows smoothed as far as the noise asks for, and no further."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.eye_noise import (
    DISPLAY,
    FLOORS,
    agreement,
    apart,
    bursts,
    clean_window,
    coloured,
    drifting,
    white,
)
from emer_edge.core.columns import DIRECTION, EVENTS, GAZE_MM, MovementType
from emer_edge.core.heads import EMOTIONS
from emer_edge.core.window import NANOSECONDS, WindowSpec
from emer_edge.data.synth.eyes import generate
from emer_edge.data.worse_eyes import moved_gaze
from emer_edge.signals.events import movement_types, movements
from emer_edge.signals.fixations import find_fixations
from emer_edge.signals.rays import Rays
from emer_edge.signals.rows import EyeStream
from emer_edge.signals.smoothing import Length, Noise, choose_length, measure_noise, smooth

SPEC = WindowSpec()
PERIOD_NS = NANOSECONDS / 120


def noisy(sd_px: float, person: int = 0, rate_hz: float = 120.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    window = clean_window(rate_hz, person)
    off_px = white(sd_px)(len(window.rows), rate_hz, np.random.default_rng(person))
    return moved_gaze(window.rows, off_px, DISPLAY), window.times_ns, window.seen


@pytest.mark.parametrize("participant", range(8))
def test_a_quiet_trackers_rows_stay_as_they_are(participant: int) -> None:
    """The synthetic trackers have 1.5 to 3 px of noise an eye."""
    eyes = generate(EMOTIONS[participant % 7], participant, 1 + participant)
    smoothed = movements(eyes.rows, eyes.times_ns, eyes.seen, "causal-2")
    np.testing.assert_array_equal(smoothed.kind, movement_types(eyes.rows, eyes.times_ns, eyes.seen, "causal"))
    assert (smoothed.smoothed_rows, smoothed.notes) == (1, ())
    assert 0.01 < smoothed.noise_deg < 0.08


@pytest.mark.parametrize("rate_hz", [30, 60, 250, 1000])
def test_so_do_clean_rows_at_any_rate(rate_hz: int) -> None:
    window = clean_window(rate_hz, 1)
    np.testing.assert_array_equal(window.kind("causal-2"), window.kind("causal"))


@pytest.mark.parametrize("sd_px", FLOORS)
def test_the_benchmarks_floors_of_agreement_hold_at_one_rate(sd_px: int) -> None:
    assert agreement(120, white(sd_px), people=4) >= FLOORS[sd_px]
    assert agreement(120, white(sd_px), people=4, events="causal") < FLOORS[sd_px] - 10


@pytest.mark.parametrize("harder", [coloured, bursts, drifting, apart])
def test_harder_noise_is_smoothed_too(harder) -> None:
    before, after = (agreement(250, harder(20), people=2, events=events) for events in ("causal", "causal-2"))
    assert after > 95 > before


@pytest.mark.parametrize("means", [3, 5, 7])
def test_a_moving_median_is_numpys(means: int) -> None:
    rng = np.random.default_rng(means)
    valid = rng.random(300) > 0.2
    valid[40:60] = False
    points = rng.normal(size=(300, 2))
    rays = Rays(valid, np.full((300, 3), np.nan), points, np.full(300, 650.0))
    padded = np.pad(np.where(valid[:, None], points, np.nan), ((means // 2,) * 2, (0, 0)), constant_values=np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # spans without a row
        expected = np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, means, axis=0), axis=2)
    np.testing.assert_allclose(smooth(rays, Length(means)).point_mm[valid], expected[valid], atol=1e-6)


def test_a_long_one_takes_means_keeps_a_step_and_forgets_a_stray_row() -> None:
    points = np.zeros((400, 2))
    points[200:] = 10.0
    points[100] = 1000.0
    rays = Rays(np.ones(400, bool), np.full((400, 3), np.nan), points, np.full(400, 650.0))
    smoothed = smooth(rays, Length(7, 3)).point_mm
    np.testing.assert_allclose(smoothed[:199], 0.0, atol=1e-6)
    np.testing.assert_allclose(smoothed[201:], 10.0, atol=1e-6)


def test_the_length_follows_the_noise_and_the_velocity_rises_where_none_is_enough() -> None:
    lengths = [choose_length(Noise(deg), 30.0, 2, PERIOD_NS) for deg in (0.05, 0.12, 0.2, 0.3, 1.0)]
    spans = [length.span for length, _ in lengths]
    assert spans[0] == 1
    assert spans == sorted(spans)
    assert spans[-1] == 7  # 60 ms
    assert [limit for _, limit in lengths[:3]] == [30.0] * 3
    assert lengths[-1][1] > 60


@pytest.mark.parametrize("rate_hz", [60, 120, 1000])
def test_noise_is_measured_in_degrees(rate_hz: int) -> None:
    expected = np.degrees(10 / np.sqrt(2) * DISPLAY.width_mm / DISPLAY.width_px / 650)  # the mean of two eyes
    rows, times_ns, seen = noisy(10, rate_hz=rate_hz)
    assert movements(rows, times_ns, seen).noise_deg == pytest.approx(expected, rel=0.15)
    for columns in DIRECTION:  # a tracker that gives gaze on the display alone
        rows[:, columns] = 0
    assert movements(rows, times_ns, seen).noise_deg == pytest.approx(expected, rel=0.15)


def test_gaze_without_directions_is_smoothed_on_the_display() -> None:
    rows, times_ns, seen = noisy(10)
    clean = clean_window(120, 0).rows
    for columns in (*DIRECTION, *GAZE_MM):
        rows[:, columns] = clean[:, columns] = 0
    expected = movement_types(clean, times_ns, seen, "causal")
    smoothed, plain = (
        (movement_types(rows, times_ns, seen, rule) == expected).mean() for rule in ("causal-2", "causal")
    )
    assert smoothed > 0.97 > 0.9 > plain


def test_rows_without_any_difference_or_any_eye_have_no_noise() -> None:
    valid, steady = np.ones(200, bool), np.tile([0.0, 0.0, -1.0], (200, 1))
    rays = Rays(valid, steady, np.zeros((200, 2)), np.full(200, 650.0))
    assert measure_noise(rays, 2, PERIOD_NS) == Noise()
    assert measure_noise(replace(rays, valid=~valid), 2, PERIOD_NS) == Noise()
    repeated = np.repeat(np.random.default_rng(0).normal(0, 0.01, (5, 2)), 40, axis=0)
    moving = replace(rays, direction=np.full((200, 3), np.nan), point_mm=repeated)
    assert np.isfinite(measure_noise(moving, 2, PERIOD_NS).lasting_rows)


def test_no_row_after_the_windows_end_is_used() -> None:
    rows, times_ns, seen = noisy(20)
    end_ns = int(times_ns[1000])
    spec = WindowSpec(length_ns=4_800_000_000)
    whole, cut = EyeStream(4000, 120.0), EyeStream(4000, 120.0)
    whole.extend(rows, times_ns, seen)
    cut.extend(rows[:1001], times_ns[:1001], seen[:1001])
    np.testing.assert_array_equal(whole.window(end_ns, spec).eye, cut.window(end_ns, spec).eye)


def test_live_rows_one_by_one_give_the_types_of_the_window_at_once() -> None:
    rows, times_ns, seen = noisy(20, person=2)
    spec, stream, compared = WindowSpec(length_ns=4_800_000_000), EyeStream(700, 120.0), 0
    for at, (row, time_ns, is_seen) in enumerate(zip(rows, times_ns.tolist(), seen.tolist(), strict=True), start=1):
        stream.append(row, time_ns, is_seen)
        if at % 200 == 0 and time_ns > spec.length_ns:
            inside = slice(int(np.searchsorted(times_ns, time_ns - spec.length_ns, side="right")), at)
            kind = movement_types(rows[inside], times_ns[inside], seen[inside])
            slots = time_ns - spec.eye_slot_ns * np.arange(31, -1, -1)
            chosen = np.searchsorted(times_ns[inside], slots, side="right") - 1
            np.testing.assert_array_equal(stream.window(time_ns, spec).eye[:, EVENTS.start], kind[chosen])
            compared += 1
    assert compared >= 3


def test_a_bundle_that_says_causal_keeps_its_rule_and_the_successor_says_what_it_did() -> None:
    rows, times_ns, seen = noisy(20)
    windows = {}
    for events in ("causal", "causal-2"):
        stream = EyeStream(4000, 120.0, events)
        stream.extend(rows, times_ns, seen)
        windows[events] = stream.window(int(times_ns[-1]), SPEC)
    fixations = {
        events: (window.eye[:, EVENTS.start] == MovementType.FIXATION).mean() for events, window in windows.items()
    }
    assert fixations["causal"] < 0.3 < 0.7 < fixations["causal-2"]
    assert windows["causal"].notes == ()
    assert windows["causal-2"].notes == ("tracker noise 0.34 deg: smoothed over 7 rows",)
    assert len(find_fixations(rows, times_ns, seen, "causal-2")) > len(find_fixations(rows, times_ns, seen, "causal"))
