from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from face_scenes import RECORD, frame, room
from runtime_inputs import FPS, SCENE

from emer_edge.core.errors import DataError, OutputExistsError
from emer_edge.data.images import read_crop
from emer_edge.offline.prepare import REPORT_FILE, PreparedVideo, prepare_videos
from emer_edge.runtime.faces import FaceSource, Missing
from emer_edge.runtime.options import FaceOptions
from emer_edge.runtime.session import Session

STILL = room(("anna", 0.9, 300, 220))
EMPTY = np.full((*SCENE, 3), 90, np.uint8)


def film(path: Path, *images: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, SCENE[::-1])
    for image in images:
        writer.write(image)
    writer.release()
    return path


def stills(folder: Path, *images: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for number, image in enumerate(images, start=1):
        cv2.imwrite(str(folder / f"{number}.png"), image)
    return folder


def prepared(session: Session, source: Path, output: Path, **given: object) -> dict[str, PreparedVideo]:
    done = prepare_videos(source, output, session, RECORD, **given)  # type: ignore[arg-type]
    return {item.clip: item for item in done}


def report(output: Path) -> list[dict[str, str]]:
    with (output / REPORT_FILE).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    root = tmp_path / "face video"
    film(root / "set1" / "3_film_happy.avi", STILL, STILL, EMPTY, STILL)
    stills(root / "set2" / "10_film_sad", *[STILL] * 11)
    return root


def test_videos_and_folders_become_clips(session: Session, videos: Path, tmp_path: Path) -> None:
    output = tmp_path / "EMER" / "face"
    done = prepared(session, videos, output)
    assert list(done) == ["set1/3_film_happy", "set2/10_film_sad"]
    happy = done["set1/3_film_happy"]
    assert (happy.frames, happy.crops, happy.missed) == (4, 3, {Missing.NONE: 1})
    names = sorted(path.name for path in (output / "set1" / "3_film_happy").iterdir())
    assert names == ["00001.png", "00002.png", "00004.png"]
    assert len(list((output / "set2" / "10_film_sad").iterdir())) == 11
    table = report(output)
    assert [(row["clip"], row["crops"], row["no face"]) for row in table] == [
        ("set1/3_film_happy", "3", "1"), ("set2/10_film_sad", "11", "0")
    ]  # fmt: skip
    assert not list(output.rglob(".*"))


def test_crops_are_those_of_a_live_run(session: Session, tmp_path: Path) -> None:
    stills(tmp_path / "in" / "clip", STILL, STILL)
    prepared(session, tmp_path / "in", tmp_path / "out")
    live = FaceSource(session.detector, RECORD, 500_000_000, FaceOptions(detect_every=1)).on_frame(frame(0, STILL))
    assert live is not None
    np.testing.assert_array_equal(read_crop(tmp_path / "out" / "clip" / "00001.png"), live.crop)


def test_a_second_run_goes_on_where_the_first_stopped(session: Session, videos: Path, tmp_path: Path) -> None:
    output = tmp_path / "face"
    prepared(session, videos / "set2", output)
    mark = output / "10_film_sad" / "00001.png"
    before = mark.stat().st_mtime_ns
    film(videos / "set2" / "11_film_fear.avi", STILL, STILL)
    done = prepared(session, videos / "set2", output)
    assert (done["10_film_sad"].kept, done["11_film_fear"].crops) == (True, 2)
    assert mark.stat().st_mtime_ns == before
    assert {row["clip"] for row in report(output)} == set(done)
    assert not prepared(session, videos / "set2", output, force=True)["10_film_sad"].kept


def test_what_can_not_be_used_is_listed_and_the_rest_is_done(session: Session, videos: Path, tmp_path: Path) -> None:
    (videos / "set1" / "4_film_sad.avi").write_bytes(b"RIFF but no video")
    film(videos / "set1" / "5_film_fear.avi", EMPTY, EMPTY)
    output = tmp_path / "face"
    done = prepared(session, videos, output, image_format="jpg")
    assert "no video that OpenCV can read" in done["set1/4_film_sad"].problem
    assert done["set1/5_film_fear"].problem == "no frame has a usable face: 2 no face"
    assert sorted(path.name for path in (output / "set1").iterdir()) == ["3_film_happy"]
    assert (output / "set1" / "3_film_happy" / "00001.jpg").exists()


def test_folders_without_videos(session: Session, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder of videos"):
        prepared(session, tmp_path / "absent", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no video"):
        prepared(session, tmp_path / "empty", tmp_path / "out")
    film(tmp_path / "two" / "a.avi", STILL)
    stills(tmp_path / "two" / "a", STILL)
    with pytest.raises(DataError, match="both become the clip a"):
        prepared(session, tmp_path / "two", tmp_path / "out")
    film(tmp_path / "nobody" / "a.avi", EMPTY)
    with pytest.raises(DataError, match="gave a crop"):
        prepared(session, tmp_path / "nobody", tmp_path / "out")


@pytest.mark.case("prepare again, after a video or an option has changed", before="the crops of the old video, exit 0")
@pytest.mark.parametrize("changed", ["video", "a frame", "option", "no word of it"])
def test_a_clip_of_another_video_is_not_taken_for_this_one(
    session: Session, videos: Path, tmp_path: Path, changed: str
) -> None:
    output = tmp_path / "face"
    prepared(session, videos, output)
    if changed == "video":
        film(videos / "set1" / "3_film_happy.avi", STILL, EMPTY, EMPTY, STILL)
    elif changed == "a frame":
        cv2.imwrite(str(videos / "set2" / "10_film_sad" / "7.png"), EMPTY)
    elif changed == "no word of it":
        (output / REPORT_FILE).unlink()
    options = {"image_format": "jpg"} if changed == "option" else {}
    before = {path: path.read_bytes() for path in output.rglob("*.*")}
    clip = "10_film_sad" if changed == "a frame" else "3_film_happy"
    with pytest.raises(OutputExistsError, match=rf"{clip} .*may be of another video or of other options; .* --force"):
        prepared(session, videos, output, **options)
    assert {path: path.read_bytes() for path in output.rglob("*.*")} == before
    assert not any(video.kept for video in prepared(session, videos, output, force=True, **options).values())
    assert all(video.kept for video in prepared(session, videos, output, **options).values())


@pytest.mark.case(
    "prepare into its own input, inside it, around it, or by a link", before="crops were cut out of crops"
)
def test_the_input_is_never_written_to(session: Session, videos: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(videos)
    before = sorted(videos.rglob("*"))
    for output in (videos, videos / "crops", videos.parent, tmp_path / "link", tmp_path / "link" / "set1"):
        with pytest.raises(DataError, match=r"choose another output"):
            prepared(session, videos, output, force=True)
    assert sorted(videos.rglob("*")) == before
    prepared(session, videos / "set2", tmp_path / "out")
    with pytest.raises(DataError, match=r"holds a prepare\.csv: its images are crops already"):
        prepared(session, tmp_path / "out", tmp_path / "again")
    source = tmp_path / "linked"
    source.mkdir()
    (source / "clip").symlink_to(tmp_path / "out" / "10_film_sad")
    with pytest.raises(DataError, match=r"lies in .*out, the output"):
        prepared(session, source, tmp_path / "out", force=True)


@pytest.mark.case("a link to a folder of videos, and thumbnails of a NAS box", before="left out, and made clips of")
def test_links_are_followed_and_litter_is_not(session: Session, videos: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "set2").symlink_to(videos / "set2")
    stills(source / "@eaDir" / "set2", STILL)
    assert list(prepared(session, source, tmp_path / "out")) == ["set2/10_film_sad"]


def behind_a_hand(image: np.ndarray) -> np.ndarray:
    hidden = np.full(image.shape, (120, 150, 205), np.float32)
    for finger in range(-3, 4):
        cv2.line(hidden, (300 + finger * 18, 110), (300 + finger * 18, 230), (84, 105, 143), 2)
    hand = cv2.ellipse(np.zeros(image.shape[:2], np.float32), (300, 170), (70, 55), 0, 0, 360, 1.0, -1)
    hand = cv2.GaussianBlur(hand, (0, 0), 1.5)[..., None]
    return np.clip(image * (1 - hand) + hidden * hand, 0, 255).astype(np.uint8)


@pytest.mark.case("a hand before a part of the face", before="kept as a face")
def test_a_covered_face_is_no_crop_and_is_counted(session: Session, tmp_path: Path) -> None:
    images = [*[STILL] * 3, behind_a_hand(STILL), *[STILL] * 4]
    stills(tmp_path / "in" / "clip", *images)
    done = prepared(session, tmp_path / "in", tmp_path / "out")["clip"]
    assert (done.frames, done.crops, done.missed) == (8, 7, {Missing.COVERED: 1})
    assert not (tmp_path / "out" / "clip" / "00004.png").exists()
    assert [(row["frames"], row["crops"], row["covered"]) for row in report(tmp_path / "out")] == [("8", "7", "1")]
