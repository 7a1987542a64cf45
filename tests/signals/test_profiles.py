from __future__ import annotations

import numpy as np
import pytest

from emer_edge.core.columns import COLUMN_KEYS, VALIDITY
from emer_edge.core.errors import ConfigurationError
from emer_edge.core.window import NANOSECONDS
from emer_edge.data.synth.eyes import generate
from emer_edge.signals.profiles import DROPPED_GROUPS, PROFILES, TrackerProfile, profiles_named

EYES = generate("fear", seconds=4.0)


@pytest.mark.parametrize("name", PROFILES)
def test_what_a_tracker_lacks_is_0_and_the_rest_is_as_it_was(name: str) -> None:
    profile = PROFILES[name]
    rows, seen = profile.rows(EYES.rows, EYES.seen)
    missing = [COLUMN_KEYS.index(each) for each in profile.missing_columns]
    assert not rows[:, missing].any()
    changed = np.flatnonzero((rows != EYES.rows).any(axis=0)).tolist()
    points = [*range(6), 14, 15, *range(22, 32)] if profile.one_point else [0, 1, 26, 27]
    assert set(changed) <= {*missing, *points}
    assert rows.dtype == np.float32
    assert not (seen & ~EYES.seen).any()


def test_a_serial_line_knows_one_point_for_both_eyes() -> None:
    rows, seen = PROFILES["serial-xy"].rows(EYES.rows, EYES.seen)
    np.testing.assert_array_equal(rows[:, 2:4], EYES.rows[:, 0:2])
    np.testing.assert_array_equal(rows[:, 4:6], EYES.rows[:, 0:2])
    np.testing.assert_array_equal(rows[:, 22:24], rows[:, 24:26])
    np.testing.assert_array_equal(rows[:, VALIDITY].all(axis=1), seen)


def test_one_eye_speaks_for_both_and_is_lost_with_it() -> None:
    rows, seen = PROFILES["one-eye"].rows(EYES.rows, EYES.seen)
    np.testing.assert_array_equal(rows[:, 0:2], EYES.rows[:, 2:4])
    np.testing.assert_array_equal(rows[:, 26:28], EYES.rows[:, 28:30])
    np.testing.assert_array_equal(seen, EYES.cells[:, 14] > 0)


def test_without_positions_there_are_no_directions() -> None:
    assert set(range(6, 12)) <= set(DROPPED_GROUPS["positions"])
    assert "Gaze direction left Z" in PROFILES["lsl-gaze"].missing_columns
    assert PROFILES["gazepoint-camera"].missing_columns == ()


@pytest.mark.parametrize(("rate_hz", "expected"), [(120, 240), (60, 240), (1200, 240), (30, 120)])
def test_rows_are_thinned_to_the_trackers_rate(rate_hz: int, expected: int) -> None:
    times_ns = (np.arange(4 * rate_hz) + 1) * NANOSECONDS // rate_hz
    kept = TrackerProfile("slow", "", 60.0).kept(times_ns)
    assert len(kept) == pytest.approx(expected, abs=1)
    assert kept[-1] == len(times_ns) - 1


def test_profiles_are_named_by_users() -> None:
    assert [profile.name for profile in profiles_named("gazepoint, serial-xy,gazepoint")] == ["gazepoint", "serial-xy"]
    assert profiles_named("all") == tuple(PROFILES.values())
    assert profiles_named("") == ()
    with pytest.raises(ConfigurationError, match="no tracker profile eyelink; there are tobii"):
        profiles_named("gazepoint,eyelink")
