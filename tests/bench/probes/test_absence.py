from __future__ import annotations

import numpy as np
import pytest

from emer_edge.bench.probes.absence import no_eyes, no_face, without_columns, without_gaze, without_pupils
from emer_edge.data.dataset import EmerDataset
from emer_edge.data.windows import PreparedClip
from emer_edge.spec.columns import GAZE_POINT, PUPILS
from emer_edge.spec.window import WindowSpec

OWNERS = ["a", "a", "b", "c"]


def test_no_eyes_is_what_a_tracker_that_finds_none_gives(dataset: EmerDataset) -> None:
    """The rows of a real clip, all of them lost, through the code that cuts windows."""
    spec = WindowSpec()
    lost = PreparedClip(
        dataset.clips[0], spec, alter=lambda rows, times, seen: (rows * 0, times, np.zeros_like(seen))
    ).window()
    eye, gaze = no_eyes(spec, "causal")
    assert eye.shape == (32, 39)
    assert not gaze.any()
    assert not lost.covered_eye.any()
    others = np.delete(np.arange(39), 33)
    assert np.array_equal(eye[:, others], lost.eye[:, others])
    # The clip has a few rows more or less than 12 s of them, so that the same event is told at slightly other times.
    assert eye[:, 33] == pytest.approx(lost.eye[:, 33], abs=250)
    assert (np.diff(eye[:, 33]) > 0).all()


def test_no_eyes_of_a_sheet_is_one_event_as_long_as_the_window() -> None:
    eye, _ = no_eyes(WindowSpec(), "published")
    assert (eye[:, 32:35] == (3, 12_000, 1)).all()


def test_no_face_is_the_mean_of_other_people_in_all_of_a_persons_clips() -> None:
    face = np.random.default_rng(0).normal(0, 1, (4, 8, 5)).astype(np.float32)
    found = no_face(face, OWNERS)
    assert found.shape == face.shape
    assert found[0, 0] == pytest.approx(face[2:].mean(axis=(0, 1)), abs=1e-6)
    assert (found[0] == found[1, 3]).all()
    assert found[3, 0] == pytest.approx(face[:3].mean(axis=(0, 1)), abs=1e-6)
    assert no_face(face, ["a"] * 4)[0, 0] == pytest.approx(face.mean(axis=(0, 1)), abs=1e-6)


def test_hidden_columns_hold_other_peoples_mean_where_something_was_seen() -> None:
    rows = np.random.default_rng(0).uniform(1, 9, (4, 32, 39)).astype(np.float32)
    rows[0, :5, 3] = 0
    rows[2, 7, 3] = 0
    found = without_columns(rows, [3], OWNERS)
    assert (found[0, :5, 3] == 0).all()
    assert found[2, 7, 3] == 0
    others = rows[2:, :, 3]
    assert found[1, :, 3] == pytest.approx(others[others > 0].mean(), rel=1e-6)
    assert np.array_equal(np.delete(found, 3, axis=2), np.delete(rows, 3, axis=2))


def test_gaze_and_pupils_are_hidden_apart() -> None:
    eye = np.random.default_rng(0).uniform(1, 9, (4, 32, 39)).astype(np.float32)
    hidden, gaze = without_gaze(eye, eye[..., GAZE_POINT].copy(), OWNERS)
    touched = {column for column in range(39) if not np.array_equal(hidden[..., column], eye[..., column])}
    assert touched == {*range(12), *range(22, 32), *range(35, 39)}
    assert np.array_equal(gaze, hidden[..., GAZE_POINT])
    without = without_pupils(eye, OWNERS)
    assert {column for column in range(39) if not np.array_equal(without[..., column], eye[..., column])} == {12, 13}
    assert np.ptp(without[0, :, PUPILS], axis=0) == pytest.approx(0)
