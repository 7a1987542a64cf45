from __future__ import annotations

import hashlib
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from judged_heads import class_head, make_clips, make_scores, sharp, value_head

from emer_edge.bench.accuracy.accuracy_figures import (
    JudgedGap,
    gap_accuracy,
    head_accuracy,
    join_gaps,
    judge_gap,
    published_batch,
)
from emer_edge.bench.accuracy.clip_scores import REPEATS
from emer_edge.bench.accuracy.judged import baseline_figures, data_notes, guesses_of, join, judge, owner, split_hash
from emer_edge.bench.bench_options import ScoringOptions
from emer_edge.bundle import Manifest
from emer_edge.bundle.manifest import BundledHead
from emer_edge.core.errors import DataError
from emer_edge.core.heads import HEADS, POLARITIES
from emer_edge.data.dataset import EmerDataset, regroup
from emer_edge.metrics.intervals import bootstrap
from emer_edge.metrics.prediction_metrics import published_batch_mean, rmse, uar, war, weighted_f1
from emer_edge.metrics.probabilities import auroc, js_distance

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 3, 40)
CHOSEN = np.where(RNG.random(40) < 0.7, TRUTH, (TRUTH + 1) % 3)
PLAN = ScoringOptions(draws=4)


def test_a_bundles_own_order_of_classes_does_not_matter() -> None:
    clips = make_clips(40, 4, {"er-3": TRUTH})
    given = sharp(CHOSEN, 3)
    plain = judge(
        BundledHead(name="er-3", classes=POLARITIES), make_scores(clips, {"newest": list(given[:, None])}, "er-3")
    )
    turned = [2, 0, 1]
    other = judge(
        BundledHead(name="er-3", classes=tuple(POLARITIES[at] for at in turned)),
        make_scores(clips, {"newest": list(given[:, None, turned])}, "er-3"),
    )
    assert plain is not None
    assert other is not None
    assert plain.classes == other.classes == POLARITIES
    np.testing.assert_array_equal(plain.given["newest"], other.given["newest"])
    assert head_accuracy(plain, replace(PLAN, resamples=20)).metrics["war"].value == war(TRUTH, CHOSEN)


def test_clips_without_the_label_are_left_out_and_unknown_classes_refused() -> None:
    clips = list(make_clips(40, 4, {"er-3": TRUTH}))
    clips[0] = replace(clips[0], labels={})
    rows = [np.full((1 + at % 3, 3), 1 / 3) for at in range(40)]
    scores = make_scores(tuple(clips), {"newest": [row[:1] for row in rows], "live": rows}, "er-3")
    result = judge(BundledHead(name="er-3", classes=POLARITIES), scores)
    assert result is not None
    assert len(result.clips) == 39
    assert result.owners["newest"].tolist() == list(range(39))
    assert np.bincount(result.owners["live"]).tolist() == [len(row) for row in rows[1:]]
    lacking = judge(BundledHead(name="er-7", classes=HEADS["er-7"].classes), scores)
    assert lacking is None
    with pytest.raises(DataError, match="lacks"):
        judge(BundledHead(name="er-3", classes=POLARITIES[:2]), scores)


def test_draws_are_averaged_and_their_spread_is_over_draws() -> None:
    clips = make_clips(40, 4, {"er-3": TRUTH})
    draws = [np.where(RNG.random(40) < 0.8, TRUTH, (TRUTH + 2) % 3) for _ in range(REPEATS)]
    rows = [np.stack([sharp(draw, 3)[at] for draw in draws]) for at in range(40)]
    newest = [row[:1] for row in rows]
    head = judge(
        BundledHead(name="er-3", classes=POLARITIES), make_scores(clips, {"newest": newest, "draws": rows}, "er-3")
    )
    assert head is not None
    figures = head_accuracy(head, replace(PLAN, resamples=50)).readings["draws"]
    scores = [war(TRUTH, draw) for draw in draws[:4]]
    assert (figures.clips, figures.without, figures.windows) == (40, 0, 160)
    assert figures.over_draws["war"].mean == pytest.approx(np.mean(scores))
    assert figures.over_draws["war"].sd == pytest.approx(np.std(scores, ddof=1))
    assert (figures.over_draws["war"].lowest, figures.over_draws["war"].highest) == (min(scores), max(scores))
    assert figures.metrics["war"].value == pytest.approx(np.mean(scores))
    assert figures.metrics["uar"].value == pytest.approx(np.mean([uar(TRUTH, draw) for draw in draws[:4]]))


