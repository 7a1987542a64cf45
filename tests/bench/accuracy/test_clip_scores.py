from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from emer_edge.bench.accuracy.clip_scores import (
    READINGS,
    REPEATS,
    EncodedWindows,
    FoldScores,
    clip_generator,
    encode_clip,
    score_readings,
)
from emer_edge.bench.bench_options import ScoringOptions
from emer_edge.bundle import Bundle
from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.errors import ConfigurationError, DataError
from emer_edge.core.samples import Frame
from emer_edge.data.dataset import Clip, EmerDataset
from emer_edge.data.windows import PreparedClip, load_faces
from emer_edge.offline.predict import score_clips
from emer_edge.runtime.evidence import Evidence
from emer_edge.runtime.faces import FaceCandidate, Look
from emer_edge.runtime.session import Session
from emer_edge.runtime.spreading import Spread
from emer_edge.signals.rows import clip_times_ns

PLAN = ScoringOptions(draws=2, loader="published")


@pytest.fixture(scope="module")
def clips(dataset: EmerDataset) -> tuple[Clip, ...]:
    return dataset.fold(1)[:2]


def broken(clip: Clip, folder: Path) -> Clip:
    return Clip("gone", "9", None, None, 1, folder / "nowhere", clip.sheet_path, clip.labels)


def test_the_deterministic_windows_predict_what_predict_says(session: Session, clips: tuple[Clip, ...]) -> None:
    windows = EncodedWindows.of(encode_clip(session, clip) for clip in clips)
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
    encoded = encode_clip(session, clips[0], PLAN)
    assert tuple(encoded.windows) == READINGS
    assert [len(encoded.windows[item]) for item in ("newest", "draws", "published")] == [1, 2, REPEATS]
    assert sum(crops) == len(encoded.frames) == len(set(encoded.frames.tolist()))
    frames = encoded.windows["draws"].frames[1]
    np.testing.assert_allclose(encoded.face("draws")[1], whole(load_faces(clips[0], frames)), atol=2e-6)


def test_without_the_published_loader_its_reduction_takes_the_projects_draws(
    session: Session, clips: tuple[Clip, ...]
) -> None:
    encoded = encode_clip(session, clips[0], ScoringOptions(draws=2))
    assert "published" not in encoded.windows
    assert len(encoded.windows["draws"]) == REPEATS


def test_draws_depend_on_clip_and_seed_alone(session: Session, clips: tuple[Clip, ...]) -> None:
    together = [encode_clip(session, clip, PLAN) for clip in clips]
    apart = [encode_clip(session, clip, PLAN) for clip in reversed(clips)][::-1]
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_array_equal(one.embeddings, other.embeddings)
        for reading in READINGS:
            np.testing.assert_array_equal(one.windows[reading].frames, other.windows[reading].frames)
            np.testing.assert_array_equal(one.windows[reading].eye, other.windows[reading].eye)
    other = encode_clip(session, clips[0], ScoringOptions(draws=2, seed=1))
    assert (other.windows["draws"].eye[0] != together[0].windows["draws"].eye[0]).any()
    longer = encode_clip(session, clips[0], ScoringOptions(draws=5, loader="published"))
    np.testing.assert_array_equal(longer.windows["draws"].eye[:2], together[0].windows["draws"].eye)
    purposes = [clip_generator(0, clips[0], item).random() for item in ("draws", "published")]
    assert purposes[0] != purposes[1]


def test_encoded_clips_travel_between_processes(session: Session, clips: tuple[Clip, ...]) -> None:
    encoded = encode_clip(session, clips[0], PLAN)
    back = pickle.loads(pickle.dumps(encoded))
    assert back.clip.name == encoded.clip.name
    np.testing.assert_array_equal(back.face("live"), encoded.face("live"))
    assert len(pickle.dumps(encoded)) < 1_000_000


def test_a_clip_that_cannot_be_read_is_kept_with_the_reason(
    session: Session, clips: tuple[Clip, ...], tmp_path: Path
) -> None:
    reported: list[tuple[int, int]] = []
    lost = broken(clips[0], tmp_path)
    scores = score_readings(
        Spread(session), (lost, clips[1]), progress=lambda _, done, total: reported.append((done, total))
    )
    result = FoldScores.of(scores, session.bundle.manifest).windows
    assert [clip.name for clip in result.clips] == [clips[1].name]
    assert [item.name for item in result.skipped] == ["gone"]
    assert reported == [(1, 2), (2, 2)]
    assert len(EncodedWindows.of(())) == 0
    with pytest.raises(DataError, match="nowhere"):
        encode_clip(session, lost, PLAN)


