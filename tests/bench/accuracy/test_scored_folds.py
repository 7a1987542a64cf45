from __future__ import annotations

import csv
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from judged_heads import class_head, value_head

from emer_edge.bench.accuracy.accuracy_figures import gap_accuracy, head_accuracy, join_gaps, judge_gap
from emer_edge.bench.accuracy.clip_scores import EncodedWindows
from emer_edge.bench.accuracy.judged import JudgedHead, fold_of, refuse_known_clips
from emer_edge.bench.accuracy.predictions_csv import COLUMNS, write_predictions
from emer_edge.bench.accuracy.scored_folds import ScoredFold, fold_sets, group, pair_sets, score_fold
from emer_edge.bench.bench_options import BenchOptions, ScoringOptions
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
from emer_edge.metrics.probabilities import auroc, js_distance
from emer_edge.offline.predict import score_clips
from emer_edge.runtime.session import Session
from emer_edge.runtime.spreading import Spread
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
    with pytest.raises(DataError, match="--fold"):
        fold_of(unknown, None)


EVERYTHING = TrackerProfile("everything", "all columns", 1e6)


@pytest.fixture(scope="module")
def viewed(bundle: Bundle, dataset: EmerDataset):
    with Session(bundle) as session:
        options = ScoringOptions(draws=1, resamples=20, profiles=(EVERYTHING, PROFILES["serial-xy"]))
        result = score_fold(Spread(session), dataset, 1, options)
        return result.accuracy


def test_a_tracker_that_gives_everything_is_the_figure_itself(viewed) -> None:
    everything = viewed.views[0]
    assert everything.missing == ()
    assert everything.heads == {name: head.metrics for name, head in viewed.heads.items()}
    assert everything.uncovered == viewed.uncovered


def test_a_lesser_tracker_is_named_with_what_it_lacks(viewed) -> None:
    lesser = viewed.views[1]
    assert (lesser.name, lesser.rate_hz, lesser.events) == ("serial-xy", 60.0, "causal-2")
    assert lesser.missing == PROFILES["serial-xy"].missing_columns
    assert lesser.heads["er-valence"]["mae"].value != viewed.heads["er-valence"].metrics["mae"].value


def test_the_other_rule_of_eye_movements_is_scored_beside(viewed) -> None:
    other = viewed.views[2]
    assert (other.name, other.events, other.missing) == ("published events", "published", ())
    assert set(viewed.event_columns) == set(COLUMN_KEYS[EVENTS])
    assert all(event_column.slots == 32 * viewed.clips for event_column in viewed.event_columns.values())


def test_types_agree_and_durations_do_not_over_the_length_of_a_clip(dataset: EmerDataset) -> None:
    result = {compare_event.column: compare_event for compare_event in compare_events(dataset.fold(1), WindowSpec())}
    assert result["Eye movement type"].same > 0.95
    assert result["Eye movement type"].slots == 96
    duration = result["Gaze event duration [ms]"]
    assert 10 < duration.mean_difference < duration.mean_published
    assert result["Fixation point X [DACS px]"].mean_difference < 30


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
    result: dict[str, JudgedHead] = {
        "er-7": class_head("er-7", TRUTH[fold], said(fold, right, seed), fold=fold),
        "fer-7": class_head("fer-7", SHOWN[fold], SHOWN[fold], fold=fold),
        "er-valence": value_head("er-valence", VALUES[fold], right * VALUES[fold], fold=fold),
    }
    result = {name: item for name, item in result.items() if not heads or name in heads}
    gap = judge_gap(result, ())
    clips = result["er-7"].clips
    none, slots = np.zeros((30, 1), np.float32), np.full(30, 8, np.int64)
    accuracy = Accuracy(
        fold=fold,
        fingerprint="",
        events="causal",
        clips=30,
        participants=4,
        uncovered=0,
        excluded=(),
        heads={name: head_accuracy(item, replace(PLAN, resamples=20)) for name, item in result.items()},
        clips_per_s=1.0,
        gap=None if gap is None else gap_accuracy(gap, replace(PLAN, resamples=20)),
    )
    windows = EncodedWindows(clips, none, none, none, slots, slots)
    return ScoredFold(f"{precision}-{fold}", precision, accuracy, result, gap, windows)


