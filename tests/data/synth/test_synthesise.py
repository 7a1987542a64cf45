from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from emer_edge.core.errors import ConfigurationError, DataError, OutputExistsError
from emer_edge.core.heads import EMOTIONS, HEADS
from emer_edge.data.dataset import EmerDataset
from emer_edge.data.labels import SHARE_COLUMNS
from emer_edge.data.synth import synthesise
from emer_edge.data.synth.faces import face_of, seen
from emer_edge.data.synth.plan import plan_clips
from emer_edge.data.synth.synthesise import clip_faces

pytest.importorskip("cv2")
pytest.importorskip("xlsxwriter")


def _digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth") / "EMER"
    return synthesise(out, participants=5, clips_per_participant=3, frames=8, workers=1)


def test_same_seed_same_bytes_whatever_the_workers(small: Path, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    again = synthesise(
        tmp_path / "again",
        5,
        0,
        3,
        8,
        progress=lambda label, done, total: steps.append((label, done, total)),
        workers=2,
    )
    assert _digests(again) == _digests(small)
    assert steps[0] == ("clips", 0, 15)
    assert steps[-1] == ("clips", 15, 15)


def test_the_reader_opens_it_without_a_word(small: Path) -> None:
    dataset = EmerDataset.open(small, strict=True)
    assert len(dataset.clips) == 15
    assert dataset.heads == tuple(HEADS)
    plans = {plan.name: plan for plan in plan_clips(5, 3, 0)}
    for clip in dataset.clips:
        plan = plans[clip.name]
        assert clip.fold == plan.fold
        assert EMOTIONS[int(clip.labels["er-7"])] == plan.labels["ER_Emotion"]
        assert EMOTIONS[int(clip.labels["fer-7"])] == plan.labels["FER_Emotion"]
        assert clip.labels["fer-intensity"] == plan.labels["FER_Intensity"]
        assert clip.shares["fer-7"] == pytest.approx(
            [plan.labels[column] for column in SHARE_COLUMNS.values()], abs=3e-4
        )
        assert int(np.argmax(clip.shares["fer-7"])) == clip.labels["fer-7"]
        assert 8 <= len(clip.frame_paths) <= 10
    first = dataset.clips[0]
    track = first.eye()
    assert 1420 <= len(track.rows) <= 1460
    assert 0.7 < track.seen.mean() <= 1.0
    assert first.frame(0).shape == (112, 112, 3)


def test_frames_of_a_clip_move_but_stay_one_face() -> None:
    plan = next(each for each in plan_clips(5, 10, 0) if each.shown == "surprise")
    frames = np.stack(list(clip_faces(plan, 0, 8))).astype(float)
    assert np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3)).min() > 0.5
    assert np.corrcoef(frames[0].ravel(), frames[-1].ravel())[0, 1] > 0.6


def test_what_exists_is_kept(tmp_path: Path) -> None:
    kept = tmp_path / "mine"
    kept.mkdir()
    (kept / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputExistsError):
        synthesise(kept, 5, clips_per_participant=1, frames=8)
    with pytest.raises(DataError, match="not a synthetic data set"):
        synthesise(kept, 5, clips_per_participant=1, frames=8, force=True)
    assert (kept / "thesis.txt").read_text() == "years of work"


