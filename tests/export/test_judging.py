from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from emer_edge.core.errors import CheckpointError
from emer_edge.core.heads import EMOTIONS
from emer_edge.export.judging.fitting import cross_fitted, fit_temperatures, gap_record, without_eyes_record
from emer_edge.export.judging.gate import Change, agreement, compare, record_of, verdict_of
from emer_edge.export.judging.trial import check_outputs, check_weights
from emer_edge.export.judging.workshop import Truth

PEOPLE = tuple(f"p{at // 20}" for at in range(600))
CLIPS = np.arange(600) // 5


def known(
    labels: dict[str, NDArray[np.float64]], classes: Any = None, people: Any = PEOPLE, clips: Any = None
) -> Truth:
    """Labels of 600 windows, each of a clip of its own unless told otherwise."""
    order = {name: EMOTIONS for name in labels if name.endswith("-7")} if classes is None else classes
    return Truth(labels, people, np.arange(600) if clips is None else clips, order)


def logits(labels: NDArray[np.int64], right: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Seven logits each whose best class is the label, or the next one where `right` is false."""
    best = np.where(right, labels, (labels + 1) % 7)
    return np.eye(7, dtype=np.float32)[best] * 4


@pytest.fixture
def truth() -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(0, 7, 600)


def judged(truth: NDArray[np.int64], before: NDArray[np.bool_], after: NDArray[np.bool_]) -> str:
    labels = {"er-7": truth.astype(np.float64)}
    one, other = {"er-7": logits(truth, before)}, {"er-7": logits(truth, after)}
    return verdict_of(compare(one, other, known(labels)))


def test_nothing_changed_passes(truth: NDArray[np.int64]) -> None:
    right = np.random.default_rng(1).random(600) < 0.8
    assert judged(truth, right, right) == "passed"


def test_a_collapse_fails(truth: NDArray[np.int64]) -> None:
    rng = np.random.default_rng(1)
    assert judged(truth, rng.random(600) < 0.9, rng.random(600) < 0.6) == "failed"


def test_a_small_loss_on_few_windows_is_inconclusive(truth: NDArray[np.int64]) -> None:
    right = np.ones(600, np.bool_)
    after = right.copy()
    after[::75] = False
    before = right.copy()
    before[5::90] = False
    assert judged(truth, before, after) == "inconclusive"


def test_values_are_held_to_a_share_of_their_range() -> None:
    rng = np.random.default_rng(2)
    label = rng.uniform(-1, 1, 600)
    before = {"er-valence": (label + rng.normal(0, 0.2, 600)).astype(np.float32)[:, None]}
    close = {"er-valence": before["er-valence"] + rng.normal(0, 0.01, (600, 1)).astype(np.float32)}
    far = {"er-valence": before["er-valence"] + np.float32(0.3)}
    labels = {"er-valence": label}
    (change,) = compare(before, close, known(labels))
    assert (change.name, change.margin, change.verdict) == ("er-valence/mae", 0.02, "passed")
    assert verdict_of(compare(before, far, known(labels))) == "failed"


def test_unlabelled_windows_and_heads_are_left_out(truth: NDArray[np.int64]) -> None:
    labels = {"er-7": np.where(np.arange(600) < 300, truth, np.nan), "fer-7": np.full(600, np.nan)}
    given = logits(truth, np.arange(600) < 300)
    changes = compare(
        {"er-7": given, "fer-7": given}, {"er-7": given, "fer-7": given}, known(labels, {"er-7": EMOTIONS})
    )
    assert {change.name.split("/")[0] for change in changes} == {"er-7"}
    assert [change.before for change in changes if change.metric in ("war", "uar")] == [1.0, 1.0]


def test_other_class_orders_are_understood(truth: NDArray[np.int64]) -> None:
    order = EMOTIONS[::-1]
    given = logits(6 - truth, np.ones(600, np.bool_))
    changes = compare({"er-7": given}, {"er-7": given}, known({"er-7": truth.astype(float)}, {"er-7": order}))
    assert changes[0].before == 1.0


def test_one_participant_gives_no_interval(truth: NDArray[np.int64]) -> None:
    right = np.ones(600, np.bool_)
    given = {"er-7": logits(truth, right)}
    alone = known({"er-7": truth.astype(float)}, people=("p",) * 600)
    changes = compare(given, given, alone)
    assert math.isnan(changes[0].low)
    assert verdict_of(changes) == "inconclusive"
    assert record_of(changes, alone).change_low == {}


def test_one_participant_is_inconclusive_however_large_the_loss(truth: NDArray[np.int64]) -> None:
    alone = known({"er-7": truth.astype(float)}, people=("p",) * 600)
    given = [{"er-7": logits(truth, np.full(600, right))} for right in (True, False)]
    changes = compare(*given, alone)
    assert changes[0].loss == 1.0
    assert verdict_of(changes) == "inconclusive"
    assert "no interval, as there is one participant only" in str(changes[0])


@pytest.mark.parametrize(
    ("loss", "low", "high", "verdict", "said"),
    [
        (0.60 - 0.59, 0.005, 0.60 - 0.59, "passed", "loss 0.010, 95 % 0.005 to 0.010, allowed 0.010"),
        (0.01001, 0.005, 0.015, "failed", "loss 0.01001, 95 % 0.00500 to 0.01500, allowed 0.01000"),
        (0.02, 0.0, 0.04, "inconclusive", "95 % 0.000 to 0.040"),
        (0.02, 1e-5, 0.04, "failed", "95 % 0.00001 to 0.04000"),
    ],
    ids=["equal", "just beyond", "from 0", "just above 0"],
)
def test_equality_passes_and_the_digits_that_decide_are_shown(
    loss: float, low: float, high: float, verdict: str, said: str
) -> None:
    change = Change("er-7/war", 0.6, 0.6 - loss, loss=loss, low=low, high=high, margin=0.01)
    assert change.verdict == verdict
    assert said in str(change)


def test_record_holds_changes_of_the_metric(truth: NDArray[np.int64]) -> None:
    rng = np.random.default_rng(1)
    one, other = {"er-7": logits(truth, rng.random(600) < 0.9)}, {"er-7": logits(truth, rng.random(600) < 0.6)}
    labelled = known({"er-7": truth.astype(float)}, clips=CLIPS)
    record = record_of(compare(one, other, labelled), labelled)
    assert (record.windows, record.clips, record.participants) == (600, 120, 30)
    assert record.verdict == "failed"
    assert record.change_low["er-7/war"] <= record.final["er-7/war"] - record.fp32["er-7/war"]
    assert record.change_high["er-7/war"] < 0
    assert record_of((), labelled).verdict == "not run"
    assert agreement(one, one) == {"er-7": 1.0}
    assert agreement(one, other)["er-7"] < 0.8


def test_temperatures_soften_confident_mistakes(truth: NDArray[np.int64]) -> None:
    right = np.random.default_rng(1).random(600) < 0.7
    labels = {"er-7": truth.astype(float), "fer-7": np.full(600, np.nan)}
    temperatures = fit_temperatures({"er-7": logits(truth, right) * 5, "fer-7": logits(truth, right)}, known(labels))
    assert temperatures["er-7"] > 3
    assert temperatures["fer-7"] == 1.0
    turned = fit_temperatures({"er-7": logits(6 - truth, right) * 5}, known(labels, {"er-7": EMOTIONS[::-1]}))
    assert turned["er-7"] == pytest.approx(temperatures["er-7"], rel=1e-3)


def test_temperatures_are_not_fitted_on_what_holds_nothing(truth: NDArray[np.int64]) -> None:
    outputs = {"er-7": logits(truth, np.random.default_rng(1).random(600) < 0.7) * 5}
    assert fit_temperatures(outputs, known({"er-7": np.full(600, 3.0)}))["er-7"] == 1.0
    labels = {"er-7": truth.astype(float)}
    assert fit_temperatures(outputs, known(labels, clips=np.arange(600) % 19))["er-7"] == 1.0
    assert fit_temperatures({"er-7": np.ones((600, 7), np.float32)}, known(labels))["er-7"] == 1.0
    enormous = fit_temperatures({"er-7": outputs["er-7"] * 1e30}, known(labels))
    assert math.isfinite(enormous["er-7"])


def test_a_temperature_is_never_judged_on_the_people_it_was_fitted_on(truth: NDArray[np.int64]) -> None:
    right = np.random.default_rng(1).random(600) < 0.7
    outputs, labels = {"er-7": logits(truth, right) * 5}, {"er-7": truth.astype(float)}
    before = cross_fitted(outputs, known(labels))["er-7"]
    wrong = {"er-7": labels["er-7"].copy()}
    wrong["er-7"][:20] = (wrong["er-7"][:20] + 3) % 7
    after = cross_fitted(outputs, known(wrong))["er-7"]
    group = np.array([int(participant[1:]) % 5 == 0 for participant in PEOPLE])
    np.testing.assert_array_equal(after[group], before[group])
    assert np.abs(after[~group] - before[~group]).max() > 1e-4


def test_probabilities_that_lie_fail_where_classes_hold(truth: NDArray[np.int64]) -> None:
    rng = np.random.default_rng(5)
    best = np.where(rng.random(600) < 0.8, truth, (truth + 1) % 7)
    sure = rng.uniform(1, 6, 600)
    before = {"er-7": (np.eye(7)[best] * sure[:, None]).astype(np.float32)}
    # The same best classes, at a confidence that has nothing to do with the window.
    after = {"er-7": (np.eye(7)[best] * np.where(best == truth, 0.2, 6)[:, None]).astype(np.float32)}
    changes = compare(before, after, known({"er-7": truth.astype(float)}))
    verdicts = {change.metric: change.verdict for change in changes}
    assert verdicts["war"] == verdicts["uar"] == "passed"
    assert verdicts["nll"] == verdicts["brier"] == "failed"


def test_a_gap_that_moves_fails(truth: NDArray[np.int64]) -> None:
    shown = np.where(np.arange(600) % 2, truth, (truth + 1) % 7)
    labels = {"er-7": truth.astype(float), "fer-7": shown.astype(float)}
    everyone = np.ones(600, np.bool_)
    before = {"er-7": logits(truth, everyone), "fer-7": logits(shown, everyone)}
    after = {"er-7": before["er-7"], "fer-7": logits(truth, everyone)}
    moved = {change.name: change for change in compare(before, after, known(labels))}
    assert (moved["gap/shift"].verdict, moved["gap/auroc"].verdict) == ("failed", "failed")
    assert moved["gap/auroc"].before == 1.0
    assert moved["gap/auroc"].after == pytest.approx(0.5, abs=0.1)
    same = {change.name: change for change in compare(before, before, known(labels))}
    assert (same["gap/shift"].loss, same["gap/shift"].verdict) == (0.0, "passed")
    agreeing = {"er-7": labels["er-7"], "fer-7": labels["er-7"]}
    assert "gap/auroc" not in {change.name for change in compare(before, before, known(agreeing))}


def test_gap_of_windows_whose_labels_agree(truth: NDArray[np.int64]) -> None:
    other = np.where(np.arange(600) < 200, truth, (truth + 1) % 7)
    labels = {"er-7": truth.astype(float), "fer-7": other.astype(float)}
    outputs = {"er-7": logits(truth, np.ones(600, np.bool_)), "fer-7": logits(6 - other, np.ones(600, np.bool_))}
    classes = {"er-7": EMOTIONS, "fer-7": EMOTIONS[::-1]}
    temperatures = {"er-7": 1.0, "fer-7": 1.0}
    record = gap_record(outputs, known(labels, classes), temperatures)
    assert record is not None
    assert (record.clips, len(record.agreeing), record.absent) == (600, 200, {})
    assert max(record.agreeing) < 1e-3
    by_gap = dict(record.differ)
    assert by_gap[min(by_gap)] == pytest.approx(1 / 602)
    assert by_gap[max(by_gap)] == pytest.approx(601 / 602)
    five = gap_record(outputs, known(labels, classes, clips=CLIPS), temperatures)
    assert five is not None
    assert (five.clips, len(five.agreeing)) == (120, 40)  # a clip counts once, however many windows it has
    assert gap_record({"er-7": outputs["er-7"]}, known(labels, classes), {"er-7": 1.0}) is None


def test_a_gap_that_too_few_clips_tell_about_says_why(truth: NDArray[np.int64]) -> None:
    labels = {"er-7": truth.astype(float), "fer-7": truth.astype(float)}
    outputs = dict.fromkeys(labels, logits(truth, np.ones(600, np.bool_)))
    agreeing = gap_record(outputs, known(labels), {"er-7": 1.0, "fer-7": 1.0})
    assert agreeing is not None
    assert len(agreeing.agreeing) == 600
    assert agreeing.differ == ()
    assert "of 600 agree and of 0 differ" in agreeing.absent["p_differ"]
    labels["fer-7"] = np.where(np.arange(600) < 19, truth, np.nan)
    few = gap_record(outputs, known(labels), {"er-7": 1.0, "fer-7": 1.0})
    assert few is not None
    assert (few.clips, few.agreeing, few.differ) == (19, (), ())
    assert "the labels of 19 agree and of 0 differ: 20 that agree are needed" in few.absent["larger_than"]
    labels["fer-7"][:] = np.nan
    assert gap_record(outputs, known(labels), {"er-7": 1.0, "fer-7": 1.0}) is None


def test_what_the_shown_emotion_loses_without_eyes(truth: NDArray[np.int64]) -> None:
    labels = {"fer-7": truth.astype(float), "fer-intensity": np.full(600, 2.0)}
    outputs = {"fer-7": logits(truth, np.ones(600, np.bool_)), "fer-intensity": np.full((600, 1), 2.0, np.float32)}
    blind = {"fer-7": logits(truth, np.arange(600) >= 18), "fer-intensity": np.full((600, 1), 2.15, np.float32)}
    record = without_eyes_record(outputs, blind, known(labels))
    assert record is not None
    assert record.after["fer-7/war"] == pytest.approx(0.97)
    assert record.after["fer-intensity/mae"] == pytest.approx(0.05, abs=1e-5)
    assert record.worst in ("fer-7/war", "fer-7/uar")
    assert record.lost_points == pytest.approx(100 * (1 - min(record.after["fer-7/war"], record.after["fer-7/uar"])))
    alone = without_eyes_record(outputs, {"fer-intensity": blind["fer-intensity"]}, known(labels))
    assert alone is not None
    assert (alone.clips, alone.worst) == (600, "fer-intensity/mae")
    assert alone.lost_points == pytest.approx(5, abs=1e-3)
    better = without_eyes_record(blind, outputs, known(labels))
    assert better is not None
    assert better.lost_points == 0
    assert without_eyes_record(outputs, blind, known({"er-7": truth.astype(float)})) is None


def test_a_gain_passes_however_wide_its_interval(truth: NDArray[np.int64]) -> None:
    rng = np.random.default_rng(1)
    before = rng.random(600) < 0.8
    assert judged(truth, before, before | (rng.random(600) < 0.2)) == "passed"


def changed(part: onnx.ModelProto, name: str, value: float) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(part)
    for constant in copy.graph.initializer:
        if constant.name == name:
            weight = numpy_helper.to_array(constant).copy()
            weight.reshape(-1)[5] = value
            constant.CopyFrom(numpy_helper.from_array(weight, name))
    return copy


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_broken_weight_is_named(encoder_part: onnx.ModelProto, value: float) -> None:
    check_weights(encoder_part)
    with pytest.raises(CheckpointError, match=r"layer3\.0\.conv2\.weight"):
        check_weights(changed(encoder_part, "layer3.0.conv2.weight", value))


def answers(*rows: list[float]) -> dict[str, np.ndarray]:
    return {"er-3": np.array(rows, np.float32)}


def test_sound_outputs_need_no_words() -> None:
    assert check_outputs(answers([1, 2, 3], [3, 2, 1])) == ()
    # Sure of different classes is what a good network looks like.
    assert check_outputs(answers([99, 0, 0], [0, 99, 0])) == ()
    assert check_outputs(answers([1, 2, 3])) == ()


def test_a_head_that_is_sure_of_one_class_everywhere_is_told() -> None:
    (note,) = check_outputs({**answers([99, 0, 0], [80, 0, 1]), "er-valence": np.array([[0.1], [0.2]], np.float32)})
    assert "head er-3 is saturated" in note
    assert "all 2 selection windows" in note


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(CheckpointError, match=r"head er-3 gives NaN or infinity on 1 of 2 selection windows"):
        check_outputs(answers([1, 2, 3], [1, value, 3]))


@pytest.mark.parametrize("head", ["er-7", "er-valence"])
@pytest.mark.parametrize("size", [0.0, 1.0, 1e4])
def test_a_head_that_never_moves_is_refused(head: str, size: float) -> None:
    still = np.full((5, 7 if head == "er-7" else 1), size, np.float32)
    with pytest.raises(CheckpointError, match=f"head {head} gives the same output on all 5 selection windows"):
        check_outputs({head: still})
