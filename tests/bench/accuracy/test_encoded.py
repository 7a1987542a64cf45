from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from emer_edge.bench.accuracy.encoded import (
    READINGS,
    REPEATS,
    EncodedWindows,
    ReadingPlan,
    clip_generator,
    encode_clip,
    encode_clips,
)
from emer_edge.data.clips import Clip, SkippedClip
from emer_edge.data.dataset import EmerDataset
from emer_edge.data.windows import load_faces
from emer_edge.errors import ConfigurationError, DataError
from emer_edge.runtime.predict import score_clips
from emer_edge.runtime.session import Session

PLAN = ReadingPlan(draws=2, loader="published")


@pytest.fixture(scope="module")
def clips(dataset: EmerDataset) -> tuple[Clip, ...]:
    return dataset.fold(1)[:2]


def broken(clip: Clip, folder: Path) -> Clip:
    return Clip("gone", "9", None, None, 1, folder / "nowhere", clip.sheet_path, clip.labels)


def test_the_deterministic_windows_predict_what_predict_says(session: Session, clips: tuple[Clip, ...]) -> None:
    windows = EncodedWindows.of(encode_clips(session, clips))
    scores = score_clips(session, clips)
    outputs = session.fuse(windows.face, windows.eye, windows.gaze)
    for name, expected in scores.outputs.items():
        np.testing.assert_allclose(outputs[name], expected, atol=2e-6)
    assert windows.clips == scores.clips
    assert windows.face_slots.tolist() == scores.face_slots.tolist()
    assert windows.eye_slots.tolist() == scores.eye_slots.tolist()


def test_every_reading_has_its_windows_and_every_crop_is_encoded_once(
    session: Session, clips: tuple[Clip, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    crops = []
    whole = session.encode
    monkeypatch.setattr(session, "encode", lambda face: crops.append(len(face)) or whole(face))
    found = encode_clip(session, clips[0], PLAN)
    assert tuple(found.windows) == READINGS
    assert [len(found.windows[each]) for each in ("newest", "draws", "published")] == [1, 2, REPEATS]
    assert sum(crops) == len(found.frames) == len(set(found.frames.tolist()))
    frames = found.windows["draws"].frames[1]
    np.testing.assert_allclose(found.face("draws")[1], whole(load_faces(clips[0], frames)), atol=2e-6)


def test_without_the_published_loader_its_reduction_takes_the_projects_draws(
    session: Session, clips: tuple[Clip, ...]
) -> None:
    found = encode_clip(session, clips[0], ReadingPlan(draws=2))
    assert "published" not in found.windows
    assert len(found.windows["draws"]) == REPEATS


def test_draws_depend_on_clip_and_seed_alone(session: Session, clips: tuple[Clip, ...]) -> None:
    together = [each for each in encode_clips(session, clips, PLAN) if not isinstance(each, SkippedClip)]
    apart = [encode_clip(session, clip, PLAN) for clip in reversed(clips)][::-1]
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_array_equal(one.embeddings, other.embeddings)
        for reading in READINGS:
            np.testing.assert_array_equal(one.windows[reading].frames, other.windows[reading].frames)
            np.testing.assert_array_equal(one.windows[reading].eye, other.windows[reading].eye)
    other = encode_clip(session, clips[0], ReadingPlan(draws=2, seed=1))
    assert (other.windows["draws"].eye[0] != together[0].windows["draws"].eye[0]).any()
    longer = encode_clip(session, clips[0], ReadingPlan(draws=5, loader="published"))
    np.testing.assert_array_equal(longer.windows["draws"].eye[:2], together[0].windows["draws"].eye)
    purposes = [clip_generator(0, clips[0], each).random() for each in ("draws", "published")]
    assert purposes[0] != purposes[1]


def test_encoded_clips_travel_between_processes(session: Session, clips: tuple[Clip, ...]) -> None:
    found = encode_clip(session, clips[0], PLAN)
    back = pickle.loads(pickle.dumps(found))
    assert back.clip.name == found.clip.name
    np.testing.assert_array_equal(back.face("live"), found.face("live"))
    assert len(pickle.dumps(found)) < 1_000_000


def test_a_clip_that_cannot_be_read_is_kept_with_the_reason(
    session: Session, clips: tuple[Clip, ...], tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    lost = broken(clips[0], tmp_path)
    found = EncodedWindows.of(
        encode_clips(session, (lost, clips[1]), progress=lambda _, done, total: told.append((done, total)))
    )
    assert [each.name for each in found.clips] == [clips[1].name]
    assert [each.name for each in found.skipped] == ["gone"]
    assert told == [(1, 2), (2, 2)]
    assert len(EncodedWindows.of(())) == 0
    with pytest.raises(DataError, match="nowhere"):
        encode_clip(session, lost, PLAN)


@pytest.mark.parametrize("wrong", [{"draws": 0}, {"seed": -1}, {"loader": "other"}], ids=str)
def test_a_plan_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=r"at least 1|default or published"):
        ReadingPlan(**wrong)  # type: ignore[arg-type]