def test_live_windows_count_each_clip_once() -> None:
    truth = np.array([0, 1, 2, 0])
    clips = make_clips(4, 2, {"er-3": truth})
    live = [sharp(np.array([0, 0, 0, 1]), 3), sharp(np.array([1]), 3), np.zeros((0, 3)), sharp(np.array([1, 1]), 3)]
    newest = list(sharp(truth, 3)[:, None])
    head = judge(
        BundledHead(name="er-3", classes=POLARITIES), make_scores(clips, {"newest": newest, "live": live}, "er-3")
    )
    assert head is not None
    figures = head_accuracy(head, replace(PLAN, resamples=20)).readings["live"]
    assert (figures.clips, figures.without, figures.windows) == (3, 1, 7)
    assert figures.metrics["war"].value == pytest.approx((0.75 + 1 + 0) / 3)
    assert figures.metrics["uar"].value == pytest.approx(((0.75 + 0) / 2 + 1) / 2)
    assert figures.over_draws == {}


def test_the_published_reduction_is_ranged_over_orders_and_draws() -> None:
    head = class_head("er-3", TRUTH, CHOSEN)
    reduction = published_batch(head, PLAN)
    orders = [np.random.default_rng([0, at]).permutation(40) for at in range(20)]
    for name, metric in (("war", war), ("uar", uar), ("weighted_f1", weighted_f1)):
        expected = [published_batch_mean(metric, TRUTH[order], CHOSEN[order]) for order in orders]
        assert reduction[name].count == 20
        assert reduction[name].mean == pytest.approx(np.mean(expected))
        assert (reduction[name].lowest, reduction[name].highest) == pytest.approx((min(expected), max(expected)))
    assert reduction["uar"].lowest < reduction["uar"].highest


def test_each_order_has_a_draw_of_its_own() -> None:
    truth = np.linspace(-1, 1, 10)
    head = value_head("er-valence", truth, truth)
    draws = truth[:, None] + 0.1 * np.arange(REPEATS)
    drawn = replace(
        head,
        given={**head.given, "draws": draws.reshape(-1, 1)},
        owners={**head.owners, "draws": np.repeat(np.arange(10), REPEATS)},
    )
    reduction = published_batch(drawn, PLAN)
    assert (reduction["mae"].lowest, reduction["mae"].highest) == pytest.approx((0.0, 1.9))
    assert reduction["rmse"].mean == pytest.approx(np.mean([rmse(truth, draws[:, at]) for at in range(20)]))
    other = replace(
        drawn,
        given={**drawn.given, "published": drawn.given["draws"] * 0},
        owners={**drawn.owners, "published": drawn.owners["draws"]},
    )
    assert published_batch(other, ScoringOptions(loader="published"))["mae"].lowest == pytest.approx(
        np.abs(truth).mean()
    )


def test_baselines_know_labels_and_nothing_else() -> None:
    training = make_clips(10, 2, {"er-3": np.array([1] * 6 + [0] * 3 + [2])}, fold=2)
    test = make_clips(40, 4, {"er-3": TRUTH})
    guesses = guesses_of("er-3", POLARITIES, training, test)
    assert guesses["training majority"].tolist() == [0, 1, 0]
    assert guesses["prior chance"].tolist() == [0.3, 0.6, 0.1]
    assert int(guesses["test majority"].argmax()) == int(np.bincount(TRUTH).argmax())
    scores = make_scores(test, {"newest": list(sharp(CHOSEN, 3)[:, None])}, "er-3")
    head = judge(BundledHead(name="er-3", classes=POLARITIES), scores, guesses)
    assert head is not None
    baselines = baseline_figures(head)
    assert baselines["training majority"] == pytest.approx(
        {"war": np.mean(TRUTH == 1), "uar": 1 / 3, "weighted_f1": weighted_f1(TRUTH, np.ones(40, int))}
    )
    assert baselines["uniform chance"]["war"] == pytest.approx(1 / 3)
    assert baselines["uniform chance"]["nll"] == pytest.approx(np.log(3))
    assert baselines["prior chance"]["war"] == pytest.approx(np.mean(np.array([0.3, 0.6, 0.1])[TRUTH]))


