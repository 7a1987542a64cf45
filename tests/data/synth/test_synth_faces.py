from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emer_edge.core.errors import DataError
from emer_edge.core.heads import EMOTIONS
from emer_edge.data.synth import faces
from emer_edge.data.synth.faces import TEMPLATE_PX, Appearance, align_pose, face_of, landmarks, packaged, render, seen
from emer_edge.data.synth.plan import ExpressionCourse

pytest.importorskip("cv2")

PLAIN = Appearance(0, np.ones(2), np.ones(3))
"""A packaged face as it is."""
NEUTRAL = EMOTIONS.index("neutral")


def _shows(emotion: str, amount: float = 1.0) -> np.ndarray:
    return amount * np.eye(len(EMOTIONS))[EMOTIONS.index(emotion)]


def test_every_expression_of_everybody_looks_different() -> None:
    for face in range(0, len(packaged().points), 10):
        drawn = np.stack([render(_shows(emotion), replace(PLAIN, face=face)) for emotion in EMOTIONS]).astype(float)
        assert drawn.shape == (7, 112, 112, 3)
        apart = np.abs(drawn[:, None] - drawn[None]).mean(axis=(2, 3, 4))
        assert apart[~np.eye(7, dtype=bool)].min() > 1.0


def test_people_look_different() -> None:
    drawn = np.stack([render(_shows("neutral"), replace(PLAIN, face=face)) for face in range(0, 120, 8)]).astype(float)
    apart = np.abs(drawn[:, None] - drawn[None]).mean(axis=(2, 3, 4))
    assert apart[~np.eye(len(drawn), dtype=bool)].min() > 8.0


def test_stronger_expressions_are_further_from_rest() -> None:
    rest = render(_shows("neutral"), PLAIN).astype(float)
    apart = [np.abs(render(_shows("fear", amount), PLAIN) - rest).mean() for amount in (0.0, 0.4, 0.7, 1.0)]
    assert apart[0] == 0.0
    assert apart == sorted(apart)


def test_a_morph_begins_at_the_neutral_picture_and_ends_at_the_peak() -> None:
    picture = faces.Pose(np.eye(3)[:2], faces.PICTURE_PX)
    for emotion in EMOTIONS:
        drawn = render(_shows(emotion), PLAIN, picture)
        np.testing.assert_array_equal(drawn, faces._pictures(0)[EMOTIONS.index(emotion)])


def test_closed_eyes_change_the_eyes_alone() -> None:
    for emotion in ("neutral", "happiness"):
        opened, shut = (render(_shows(emotion), PLAIN, eyes_closed=closed).astype(int) for closed in (False, True))
        changed = np.abs(shut - opened).max(axis=2)
        assert changed[36:52, 28:46].max() > 30
        assert changed[36:52, 66:84].max() > 30
        assert changed[64:].max() <= 1


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_crops_are_aligned(emotion: str) -> None:
    for participant in range(1, 20):
        points = landmarks(_shows(emotion), Appearance.of(0, participant))
        assert np.linalg.norm(align_pose(points).place(points) - TEMPLATE_PX, axis=1).max() < 14.0


def test_the_teacher_calls_neutral_faces_neutral_and_peaks_by_their_class() -> None:
    table = packaged().seen
    assert table.shape == (120, 7, 5, 7)
    assert table.sum(axis=3) == pytest.approx(1.0, abs=0.01)
    rest = table[:, NEUTRAL, :, NEUTRAL]
    assert rest.min() >= 0.7
    assert np.median(rest) > 0.95
    named = (table[:, :, -1].argmax(axis=2) == np.arange(7)).mean(axis=0)
    floors = {
        "happiness": 0.9,
        "sadness": 0.7,
        "fear": 0.3,
        "surprise": 0.8,
        "disgust": 0.35,
        "anger": 0.7,
        "neutral": 1,
    }
    for emotion, share in zip(EMOTIONS, named, strict=True):  # the teacher seldom sees fear or disgust in anybody
        assert share >= floors[emotion], emotion


def test_what_the_teacher_sees_is_read_between_strengths() -> None:
    table = packaged().seen[3, EMOTIONS.index("anger")]
    assert seen(3, "anger", 0.5) == pytest.approx(table[2] / table[2].sum(), abs=1e-5)
    assert seen(3, "anger", 0.625) == pytest.approx((table[2] + table[3]) / 2, abs=0.002)
    assert seen(3, "anger", 2.0) == pytest.approx(table[4], abs=0.002)


def test_sets_of_sixty_with_an_odd_and_an_even_seed_share_no_face() -> None:
    of = {seed: [face_of(seed, participant) for participant in range(1, 61)] for seed in (0, 1, 2, 7, 1_000_003)}
    for seed, drawn in of.items():
        assert len(set(drawn)) == 60
        for other, others in of.items():
            assert bool(set(drawn) & set(others)) == (seed % 2 == other % 2)
    assert of[0][0] != of[2][0]
    assert sorted(face_of(3, participant) for participant in range(1, 121)) == list(range(120))
    assert face_of(3, 121) == face_of(3, 1)


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the first face and of `faces.npz`, used instead of the package's."""
    for name in ("000.jpg", "faces.npz"):
        shutil.copy(str(faces._ASSETS / name), tmp_path)
    monkeypatch.setattr(faces, "_ASSETS", tmp_path)
    for cached in (packaged, faces._pictures):
        cached.cache_clear()
    yield tmp_path
    for cached in (packaged, faces._pictures):
        cached.cache_clear()


@pytest.mark.parametrize("name", ["000.jpg", "faces.npz"])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut short", "another"])
def test_a_damaged_face_is_named(copied: Path, name: str, damage: str) -> None:
    content = (copied / name).read_bytes()
    (copied / name).unlink()
    if damage != "gone":
        wrong = {"empty": b"", "cut short": content[:100], "another": b"no picture"}[damage]
        (copied / name).write_bytes(wrong)
    with pytest.raises(DataError, match=rf"{name}, a packaged face, is missing or damaged: pip install"):
        render(_shows("anger"), PLAIN)


def test_an_expression_comes_and_stays() -> None:
    course = ExpressionCourse.draw(np.random.default_rng(0), 12.0, leaks=True)
    assert course.shown(0.0) == 0.0
    assert course.shown(course.onset_s + course.rise_s) == pytest.approx(1.0)
    assert course.shown(12.0) > 0.4
    assert course.micro_s is not None
    assert course.leaked(course.micro_s) == 1.0
    assert course.leaked(course.micro_s + 0.25) == 0.0
