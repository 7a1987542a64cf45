from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from judged_heads import class_head, value_head

from emer_edge.bench.accuracy.accuracy_figures import gap_accuracy, head_accuracy, join_gaps, judge_gap
from emer_edge.bench.accuracy.clip_scores import EncodedWindows
from emer_edge.bench.accuracy.judged import JudgedHead, fold_of, refuse_known_clips
from emer_edge.bench.accuracy.scored_folds import ScoredFold, fold_sets, group, pair_sets, score_fold
from emer_edge.bench.executors import Spread
from emer_edge.bench.options import BenchOptions, ScoringOptions
from emer_edge.bench.records.accuracy_records import Accuracy
from emer_edge.bundle import Bundle, Manifest
from emer_edge.bundle.manifest import CalibrationRecord
from emer_edge.core.columns import COLUMN_KEYS, EVENTS
from emer_edge.core.errors import ConfigurationError, DataError
from emer_edge.core.heads import HEADS
from emer_edge.core.window import WindowSpec
from emer_edge.data.dataset import EmerDataset, clip_hash
from emer_edge.data.windows import clip_window, compare_events, load_faces
from emer_edge.metrics.intervals import bootstrap_difference
from emer_edge.metrics.prediction_metrics import mcnemar_p, uar, war
from emer_edge.metrics.probabilities import auroc
from emer_edge.offline.predict import score_clips
from emer_edge.runtime.session import Session
from emer_edge.runtime.views import EyeView, score_views
from emer_edge.signals.profiles import PROFILES, TrackerProfile


@pytest.fixture(scope="module")
def accuracy(bundle: Bundle, dataset: EmerDataset):
    with Session(bundle) as session:
        return score_fold(Spread(session), dataset, 1, ScoringOptions(draws=3, resamples=50)).accuracy


def test_every_head_is_scored_under_its_protocol(accuracy, dataset: EmerDataset) -> None:
    assert list(accuracy.heads) == list(HEADS)
    assert accuracy.clips == len(dataset.fold(1)) == 3
    assert accuracy.heads["er-valence"].protocol == accuracy.heads["er-arousal"].protocol == "ER-VA"
    assert set(accuracy.heads["fer-intensity"].metrics) == {"mae", "mse", "rmse", "ccc", "pearson"}
    assert set(accuracy.heads["fer-3"].metrics) == {"war", "uar", "weighted_f1", "ece", "nll", "brier"}


def test_figures_are_those_of_the_predictions_in_the_bundles_own_class_order(
    accuracy, bundle: Bundle, dataset: EmerDataset
) -> None:
    right, errors = [], []
    with Session(bundle) as session:
        for clip in dataset.fold(1):
            window = clip_window(clip, bundle.manifest.window)
            faces = load_faces(clip, window.frames)[None]
            outputs = session.predict(faces, window.eye[None], window.gaze[None])
            named = bundle.manifest.heads[0].classes[int(outputs["er-7"].argmax())]
            right.append(named == HEADS["er-7"].classes[int(clip.labels["er-7"])])
            errors.append(abs(float(outputs["er-valence"][0, 0]) - clip.labels["er-valence"]))
    assert accuracy.heads["er-7"].metrics["war"].value == pytest.approx(np.mean(right))
    assert accuracy.heads["er-valence"].metrics["mae"].value == pytest.approx(np.mean(errors), rel=1e-5)
    assert sum(map(sum, accuracy.heads["er-7"].confusion)) == 3


def test_what_export_measured_stands_beside_it(accuracy) -> None:
    assert accuracy.heads["er-7"].fp32_selection == {"war": 0.25}
    assert accuracy.heads["er-7"].final_selection == {"war": 0.24}
    assert accuracy.heads["er-3"].fp32_selection == {}


def test_a_single_participant_has_no_interval(accuracy) -> None:
    assert accuracy.participants == 1
    assert accuracy.heads["er-7"].metrics["war"].low is None


def test_clips_it_was_trained_on_are_refused_and_counted(bundle: Bundle, dataset: EmerDataset) -> None:
    known = dataset.fold(2) + dataset.fold(3)
    chosen = {clip.name for clip in dataset.selection(1)}
    by = sum(clip.name in chosen for clip in known)
    with (
        Session(bundle) as session,
        pytest.raises(DataError, match=r"trained on \d of these 3 clips.*fold 1, which it has never seen"),
    ):
        score_fold(Spread(session), dataset, 2, ScoringOptions())
    with pytest.raises(DataError, match=rf"trained on {6 - by} of these 6 clips, and choices were made on {by} more"):
        refuse_known_clips(bundle.manifest, known)


def test_clips_it_was_calibrated_on_are_refused(manifest: Manifest, dataset: EmerDataset) -> None:
    assert manifest.data is not None
    clips = dataset.fold(1)
    hashes = (clip_hash(manifest.data.salt, clips[0]),)
    record = CalibrationRecord(method="minmax", windows=1, clip_hashes=hashes, source="data")
    with pytest.raises(DataError, match="trained on 0 of these 3 clips, and choices were made on 1 more"):
        refuse_known_clips(msgspec.structs.replace(manifest, calibration=record), clips)


def test_a_bundle_that_names_no_fold_needs_one(manifest: Manifest) -> None:
    assert fold_of(manifest, None) == 1
    assert fold_of(manifest, 4) == 4
    unknown = msgspec.structs.replace(manifest, data=None)
    refuse_known_clips(unknown, ())
    with pytest.raises(DataError, match="--folds"):
        fold_of(unknown, None)


