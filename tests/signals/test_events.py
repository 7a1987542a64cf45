"""The causal rule against an independent offline I-VT filter (PyPI `tobii-ivt-filter`)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from ivt_filter.config import FixationPostConfig, IVTClassifierConfig, OlsenVelocityConfig, PipelineConfig
from ivt_filter.io.pipeline import IVTPipeline

from emer_edge.core.columns import EVENTS, MOVEMENT_CODES, MovementType
from emer_edge.core.window import NANOSECONDS, WindowSpec
from emer_edge.data.synth.eyes import EyeTraits, SyntheticEyes, record
from emer_edge.data.synth.gaze import Feeling
from emer_edge.runtime.clock import ClockMapper
from emer_edge.signals.events import SETTLE_NS, event_columns, movement_types
from emer_edge.signals.rows import EyeStream

pytestmark = pytest.mark.filterwarnings("ignore:Setting a value on a DataFrame", "ignore:Downcasting")

SPEC = WindowSpec()
SECONDS = 20


def offline(eyes: SyntheticEyes) -> np.ndarray:
    """(n,) movement types by the offline filter with Tobii's defaults, which sees the whole recording."""
    cells = eyes.cells
    table = {"time_ms": eyes.times_ns / 1e6}
    for at, eye in enumerate(("left", "right")):
        table[f"validity_{eye}"] = np.where(cells[:, 14 + at] > 0, 0, 999)
        for axis, name in enumerate("xyz"):
            table[f"gaze_dir_{eye}_{name}"] = cells[:, 6 + 3 * at + axis]
            table[f"eye_{eye}_{name}_mm"] = cells[:, 16 + 3 * at + axis]
        for axis, name in enumerate("xy"):
            table[f"gaze_{eye}_{name}_mm"] = cells[:, 22 + 2 * at + axis]
    config = PipelineConfig(
        velocity=OlsenVelocityConfig(20.0, velocity_method="tobii_gaze_dir", gap_fill_enabled=True),
        classifier=IVTClassifierConfig(),
        fixation_post=FixationPostConfig(merge_adjacent_fixations=True, discard_short_fixations=True),
    )
    types = IVTPipeline(config).process_dataframe(pd.DataFrame(table))["ivt_event_type_post"]
    return types.map(MOVEMENT_CODES).to_numpy().astype(int)


def recording(noise_px: float, seed: int, seconds: int = SECONDS) -> SyntheticEyes:
    traits = replace(EyeTraits.draw(np.random.default_rng([seed, 2])), noise_px=noise_px)
    return record([Feeling(0.0, "fear")], traits, seed + 1, seconds * 120, np.random.default_rng(seed))


def mapped(times_ns: np.ndarray, jitter_ms: float, seed: int) -> np.ndarray:
    """Stamps as a live run has them: device times mapped through delayed arrivals."""
    if not jitter_ms:
        return times_ns
    delay = np.random.default_rng([seed, 9]).exponential(jitter_ms * 1e6, len(times_ns)).astype(np.int64)
    mapper = ClockMapper()
    return np.array(
        [mapper.map(int(d), int(a)) for d, a in zip(times_ns, np.maximum.accumulate(times_ns + delay), strict=True)]
    )


@pytest.mark.parametrize("noise_px", [1.5, 5.0, 8.0], ids=["quiet", "noisy", "very-noisy"])
def test_live_windows_agree_with_the_offline_filter(noise_px: float) -> None:
    eyes = recording(noise_px, seed=3)
    expected = offline(eyes)
    assert set(np.unique(expected)) >= {MovementType.FIXATION, MovementType.SACCADE, MovementType.EYES_NOT_FOUND}
    for jitter_ms in (0.0, 20.0):
        times_ns = mapped(eyes.times_ns, jitter_ms, seed=3)
        every, newest, settled = [], [], []
        for end_ns in range(SPEC.length_ns + NANOSECONDS, SECONDS * NANOSECONDS, SPEC.hop_ns):
            first, stop = np.searchsorted(times_ns, (end_ns - SPEC.length_ns, end_ns), side="right")
            part = slice(first, stop)
            right = movement_types(eyes.rows[part], times_ns[part], eyes.seen[part], "causal") == expected[part]
            every.append(right.mean())
            settled.append(right[times_ns[part] < end_ns - SETTLE_NS].mean())
            newest.append(right[-1])
        assert min(every) > 0.98, f"jitter {jitter_ms} ms"
        assert np.mean(settled) > 0.998, f"jitter {jitter_ms} ms"
        assert np.mean(newest) > 0.7, f"jitter {jitter_ms} ms"


