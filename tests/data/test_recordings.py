from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emer_folders import OLD_HEADER, eye_rows, write_text, write_xlsx
from hypothesis import given
from hypothesis import strategies as st

from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.errors import DataError
from emer_edge.core.samples import Display, StimulusRect
from emer_edge.data.recordings import TobiiExport, is_recording, open_recording, read_export, write_recording_file

GOOD = {"schema": 1, "video": "video.avi", "tracker": "tracker.tsv", "offset_ms": -12.5}


def make(folder: Path, described: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "video.avi").write_bytes(b"RIFF")
    rows = [[8333 * at, *row] for at, row in enumerate(eye_rows(4))]
    write_text(folder / "tracker.tsv", [("Recording timestamp [μs]", *COLUMN_KEYS), *rows])
    (folder / "recording.json").write_text(described if isinstance(described, str) else json.dumps(described))
    return folder


def test_a_recording_opens(tmp_path: Path) -> None:
    display = {"width_px": 1280, "height_px": 720, "width_mm": 300.0, "height_mm": 170}
    stimulus = {"left_px": 10, "top_px": 20, "width_px": 640, "height_px": 480}
    folder = make(tmp_path / "r1", {**GOOD, "display": display, "stimulus": stimulus, "participant": "p1"})
    assert is_recording(folder)
    recording = open_recording(folder)
    assert recording.name == "r1"
    assert recording.video == folder / "video.avi"
    assert recording.offset_ms == -12.5
    assert recording.display == Display(1280, 720, 300.0, 170.0)
    assert recording.stimulus == StimulusRect(10, 20, 640, 480)
    assert recording.participant == "p1"
    assert len(recording.export().values) == 4


def test_what_is_written_is_read(tmp_path: Path) -> None:
    folder = make(tmp_path / "r1", GOOD)
    path = write_recording_file(folder, video="video.avi", tracker="tracker.tsv", offset_ms=3.0, display=Display())
    assert sorted(path.name for path in folder.iterdir()) == ["recording.json", "tracker.tsv", "video.avi"]
    recording = open_recording(path.parent)
    assert (recording.offset_ms, recording.display, recording.participant) == (3.0, Display(), None)


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ("", "not a recording's description"),
        ("[1]", "not a recording's description"),
        ({**GOOD, "schema": 2}, "has schema 2, this version reads up to 1; upgrade"),
        ({"schema": 2, "anything": 1}, "has schema 2"),
        ({**GOOD, "schema": 0}, "names schema 0"),
        ({**GOOD, "offest_ms": 1}, "unknown field `offest_ms`"),
        ({**GOOD, "offset_ms": "1"}, r"Expected `float`, got `str` - at `\$.offset_ms`"),
        ({**GOOD, "offset_ms": 1e30}, r"an offset of 1e\+30 ms"),
        ({key: GOOD[key] for key in GOOD if key != "video"}, "missing required field `video`"),
        ({**GOOD, "video": "gone.avi"}, "names 'gone.avi', and there is no such file"),
        ({**GOOD, "video": "../video.avi"}, "is outside of the recording's folder"),
        ({**GOOD, "video": "/etc/passwd"}, "is outside of the recording's folder"),
        ({**GOOD, "tracker": ""}, "is outside of the recording's folder"),
        ({**GOOD, "tracker": "a\x00b"}, "is outside of the recording's folder"),
        ({**GOOD, "tracker": "a" * 5000}, "can't be the name of a file"),
        ({**GOOD, "display": {"width_px": 0, "height_px": 1, "width_mm": 1, "height_mm": 1}}, "a size above zero"),
        ({**GOOD, "stimulus": {"left_px": 0, "top_px": 1, "width_px": 0, "height_px": 1}}, "without area"),
    ],
)
def test_a_wrong_description_is_refused(tmp_path: Path, described: Any, message: str) -> None:
    folder = make(tmp_path / "r1", described)
    with pytest.raises(DataError, match=message) as caught:
        open_recording(folder)
    assert str(folder) in str(caught.value)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.avi").write_bytes(b"RIFF")
    folder = make(tmp_path / "r1", {**GOOD, "video": "link.avi"})
    os.symlink(tmp_path / "secret.avi", folder / "link.avi")
    with pytest.raises(DataError, match="is outside"):
        open_recording(folder)