def test_force_replaces_a_synthetic_set_and_failure_leaves_nothing(tmp_path: Path) -> None:
    out = synthesise(tmp_path / "set", 5, clips_per_participant=1, frames=8)
    before = _digests(out)

    def stop(label: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesise(out, 5, 1, 1, 8, progress=stop, force=True)
    assert _digests(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    synthesise(out, 5, 1, 1, 8, force=True)
    assert _digests(out) != before


def test_shown_emotions_are_what_the_teacher_sees_and_no_plan() -> None:
    plans = plan_clips(24, 10, 0)
    for plan in plans:
        shares = [plan.labels[column] for column in SHARE_COLUMNS.values()]
        assert sum(map(float, shares)) == pytest.approx(1.0, abs=5e-4)
        assert plan.labels["FER_Emotion"] == EMOTIONS[int(np.argmax(shares))]
        times_s = np.linspace(0.0, 12.0, 121)[1:].tolist()
        face = face_of(0, plan.participant)
        looks = [seen(face, plan.shown, plan.shown_strength * plan.course.shown(time_s)) for time_s in times_s]
        assert np.abs(np.mean(looks, axis=0) - np.array(shares, float)).max() < 0.06
    # Weak or short expressions are doubtful, or neutral to the teacher.
    doubts = [max(float(plan.labels[column]) for column in SHARE_COLUMNS.values()) for plan in plans]
    assert 0.5 < np.mean(np.array(doubts) > 0.7) < 0.99
    assert all(plan.shown == "neutral" for plan in plans if plan.shown_strength < 0.5)


def test_people_beyond_the_last_face_share_a_fold_with_their_double() -> None:
    folds = {plan.participant: plan.fold for plan in plan_clips(130, 1, 0)}
    assert all(folds[participant] == folds[participant + 120] for participant in range(1, 11))


def test_too_few_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="at least 8 frames"):
        synthesise(tmp_path / "out", frames=7)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_about_a_third_of_the_clips_hide_something(seed: int) -> None:
    plans = plan_clips(60, 10, seed)
    assert 0.27 < sum(plan.labels["ER_Emotion"] != plan.labels["FER_Emotion"] for plan in plans) / len(plans) < 0.42


def test_five_folds_share_no_participant() -> None:
    folds = defaultdict(set)
    for plan in plan_clips(23, 4, 0):
        folds[plan.participant].add(plan.fold)
    assert all(len(members) == 1 for members in folds.values())
    sizes = Counter(next(iter(members)) for members in folds.values())
    assert sorted(sizes) == [1, 2, 3, 4, 5]
    assert max(sizes.values()) - min(sizes.values()) <= 1


def test_every_emotion_is_common_in_both_views() -> None:
    plans = plan_clips(60, 10, 0)
    for view in ("ER_Emotion", "FER_Emotion"):
        counts = Counter(plan.labels[view] for plan in plans)
        assert set(counts) == set(EMOTIONS)
        assert min(counts.values()) > 40


def test_what_is_felt_varies_among_those_who_show_the_same_at_the_same_film() -> None:
    groups = defaultdict(list)
    for plan in plan_clips(60, 10, 0):
        groups[plan.film, plan.labels["FER_Emotion"]].append(plan.labels["ER_Emotion"])
    large = [group for group in groups.values() if len(group) >= 10]
    assert len(large) >= 20
    assert all(len(set(group)) > 1 for group in large)


def test_labels_lie_in_their_ranges_and_follow_the_emotion() -> None:
    plans = plan_clips(60, 10, 0)
    assert all(
        -1 <= value <= 1
        for plan in plans
        for value in (plan.labels["ER_Valence"], plan.labels["ER_Arousal"], plan.labels["FER_Valence"])
    )
    assert all(0 <= plan.labels["FER_Intensity"] <= 3 for plan in plans)
    happy = [plan.labels["ER_Valence"] for plan in plans if plan.labels["ER_Emotion"] == "happiness"]
    angry = [plan.labels["ER_Valence"] for plan in plans if plan.labels["ER_Emotion"] == "anger"]
    assert min(happy) > max(angry)


def test_clip_names_tell_participant_film_and_induced_emotion() -> None:
    names = [plan.name for plan in plan_clips(5, 12, 0)]
    assert len(set(names)) == 60
    assert "3_film04_surprise" in names


@pytest.mark.parametrize(("participants", "clips"), [(4, 10), (5, 0)], ids=["too-few-participants", "no-clips"])
def test_numbers_out_of_range_are_refused(participants: int, clips: int) -> None:
    with pytest.raises(ConfigurationError):
        plan_clips(participants, clips, 0)