def test_the_slots_of_a_live_stream_agree_too() -> None:
    eyes = recording(3.0, seed=5)
    expected = offline(eyes)
    stream = EyeStream(4000, 120.0)
    agree = []
    next_ns = SPEC.length_ns
    for row, time_ns, seen in zip(eyes.rows, eyes.times_ns.tolist(), eyes.seen.tolist(), strict=True):
        stream.append(row, time_ns, seen)
        if time_ns >= next_ns:
            slots = time_ns - SPEC.eye_slot_ns * np.arange(31, -1, -1)
            chosen = np.searchsorted(eyes.times_ns, slots, side="right") - 1
            agree.append((stream.window(time_ns, SPEC).eye[:, 32] == expected[chosen]).mean())
            next_ns += SPEC.hop_ns
    assert len(agree) > 10
    assert np.mean(agree) > 0.97


def test_a_single_lost_eye_is_no_saccade() -> None:
    eyes = recording(1.5, seed=1, seconds=4)
    kind = movement_types(eyes.rows, eyes.times_ns, eyes.seen)
    both = (eyes.cells[:, 14:16] > 0).all(axis=1)
    still = np.convolve((kind == MovementType.FIXATION) & both, np.ones(21), "same") == 21
    at = int(np.flatnonzero(still)[0])
    rows = eyes.rows.copy()
    for columns in (slice(4, 6), slice(9, 12), slice(13, 14), slice(15, 16), slice(19, 22), slice(24, 26)):
        rows[at - 3 : at + 3, columns] = 0.0
    lost = movement_types(rows, eyes.times_ns, eyes.seen)
    np.testing.assert_array_equal(lost, kind)


@pytest.mark.parametrize("rate_hz", [30, 60, 250, 600])
def test_other_rates_find_the_same_fixations(rate_hz: int) -> None:
    seconds = 6.0
    times_ns = (np.arange(int(seconds * rate_hz)) + 1) * NANOSECONDS // rate_hz
    rows = np.zeros((len(times_ns), 39), np.float32)
    rows[:, 14:16], rows[:, [18, 21]] = 1, 650
    rows[:, 0:2] = (500, 400)
    rows[(times_ns > 2e9) & (times_ns < 4e9), 0:2] = (1300, 800)
    kind = movement_types(rows, times_ns, np.ones(len(rows), bool))
    fixations = np.flatnonzero(np.diff(np.concatenate([[0], kind == MovementType.FIXATION, [0]])) == 1)
    assert len(fixations) == 3
    assert (kind == MovementType.FIXATION).mean() > 0.93


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_rows_are_no_error(count: int) -> None:
    kind = movement_types(np.ones((count, 39), np.float32), np.arange(count, dtype=np.int64), np.ones(count, bool))
    assert len(kind) == count


def test_bunched_rows_are_not_fast() -> None:
    """Rows without a device clock that arrive three at once, stamped a microsecond apart."""
    eyes = recording(2.0, seed=2, seconds=6)
    bunched = np.maximum.accumulate(np.repeat(eyes.times_ns[2::3], 3)) + np.tile(
        [0, 1000, 2000], len(eyes.times_ns) // 3
    )
    kind = movement_types(eyes.rows, bunched, eyes.seen)
    steady = movement_types(eyes.rows, eyes.times_ns, eyes.seen)
    assert (kind == steady).mean() > 0.9


def test_a_filled_gap_keeps_its_fixation_and_adds_nothing_to_its_centroid() -> None:
    times_ns = (np.arange(120, dtype=np.int64) + 1) * 8_333_333
    rows = np.zeros((120, 39), np.float32)
    rows[:, 0:2], rows[:, 14:16], rows[:, [18, 21]] = (500, 400), 1, 650
    rows[:, 26:28] = (0.26, 0.37)
    seen = np.ones(120, bool)
    seen[50:55] = False
    rows[50:55] = 0
    kind = movement_types(rows, times_ns, seen)
    assert (kind == MovementType.FIXATION).all()
    columns = event_columns(rows, times_ns, seen, kind, np.array([52, 119]))
    np.testing.assert_allclose(columns[:, 3:7], [(500, 400, 0.26, 0.37)] * 2, rtol=1e-6)
    assert columns[1, 1] == pytest.approx((times_ns[119] - times_ns[0]) * 1e-6)
    seen[50:70] = False
    rows[50:70] = 0
    kind = movement_types(rows, times_ns, seen)
    assert (kind[50:70] == MovementType.EYES_NOT_FOUND).all()
    assert event_columns(rows, times_ns, seen, kind, np.array([119]))[0, 2] == 2


def test_numbers_of_a_window_do_not_depend_on_what_came_before_it() -> None:
    eyes = recording(3.0, seed=4)
    end_ns = int(eyes.times_ns[-1])
    long, short = EyeStream(4000, 120.0), EyeStream(4000, 120.0)
    long.extend(eyes.rows, eyes.times_ns, eyes.seen)
    inside = eyes.times_ns > end_ns - SPEC.length_ns
    short.extend(eyes.rows[inside], eyes.times_ns[inside], eyes.seen[inside])
    np.testing.assert_array_equal(long.window(end_ns, SPEC).eye[:, EVENTS], short.window(end_ns, SPEC).eye[:, EVENTS])
