from __future__ import annotations

import numpy as np
import pytest

from emer_edge.bench.probes.decoding import decode, summarise
from emer_edge.data.synth.gaze import film_target_px
from emer_edge.spec.columns import GAZE_POINT

PEOPLE, FILMS = 16, 6
OWNERS = [person for person in range(PEOPLE) for _ in range(FILMS)]
SEEN = [film for _ in range(PEOPLE) for film in range(FILMS)]


def eyes(signature: bool, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Gaze that wanders around a place of the film's own, or around the same one in all of them."""
    rng = np.random.default_rng(seed)
    eye = rng.normal(600, 150, (len(SEEN), 32, 39)).astype(np.float32)
    for at, film in enumerate(SEEN):
        place = film_target_px(film if signature else 0, np.linspace(0, 12, 32), (1920, 1080))
        eye[at, :, GAZE_POINT] = place + rng.normal(0, 150, (32, 2))
    return eye, eye[..., GAZE_POINT].copy()


def test_a_planted_film_is_told() -> None:
    found = decode(summarise(*eyes(signature=True)), SEEN, OWNERS, 200, 0)
    assert found is not None
    assert found.hits.mean() > 0.8
    assert found.p == pytest.approx(1 / 201)
    assert found.chance.mean() == pytest.approx(1 / FILMS, abs=0.03)
    assert np.mean(found.told == SEEN) == found.hits.mean()


def test_films_without_a_signature_are_not() -> None:
    """Of six such sets some are told better than others by chance, as p should say."""
    found = [decode(summarise(*eyes(signature=False, seed=seed)), SEEN, OWNERS, 40, 0) for seed in range(6)]
    assert all(each is not None and each.hits.mean() < 0.3 for each in found)
    assert 0.2 < np.mean([each.p for each in found if each is not None]) < 0.8


def test_what_tells_a_person_does_not_tell_a_film() -> None:
    """Every clip is marked by its person and film together: remembering other clips of a person would tell it."""
    rng = np.random.default_rng(0)
    marks = rng.normal(0, 1, (PEOPLE, 40))[OWNERS] * 5 + rng.normal(0, 0.1, (len(SEEN), 40))
    found = decode(marks, SEEN, OWNERS, 200, 0)
    assert found is not None
    assert found.p > 0.05
    whose = decode(marks, OWNERS, SEEN, 50, 0)
    assert whose is not None
    assert whose.hits.mean() > 0.95


def test_chance_permutes_within_people() -> None:
    """Each person saw one film alone: permuting within people would change nothing, so all labels are permuted."""
    films = [each % 2 for each in OWNERS]
    found = decode(np.random.default_rng(0).normal(0, 1, (len(SEEN), 5)), films, OWNERS, 100, 0)
    assert found is not None
    assert found.chance.std() > 0
    assert found.p > 0.05


def test_one_person_or_one_film_is_nothing_to_tell() -> None:
    features = np.random.default_rng(0).normal(0, 1, (6, 4))
    assert decode(features, list("abcabc"), ["one"] * 6, 10, 0) is None
    assert decode(features, ["film"] * 6, list("abcabc"), 10, 0) is None
    pair = decode(features, list("ababab"), list("xxxyyy"), 10, 0)
    assert pair is not None
    assert pair.folds == 2


def test_missing_cells_do_not_pull_a_summary_towards_zero() -> None:
    eye, gaze = np.full((1, 32, 39), 640.0, np.float32), np.full((1, 32, 2), 640.0, np.float32)
    eye[0, ::2, 7], gaze[0, ::2] = 0, 0
    found = summarise(eye, gaze)
    assert found.shape == (1, 110)
    assert (found[0, :39] == 640).all()
    assert (found[0, 39:78] == 0).all()
    assert (found[0, 78:] == 640).all()
