"""A laboratory's videos, exports and labels as a data set."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from face_scenes import RECORD
from runtime_inputs import WINDOW

from emer_edge.core.errors import DataError, OutputExistsError
from emer_edge.data.contents import contents_of_clips
from emer_edge.data.dataset import EmerDataset, UsableClips
from emer_edge.data.frames import frame_times_ns
from emer_edge.data.layout import find_layout
from emer_edge.data.windows import PreparedClip
from emer_edge.offline.lab_dataset import REPORT_FILE, Lab, MadeClip, make_dataset
from emer_edge.runtime.recording.xdf import XdfStream, XdfWriter
from emer_edge.runtime.session import Session

HEADER = "participant,clip,recording,start,end,offset_ms,ER_Emotion,ER_Valence"


@pytest.fixture
def lab(tmp_path: Path, video: Path, tracker: Path) -> Path:
    """A folder of videos, one of exports and one of nothing; visit1 to visit5 are the same 6 s."""
    for folder, file in (("videos", video), ("trackers", tracker)):
        (tmp_path / folder).mkdir()
        for number in range(1, 6):
            os.link(file, tmp_path / folder / f"visit{number}{file.suffix}")
    return tmp_path


def made(folder: Path, session: Session, rows: Sequence[str], force: bool = False) -> dict[str, MadeClip]:
    (folder / "labels.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    sources = folder / "videos", folder / "trackers", folder / "labels.csv", folder / "made"
    done = make_dataset(*sources, lab=Lab(session, RECORD, offset_ms=0.0), force=force)
    return {each.clip.name: each for each in done}


def one_each(*more: str) -> list[str]:
    """A clip of each of five people, of 2.4 s of the first and of a moment of the others, and more rows."""
    ends = (2.4, 0.1, 0.1, 0.1, 0.1)
    return [*(f"p{at},film1,visit{at},0,{end},,happiness,0.5" for at, end in enumerate(ends, 1)), *more]


def test_recordings_become_clips_with_times_labels_and_folds(lab: Path, session: Session) -> None:
    done = made(lab, session, one_each("p_1,film 2,visit1,2.4,2.6,,sadness,-0.5"))
    assert not any(each.problem for each in done.values())
    layout = find_layout(lab / "made")
    folds = {files.name: files.fold for files in layout.clips}
    assert {"p1_film1", "p5_film1", "p-1_film-2"} < set(folds)
    assert set(folds.values()) == {1, 2, 3, 4, 5}
    (clip,) = UsableClips.of(layout, WINDOW).clips  # the others are too short for its window
    assert (clip.name, clip.participant) == ("p1_film1", "p1")
    times_ns = frame_times_ns(clip.frames_path, clip.frame_names, 10**12)
    assert len(times_ns) == done["p1_film1"].crops
    assert int(times_ns[0]) == pytest.approx(0, abs=10**8)
    track = clip.eye()
    assert track.timed
    assert track.times_ns[-1] == pytest.approx(2.4e9, abs=2e7)
    assert done["p1_film1"].eye_rows == len(track.rows) == pytest.approx(2.4 * 120, abs=3)
    window = PreparedClip(clip, WINDOW).window()
    assert window.covered_face.all()
    assert window.covered_eye.all()


def test_columns_are_those_of_a_live_run(lab: Path, session: Session, tracker: Path) -> None:
    made(lab, session, one_each())
    (clip,) = (each for each in UsableClips.of(find_layout(lab / "made"), WINDOW).clips if each.name == "p1_film1")
    rows = clip.eye().rows
    lines = [line.split(",") for line in tracker.read_text().splitlines()]
    at = lines[0].index("left_x")
    assert rows[0, 2] == pytest.approx(float(lines[1][at]) * 1920, rel=1e-5)
    assert not rows[:, 32:].any()  # events are computed where rows are used


def test_the_same_command_goes_on_and_says_what_changed(lab: Path, session: Session, video: Path) -> None:
    first = made(lab, session, one_each())
    crop = next((lab / "made/face/p1_film1").glob("*.png"))
    before = crop.stat().st_mtime_ns
    again = made(lab, session, one_each("p6,film1,visit1,3,3.1,,fear,0"))
    assert [each.kept for each in again.values()] == [True] * 5 + [False]
    assert (again["p1_film1"].crops, again["p1_film1"].eye_rows) == (
        first["p1_film1"].crops,
        first["p1_film1"].eye_rows,
    )
    assert crop.stat().st_mtime_ns == before
    with pytest.raises(OutputExistsError, match=r"p1_film1.*other options"):
        made(lab, session, ["p1,film1,visit1,0,2.5,,happiness,0.5", *one_each()[1:]])
    changed = made(lab, session, ["p1,film1,visit1,0,2.5,,happiness,0.5", *one_each()[1:]], force=True)
    assert changed["p1_film1"].crops > first["p1_film1"].crops


@pytest.mark.case("rows of a laboratory's table that can't become clips", source="seen", before="there was no importer")
def test_bad_rows_are_named_with_their_reasons(lab: Path, session: Session) -> None:
    bad = {
        "p1,b,nowhere,0,2,,fear,0": "recording nowhere has no video",
        "p1,c,visit2,2,2,,fear,0": "ends at 2 s, which is not after its start",
        "p1,d,visit2,20,22,,fear,0": "do not meet the clip's (20.0 to 22.0 s)",
        "p1,e,visit2,film,,,fear,0": "'film' is neither seconds nor a marker",
        "p1,f,visit2,0,2,,,": "it has no labels",
        "p1,,visit2,0,2,,fear,0": "it has no clip",
        ",b,visit2,0,2,,fear,0": "it has no participant",
        "p1,g,visit2,0,2,soon,fear,0": "offset_ms is 'soon', which is not a number",
        "P1,Film1,visit2,0,2,,fear,0": "the same clip of the same participant as row 2",
        "p1,h,visit2,0,2,9e7,fear,0": "do not meet",
    }
    (lab / "labels.csv").write_text("\n".join([HEADER, *one_each(*bad)]) + "\n")
    sources = lab / "videos", lab / "trackers", lab / "labels.csv", lab / "made"
    done = make_dataset(*sources, lab=Lab(session, RECORD, offset_ms=0.0))
    assert [bool(each.problem) for each in done] == [False] * 5 + [True] * len(bad)
    with (lab / "made" / REPORT_FILE).open(newline="") as file:
        reported = [row["problem"] for row in csv.DictReader(file)]
    assert reported == [each.problem for each in done]
    for problem, expected in zip(reported[5:], bad.values(), strict=True):
        assert expected in problem


@pytest.mark.case("two exports for one video", source="seen", before="there was no importer")
def test_two_exports_for_one_video_are_named(lab: Path, session: Session, tracker: Path) -> None:
    (lab / "trackers/more").mkdir()
    os.link(tracker, lab / "trackers/more/Visit1.tsv")
    done = made(lab, session, [*one_each(), "p6,a,visit2,0.1,0.2,,fear,0"])
    assert "more than one tracker's export" in done["p1_film1"].problem
    assert not done["p6_a"].problem


def test_a_video_without_a_face_is_named(lab: Path, session: Session) -> None:
    import cv2

    path = lab / "videos/empty.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
    for _ in range(40):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    os.link(lab / "trackers/visit1.csv", lab / "trackers/empty.csv")
    done = made(lab, session, one_each("p1,b,empty,0,1,,fear,0"))
    assert "no frame has a usable face: 31 no face" in done["p1_b"].problem
    assert not (lab / "made/eye/p1_b.tsv").exists()


@pytest.mark.case(
    "a video that breaks in its middle, as after a full disk", source="made up", before="there was no importer"
)
def test_clips_before_a_video_breaks_are_made_and_those_after_it_are_named(
    lab: Path, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    whole = made(lab, session, [*one_each(), "p1,b,visit1,3.5,5.5,,fear,0"])
    assert whole["p1_b"].frames == pytest.approx(60, abs=2)
    path = lab / "videos/visit1.avi"
    half = path.read_bytes()[: path.stat().st_size // 2]
    path.unlink()  # the others are links to the same file
    path.write_bytes(half)
    rows = [*one_each(), "p1,a,visit1,2.5,4,,fear,0", "p1,b,visit1,3.5,5.5,,fear,0"]
    done = made(lab, session, rows, force=True)
    assert (done["p1_film1"].crops, done["p1_film1"].problem) == (whole["p1_film1"].crops, "")
    assert 0 < done["p1_a"].frames < 20  # of 45
    assert done["p1_b"].problem.endswith("it has no frames")
    assert not (lab / "made/eye/p1_b.tsv").exists()
    assert "p1_b" not in {clip.name for clip in UsableClips.of(find_layout(lab / "made"), WINDOW).clips}
    assert "frames that it states; the file is cut short" in caplog.text


@pytest.mark.parametrize(
    ("header", "rows", "problem"),
    [
        ("who,clip,ER_Emotion", ["p1,a,fear"], "no column participant; it holds who, clip, ER_Emotion"),
        ("participant,clip", ["p1,a"], "no label column"),
        ("participant,clip,ER_Emotion", [], "header and no rows"),
        ("participant,clip,ER_Emotion", ["p1,visit1,fear"], "usable clips of 1 participants, and a data set needs 5"),
    ],
)
def test_a_table_that_makes_no_data_set_is_one_sentence(
    lab: Path, session: Session, header: str, rows: list[str], problem: str
) -> None:
    (lab / "labels.csv").write_text("\n".join([header, *rows]) + "\n")
    sources = lab / "videos", lab / "trackers", lab / "labels.csv", lab / "made"
    with pytest.raises(DataError, match=problem):
        make_dataset(*sources, lab=Lab(session, RECORD))


def test_xdf_of_labrecorder_with_gaze_and_markers(lab: Path, session: Session) -> None:
    (lab / "trackers/visit1.csv").unlink()
    channels = (("left_gaze_x", "normalized"), ("left_gaze_y", "normalized"), ("left_pupil", "mm"))
    gaze, markers = (
        XdfStream("tracker", "Gaze", channels, rate_hz=120.0),
        XdfStream("m", "Markers", (("", ""),), text=True),
    )
    with (lab / "trackers/visit1.xdf").open("wb") as file, XdfWriter(file, [gaze, markers], "2026-01-01") as writer:
        for at in range(720):
            writer.write(0, 1000 + at / 120, (0.25, 0.5, 3.0))
        writer.write(1, 1001.0, "film on")
        writer.write(1, 1003.4, "film off")
    done = made(lab, session, ["p1,film1,visit1,film on,film off,-1000000,fear,0", *one_each()[1:]])
    assert not done["p1_film1"].problem
    (clip,) = (each for each in UsableClips.of(find_layout(lab / "made"), WINDOW).clips if each.name == "p1_film1")
    track = clip.eye()
    assert len(track.rows) == pytest.approx(2.4 * 120, abs=2)
    assert track.rows[0, :4] == pytest.approx([480, 540, 480, 540])
    assert clip.frame_names[0] == "00031.png"  # a second into the video


def test_times_of_frames_decide_their_slots_and_are_part_of_the_contents(lab: Path, session: Session) -> None:
    made(lab, session, one_each())
    (clip,) = (each for each in UsableClips.of(find_layout(lab / "made"), WINDOW).clips if each.name == "p1_film1")
    before = contents_of_clips([clip])
    times = clip.frames_path / "frames.csv"
    lines = times.read_text().splitlines()
    late = [f"{line.split(',')[0]},{1200 + at * 0.1}" for at, line in enumerate(lines[1:])]
    times.write_text("\n".join([lines[0], *late]) + "\n")
    window = PreparedClip(clip, WINDOW).window()
    assert window.covered_face.tolist() == [False] * 3 + [True] + [False] * 4
    assert contents_of_clips([clip]) != before
    for text in (
        "frame,time_ms\n",
        "frame,time_ms\nx,y\n",
        "frame,time_ms\n" + "\n".join(f"{name},5" for name in clip.frame_names),
    ):
        times.write_text(text)
        with pytest.raises(DataError, match=r"frames\.csv"):
            PreparedClip(clip, WINDOW)


def test_clips_below_the_coverage_floors_are_left_out_as_everywhere(lab: Path, session: Session) -> None:
    made(lab, session, one_each())
    with pytest.raises(DataError, match="face slots"):  # 2.4 of 12 s
        EmerDataset.open(lab / "made")