def test_baselines_of_values_are_constants_of_the_other_folds() -> None:
    training = make_clips(4, 2, {"er-valence": np.array([0.0, 0.0, 0.0, 1.0])}, fold=2)
    truth = np.array([0.5, -0.5])
    test = make_clips(2, 2, {"er-valence": truth})
    guesses = guesses_of("er-valence", (), training, test)
    scores = make_scores(test, {"newest": [np.zeros((1, 1))] * 2}, "er-valence")
    head = judge(BundledHead(name="er-valence"), scores, guesses)
    assert head is not None
    baselines = baseline_figures(head)
    assert baselines["training mean"]["mae"] == pytest.approx((0.25 + 0.75) / 2)
    assert baselines["training median"]["mae"] == pytest.approx(0.5)
    assert set(baselines["training mean"]) == {"mae", "mse", "rmse"}
    assert guesses_of("er-valence", (), (), test) == {}


def test_participants_are_spread_each_counted_once() -> None:
    truth = np.array([0, 0, 0, 0, 0, 0])
    head = class_head("er-3", truth, np.array([0, 1, 0, 1, 0, 0]), people=2)
    figures = head_accuracy(head, replace(PLAN, resamples=20)).participants
    assert figures is not None
    assert [(figure.participant, figure.clips, figure.value) for figure in figures.figures] == [
        ("1-0", 3, 1.0),
        ("1-1", 3, pytest.approx(1 / 3)),
    ]
    assert (figures.metric, figures.min, figures.median, figures.max) == (
        "war",
        pytest.approx(1 / 3),
        pytest.approx(2 / 3),
        1.0,
    )


def test_folds_are_pooled_clip_by_clip() -> None:
    heads = [class_head("er-3", TRUTH[:20], CHOSEN[:20]), class_head("er-3", TRUTH[20:], CHOSEN[20:], fold=2)]
    joined = join(heads)
    assert joined is not None
    assert head_accuracy(joined, replace(PLAN, resamples=20), published=False).metrics["uar"].value == pytest.approx(
        uar(TRUTH, CHOSEN)
    )
    assert len(set(joined.people)) == 8
    assert joined.owners["newest"].tolist() == list(range(40))
    assert join([heads[0], replace(heads[1], classes=POLARITIES[:2])]) is None


GAP_RNG = np.random.default_rng(0)
FELT = GAP_RNG.integers(0, 7, 60)
SHOWN = np.where(GAP_RNG.random(60) < 0.6, FELT, (FELT + 3) % 7)


def judged(right: float = 1.0, quantiles: tuple[float, ...] = ()) -> JudgedGap:
    said = np.where(GAP_RNG.random(60) < right, SHOWN, (SHOWN + 1) % 7)
    result = judge_gap({"er-7": class_head("er-7", FELT, FELT), "fer-7": class_head("fer-7", SHOWN, said)}, quantiles)
    assert result is not None
    return result


def test_a_network_that_is_right_tells_every_disagreement() -> None:
    gap = judged()
    np.testing.assert_array_equal(gap.differ, FELT != SHOWN)
    gap_figures = gap_accuracy(gap, ScoringOptions(resamples=50, seed=0))
    assert gap_figures.auroc is not None
    assert gap_figures.auroc.value == 1.0
    assert gap_figures.disagreeing == pytest.approx(np.mean(FELT != SHOWN))
    assert gap_figures.mean_agreeing == 0.0
    assert gap_figures.mean_disagreeing == pytest.approx(
        float(js_distance([0.9] + [0.1 / 6] * 6, [0.1 / 6] * 6 + [0.9]))
    )
    assert [bucket.clips for bucket in gap_figures.bins] == [12] * 5
    assert gap_figures.bins[0].disagreeing.value == 0.0
    assert gap_figures.bins[-1].disagreeing.value == 1.0
    assert gap_figures.uniformity is None