def test_bundles_of_a_precision_form_a_set_and_a_second_one_where_folds_repeat() -> None:
    folds = [scored("int8", 2), scored("fp32", 1), scored("int8", 1), scored("int8", 1, seed=5), scored("fp32", 2)]
    groups = group(folds)
    assert list(groups) == ["int8", "fp32", "int8 2"]
    assert [item.accuracy.fold for item in groups["int8"]] == [1, 2]
    assert [item.bundle for item in groups["fp32"]] == ["fp32-1", "fp32-2"]
    assert groups["int8 2"] == (folds[3],)


def test_a_set_has_the_spread_over_folds_and_figures_pooled_over_clips() -> None:
    folds = [scored("fp32", 1), scored("fp32", 2)]
    (fold_set,) = fold_sets(folds, replace(PLAN, resamples=50))
    values = [fold.accuracy.heads["er-7"].metrics["war"].value for fold in folds]
    spread = fold_set.spread["er-7/newest/war"]
    assert (list(spread.values), spread.mean) == (values, pytest.approx(np.mean(values)))
    assert spread.sd == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert {"er-7/published_batch/uar", "er-valence/newest/ccc", "gap/auroc"} <= set(fold_set.spread)
    truth = np.concatenate([TRUTH[1], TRUTH[2]])
    chosen = np.concatenate([said(1, 0.7, 0), said(2, 0.7, 0)])
    pooled = fold_set.pooled["er-7"]
    assert pooled.clips == fold_set.clips == 60
    assert pooled.metrics["war"].value == pytest.approx(war(truth, chosen))
    assert pooled.metrics["uar"].value == pytest.approx(uar(truth, chosen))
    assert fold_set.participants == len(pooled.participants.figures) == 8 if pooled.participants else False
    assert pooled.published_batch == {}
    assert fold_set.gap is not None
    assert fold_set.gap.clips == 60


def test_a_set_of_one_bundle_is_that_bundle() -> None:
    one = scored("auto", 2)
    (fold_set,) = fold_sets([one], replace(PLAN, resamples=20))
    assert (fold_set.name, fold_set.folds) == ("auto", (2,))
    assert fold_set.spread["er-7/newest/war"].sd is None
    assert fold_set.pooled["er-7"].metrics == one.accuracy.heads["er-7"].metrics
    assert fold_sets([], replace(PLAN, resamples=20)) == ()


def test_heads_that_not_all_folds_have_are_not_pooled() -> None:
    (fold_set,) = fold_sets([scored("fp32", 1), scored("fp32", 2, heads=("er-7",))], replace(PLAN, resamples=20))
    assert list(fold_set.pooled) == ["er-7"]
    assert fold_set.gap is None
    assert all(key.startswith("er-7/") for key in fold_set.spread)


