"""Aligned crops, and whether a face is good enough to be read."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from face_scenes import HOP_NS, RECORD, frame, room, source
from numpy.typing import NDArray
from runtime_inputs import TEMPLATE

from emer_edge.bundle.manifest import FaceRecord
from emer_edge.core.heads import EMOTIONS
from emer_edge.data.synth.recording import SCRIPT, Act, scene_frames
from emer_edge.runtime.faces import FaceSource, Missing, grey_level, match_brightness
from emer_edge.runtime.faces.looks import outside, sharpness, turn, warp
from emer_edge.runtime.options import FaceOptions
from emer_edge.runtime.session import Session


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


TEMPLATE_PX = np.array(TEMPLATE, np.float32)


def seen(session: Session, image: NDArray[np.uint8]) -> tuple[bool, dict[Missing, int]]:
    faces = source(session)
    return faces.on_frame(frame(0, image)) is not None, dict(faces.missed)


def test_normal_faces_pass(session: Session) -> None:
    faces = source(session, FaceOptions(detect_every=1))
    for index, image in enumerate(scene_frames(SCRIPT, 24.0, fps=2)):
        assert faces.on_frame(frame(15 * index, image)) is not None
    assert not faces.missed
    for size in (0.5, 0.8, 1.2):
        assert seen(session, room(("anna", size, 300, 220), noise=4)) == (True, {})


def test_every_rendered_person_is_found_alone(session: Session) -> None:
    for seed in range(42):
        shown = EMOTIONS[seed % len(EMOTIONS)]
        image = next(scene_frames((Act(0.0, "neutral", shown),), 1.0, seed, fps=1))
        assert len(session.detector.detect(image)) == 1, (seed, shown)


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (np.full((480, 640, 3), 90, np.uint8), Missing.NONE),
        (room(("anna", 0.26, 300, 220)), Missing.SMALL),
        (cv2.GaussianBlur(room(("anna", 1.2, 300, 220)), (0, 0), 7), Missing.BLURRED),
        (room(("anna", 1.2, 15, 220)), Missing.CUT),
        (room(("anna", 1.2, 300, 25)), Missing.CUT),
    ],
    ids=["empty room", "small", "blurred", "cut at the side", "cut at the top"],
)
def test_a_face_that_can_not_be_read_is_missing_with_the_reason(
    session: Session, image: NDArray[np.uint8], why: Missing
) -> None:
    assert seen(session, image) == (False, {why: 1})


def test_a_turned_head_is_no_frontal_face() -> None:
    frontal = np.array([[-30, 0, -10], [30, 0, -10], [0, 32, 22], [-25, 62, -5], [25, 62, -5]], float)  # mm: x, y, z

    def seen_at(yaw: float, pitch: float = 0.0) -> NDArray[np.float32]:
        y, p = np.deg2rad([yaw, pitch])
        about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
        about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
        return np.asarray((frontal @ about_y.T @ about_x.T)[:, :2], np.float32)

    template = seen_at(0)
    assert turn(template, template) == 0
    assert turn(3 * template + 7, template) < 1e-5
    assert all(turn(seen_at(yaw), template) < 0.5 for yaw in (-25, -15, 15, 25))
    assert all(turn(seen_at(yaw), template) > 0.5 for yaw in (-60, -45, 45, 60))
    assert turn(seen_at(0, 15), template) < 0.5


def test_share_of_a_crop_outside_of_the_image() -> None:
    assert outside(TEMPLATE_PX, TEMPLATE_PX, 112, 112) == 0
    assert outside(TEMPLATE_PX - (56, 0), TEMPLATE_PX, 112, 112) == pytest.approx(0.5, abs=0.04)
    assert outside(TEMPLATE_PX * 2 + 500, TEMPLATE_PX, 112, 112) == 1


def test_sharpness_ignores_contrast_and_falls_with_blur() -> None:
    crop = room(("anna", 1.2, 300, 220))[150:262, 244:356]
    assert sharpness((crop * 0.5).astype(np.uint8)) == pytest.approx(sharpness(crop), rel=0.15)
    blurred = [sharpness(cv2.GaussianBlur(crop, (0, 0), sigma)) for sigma in (0.5, 1.0, 2.0, 4.0)]
    assert blurred == sorted(blurred, reverse=True)
    assert sharpness(np.full((112, 112, 3), 80, np.uint8)) == 0


def test_misses_are_counted_by_window(session: Session) -> None:
    faces = source(session, FaceOptions(detect_every=1))
    for index in range(4):
        faces.on_frame(frame(index, np.zeros((480, 640, 3), np.uint8)))
    first, last = frame(1, np.zeros((1, 1, 3), np.uint8)).stamp_ns, frame(3, np.zeros((1, 1, 3), np.uint8)).stamp_ns
    assert faces.misses(first, last) == {Missing.NONE: 2}
    assert faces.misses(last, last + HOP_NS) == {}


@pytest.mark.parametrize(
    ("level", "wanted"), [(40.0, 90.0), (95.0, 95.0), (105.0, 105.0), (200.0, 110.0)], ids=["dark", "a", "b", "bright"]
)
def test_brightness_is_brought_within_a_standard_deviation(level: float, wanted: float) -> None:
    record = FaceRecord(template_px=TEMPLATE, brightness_mean=100.0, brightness_std=10.0, match_brightness=True)
    crop = np.clip(np.random.default_rng(0).normal(level, 5, (112, 112, 3)), 0, 255).astype(np.uint8)
    matched = match_brightness(crop, record)
    assert matched.dtype == np.uint8
    assert grey_level(matched) == pytest.approx(wanted, abs=1.0)
    untouched = match_brightness(crop, FaceRecord(template_px=TEMPLATE, brightness_mean=100.0, brightness_std=10.0))
    assert untouched is crop


def test_brightness_of_black_and_nearly_black_crops() -> None:
    record = FaceRecord(template_px=TEMPLATE, brightness_mean=100.0, brightness_std=10.0, match_brightness=True)
    black = np.zeros((112, 112, 3), np.uint8)
    assert match_brightness(black, record) is black
    assert grey_level(match_brightness(black + 2, record)) == 8  # no more than four times


def test_live_crops_get_the_bundles_brightness(session: Session) -> None:
    image = room(("anna", 0.8, 300, 220), noise=0)
    dim = (image * 0.4).astype(np.uint8)
    plain = FaceSource(session.detector, RECORD, HOP_NS).on_frame(frame(0, dim))
    bright = FaceRecord(template_px=TEMPLATE, brightness_mean=120.0, brightness_std=8.0, match_brightness=True)
    matched = FaceSource(session.detector, bright, HOP_NS).on_frame(frame(0, dim))
    assert plain is not None
    assert matched is not None
    assert grey_level(plain.crop) < 80
    assert grey_level(matched.crop) == pytest.approx(112, abs=1.5)
