from __future__ import annotations

import cv2
import numpy as np
import pytest

from emer_edge.runtime.faces.alignment import warp


@pytest.mark.parametrize("shrink", [2, 3, 5])
def test_a_warp_reads_its_region_alone_and_draws_what_the_whole_image_gives(shrink: int) -> None:
    rng = np.random.default_rng(shrink)
    differing = 0.0
    for _ in range(60):
        height, width = (int(each) for each in rng.integers(100, 500, 2))
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        scale, turn = 1 / (shrink + rng.uniform(0.01, 0.99)), rng.uniform(-0.6, 0.6)
        rotation = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        centre = rng.uniform(-0.3, 1.3, 2) * (width, height)  # near, across and beyond the borders
        matrix = np.column_stack([rotation, 56 - rotation @ centre])
        off = np.abs(warp(image, matrix).astype(int) - of_the_whole(image, matrix, shrink))
        assert off.max() <= 1  # cv2 rounds coordinates to 1/32 px, from another origin
        differing += float((off > 0).mean()) / 60
    assert differing < 1e-3


@pytest.mark.parametrize("shift", [(9000.0, 40.0), (-9000.0, 40.0), (40.0, 9000.0)])
def test_a_crop_beyond_the_image_is_black(shift: tuple[float, float]) -> None:
    image = np.full((240, 320, 3), 200, np.uint8)
    drawn = warp(image, np.array([[0.3, 0.0, shift[0]], [0.0, 0.3, shift[1]]]))
    assert drawn.shape == (112, 112, 3)
    assert not drawn.any()


def of_the_whole(image: np.ndarray, matrix: np.ndarray, shrink: int) -> np.ndarray:
    """Average the whole image, then draw."""
    height, width = (each // shrink for each in image.shape[:2])
    small = cv2.resize(image[: height * shrink, : width * shrink], (width, height), interpolation=cv2.INTER_AREA)
    centre = (shrink - 1) / 2
    moved = np.column_stack([matrix[:, :2] * shrink, matrix[:, :2].sum(axis=1) * centre + matrix[:, 2]])
    return cv2.warpAffine(small, moved, (112, 112), flags=cv2.INTER_LINEAR).astype(int)
