from __future__ import annotations

import numpy as np
import pytest

from emer_edge.core.columns import EVENTS, MovementType
from emer_edge.core.window import NANOSECONDS, WindowSpec
from emer_edge.signals.events import movement_types
from emer_edge.signals.rows import EyeStream, clip_times_ns, eye_slots, face_slots, hop_candidates

SPEC = WindowSpec()
PERIOD_NS = round(NANOSECONDS / 120)


def rows_of(points_px: np.ndarray) -> np.ndarray:
    """Rows of a tracker that gives gaze in pixels and an eye 650 mm away."""
    rows = np.zeros((len(points_px), 39), np.float32)
    rows[:, 0:2] = points_px
    rows[:, 26:28] = points_px / (1920, 1080)
    rows[:, 14:16] = 1
    rows[:, [18, 21]] = 650
    return rows


def two_fixations(count: int = 240, jump: int = 100) -> np.ndarray:
    points = np.full((count, 2), (400.0, 300.0))
    points[jump:] = (1200.0, 700.0)
    return points


def filled(rows: np.ndarray, times_ns: np.ndarray, seen: np.ndarray | None = None, **options: object) -> EyeStream:
    stream = EyeStream(4096, 120.0, **options)  # type: ignore[arg-type]
    stream.extend(rows, times_ns, np.ones(len(rows), bool) if seen is None else seen)
    return stream


def test_a_slot_takes_its_newest_item_and_its_end_belongs_to_it() -> None:
    times = np.array([0, SPEC.face_slot_ns, SPEC.face_slot_ns + 1, 3 * SPEC.face_slot_ns])
    index, own = face_slots(times, SPEC.length_ns, SPEC)
    assert own.tolist() == [True, True, True, False, False, False, False, False]
    assert index.tolist() == [1, 2, 3, 3, 3, 3, 3, 3]


def test_middle_takes_the_middle_item() -> None:
    times = clip_times_ns(24, SPEC.length_ns)
    index, own = face_slots(times, SPEC.length_ns, WindowSpec(pick="middle"))
    assert own.all()
    assert index.tolist() == [1, 4, 7, 10, 13, 16, 19, 22]


def test_a_random_draw_stays_inside_its_slot() -> None:
    times = clip_times_ns(300, SPEC.length_ns)
    rng = np.random.default_rng(0)
    draws = np.stack([face_slots(times, SPEC.length_ns, SPEC, rng)[0] for _ in range(200)])
    slot = (times[draws] - 1) // SPEC.face_slot_ns
    assert (slot == np.arange(8)).all()
    assert all(len(set(draws[:, item])) > 20 for item in range(8))


def test_the_newest_item_of_each_hop_is_a_candidate() -> None:
    hop = SPEC.hop_ns
    times = np.array([1, hop - 5, hop, hop + 1, 5 * hop])
    assert hop_candidates(times, 0, SPEC).tolist() == [2, 3, 4]


def test_a_slot_in_which_no_eye_was_seen_is_not_covered() -> None:
    times = clip_times_ns(1440, SPEC.length_ns)
    seen = np.ones(1440, bool)
    seen[45:90] = False
    index, covered = eye_slots(times, seen, SPEC.length_ns, SPEC)
    assert covered.tolist() == [True, False] + [True] * 30
    assert index[1] == 89


def test_nothing_after_the_end_is_used() -> None:
    times = clip_times_ns(1440, SPEC.length_ns)
    rng = np.random.default_rng(3)
    rows = rows_of(rng.uniform(0, 1000, (1440, 2)))
    whole = filled(rows, times)
    early = filled(rows[:1000], times[:1000])
    end_ns = int(times[999])
    np.testing.assert_array_equal(whole.window(end_ns, SPEC).eye, early.window(end_ns, SPEC).eye)


def test_events_count_elapsed_time_and_a_running_centroid() -> None:
    times = (np.arange(240, dtype=np.int64) + 1) * PERIOD_NS
    points = two_fixations()
    points[:100, 0] += np.arange(100) * 0.1
    spec = WindowSpec(length_ns=2 * NANOSECONDS - 2 * NANOSECONDS % 96)
    stream = filled(rows_of(points), times)
    window = stream.window(int(times[90]), spec)
    last = window.eye[-1, EVENTS]
    assert last[0] == MovementType.FIXATION
    assert last[1] == pytest.approx((times[90] - times[0]) * 1e-6)
    assert last[2] == 1
    assert last[3] == pytest.approx(points[:91, 0].mean(), abs=1e-2)
    after = stream.window(int(times[200]), spec).eye[-1, EVENTS]
    assert after[2] == 2
    assert after[3:5] == pytest.approx((1200, 700), abs=1e-2)


def test_a_jump_is_a_saccade_in_the_rows_around_it() -> None:
    times = (np.arange(240, dtype=np.int64) + 1) * PERIOD_NS
    kinds = movement_types(rows_of(two_fixations()), times, np.ones(240, bool))
    assert np.flatnonzero(kinds == MovementType.SACCADE).tolist() == [99, 100]
    assert (np.delete(kinds, [99, 100]) == MovementType.FIXATION).all()