@pytest.mark.parametrize("wrong", [{"draws": 0}, {"seed": -1}, {"loader": "other"}], ids=str)
def test_a_plan_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=r"at least 1|default or published"):
        ScoringOptions(**wrong)  # type: ignore[arg-type]


RATE_HZ = 120.0
"""Of the rows, as the sheets' event durations tell."""


@pytest.mark.parametrize("pick", ["newest", "middle"])
def test_live_windows_are_those_of_a_run_that_sees_the_clip(bundle: Bundle, dataset: EmerDataset, pick: str) -> None:
    clip = dataset.fold(1)[0]
    spec = replace(bundle.manifest.window, pick=pick, hops_per_slot=2)
    manifest = msgspec.structs.replace(bundle.manifest, window=spec)
    track = clip.eye()
    row_times = track.times_ns.tolist()
    frame_times = clip_times_ns(len(clip.frame_names), row_times[-1]).tolist()
    expected = []
    with Session(bundle) as session:
        run = Evidence(manifest, session.detector, RATE_HZ)
        run.start(-2 * spec.length_ns)  # under way for long when the clip begins
        frames, rows = iter(enumerate(frame_times)), iter(range(len(row_times)))
        frame, row = next(frames, None), next(rows, None)
        taken: list[int] = []
        for end_ns in range(spec.hop_ns, row_times[-1] + 1, spec.hop_ns):
            while frame is not None and frame[1] <= end_ns:
                index, stamp_ns = frame
                image = clip.frame(index)
                seen = Look(None, FaceCandidate(stamp_ns, image, 0, 0), None, False, 0)
                run.on_look(Frame(index, image, stamp_ns, stamp_ns, "media"), seen)
                frame = next(frames, None)
            while row is not None and row_times[row] <= end_ns:
                run.eyes.append(track.rows[row], row_times[row], bool(track.seen[row]))
                row = next(rows, None)
            cut = run.cut(end_ns)
            if cut.face is not None:
                taken.append(frame_times.index(cut.face.stamp_ns))
            if cut.face_covered.sum() >= spec.min_face_slots and cut.eye.covered.sum() >= spec.min_eye_slots:
                expected.append(([taken[at] for at in cut.face_numbers], cut.eye))
    result = PreparedClip(clip, spec).live()
    assert len(result) == len(expected) > 3
    for window, (chosen, eye) in zip(result, expected, strict=True):
        assert window.frames.tolist() == chosen
        np.testing.assert_array_equal(window.eye, eye.eye)
        np.testing.assert_array_equal(window.gaze, eye.gaze)
        assert window.covered_eye.sum() == eye.covered.sum()


def test_live_windows_of_a_clip_are_few_when_little_is_covered(dataset: EmerDataset, bundle: Bundle) -> None:
    spec = bundle.manifest.window
    prepared = PreparedClip(dataset.fold(1)[0], spec)
    prepared.end_ns = 5 * spec.hop_ns
    assert prepared.live() == []


def test_the_last_live_window_of_a_clip_of_a_windows_length_is_its_own(
    bundle: Bundle, dataset: EmerDataset, tmp_path: Path
) -> None:
    spec = bundle.manifest.window
    clip = dataset.fold(1)[0]
    times_ns = clip_times_ns(288, spec.length_ns)
    lines = [
        [*COLUMN_KEYS, "Timestamp [ns]"],
        *([*row, at] for row, at in zip(clip.eye().rows, times_ns, strict=False)),
    ]
    sheet = tmp_path / "clip.tsv"
    sheet.write_text("\n".join("\t".join(map(str, line)) for line in lines))
    with Session(bundle) as session:
        encoded = encode_clip(session, replace(clip, sheet_path=sheet), ScoringOptions(draws=1))
    live, newest = encoded.windows["live"], encoded.windows["newest"]
    np.testing.assert_array_equal(live.frames[-1], newest.frames[0])
    np.testing.assert_array_equal(live.eye[-1], newest.eye[0])
    assert 1 < len(live) <= spec.hops
    assert live.face_slots.min() == spec.min_face_slots
    assert live.eye_slots.min() >= spec.min_eye_slots