def test_other_folders_are_no_recordings(tmp_path: Path) -> None:
    assert not is_recording(tmp_path)
    with pytest.raises(DataError, match=r"is no recording: can't open recording\.json"):
        open_recording(tmp_path / "gone")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, "display"]), inner, max_size=5),
    max_leaves=8,
)


@given(JSON.map(json.dumps) | st.text(max_size=20))
def test_any_description_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, described: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzz-recording"
    folder.mkdir(exist_ok=True)
    (folder / "recording.json").write_bytes(described.encode(errors="replace"))
    with pytest.raises(DataError):
        open_recording(folder)


NEW = ("Recording timestamp [μs]", "Eyetracker timestamp [μs]", "Sensor", "Event", *COLUMN_KEYS)
SIZE = ("Recording resolution height [px]", "Recording resolution width [px]")


def gaze_rows(count: int) -> list[list[Any]]:
    """Eye rows whose millimetres belong to a display of 1920 x 1080 px, 528 x 297 mm."""
    rows = eye_rows(count)
    for row in rows:
        if row[2] != "":
            row[22:26] = [item * 0.275 for item in row[2:6]]
    return rows


def interleaved(count: int) -> list[list[Any]]:
    """Eye tracker rows every 8333 us, a mouse row after each, an event now and then."""
    rows: list[list[Any]] = []
    blank = [""] * 39
    for at, row in enumerate(gaze_rows(count)):
        rows.append([8333 * at, 700_000 + 8334 * at, "Eye Tracker", "", *row])
        rows.append([8333 * at + 11, "", "Mouse", "", *blank])
        if at % 3 == 0:
            rows.append([8333 * at + 12, "", "", "ImageStimulusStart", *blank])
    return rows


def write(path: Path, header: Sequence[str], rows: list[list[Any]], how: str) -> Path:
    if how == "xlsx":
        return write_xlsx(path.with_suffix(".xlsx"), [header, *rows])
    if how == "comma":
        rows = [[str(cell).replace(".", ",") if isinstance(cell, float) else cell for cell in row] for row in rows]
        return write_text(path.with_suffix(".tsv"), [header, *rows], encoding="utf-8-sig", newline="\r\n")
    return write_text(path.with_suffix(".tsv"), [header, *rows])


