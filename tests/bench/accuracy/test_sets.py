from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from judged_heads import class_head, value_head

from emer_edge.bench.accuracy.encoded import EncodedWindows, ReadingPlan
from emer_edge.bench.accuracy.figures import head_accuracy
from emer_edge.bench.accuracy.gaps import gap_accuracy, join_gaps, judge_gap
from emer_edge.bench.accuracy.judged import JudgedHead
from emer_edge.bench.accuracy.scoring import ScoredFold
from emer_edge.bench.accuracy.sets import fold_sets, group, pair_sets
from emer_edge.bench.records import Accuracy
from emer_edge.metrics.classification import uar, war
from emer_edge.metrics.gap import auroc
from emer_edge.metrics.intervals import bootstrap_difference
from emer_edge.metrics.mcnemar import mcnemar_p

RNG = np.random.default_rng(0)
PLAN = ReadingPlan()
TRUTH = {fold: RNG.integers(0, 7, 30) for fold in (1, 2)}
SHOWN = {fold: np.where(RNG.random(30) < 0.7, TRUTH[fold], 6) for fold in (1, 2)}
VALUES = {fold: RNG.uniform(-1, 1, 30) for fold in (1, 2)}


def said(fold: int, right: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, fold])
    return np.where(rng.random(30) < right, TRUTH[fold], (TRUTH[fold] + 1) % 7)


def scored(precision: str, fold: int, right: float = 0.7, seed: int = 0, heads: tuple[str, ...] = ()) -> ScoredFold:
    found: dict[str, JudgedHead] = {
        "er-7": class_head("er-7", TRUTH[fold], said(fold, right, seed), fold=fold),
        "fer-7": class_head("fer-7", SHOWN[fold], SHOWN[fold], fold=fold),
        "er-valence": value_head("er-valence", VALUES[fold], right * VALUES[fold], fold=fold),
    }
    found = {name: each for name, each in found.items() if not heads or name in heads}
    gap = judge_gap(found, ())
    clips = found["er-7"].clips
    none, slots = np.zeros((30, 1), np.float32), np.full(30, 8, np.int64)
    accuracy = Accuracy(
        fold=fold,
        fingerprint="",
        events="causal",
        clips=30,
        participants=4,
        uncovered=0,
        excluded=(),
        heads={name: head_accuracy(each, PLAN, 20) for name, each in found.items()},
        clips_per_s=1.0,
        gap=None if gap is None else gap_accuracy(gap, 20, 0),
    )
    windows = EncodedWindows(clips, none, none, none, slots, slots)
    return ScoredFold(f"{precision}-{fold}", precision, accuracy, found, gap, windows)


def test_bundles_of_a_precision_form_a_set_and_a_second_one_where_folds_repeat() -> None:
    folds = [scored("int8", 2), scored("fp32", 1), scored("int8", 1), scored("int8", 1, seed=5), scored("fp32", 2)]
    found = group(folds)
    assert list(found) == ["int8", "fp32", "int8 2"]
    assert [each.accuracy.fold for each in found["int8"]] == [1, 2]
    assert [each.bundle for each in found["fp32"]] == ["fp32-1", "fp32-2"]
    assert found["int8 2"] == (folds[3],)


def test_a_set_has_the_spread_over_folds_and_figures_pooled_over_clips() -> None:
    folds = [scored("fp32", 1), scored("fp32", 2)]
    (found,) = fold_sets(folds, PLAN, 50)
    values = [each.accuracy.heads["er-7"].metrics["war"].value for each in folds]
    spread = found.spread["er-7/newest/war"]
    assert (list(spread.values), spread.mean) == (values, pytest.approx(np.mean(values)))
    assert spread.sd == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert {"er-7/published_batch/uar", "er-valence/newest/ccc", "gap/auroc"} <= set(found.spread)
    truth = np.concatenate([TRUTH[1], TRUTH[2]])
    chosen = np.concatenate([said(1, 0.7, 0), said(2, 0.7, 0)])
    pooled = found.pooled["er-7"]
    assert pooled.clips == found.clips == 60
    assert pooled.metrics["war"].value == pytest.approx(war(truth, chosen))
    assert pooled.metrics["uar"].value == pytest.approx(uar(truth, chosen))
    assert found.participants == len(pooled.participants.figures) == 8 if pooled.participants else False
    assert pooled.published_batch == {}
    assert found.gap is not None
    assert found.gap.clips == 60


