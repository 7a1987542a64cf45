from __future__ import annotations

import msgspec
import numpy as np
import pytest

from emer_edge.bench.accuracy.encoded import ReadingPlan
from emer_edge.bench.accuracy.known import fold_of, refuse_known_clips
from emer_edge.bench.accuracy.scoring import score_fold
from emer_edge.bundle import Bundle, Manifest
from emer_edge.bundle.manifest import CalibrationRecord
from emer_edge.data.dataset import EmerDataset
from emer_edge.data.hashes import clip_hash
from emer_edge.data.windows import clip_window, load_faces
from emer_edge.errors import DataError
from emer_edge.runtime.session import Session
from emer_edge.spec.heads import HEADS


@pytest.fixture(scope="module")
def accuracy(bundle: Bundle, dataset: EmerDataset):
    with Session(bundle) as session:
        return score_fold(session, dataset, 1, 50, ReadingPlan(draws=3)).accuracy


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
        score_fold(session, dataset, 2, 10, ReadingPlan())
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