def check(export: TobiiExport, count: int) -> None:
    assert export.values.shape == (count, 39)
    np.testing.assert_allclose(export.values[0, :14], eye_rows(count)[0][:14])
    assert np.isnan(export.values[count // 2, :14]).all()
    assert export.seen.tolist() == [at != count // 2 for at in range(count)]
    assert export.times_ns.tolist() == [8_333_000 * at for at in range(count)]
    assert export.rate_hz == pytest.approx(120, rel=1e-3)


@pytest.mark.parametrize("how", ["tsv", "comma", "xlsx"])
def test_rows_of_other_sensors_are_left_out(tmp_path: Path, how: str) -> None:
    export = read_export(write(tmp_path / "export", NEW, interleaved(9), how))
    check(export, 9)
    assert export.other_rows == 12
    assert export.device_ns is not None
    assert export.device_ns[1] - export.device_ns[0] == 8_334_000
    assert export.display is None


def test_an_old_export_without_sensors_and_in_milliseconds(tmp_path: Path) -> None:
    header = ("Recording timestamp", "Event", *OLD_HEADER)
    rows: list[list[Any]] = []
    for at, row in enumerate(gaze_rows(6)):
        rows += [[8.333 * at, "", *row], [8.333 * at + 0.1, "MouseEvent", *[""] * 39]]
    export = read_export(write(tmp_path / "export", header, rows, "tsv"))
    check(export, 6)
    assert export.device_ns is None
    assert export.other_rows == 6


def test_microseconds_without_a_unit_are_told_by_their_step(tmp_path: Path) -> None:
    rows = [[8333 * at, *row] for at, row in enumerate(gaze_rows(6))]
    check(read_export(write(tmp_path / "export", ("Recording timestamp", *OLD_HEADER), rows, "tsv")), 6)


def test_the_display_is_read_from_its_resolution_and_the_gaze_points(tmp_path: Path) -> None:
    rows = [[*row, 1080, 1920] for row in interleaved(9)]
    export = read_export(write(tmp_path / "export", (*NEW, *SIZE), rows, "tsv"))
    assert export.display is not None
    assert (export.display.width_px, export.display.height_px) == (1920, 1080)
    assert export.display.width_mm == pytest.approx(528, abs=0.5)
    assert export.display.height_mm == pytest.approx(297, abs=0.5)


@pytest.mark.parametrize("size", [("", ""), ("tall", "wide"), (0, 0)], ids=repr)
def test_a_display_that_is_not_told_is_none(tmp_path: Path, size: tuple[Any, Any]) -> None:
    rows = [[*row, *size] for row in interleaved(4)]
    assert read_export(write(tmp_path / "export", (*NEW, *SIZE), rows, "tsv")).display is None


def test_samples_are_what_a_tracker_would_have_sent(tmp_path: Path) -> None:
    rows = interleaved(5)
    rows[0][4 + 15] = "Invalid"
    export = read_export(write(tmp_path / "export", NEW, rows, "tsv"))
    samples = list(export.samples(offset_ns=1_000))
    assert [item.stamp_ns for item in samples] == [8_333_000 * at + 1_000 for at in range(5)]
    first = eye_rows(5)[0]
    assert samples[0].device_ns == 700_000_000
    assert samples[0].left.valid
    assert not samples[0].right.valid
    assert samples[0].left.gaze_px == tuple(first[2:4])
    assert samples[0].right.position_mm == tuple(first[19:22])
    assert samples[0].right.pupil_mm == first[13]
    assert math.isnan(samples[2].left.gaze_px[0])
    assert not samples[2].left.valid


@pytest.mark.case("a recording.json with a byte order mark", before="'JSON is malformed: invalid character'")
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_sidecar_of_a_windows_editor(tmp_path: Path, encoding: str) -> None:
    for name in ("video.avi", "t.tsv"):
        (tmp_path / name).touch()
    text = write_recording_file(tmp_path, video="video.avi", tracker="t.tsv", participant="é").read_text("utf-8")
    (tmp_path / "recording.json").write_bytes(text.replace("\n", "\r\n").encode(encoding))
    assert open_recording(tmp_path).participant == "é"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header, rows: (header[1:], [row[1:] for row in rows]), "no time column"),
        (lambda header, rows: (header[:-1], [row[:-1] for row in rows]), r"export\.tsv: the header lacks 1 of the 39"),
        (lambda header, rows: (header, [row for row in rows if row[2] == "Mouse"]), "no row of the eye tracker"),
        (lambda header, rows: (header, []), "no row of the eye tracker"),
        (lambda header, rows: (header, [["", *row[1:]] for row in rows]), "row 2, column Recording timestamp"),
        (lambda header, rows: (header, [["1e300", *row[1:]] for row in rows]), "is not a number"),
        (
            lambda header, rows: (header, [[row[0] + 9_000_000, *row[1:]] for row in rows] + rows),
            "holds several recordings",
        ),
    ],
    ids=["no-time", "missing-column", "mouse-only", "no-rows", "blank-time", "huge-time", "two-recordings"],
)
def test_a_broken_export_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    header, rows = change(NEW, interleaved(4))
    with pytest.raises(DataError, match=message):
        read_export(write(tmp_path / "export", header, rows, "tsv"))
