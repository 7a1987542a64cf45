from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from emer_folders import eye_rows, write_frames, write_xlsx

from emer_edge.core.columns import COLUMN_KEYS, EVENTS, GAZE_POINT
from emer_edge.core.errors import DataError
from emer_edge.core.window import WindowSpec
from emer_edge.data.dataset import Clip
from emer_edge.data.windows import PreparedClip, clip_window, load_faces
from emer_edge.signals.rows import EyeStream

SPEC = WindowSpec()


def make_clip(folder: Path, frames: int = 60, rows: int = 200, times_us: np.ndarray | None = None) -> Clip:
    write_frames(folder / "1_film_happy", frames, size=4)
    cells = eye_rows(rows)
    header = list(COLUMN_KEYS)
    if times_us is not None:
        header.append("Recording timestamp [μs]")
        cells = [[*row, int(time)] for row, time in zip(cells, times_us, strict=True)]
    sheet = write_xlsx(folder / "1_film_happy.xlsx", [header, *cells])
    return Clip("1_film_happy", "1", "film", "happiness", 1, folder / "1_film_happy", sheet, {"er-7": 0})


def test_the_window_takes_the_newest_of_each_slot(tmp_path: Path) -> None:
    clip = make_clip(tmp_path, frames=80, rows=320)
    window = clip_window(clip, SPEC, "published")
    assert window.frames.tolist() == [9, 19, 29, 39, 49, 59, 69, 79]
    np.testing.assert_array_equal(window.eye, clip.eye().rows[9::10])
    np.testing.assert_array_equal(window.gaze, window.eye[:, GAZE_POINT])
    assert window.covered_face.all()
    assert window.covered_eye.all()


def test_the_middle_is_the_middle_candidate(tmp_path: Path) -> None:
    clip = make_clip(tmp_path, frames=80)
    prepared = PreparedClip(clip, WindowSpec(pick="middle"))
    assert len(prepared.candidates) == 24
    assert prepared.window().frames.tolist() == prepared.candidates[1::3].tolist()


def test_causal_columns_are_those_of_a_live_stream(tmp_path: Path) -> None:
    clip = make_clip(tmp_path, rows=300)
    track = clip.eye()
    stream = EyeStream(300, 0.0, "causal")
    stream.extend(track.rows, (np.arange(1, 301) * SPEC.length_ns) // 300, track.seen)
    live = stream.window(SPEC.length_ns, SPEC)
    causal, published = clip_window(clip, SPEC, "causal"), clip_window(clip, SPEC, "published")
    np.testing.assert_array_equal(causal.eye, live.eye)
    np.testing.assert_array_equal(causal.eye[:, :32], published.eye[:, :32])
    assert (causal.eye[:, EVENTS] != published.eye[:, EVENTS]).any()


def test_a_sheet_with_times_keeps_them(tmp_path: Path) -> None:
    times_us = np.arange(1200) * 10_000.0
    times_us[600:] += 1_500_000  # the tracker was silent for a second and a half
    clip = make_clip(tmp_path, frames=60, rows=1200, times_us=times_us)
    prepared = PreparedClip(clip, SPEC)
    assert prepared.end_ns == 13_500_000_000
    window = prepared.window()
    assert window.covered_eye.sum() in (28, 29)
    assert window.covered_face.all()
    assert window.frames[-1] == 59


def test_few_items_leave_slots_uncovered(tmp_path: Path) -> None:
    window = clip_window(make_clip(tmp_path, frames=2, rows=3), SPEC)
    assert window.covered_face.sum() == 2
    assert window.covered_eye.sum() == 2
    assert window.eye.shape == (32, 39)
    assert window.gaze.shape == (32, 2)
    assert set(window.frames.tolist()) == {0, 1}


@pytest.mark.parametrize("candidates_only", [False, True], ids=["all-frames", "candidates"])
def test_draws_are_of_each_slot_and_seeded(tmp_path: Path, candidates_only: bool) -> None:
    prepared = PreparedClip(make_clip(tmp_path, frames=96, rows=320), SPEC, "published")
    seen: set[int] = set()
    for seed in range(60):
        draw = prepared.draw(np.random.default_rng(seed), candidates_only=candidates_only)
        assert (draw.frames // 12).tolist() == list(range(8))
        np.testing.assert_array_equal(draw.gaze, draw.eye[:, GAZE_POINT])
        seen.update(draw.frames.tolist())
    assert seen == (set(prepared.candidates.tolist()) if candidates_only else set(range(96)))
    again = [prepared.draw(np.random.default_rng(7)) for _ in range(2)]
    np.testing.assert_array_equal(again[0].eye, again[1].eye)
    np.testing.assert_array_equal(again[0].frames, again[1].frames)


def test_the_published_draw_orders_by_last_digit_and_draws_streams_apart(tmp_path: Path) -> None:
    clip = make_clip(tmp_path, frames=80, rows=66)
    prepared = PreparedClip(clip, SPEC)
    rng = np.random.default_rng(0)
    rows = clip.eye().rows
    eyes, apart = Counter[int](), 0
    for _ in range(200):
        draw = prepared.published_draw(rng)
        digits = [(item + 1) % 10 for item in draw.frames.tolist()]
        assert digits == sorted(digits)
        chosen = [int(np.flatnonzero((rows == row).all(axis=1))[0]) for row in draw.eye]
        # 66 rows in 32 segments: the first two hold three, the others two
        first = [3 * at if at < 2 else 6 + 2 * (at - 2) for at in range(32)]
        assert all(
            low <= at < low + (3 if segment < 2 else 2)
            for segment, (low, at) in enumerate(zip(first, chosen, strict=True))
        )
        eyes.update(chosen)
        apart += int((draw.gaze != draw.eye[:, GAZE_POINT]).any())
    assert set(eyes) == set(range(66))
    assert apart == 200


def test_the_published_draw_of_a_short_clip(tmp_path: Path) -> None:
    draw = PreparedClip(make_clip(tmp_path, frames=3, rows=5), SPEC).published_draw(np.random.default_rng(0))
    assert draw.frames.tolist() == [0, 1, 2, 2, 2, 2, 2, 2]
    assert draw.eye.shape == (32, 39)


def test_faces_are_scaled_and_in_channel_order(tmp_path: Path) -> None:
    faces = load_faces(make_clip(tmp_path, frames=5), np.array([4, 0, 4]))
    assert faces.shape == (3, 3, 112, 112)
    assert faces.dtype == np.float32
    np.testing.assert_array_equal(faces[0], faces[2])
    np.testing.assert_allclose(faces[0, :, 0, 0], np.array([5, 10, 15]) / 255, rtol=1e-6)
    assert load_faces(make_clip(tmp_path / "none", frames=1), []).shape == (0, 3, 112, 112)


def test_a_clip_without_frames_is_named(tmp_path: Path) -> None:
    clip = make_clip(tmp_path, frames=0)
    with pytest.raises(DataError, match=r"clip 1_film_happy: .* holds no frame"):
        clip_window(clip, SPEC)