def test_a_set_of_one_bundle_is_that_bundle() -> None:
    one = scored("auto", 2)
    (found,) = fold_sets([one], PLAN, 20)
    assert (found.name, found.folds) == ("auto", (2,))
    assert found.spread["er-7/newest/war"].sd is None
    assert found.pooled["er-7"].metrics == one.accuracy.heads["er-7"].metrics
    assert fold_sets([], PLAN, 20) == ()


def test_heads_that_not_all_folds_have_are_not_pooled() -> None:
    (found,) = fold_sets([scored("fp32", 1), scored("fp32", 2, heads=("er-7",))], PLAN, 20)
    assert list(found.pooled) == ["er-7"]
    assert found.gap is None
    assert all(key.startswith("er-7/") for key in found.spread)


def test_precisions_are_paired_on_the_same_clips() -> None:
    folds = [scored("int8", 1, 0.6, seed=9), scored("int8", 2, 0.6, seed=9), scored("fp32", 1), scored("fp32", 2)]
    found = {each.head: each for each in pair_sets(folds, 100, 3)}
    assert {(each.first, each.second) for each in found.values()} == {("fp32", "int8")}
    truth = np.concatenate([TRUTH[1], TRUTH[2]])
    before = np.concatenate([said(1, 0.7, 0), said(2, 0.7, 0)])
    after = np.concatenate([said(1, 0.6, 9), said(2, 0.6, 9)])
    er = found["er-7"]
    right = [before == truth, after == truth]
    assert er.only_first == np.sum(right[0] & ~right[1])
    assert er.only_second == np.sum(~right[0] & right[1])
    assert er.both + er.only_first + er.only_second + er.neither == er.clips == 60
    assert er.mcnemar_p == mcnemar_p(er.only_first, er.only_second)
    people = [clip.participant for each in folds[2:] for clip in each.heads["er-7"].clips]
    expected = bootstrap_difference(uar, people, truth, before, after, resamples=100, seed=3)
    change = er.change["uar"]
    assert (change.value, change.low, change.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert found["er-valence"].mcnemar_p is None
    assert found["er-valence"].change["mae"].value > 0


def test_the_gap_is_paired_by_its_auroc() -> None:
    folds = [scored("fp32", 1), scored("fp32", 2), scored("int8", 1, 0.3, seed=9), scored("int8", 2, 0.3, seed=9)]
    (found,) = [each for each in pair_sets(folds, 100, 3) if each.head == "gap"]
    gaps = [join_gaps([each.gap for each in some if each.gap is not None]) for some in (folds[:2], folds[2:])]
    people = [clip.participant for clip in gaps[0].clips]
    given = [each.distances for each in gaps]
    expected = bootstrap_difference(auroc, people, gaps[0].differ, *given, resamples=100, seed=3)
    change = found.change["auroc"]
    assert (change.value, change.low, change.high) == (expected.value, expected.low, expected.high)
    assert (found.clips, found.participants, found.mcnemar_p) == (60, 8, None)


def test_clips_that_only_one_set_scored_are_left_out() -> None:
    (only,) = [
        each
        for each in pair_sets([scored("fp32", 1), scored("int8", 1), scored("int8", 2)], 20, 0)
        if each.head == "er-7"
    ]
    assert (only.clips, only.participants) == (30, 4)
    assert pair_sets([scored("fp32", 1), scored("int8", 2)], 20, 0) == ()
    assert pair_sets([scored("fp32", 1), scored("fp32", 2)], 20, 0) == ()


def test_records_of_sets_survive_json() -> None:
    folds = [scored("fp32", 1), replace(scored("int8", 1, 0.5, seed=2), bundle="other")]
    for records in (fold_sets(folds, PLAN, 20), pair_sets(folds, 20, 0)):
        assert msgspec.json.decode(msgspec.json.encode(records), type=tuple[type(records[0]), ...]) == records