def test_the_interval_is_over_participants() -> None:
    gap = judged(0.7)
    gap_figures = gap_accuracy(gap, ScoringOptions(resamples=100, seed=3))
    people = [clip.participant for clip in gap.clips]
    expected = bootstrap(auroc, people, gap.differ, gap.distances, resamples=100, seed=3)
    assert gap_figures.auroc is not None
    assert (gap_figures.auroc.value, gap_figures.auroc.low, gap_figures.auroc.high) == (
        expected.value,
        expected.low,
        expected.high,
    )
    assert 0.5 < gap_figures.auroc.value < 1


def test_percentiles_that_keep_their_promise_are_uniform() -> None:
    gap = judged()
    count = int(np.sum(~gap.differ))
    even = np.zeros(60)
    even[~gap.differ] = (np.arange(count) + 0.5) / count * 100
    gap_figures = gap_accuracy(replace(gap, percentiles=even), ScoringOptions(resamples=20, seed=0))
    assert gap_figures.uniformity == pytest.approx(0.5 / count)
    assert gap_figures.uniformity_clips == count
    high = gap_accuracy(replace(gap, percentiles=np.full(60, 100.0)), ScoringOptions(resamples=20, seed=0))
    assert high.uniformity == pytest.approx(1.0)
    low = gap_accuracy(replace(gap, percentiles=np.full(60, 0.0)), ScoringOptions(resamples=20, seed=0))
    assert low.uniformity == pytest.approx(1.0)


def test_without_both_labels_or_one_kind_there_is_little_to_say() -> None:
    assert judge_gap({"er-7": class_head("er-7", FELT, FELT)}, ()) is None
    other = class_head("fer-7", SHOWN, SHOWN, fold=2)
    assert judge_gap({"er-7": class_head("er-7", FELT, FELT), "fer-7": other}, ()) is None
    same = gap_accuracy(replace(judged(), differ=np.zeros(60, np.bool_)), ScoringOptions(resamples=20, seed=0))
    assert (same.auroc, same.mean_disagreeing) == (None, None)


def test_gaps_of_folds_are_joined() -> None:
    one = judged()
    both = join_gaps([one, one])
    assert len(both.clips) == len(both.distances) == 120
    assert (
        gap_accuracy(both, ScoringOptions(resamples=20, seed=0)).disagreeing
        == gap_accuracy(one, ScoringOptions(resamples=20, seed=0)).disagreeing
    )


def shared(dataset: EmerDataset) -> EmerDataset:
    """The data set with every participant's clips dealt into the folds in turn, as kept on request."""
    clips = tuple(replace(clip, fold=at % 5 + 1) for at, clip in enumerate(dataset.clips))
    return replace(dataset, clips=clips)


def test_folds_that_share_nobody_need_no_warning(manifest: Manifest, dataset: EmerDataset) -> None:
    assert data_notes([manifest], dataset) == []


def test_shared_participants_are_warned_of_by_name(manifest: Manifest, dataset: EmerDataset) -> None:
    (note,) = data_notes([manifest], shared(dataset))
    assert note.startswith("5 participants have clips in several folds (1, 2, 3, 4, 5)")
    assert "folds are not independent" in note


def test_new_folds_and_bundles_of_unknown_origin_are_told(manifest: Manifest, dataset: EmerDataset) -> None:
    unknown = msgspec.structs.replace(manifest, data=None)
    notes = data_notes([manifest, unknown], regroup(shared(dataset)))
    assert len(notes) == 2
    assert "nothing vouches" in notes[0]
    assert "not the published folds" in notes[1]


def test_a_split_is_named_by_its_clips_in_order(dataset: EmerDataset) -> None:
    clips = dataset.fold(1)
    text = "".join(f"{clip.name}\n" for clip in clips)
    assert split_hash(clips) == hashlib.sha256(text.encode()).hexdigest()
    assert split_hash(clips[::-1]) != split_hash(clips)


def test_a_clip_of_nobody_stands_for_itself(dataset: EmerDataset) -> None:
    clip = dataset.clips[0]
    assert owner(clip) == clip.participant
    assert owner(replace(clip, participant=None)) == f"clip {clip.name}"
