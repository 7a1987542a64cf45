from __future__ import annotations

import numpy as np
import pytest
from face_scenes import RECORD, frame, room, source, who
from numpy.typing import NDArray

from emer_edge.runtime.faces import FaceSource, Missing, align
from emer_edge.runtime.faces.follower import Appearance, difference
from emer_edge.runtime.options import FaceOptions, Subject
from emer_edge.runtime.session import Session

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


def test_whoever_covers_the_subject_is_not_the_subject(session: Session) -> None:
    faces = source(session)
    anna, ben = ("anna", 0.8, 300.0, 210.0), ("ben", 0.85, 300.0, 215.0)
    before = [room(anna)] * 15
    hidden = [room(anna, ben)] * 60
    assert crops_of(faces, before)[-1] == (10, "anna")
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


def test_light_that_changes_loses_nobody(session: Session) -> None:
    faces = source(session)
    day = room(("anna", 0.8, 300, 220))
    crops_of(faces, [day] * 15)
    for start, gains in ((15, (1.0, 0.75, 0.55)), (45, (0.45, 0.45, 0.45))):  # the display alone; a dimmed lamp
        evening = (day * np.array(gains)).astype(np.uint8)
        assert len(crops_of(faces, [evening] * 30, start)) >= 6
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
