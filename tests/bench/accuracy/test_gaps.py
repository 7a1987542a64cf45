from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from judged_heads import class_head

from emer_edge.bench.accuracy.gaps import JudgedGap, gap_accuracy, join_gaps, judge_gap
from emer_edge.metrics.gap import auroc, js_distance
from emer_edge.metrics.intervals import bootstrap

RNG = np.random.default_rng(0)
FELT = RNG.integers(0, 7, 60)
SHOWN = np.where(RNG.random(60) < 0.6, FELT, (FELT + 3) % 7)


def judged(right: float = 1.0, quantiles: tuple[float, ...] = ()) -> JudgedGap:
    said = np.where(RNG.random(60) < right, SHOWN, (SHOWN + 1) % 7)
    found = judge_gap({"er-7": class_head("er-7", FELT, FELT), "fer-7": class_head("fer-7", SHOWN, said)}, quantiles)
    assert found is not None
    return found


def test_a_network_that_is_right_tells_every_disagreement() -> None:
    gap = judged()
    np.testing.assert_array_equal(gap.differ, FELT != SHOWN)
    found = gap_accuracy(gap, 50, 0)
    assert found.auroc is not None
    assert found.auroc.value == 1.0
    assert found.disagreeing == pytest.approx(np.mean(FELT != SHOWN))
    assert found.mean_agreeing == 0.0
    assert found.mean_disagreeing == pytest.approx(float(js_distance([0.9] + [0.1 / 6] * 6, [0.1 / 6] * 6 + [0.9])))
    assert [each.clips for each in found.bins] == [12] * 5
    assert found.bins[0].disagreeing.value == 0.0
    assert found.bins[-1].disagreeing.value == 1.0
    assert found.uniformity is None


def test_the_interval_is_over_participants() -> None:
    gap = judged(0.7)
    found = gap_accuracy(gap, 100, 3)
    people = [clip.participant for clip in gap.clips]
    expected = bootstrap(auroc, people, gap.differ, gap.distances, resamples=100, seed=3)
    assert found.auroc is not None
    assert (found.auroc.value, found.auroc.low, found.auroc.high) == (expected.value, expected.low, expected.high)
    assert 0.5 < found.auroc.value < 1


def test_percentiles_that_keep_their_promise_are_uniform() -> None:
    gap = judged()
    count = int(np.sum(~gap.differ))
    even = np.zeros(60)
    even[~gap.differ] = (np.arange(count) + 0.5) / count * 100
    found = gap_accuracy(replace(gap, percentiles=even), 20, 0)
    assert found.uniformity == pytest.approx(0.5 / count)
    assert found.uniformity_clips == count
    high = gap_accuracy(replace(gap, percentiles=np.full(60, 100.0)), 20, 0)
    assert high.uniformity == pytest.approx(1.0)
    low = gap_accuracy(replace(gap, percentiles=np.full(60, 0.0)), 20, 0)
    assert low.uniformity == pytest.approx(1.0)


def test_without_both_labels_or_one_kind_there_is_little_to_say() -> None:
    assert judge_gap({"er-7": class_head("er-7", FELT, FELT)}, ()) is None
    other = class_head("fer-7", SHOWN, SHOWN, fold=2)
    assert judge_gap({"er-7": class_head("er-7", FELT, FELT), "fer-7": other}, ()) is None
    same = gap_accuracy(replace(judged(), differ=np.zeros(60, np.bool_)), 20, 0)
    assert (same.auroc, same.mean_disagreeing) == (None, None)


def test_gaps_of_folds_are_joined() -> None:
    one = judged()
    both = join_gaps([one, one])
    assert len(both.clips) == len(both.distances) == 120
    assert gap_accuracy(both, 20, 0).disagreeing == gap_accuracy(one, 20, 0).disagreeing
