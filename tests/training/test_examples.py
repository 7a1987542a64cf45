from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emer_edge.core.columns import EVENTS, GAZE_POINT
from emer_edge.core.errors import ConfigurationError
from emer_edge.data.synth.eyes import generate
from emer_edge.data.windows import ClipWindow
from emer_edge.signals.profiles import DROPPED_GROUPS
from emer_edge.training.config import TrainingConfig
from emer_edge.training.examples import drop_columns


def window(seed: int) -> ClipWindow:
    rows = generate("anger", participant=seed, seconds=8.0).rows
    rows = rows[(rows[:, 14:16] > 0).all(axis=1)][::20][:32]
    return ClipWindow(np.arange(8), rows, rows[:, GAZE_POINT].copy(), np.ones(8, bool), np.ones(32, bool))


WINDOWS = [window(each) for each in range(20)] * 10


def test_a_share_of_windows_loses_whole_groups_and_never_both_eyes() -> None:
    dropped = drop_columns(WINDOWS, 0.5, np.random.default_rng(0))
    lost = []
    for before, after in zip(WINDOWS, dropped, strict=True):
        gone = set(np.flatnonzero(before.eye.any(axis=0) & ~after.eye.any(axis=0)).tolist())
        lost.append(gone)
        inside = [
            set(group) & set(np.flatnonzero(before.eye.any(axis=0)).tolist()) for group in DROPPED_GROUPS.values()
        ]
        assert gone == set().union(*(each for each in inside if each <= gone))
        assert after.eye[:, 14:16].any()
        np.testing.assert_array_equal(after.gaze, after.eye[:, GAZE_POINT])
        np.testing.assert_array_equal(after.eye[:, EVENTS], before.eye[:, EVENTS])
    share = np.mean([bool(each) for each in lost])
    assert 0.35 < share < 0.55
    for group in DROPPED_GROUPS.values():
        assert any(set(group) <= each for each in lost)


def test_nothing_is_dropped_unless_asked_and_the_same_seed_drops_the_same() -> None:
    assert all(
        one is other for one, other in zip(drop_columns(WINDOWS, 0.0, np.random.default_rng(0)), WINDOWS, strict=True)
    )
    one, other = (drop_columns(WINDOWS, 1.0, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(np.stack([each.eye for each in one]), np.stack([each.eye for each in other]))


def test_the_original_windows_are_left_alone() -> None:
    before = WINDOWS[0].eye.copy()
    drop_columns(WINDOWS[:1], 1.0, np.random.default_rng(1))
    np.testing.assert_array_equal(WINDOWS[0].eye, before)


def test_it_is_a_setting_of_the_run() -> None:
    assert TrainingConfig(Path("a.pt"), drop_columns=0.25).settings()["drop_columns"] == 0.25
    with pytest.raises(ConfigurationError, match=r"0 to 1, not 1\.5"):
        TrainingConfig(Path("a.pt"), drop_columns=1.5)
    with pytest.raises(ConfigurationError, match="leave --drop-columns out"):
        TrainingConfig(Path("a.pt"), recipe="published", head="er-7", drop_columns=0.5)
