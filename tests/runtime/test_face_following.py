"""One person followed: near looks that stand still, and the subject among several."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from face_scenes import RECORD, frame, room, source, who
from numpy.typing import NDArray
from runtime_inputs import TEMPLATE

from emer_edge.bundle.manifest import FaceRecord
from emer_edge.core.heads import EMOTIONS
from emer_edge.core.progress import silent
from emer_edge.data.synth import faces as synth_faces
from emer_edge.data.synth.faces import PICTURE_PX, Pose, align_pose
from emer_edge.export.matching import measure_faces
from emer_edge.runtime.faces import FaceDetector, FaceSource, Missing, align, similarity
from emer_edge.runtime.faces.detector import NearLook
from emer_edge.runtime.faces.finder import SteadyLook
from emer_edge.runtime.faces.follower import Appearance, difference
from emer_edge.runtime.options import FaceOptions, Subject
from emer_edge.runtime.session import Session

TEMPLATE_PX = np.array(TEMPLATE, np.float32)


def scale_of(landmarks_px: NDArray[np.float32]) -> float:
    """Pixels of the crop a pixel of the image."""
    return float(np.hypot(*similarity(landmarks_px, TEMPLATE_PX)[:, 0]))


@pytest.mark.parametrize("size", [0.5, 0.8, 1.2])
def test_a_still_face_stays_within_a_pixel_of_the_crop(session: Session, size: float) -> None:
    still, rng = room(("anna", size, 300, 220)).astype(np.float32), np.random.default_rng(0)
    look, found = SteadyLook(session.detector, TEMPLATE_PX), []
    for number in range(60):
        image = np.clip(still + rng.normal(0, 3, still.shape), 0, 255).astype(np.uint8)
        face = look.again(image) if number else look.start(image, session.detector.detect(image)[0])
        assert face is not None
        found.append(face.landmarks_px)
    track = np.stack(found) * scale_of(found[0])
    assert np.ptp(track, axis=0).max() < 1.0
    assert track.std(axis=0).max() < 0.3


@pytest.mark.parametrize("speed_px", [2, 6])
def test_a_moving_face_is_followed_without_lag(session: Session, speed_px: int) -> None:
    look, off = SteadyLook(session.detector, TEMPLATE_PX), []
    for number in range(40):
        x = 120 + speed_px * number
        image = room(("anna", 0.8, x, 220))
        face = look.again(image) if number else look.start(image, session.detector.detect(image)[0])
        assert face is not None
        off.append(face.landmarks_px - (x, 0))
    track = np.stack(off) * scale_of(off[0])
    assert np.abs(track - track[0]).max() < 2.5
    assert abs(float((track[20:] - track[0]).mean(axis=(0, 1))[0])) < 1.0  # a filter would trail by whole frames


def test_live_crops_are_framed_as_the_data_sets(session: Session) -> None:
    rng = np.random.default_rng(0)
    base = Pose(
        np.column_stack([2.0 * np.eye(2), np.array((640, 480)) / 2 - 2.0 * np.array(PICTURE_PX) / 2]), (640, 480)
    )
    crops, images, in_crop, in_image = [], [], [], []
    for participant in range(1, 4):
        looks = synth_faces.Appearance.of(0, participant)
        for shown in range(len(EMOTIONS)):
            amounts = np.eye(len(EMOTIONS))[shown]
            points = synth_faces.landmarks(amounts, looks)
            shift = rng.uniform(-40, 40, 2).tolist()
            pose = base.jittered(rng.uniform(-8, 8), rng.uniform(0.6, 1.3), (shift[0], shift[1]))
            crops.append(synth_faces.render(amounts, looks, None, rng))
            images.append(synth_faces.render(amounts, looks, pose, rng))
            in_crop.append(align_pose(points).place(points))
            in_image.append(pose.place(points))
    record = measure_faces(crops, session.detector, silent)
    assert record.template_faces == len(crops)
    off, shifts = [], []
    window = cv2.createHanningWindow((112, 112), cv2.CV_32F)
    for crop, image, wanted, there in zip(crops, images, in_crop, in_image, strict=True):
        faces = FaceSource(session.detector, record, 500_000_000)
        candidate = faces.on_frame(frame(0, image))
        assert candidate is not None
        face = session.detector.settled(
            image, session.detector.detect(image)[0], np.array(record.template_px, np.float32)
        )
        matrix = similarity(face.landmarks_px, np.array(record.template_px, np.float32))
        off.append(there @ matrix[:, :2].T + matrix[:, 2] - wanted)
        np.testing.assert_array_equal(candidate.crop, align(image, face.landmarks_px, record.template_px))
        pair = [cv2.cvtColor(each, cv2.COLOR_BGR2GRAY).astype(np.float32) for each in (crop, candidate.crop)]
        shifts.append(cv2.phaseCorrelate(*pair, window)[0])
    # Where the true landmarks fall in the live crop against where they are in the data set's, pixels.
    assert np.hypot(*np.median(off, axis=0).T).max() < 2.0
    assert np.median(np.hypot(*np.moveaxis(np.array(off), -1, 0))) < 2.0
    # The same from the pictures alone.
    assert np.hypot(*np.median(shifts, axis=0)) < 1.0
    assert np.median(np.hypot(*np.array(shifts).T)) < 2.0


def test_an_aligned_crop_and_its_source_give_the_same_landmarks(session: Session) -> None:
    image = room(("anna", 1.1, 300, 220))
    face = session.detector.settled(image, session.detector.detect(image)[0], TEMPLATE_PX)
    found = session.detector.in_crop(align(image, face.landmarks_px, TEMPLATE))
    assert found is not None
    matrix = similarity(face.landmarks_px, TEMPLATE_PX)
    assert np.abs(found.landmarks_px - (face.landmarks_px @ matrix[:, :2].T + matrix[:, 2])).max() < 1.0


def test_between_whole_looks_only_the_last_place_is_looked_at(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, near = [], []
    detect, look = type(session.detector).detect, NearLook.look
    monkeypatch.setattr(type(session.detector), "detect", lambda self, image: whole.append(0) or detect(self, image))
    monkeypatch.setattr(NearLook, "look", lambda self, *given: near.append(0) or look(self, *given))
    faces = source(session, FaceOptions(detect_every=1))
    still = room(("anna", 0.8, 300, 220))
    for index in range(90):
        assert faces.on_frame(frame(index, still)) is not None
    assert len(whole) == 3  # once a second
    assert 87 <= len(near) <= 95


def test_a_glance_that_shows_somebody_else_is_followed_by_looks_at_whole_images(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: list[int] = []
    detect, now = type(session.detector).detect, 0
    monkeypatch.setattr(type(session.detector), "detect", lambda self, image: whole.append(now) or detect(self, image))
    faces = source(session)
    alone, both = room(("anna", 0.8, 200, 220)), room(("anna", 0.8, 200, 220), ("ben", 0.8, 360, 220))
    for now in range(91):
        faces.on_frame(frame(now, alone if now < 50 else both))
    assert whole == [0, 65, 70, 75, 80, 85, 90]  # the first glance comes two seconds after the first look


def test_a_face_that_jumps_is_found_by_one_whole_look_at_its_hops_last_frame(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: list[int] = []
    detect, now = FaceDetector.detect, 0
    monkeypatch.setattr(FaceDetector, "detect", lambda self, image: whole.append(now) or detect(self, image))
    faces = source(session)
    faces.finder.origin_ns = 10_000_000  # a hop's last frame can't be taken for the one before
    here, there = room(("anna", 0.8, 200, 220)), room(("anna", 0.8, 400, 220))
    found = []
    for now in range(61):
        candidate = faces.on_frame(frame(now, here if now < 32 else there))
        found += [now] if candidate is not None else []
    assert found == [0, 15, 30, 45, 50, 55, 60]  # 35 and 40 were passed over
    assert whole == [0, 45]
    assert not faces.missed
    assert faces.reacquired_ns is None


def test_a_bundle_without_the_small_part_looks_at_whole_images(session: Session) -> None:
    detector = session.detector
    plain = type(detector)(detector.record, detector._engine)
    assert not plain.looks_near
    faces = FaceSource(plain, FaceRecord(template_px=TEMPLATE), 500_000_000, FaceOptions(detect_every=2))
    still = room(("anna", 0.8, 300, 220))
    found = [index for index in range(10) if faces.on_frame(frame(index, still)) is not None]
    assert found == [0, 2, 4, 6, 8]
    assert plain.in_crop(align(still, plain.detect(still)[0].landmarks_px, TEMPLATE)) is not None


CROSSING = 60  # frames, two seconds


def crops_of(faces: FaceSource, images: list[NDArray[np.uint8]], start: int = 0) -> list[tuple[int, str]]:
    """Frame and person of every candidate."""
    found = []
    for index, image in enumerate(images, start):
        candidate = faces.on_frame(frame(index, image))
        if candidate is not None:
            found.append((index, who(candidate)))
    return found


def crossing(anna: float, ben: float) -> list[NDArray[np.uint8]]:
    """Anna walks right, Ben left and before her; sizes as given."""
    share = [index / (CROSSING - 1) for index in range(CROSSING)]
    return [room(("anna", anna, 130 + 380 * at, 200), ("ben", ben, 510 - 380 * at, 215)) for at in share]


@pytest.mark.parametrize(("subject", "name"), [("left", "anna"), ("right", "ben")])
@pytest.mark.parametrize("sizes", [(0.8, 0.7), (0.7, 0.8)], ids=["anna larger", "ben larger"])
def test_the_subject_is_kept_through_a_crossing(
    session: Session, subject: Subject, name: str, sizes: tuple[float, float]
) -> None:
    found = crops_of(source(session, FaceOptions(subject)), crossing(*sizes))
    assert {person for _, person in found} == {name}
    assert found[0][0] == 0
    assert found[-1][0] >= CROSSING - 5  # and is there again at the end


@pytest.mark.parametrize(("every", "last"), [(5, 10), (None, 14)])
def test_whoever_covers_the_subject_is_not_the_subject(session: Session, every: int | None, last: int) -> None:
    faces = source(session, FaceOptions(detect_every=every))
    anna, ben = ("anna", 0.8, 300.0, 210.0), ("ben", 0.85, 300.0, 215.0)
    before = [room(anna)] * 15
    hidden = [room(anna, ben)] * 60
    assert crops_of(faces, before)[-1] == (last, "anna")
    assert crops_of(faces, hidden, 15) == []
    assert faces.missed[Missing.OTHER] >= 10
    again = crops_of(faces, [room(anna)] * 15, 75)
    assert again
    assert {person for _, person in again} == {"anna"}
    assert faces.reacquired_ns is None


def test_who_comes_back_elsewhere_is_the_subject_still(session: Session) -> None:
    faces = source(session)
    crops_of(faces, [room(("anna", 0.8, 150, 220), ("ben", 0.7, 480, 220))] * 15)
    assert crops_of(faces, [room(("ben", 0.7, 480, 220))] * 60, 15) == []
    back = crops_of(faces, [room(("ben", 0.7, 150, 220), ("anna", 0.7, 480, 220))] * 15, 75)
    assert {person for _, person in back} == {"anna"}
    assert faces.reacquired_ns is None


def test_after_five_seconds_another_is_chosen_and_said(session: Session) -> None:
    said: list[str] = []
    faces = source(session, FaceOptions(detect_every=10), say=said.append)
    crops_of(faces, [room(("anna", 0.8, 150, 220), ("ben", 0.7, 480, 220))] * 11)
    alone = room(("ben", 0.7, 480, 220))
    found = crops_of(faces, [alone] * 170, 11)
    assert {person for _, person in found} == {"ben"}
    assert 10 + 150 < found[0][0] <= 10 + 150 + 10  # the frame it was last seen on, five seconds, the next look
    assert said == ["the subject was not seen for 5 s; the largest face is followed instead"]
    assert faces.reacquired_ns == frame(found[0][0], alone).stamp_ns


@pytest.mark.parametrize(
    ("subject", "name"), [("largest", "anna"), ("left", "ben"), ("right", "anna"), ("center", "ben")]
)
def test_who_is_chosen_at_first(session: Session, subject: Subject, name: str) -> None:
    image = room(("ben", 0.7, 220, 230), ("anna", 0.9, 500, 220))
    candidate = source(session, FaceOptions(subject)).on_frame(frame(0, image))
    assert candidate is not None
    assert who(candidate) == name


def test_a_small_face_behind_is_not_chosen_for_its_place(session: Session) -> None:
    image = room(("ben", 0.35, 90, 200), ("anna", 0.9, 400, 220))
    candidate = source(session, FaceOptions("left")).on_frame(frame(0, image))
    assert candidate is not None
    assert who(candidate) == "anna"


@pytest.mark.parametrize(("every", "crops"), [(5, 6), (None, 2)])
def test_light_that_changes_loses_nobody(session: Session, every: int | None, crops: int) -> None:
    faces = source(session, FaceOptions(detect_every=every))
    day = room(("anna", 0.8, 300, 220))
    crops_of(faces, [day] * 15)
    for start, gains in ((15, (1.0, 0.75, 0.55)), (45, (0.45, 0.45, 0.45))):  # the display alone; a dimmed lamp
        evening = (day * np.array(gains)).astype(np.uint8)
        assert len(crops_of(faces, [evening] * 30, start)) >= crops
    assert not faces.missed


def test_appearances_tell_people_apart_whatever_the_brightness(session: Session) -> None:
    crops = {}
    for name in ("anna", "ben"):
        for gain in (1.0, 0.6):
            image = (room((name, 0.8, 300, 220)) * gain).astype(np.uint8)
            (face,) = session.detector.detect(image)
            crops[name, gain] = Appearance.of(align(image, face.landmarks_px, RECORD.template_px))
    same = max(difference(crops[name, 1.0], crops[name, 0.6]) for name in ("anna", "ben"))
    other = min(difference(crops["anna", one], crops["ben", two]) for one in (1.0, 0.6) for two in (1.0, 0.6))
    assert same < 0.2 < 0.34 < other
    assert difference(crops["anna", 1.0], crops["anna", 1.0]) < 1e-3