def test_a_jump_is_seen_as_soon_as_it_has_happened() -> None:
    times = (np.arange(240, dtype=np.int64) + 1) * PERIOD_NS
    spec = WindowSpec(length_ns=2 * NANOSECONDS - 2 * NANOSECONDS % 96)
    stream = filled(rows_of(two_fixations()), times)
    kinds = [int(stream.window(int(times[item]), spec).eye[-1, 32]) for item in range(98, 104)]
    saccade, fixation = MovementType.SACCADE, MovementType.FIXATION
    assert kinds == [fixation, fixation, saccade, saccade, fixation, fixation]


def test_the_index_starts_anew_at_the_start_of_the_window() -> None:
    times = clip_times_ns(2880, 2 * SPEC.length_ns)
    steps = np.repeat(np.arange(96), 30)  # a saccade every 250 ms
    points = np.stack([400 + 300.0 * (steps % 2), np.full(2880, 500.0)], axis=1)
    stream = filled(rows_of(points), times)
    first = stream.window(SPEC.length_ns, SPEC).eye[-1, 34]
    second = stream.window(2 * SPEC.length_ns, SPEC).eye[-1, 34]
    assert first == second == 48


def test_a_gap_looks_the_same_while_it_lasts_and_afterwards() -> None:
    times = (np.arange(1200, dtype=np.int64) + 1) * PERIOD_NS
    points = np.full((1200, 2), 500.0)
    keep = np.ones(1200, bool)
    keep[700:1100] = False
    end_ns = int(times[1000])
    rows = rows_of(points)
    afterwards = filled(rows[keep], times[keep]).window(end_ns, SPEC)
    during_stream = filled(rows[:700], times[:700])
    during = during_stream.window(end_ns, SPEC)
    np.testing.assert_array_equal(during.eye, afterwards.eye)
    np.testing.assert_array_equal(during.covered, afterwards.covered)
    assert during.eye[-1, 32] == MovementType.EYES_NOT_FOUND
    assert not during.covered[-1]
    during_stream.extend(rows[keep][700:], times[keep][700:], np.ones(100, bool))
    np.testing.assert_array_equal(during_stream.window(end_ns, SPEC).eye, afterwards.eye)


def test_a_ring_gives_the_windows_of_an_endless_array() -> None:
    rng = np.random.default_rng(1)
    count = 6000
    times = (np.arange(count, dtype=np.int64) + 1) * PERIOD_NS
    rows = rows_of(np.cumsum(rng.normal(0, 8, (count, 2)), axis=0) + 500)
    seen = rng.random(count) > 0.05
    endless = EyeStream(count, 120.0)
    ring = EyeStream(3000, 120.0)
    for start in range(0, count, 60):
        part = slice(start, start + 60)
        endless.extend(rows[part], times[part], seen[part])
        ring.extend(rows[part], times[part], seen[part])
        end_ns = int(times[part][-1])
        np.testing.assert_allclose(
            ring.window(end_ns, SPEC).eye, endless.window(end_ns, SPEC).eye, rtol=1e-6, atol=1e-4
        )


def test_a_late_row_is_refused_and_counted() -> None:
    stream = filled(rows_of(np.full((3, 2), 5.0)), np.array([10, 20, 20]))
    assert (stream.count, stream.out_of_order) == (2, 1)


@pytest.mark.parametrize("rate_hz", [0.0, 120.0, 40.0], ids=["no gaps", "gaps", "grows"])
def test_many_rows_at_once_are_the_same_as_one_by_one(rate_hz: float) -> None:
    rng = np.random.default_rng(2)
    steps = rng.choice([-1.0, 0.0, 1.0, 2.9, 3.0, 3.1, 40.0], 3000, p=[0.02, 0.02, 0.9, 0.02, 0.02, 0.01, 0.01])
    times = np.cumsum(steps * PERIOD_NS).astype(np.int64)
    rows, seen = rng.normal(0, 1, (3000, 39)).astype(np.float32), rng.random(3000) > 0.1
    together, alone = EyeStream(500, rate_hz), EyeStream(500, rate_hz)
    for row, time_ns, is_seen in zip(rows, times.tolist(), seen.tolist(), strict=True):
        alone.append(row, time_ns, is_seen)
    for part in np.array_split(np.arange(3000), 7):
        together.extend(rows[part], times[part], seen[part])
    state, expected = vars(together), vars(alone)
    assert {name: each for name, each in state.items() if not isinstance(each, np.ndarray)} == {
        name: each for name, each in expected.items() if not isinstance(each, np.ndarray)
    }
    for name, each in state.items():
        if isinstance(each, np.ndarray):
            np.testing.assert_array_equal(each, expected[name])
    assert together.count > 2500
    assert together.out_of_order > 50


def test_published_events_are_left_alone() -> None:
    rows = rows_of(np.full((1440, 2), 5.0))
    rows[:, 33] = 777
    window = filled(rows, clip_times_ns(1440, SPEC.length_ns), events="published").window(SPEC.length_ns, SPEC)
    assert (window.eye[:, 33] == 777).all()


def test_an_empty_stream_gives_an_uncovered_window() -> None:
    window = EyeStream(10, 120.0).window(SPEC.length_ns, SPEC)
    assert not window.covered.any()
    assert not window.eye.any()