def test_precisions_are_paired_on_the_same_clips() -> None:
    folds = [scored("int8", 1, 0.6, seed=9), scored("int8", 2, 0.6, seed=9), scored("fp32", 1), scored("fp32", 2)]
    result = {pair_set.head: pair_set for pair_set in pair_sets(folds, ScoringOptions(resamples=100, seed=3))}
    assert {(item.first, item.second) for item in result.values()} == {("fp32", "int8")}
    truth = np.concatenate([TRUTH[1], TRUTH[2]])
    before = np.concatenate([said(1, 0.7, 0), said(2, 0.7, 0)])
    after = np.concatenate([said(1, 0.6, 9), said(2, 0.6, 9)])
    er = result["er-7"]
    right = [before == truth, after == truth]
    assert er.only_first == np.sum(right[0] & ~right[1])
    assert er.only_second == np.sum(~right[0] & right[1])
    assert er.both + er.only_first + er.only_second + er.neither == er.clips == 60
    assert er.mcnemar_p == mcnemar_p(er.only_first, er.only_second)
    people = [clip.participant for fold in folds[2:] for clip in fold.heads["er-7"].clips]
    expected = bootstrap_difference(uar, people, truth, before, after, resamples=100, seed=3)
    change = er.change["uar"]
    assert (change.value, change.low, change.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert result["er-valence"].mcnemar_p is None
    assert result["er-valence"].change["mae"].value > 0


def test_the_gap_is_paired_by_its_auroc() -> None:
    folds = [scored("fp32", 1), scored("fp32", 2), scored("int8", 1, 0.3, seed=9), scored("int8", 2, 0.3, seed=9)]
    (result,) = [
        pair_set for pair_set in pair_sets(folds, ScoringOptions(resamples=100, seed=3)) if pair_set.head == "gap"
    ]
    gaps = [join_gaps([item.gap for item in some if item.gap is not None]) for some in (folds[:2], folds[2:])]
    people = [clip.participant for clip in gaps[0].clips]
    given = [gap.distances for gap in gaps]
    expected = bootstrap_difference(auroc, people, gaps[0].differ, *given, resamples=100, seed=3)
    change = result.change["auroc"]
    assert (change.value, change.low, change.high) == (expected.value, expected.low, expected.high)
    assert (result.clips, result.participants, result.mcnemar_p) == (60, 8, None)


def test_clips_that_only_one_set_scored_are_left_out() -> None:
    (only,) = [
        pair_set
        for pair_set in pair_sets(
            [scored("fp32", 1), scored("int8", 1), scored("int8", 2)], ScoringOptions(resamples=20, seed=0)
        )
        if pair_set.head == "er-7"
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


CSV_PLAN = ScoringOptions(draws=3, resamples=5)


@pytest.fixture(scope="module")
def fold(bundle: Bundle, dataset: EmerDataset) -> ScoredFold:
    with Session(bundle) as session:
        return score_fold(Spread(session), dataset, 1, CSV_PLAN)


@pytest.fixture(scope="module")
def rows(fold: ScoredFold, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    path = write_predictions(tmp_path_factory.mktemp("csv"), [fold], CSV_PLAN)
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_row_a_clip_head_and_reading(rows: list[dict[str, str]], dataset: EmerDataset) -> None:
    assert tuple(rows[0]) == COLUMNS
    clips = dataset.fold(1)
    for reading, windows in (("newest", "1"), ("draws", "3")):
        result = [row for row in rows if row["reading"] == reading]
        assert len(result) == len(clips) * len(HEADS)
        assert {item["windows"] for item in result} == {windows}
    assert {row["reading"] for row in rows} == {"newest", "draws", "live"}
    assert {row["fold"] for row in rows} == {"1"}
    assert {row["participant"] for row in rows} == {clip.participant for clip in clips}


def test_answers_are_those_of_predict(rows: list[dict[str, str]], bundle: Bundle, dataset: EmerDataset) -> None:
    with Session(bundle) as session:
        scores = score_clips(session, dataset.fold(1))
    order = {head.name: head.classes for head in bundle.manifest.heads}
    for at, clip in enumerate(scores.clips):
        own = {row["head"]: row for row in rows if row["clip"] == clip.name and row["reading"] == "newest"}
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
    own = next(row for row in rows if row["reading"] == "draws" and row["head"] == "er-3")
    assert float(own[f"p {head.classes[0]}"]) == pytest.approx(drawn[0, :, 0].mean(), abs=2e-6)
    assert float(own["right"]) == pytest.approx(np.mean(drawn[0].argmax(axis=1) == head.truth[0]), abs=1e-3)
