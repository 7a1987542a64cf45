from __future__ import annotations

import numpy as np
import pytest

from emer_edge.core.heads import EMOTIONS
from emer_edge.data.synth.faces import Appearance, landmarks, render
from emer_edge.data.synth.plan import ExpressionCourse
from emer_edge.data.synth.portrait import LANDMARKS, TEMPLATE_PX, action_units, align_pose, landmarks5

pytest.importorskip("cv2")

PLAIN = Appearance(np.zeros_like(LANDMARKS), np.ones(3))
"""The portrait's own face."""


def _units(emotion: str, amount: float = 1.0) -> np.ndarray:
    amounts = np.zeros(len(EMOTIONS))
    amounts[EMOTIONS.index(emotion)] = amount
    return action_units(amounts)


def test_every_expression_looks_different() -> None:
    who = PLAIN
    faces = np.stack([render(_units(emotion), who) for emotion in EMOTIONS]).astype(float)
    assert faces.shape == (7, 112, 112, 3)
    apart = np.abs(faces[:, None] - faces[None]).mean(axis=(2, 3, 4))
    assert apart[~np.eye(7, dtype=bool)].min() > 4.0


def test_stronger_expressions_are_further_from_rest() -> None:
    who = PLAIN
    rest = render(_units("neutral"), who).astype(float)
    apart = [np.abs(render(_units("fear", amount), who) - rest).mean() for amount in (0.0, 0.4, 0.7, 1.0)]
    assert apart[0] == 0.0
    assert apart == sorted(apart)


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_crops_are_aligned(emotion: str) -> None:
    for seed in range(3):
        points = landmarks(_units(emotion), Appearance.draw(np.random.default_rng(seed)))
        placed = landmarks5(align_pose(points).place(points))
        assert np.linalg.norm(placed - TEMPLATE_PX, axis=1).max() < 7.0


def test_a_mouth_opens_dark_and_a_smile_shows_teeth() -> None:
    who = PLAIN
    mouth = (slice(80, 92), slice(50, 62))
    bright = {emotion: render(_units(emotion), who)[mouth].mean(axis=2) for emotion in ("surprise", "happiness")}
    assert bright["surprise"].min() < 60
    assert bright["happiness"].max() > 180


def test_poses_map_there_and_back() -> None:
    pose = align_pose(landmarks(_units("neutral"), PLAIN)).jittered(5.0, 1.1, (3.0, -2.0))
    points = np.array([[10.0, 20.0], [180.0, 120.0]])
    np.testing.assert_allclose(pose.unplace(pose.place(points)), points)


def test_an_expression_comes_and_stays() -> None:
    course = ExpressionCourse.draw(np.random.default_rng(0), 12.0, leaks=True)
    assert course.shown(0.0) == 0.0
    assert course.shown(course.onset_s + course.rise_s) == pytest.approx(1.0)
    assert course.shown(12.0) > 0.4
    assert course.micro_s is not None
    assert course.leaked(course.micro_s) == 1.0
    assert course.leaked(course.micro_s + 0.25) == 0.0
