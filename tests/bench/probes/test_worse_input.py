from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from emer_edge.bench.probes.worse_input import (
    bar,
    blur,
    compression,
    dropped_bursts,
    dropped_samples,
    low_light,
    square,
    tracker_noise,
)
from emer_edge.core.columns import MovementType
from emer_edge.core.samples import Display
from emer_edge.core.window import NANOSECONDS, WindowSpec
from emer_edge.data.dataset import EmerDataset
from emer_edge.data.windows import PreparedClip

SPEC = WindowSpec()
DISPLAY = Display()
TIMES = np.arange(1, 12_001, dtype=np.int64) * (NANOSECONDS // 120)
SEEN = np.ones(12_000, np.bool_)


@pytest.fixture(scope="module")
def rows(dataset: EmerDataset) -> NDArray[np.float32]:
    return dataset.clips[0].eye().rows


@pytest.fixture(scope="module")
def image(dataset: EmerDataset) -> NDArray[np.uint8]:
    return dataset.clips[0].frame(0)


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def noisy(rows: NDArray[np.float32], sd_px: float) -> NDArray[np.float32]:
    count = len(rows)
    return tracker_noise(sd_px, rng(), DISPLAY)(rows, TIMES[:count], SEEN[:count])[0]


def test_noise_is_as_large_as_it_says_and_leaves_missing_cells(rows: NDArray[np.float32]) -> None:
    off = noisy(rows, 20) - rows
    left = rows[:, 2:4].any(axis=1)
    assert off[left, 2:6].std() == pytest.approx(20, rel=0.05)
    assert (off[:, 12:22] == 0).all()
    assert (off[:, 32:] == 0).all()
    assert not noisy(rows, 20)[rows == 0].any()


def test_noise_moves_all_that_tells_of_one_gaze_point_alike(rows: NDArray[np.float32]) -> None:
    moved = noisy(rows, 20)
    off = moved.astype(np.float64) - rows
    both = rows[:, 2:6].all(axis=1)
    assert off[both, 0:2] == pytest.approx((off[both, 2:4] + off[both, 4:6]) / 2, abs=1e-3)
    assert off[both, 22] == pytest.approx(off[both, 2] * 527 / 1920, abs=1e-3)
    assert off[both, 31] == pytest.approx(off[both, 5] / 1080, abs=1e-5)
    ray = np.concatenate([moved[both, 22:24], np.zeros((both.sum(), 1))], axis=1) - moved[both, 16:19]
    assert moved[both, 6:9] == pytest.approx(ray / np.linalg.norm(ray, axis=1, keepdims=True), abs=1e-5)


def test_noise_of_one_eye_alone_is_the_combined_points(rows: NDArray[np.float32]) -> None:
    alone = rows.copy()
    alone[:, [4, 5, 9, 10, 11, 24, 25, 30, 31]] = 0
    alone[:, 0:2] = alone[:, 2:4]
    moved = noisy(alone, 20)
    assert np.array_equal(moved[:, 0:2], moved[:, 2:4])
    assert not moved[:, 4:6].any()
    point = np.zeros_like(rows)
    point[:, 0:2] = 900
    assert (noisy(point, 20) - point)[:, 0:2].std() == pytest.approx(20, rel=0.05)


def test_levels_share_their_draws(rows: NDArray[np.float32]) -> None:
    assert (noisy(rows, 40) - rows)[:, :6] == pytest.approx(2 * (noisy(rows, 20) - rows)[:, :6], abs=1e-2)
    count = len(TIMES)
    few, many = (
        set(dropped_samples(item, rng())(np.zeros((count, 39), np.float32), TIMES, SEEN)[1]) for item in (0.7, 0.3)
    )
    assert few < many


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("drop", [dropped_samples, dropped_bursts])
def test_the_share_that_is_lost_is_the_share_asked_for(drop, share: float) -> None:
    kept, times, seen = drop(share, rng())(np.zeros((12_000, 39), np.float32), TIMES, SEEN)
    assert len(kept) == len(times) == len(seen)
    assert 1 - len(kept) / 12_000 == pytest.approx(share, abs=0.02 if drop is dropped_samples else 0.12)


def test_bursts_last_half_a_second_on_average() -> None:
    _, times, _ = dropped_bursts(0.3, rng())(np.zeros((12_000, 39), np.float32), TIMES, SEEN)
    gaps = np.diff(times)[np.diff(times) > NANOSECONDS / 100] - NANOSECONDS // 120
    assert gaps.mean() / NANOSECONDS == pytest.approx(0.5, rel=0.3)


def test_nothing_lost_is_nothing_changed(rows: NDArray[np.float32]) -> None:
    count = len(rows)
    for alter in (tracker_noise(0, rng(), DISPLAY), dropped_samples(0, rng()), dropped_bursts(0, rng())):
        altered, times, seen = alter(rows, TIMES[:count], SEEN[:count])
        others = np.delete(np.arange(39), range(6, 12))  # directions are worked out again from rounded numbers
        assert np.array_equal(altered[:, others], rows[:, others])
        assert altered == pytest.approx(rows, abs=1e-4)
        assert np.array_equal(times, TIMES[:count])
        assert np.array_equal(seen, SEEN[:count])


def test_a_clip_that_is_altered_by_nothing_has_the_same_window(dataset: EmerDataset) -> None:
    for clip in dataset.clips[:3]:
        plain = PreparedClip(clip, SPEC).window()
        same = PreparedClip(clip, SPEC, alter=lambda *given: given).window()
        for name in ("frames", "eye", "gaze", "covered_face", "covered_eye"):
            assert np.array_equal(getattr(plain, name), getattr(same, name))


def test_a_gap_is_filled_as_a_live_stream_fills_it(dataset: EmerDataset) -> None:
    def cut(rows: NDArray[np.float32], times_ns: NDArray[np.int64], seen: NDArray[np.bool_]):
        kept = (times_ns < 4 * NANOSECONDS) | (times_ns > 8 * NANOSECONDS)
        return rows[kept], times_ns[kept], seen[kept]

    prepared = PreparedClip(dataset.clips[0], SPEC, alter=cut)
    assert prepared.end_ns == PreparedClip(dataset.clips[0], SPEC).end_ns
    window = prepared.window()
    lost = np.flatnonzero(~window.covered_eye)
    assert set(range(12, 20)) <= set(lost)
    assert (window.eye[12:20, 32] == MovementType.EYES_NOT_FOUND).all()


def test_a_clip_that_loses_every_row_covers_no_slot(dataset: EmerDataset) -> None:
    none = PreparedClip(
        dataset.clips[0], SPEC, alter=lambda rows, times, seen: (rows[:0], times[:0], seen[:0])
    ).window()
    assert not none.covered_eye.any()
    assert not none.eye.any()
    assert none.covered_face.any()


def test_a_bar_hides_its_share_around_its_row(image: NDArray[np.uint8]) -> None:
    result = bar(0.25, 56)(image)
    hidden = (result == 128).all(axis=(1, 2))
    assert np.flatnonzero(hidden)[[0, -1]].tolist() == [42, 69]
    assert np.array_equal(result[~hidden], image[~hidden])
    assert (bar(0.4, 108)(image)[-45:] == 128).all()


def test_squares_of_one_clip_hide_their_share_at_one_place(image: NDArray[np.uint8]) -> None:
    for share in (0.1, 0.5):
        hidden = (square(share, rng())(np.zeros_like(image)) == 128).all(axis=2)
        assert hidden.mean() == pytest.approx(share, rel=0.05)
    alter = square(0.1, rng())
    assert np.array_equal(alter(image) == 128, alter(image) == 128)


def test_light_that_the_camera_can_make_up_for_turns_into_noise_then_into_darkness(image: NDArray[np.uint8]) -> None:
    flat = np.full_like(image, 140)
    result = {stops: low_light(stops, rng())(flat).astype(float) for stops in (2, 4, 6, 8)}
    assert result[2].mean() == pytest.approx(140, abs=3)
    assert result[4].mean() == pytest.approx(140, abs=8)
    assert result[8].mean() < result[6].mean() < 100
    assert result[2].std() < result[4].std()
    light = (140 / 255) ** 2.2 * 5000 / 4
    expected = 255 / 2.2 * (140 / 255) ** (1 - 2.2) * np.sqrt(light + 16) * 4 / 5000
    assert result[2].std() == pytest.approx(expected, rel=0.1)


def test_blur_and_compression_take_detail_away(image: NDArray[np.uint8]) -> None:
    def detail(crop: NDArray[np.uint8]) -> float:
        return float(np.abs(np.diff(crop.astype(float), axis=1)).mean())

    assert detail(image) > detail(blur(1)(image)) > detail(blur(4)(image))
    off = [np.abs(compression(item)(image).astype(float) - image).mean() for item in (50, 95)]
    assert 0 < off[0] < off[1]


def test_the_image_given_is_left_alone(image: NDArray[np.uint8]) -> None:
    kept = image.copy()
    for alter in (bar(0.2, 50), square(0.2, rng()), low_light(4, rng()), blur(2), compression(80)):
        altered = alter(image)
        assert altered.shape == image.shape
        assert altered.dtype == np.uint8
    assert np.array_equal(image, kept)
