from __future__ import annotations

import csv

import numpy as np
import pytest

from emer_edge.bench.accuracy.predictions_csv import COLUMNS, write_predictions
from emer_edge.bench.accuracy.scored_folds import ScoredFold, score_fold
from emer_edge.bench.executors import Spread
from emer_edge.bench.options import ScoringOptions
from emer_edge.bundle import Bundle
from emer_edge.core.heads import HEADS
from emer_edge.data.dataset import EmerDataset
from emer_edge.metrics.probabilities import js_distance
from emer_edge.offline.predict import score_clips
from emer_edge.runtime.session import Session

PLAN = ScoringOptions(draws=3, resamples=5)


@pytest.fixture(scope="module")
def fold(bundle: Bundle, dataset: EmerDataset) -> ScoredFold:
    with Session(bundle) as session:
        return score_fold(Spread(session), dataset, 1, PLAN)


@pytest.fixture(scope="module")
def rows(fold: ScoredFold, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    path = write_predictions(tmp_path_factory.mktemp("csv"), [fold], PLAN)
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_row_a_clip_head_and_reading(rows: list[dict[str, str]], dataset: EmerDataset) -> None:
    assert tuple(rows[0]) == COLUMNS
    clips = dataset.fold(1)
    for reading, windows in (("newest", "1"), ("draws", "3")):
        found = [each for each in rows if each["reading"] == reading]
        assert len(found) == len(clips) * len(HEADS)
        assert {each["windows"] for each in found} == {windows}
    assert {each["reading"] for each in rows} == {"newest", "draws", "live"}
    assert {each["fold"] for each in rows} == {"1"}
    assert {each["participant"] for each in rows} == {clip.participant for clip in clips}


def test_answers_are_those_of_predict(rows: list[dict[str, str]], bundle: Bundle, dataset: EmerDataset) -> None:
    with Session(bundle) as session:
        scores = score_clips(session, dataset.fold(1))
    order = {each.name: each.classes for each in bundle.manifest.heads}
    for at, clip in enumerate(scores.clips):
        own = {each["head"]: each for each in rows if each["clip"] == clip.name and each["reading"] == "newest"}
        given = scores.outputs["er-7"][at]
        assert own["er-7"]["predicted"] == order["er-7"][int(given.argmax())]
        assert own["er-7"]["label"] == HEADS["er-7"].classes[int(clip.labels["er-7"])]
        assert own["er-7"]["right"] == str(int(own["er-7"]["predicted"] == own["er-7"]["label"]))
        for name, value in zip(order["er-7"], given, strict=True):
            assert float(own["er-7"][f"p {name}"]) == pytest.approx(value, abs=2e-6)
        assert own["er-7"]["p positive"] == ""
        assert float(own["er-valence"]["predicted"]) == pytest.approx(scores.outputs["er-valence"][at, 0], abs=2e-6)
        assert float(own["er-valence"]["label"]) == pytest.approx(clip.labels["er-valence"], abs=1e-6)
        gap = js_distance(given, scores.outputs["fer-7"][at])
        assert float(own["er-7"]["gap"]) == pytest.approx(float(gap), abs=2e-5)
        assert int(own["er-7"]["eye_slots"]) == scores.eye_slots[at]


def test_draws_are_means_over_the_draws_asked_for(rows: list[dict[str, str]], fold: ScoredFold) -> None:
    head = fold.heads["er-3"]
    drawn = head.drawn("draws", 3)
    own = next(each for each in rows if each["reading"] == "draws" and each["head"] == "er-3")
    assert float(own[f"p {head.classes[0]}"]) == pytest.approx(drawn[0, :, 0].mean(), abs=2e-6)
    assert float(own["right"]) == pytest.approx(np.mean(drawn[0].argmax(axis=1) == head.truth[0]), abs=1e-3)