EVERYTHING = TrackerProfile("everything", "all columns", 1e6)


@pytest.fixture(scope="module")
def viewed(bundle: Bundle, dataset: EmerDataset):
    with Session(bundle) as session:
        options = ScoringOptions(draws=1, resamples=20, profiles=(EVERYTHING, PROFILES["serial-xy"]))
        found = score_fold(Spread(session), dataset, 1, options)
        return found.accuracy


def test_a_tracker_that_gives_everything_is_the_figure_itself(viewed) -> None:
    everything = viewed.views[0]
    assert everything.missing == ()
    assert everything.heads == {name: head.metrics for name, head in viewed.heads.items()}
    assert everything.uncovered == viewed.uncovered


def test_a_lesser_tracker_is_named_with_what_it_lacks(viewed) -> None:
    lesser = viewed.views[1]
    assert (lesser.name, lesser.rate_hz, lesser.events) == ("serial-xy", 60.0, "causal")
    assert lesser.missing == PROFILES["serial-xy"].missing_columns
    assert lesser.heads["er-valence"]["mae"].value != viewed.heads["er-valence"].metrics["mae"].value


def test_the_other_rule_of_eye_movements_is_scored_beside(viewed) -> None:
    other = viewed.views[2]
    assert (other.name, other.events, other.missing) == ("published events", "published", ())
    assert set(viewed.event_columns) == set(COLUMN_KEYS[EVENTS])
    assert all(each.slots == 32 * viewed.clips for each in viewed.event_columns.values())


def test_types_agree_and_durations_do_not_over_the_length_of_a_clip(dataset: EmerDataset) -> None:
    found = {each.column: each for each in compare_events(dataset.fold(1), WindowSpec())}
    assert found["Eye movement type"].same > 0.95
    assert found["Eye movement type"].slots == 96
    duration = found["Gaze event duration [ms]"]
    assert 10 < duration.mean_difference < duration.mean_published
    assert found["Fixation point X [DACS px]"].mean_difference < 30


def test_views_are_those_of_the_plain_score(bundle: Bundle, dataset: EmerDataset) -> None:
    clips = dataset.fold(1)
    with Session(bundle) as session:
        plain = score_clips(session, clips, events="published")
        (view,) = score_views(session, clips, [EyeView("published")])
    for name, values in plain.outputs.items():
        assert view.outputs[name] == pytest.approx(values, abs=1e-5)
    assert view.eye_slots.tolist() == plain.eye_slots.tolist()


def test_without_clips_nothing_is_compared(bundle: Bundle) -> None:
    assert compare_events((), bundle.manifest.window) == ()


def test_profiles_need_clips(bundle: Bundle) -> None:
    with pytest.raises(ConfigurationError, match="scored on a data set"):
        BenchOptions(bundles=(bundle.path,), scoring=ScoringOptions(profiles=(EVERYTHING,)))


RNG = np.random.default_rng(0)
PLAN = ScoringOptions()
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
        heads={name: head_accuracy(each, replace(PLAN, resamples=20)) for name, each in found.items()},
        clips_per_s=1.0,
        gap=None if gap is None else gap_accuracy(gap, replace(PLAN, resamples=20)),
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
    (found,) = fold_sets(folds, replace(PLAN, resamples=50))
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
    (found,) = fold_sets([one], replace(PLAN, resamples=20))
    assert (found.name, found.folds) == ("auto", (2,))
    assert found.spread["er-7/newest/war"].sd is None
    assert found.pooled["er-7"].metrics == one.accuracy.heads["er-7"].metrics
    assert fold_sets([], replace(PLAN, resamples=20)) == ()


def test_heads_that_not_all_folds_have_are_not_pooled() -> None:
    (found,) = fold_sets([scored("fp32", 1), scored("fp32", 2, heads=("er-7",))], replace(PLAN, resamples=20))
    assert list(found.pooled) == ["er-7"]
    assert found.gap is None
    assert all(key.startswith("er-7/") for key in found.spread)


def test_precisions_are_paired_on_the_same_clips() -> None:
    folds = [scored("int8", 1, 0.6, seed=9), scored("int8", 2, 0.6, seed=9), scored("fp32", 1), scored("fp32", 2)]
    found = {each.head: each for each in pair_sets(folds, ScoringOptions(resamples=100, seed=3))}
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
    (found,) = [each for each in pair_sets(folds, ScoringOptions(resamples=100, seed=3)) if each.head == "gap"]
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
        for each in pair_sets(
            [scored("fp32", 1), scored("int8", 1), scored("int8", 2)], ScoringOptions(resamples=20, seed=0)
        )
        if each.head == "er-7"
    ]
    assert (only.clips, only.participants) == (30, 4)
    assert pair_sets([scored("fp32", 1), scored("int8", 2)], ScoringOptions(resamples=20, seed=0)) == ()
    assert pair_sets([scored("fp32", 1), scored("fp32", 2)], ScoringOptions(resamples=20, seed=0)) == ()


def test_records_of_sets_survive_json() -> None:
    folds = [scored("fp32", 1), replace(scored("int8", 1, 0.5, seed=2), bundle="other")]
    for records in (
        fold_sets(folds, replace(PLAN, resamples=20)),
        pair_sets(folds, ScoringOptions(resamples=20, seed=0)),
    ):
        assert msgspec.json.decode(msgspec.json.encode(records), type=tuple[type(records[0]), ...]) == records
