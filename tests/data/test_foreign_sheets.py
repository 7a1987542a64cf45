"""Eye sheets: wrong files, and columns that an export lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emer_folders import eye_rows, write_text, write_xlsx
from foreign_tables import EYES, track

from emer_edge.core.columns import COLUMN_KEYS, DIRECTION, GAZE_MCS, GAZE_MM, GAZE_POINT_MCS, GAZE_PX, POSITION
from emer_edge.core.errors import DataError
from emer_edge.data.sheets import read_sheet

KNOWN: dict[str, tuple[bytes, str]] = {
    "studio": (
        b"RecordingTimestamp\tGazePointX (ADCSpx)\tPupilLeft\tValidityLeft\n0\t1\t3\t0\n",
        "a Tobii Studio export",
    ),
    "fixations": (b"fixation id,start timestamp [ns],duration [ms]\n1,2,3\n", "a list of fixations"),
    "metrics": (b"Recording\tParticipant\tTotal_duration_of_fixations\n1\t2\t3\n", "a table of metrics"),
    "pupil-labs": (b"gaze_timestamp,world_index,norm_pos_x\n1,2,3\n", "a Pupil Labs export"),
    "data-viewer": (b"RECORDING_SESSION_LABEL\tCURRENT_FIX_X\n1\t2\n", "EyeLink Data Viewer"),
    "psychopy": (b"trials.thisN,key_resp.keys\n1,a\n", "a PsychoPy log"),
    "web-page": (b"<!DOCTYPE html><html>Sign in</html>", "a web page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer to a file in Git LFS"),
    "zip": (b"\x1f\x8b\x08\x00rest", "a compressed archive"),
    "hdf5": (b"\x89HDF\r\n\x1a\n\x00", "a binary data file"),
}


@pytest.mark.case(
    "files of other programs: Tobii Studio exports, lists of fixations, metrics, a login page",
    before="'lacks 39 of the 39 eye columns', and the header",
)
@pytest.mark.parametrize("name", KNOWN)
def test_wrong_files_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "s.tsv").write_bytes(KNOWN[name][0])
    with pytest.raises(DataError, match=KNOWN[name][1]):
        track(tmp_path / "s.tsv")


def consistent(count: int) -> list[list[Any]]:
    """Rows whose gaze in mm is where the eyes' rays meet the display, and in MCS a part of a 1920 x 1080 stimulus."""
    rows = eye_rows(count)
    for row in rows:
        if row[0] == "":
            continue
        for eye in (0, 1):
            x, y, z = 200.0 + 60 * eye, 150.0, 620.0
            at = (row[GAZE_PX[eye]][0] * 0.2745, row[GAZE_PX[eye]][1] * 0.2741)
            length = float(np.linalg.norm((at[0] - x, at[1] - y, -z)))
            row[POSITION[eye]] = [x, y, z]
            row[DIRECTION[eye]] = [(at[0] - x) / length, (at[1] - y) / length, -z / length]
            row[GAZE_MM[eye]] = at
            row[GAZE_MCS[eye]] = [row[GAZE_PX[eye]][0] / 1920, row[GAZE_PX[eye]][1] / 1080]
        row[GAZE_POINT_MCS] = [row[0] / 1920, row[1] / 1080]
    return rows


@pytest.mark.case(
    "exports without columns 23 to 32, which follow from others", before="'lacks 10 of the 39 eye columns'"
)
@pytest.mark.parametrize(
    ("lacks", "size"), [(range(22, 26), False), (range(28, 32), False), (range(26, 28), False), (range(22, 32), True)]
)
def test_columns_that_follow_from_others_are_derived(tmp_path: Path, lacks: range, size: bool) -> None:
    rows, kept = consistent(30), [at for at in range(39) if at not in lacks]
    whole = track(write_xlsx(tmp_path / "w.xlsx", [COLUMN_KEYS, *rows]))
    head = [COLUMN_KEYS[at] for at in kept] + ["Recording resolution width", "Recording resolution height"] * size
    cut = [[row[at] for at in kept] + [1920, 1080] * size for row in rows]
    read = read_sheet(write_xlsx(tmp_path / "c.xlsx", [head, *cut]))
    np.testing.assert_allclose(read.rows, whole, rtol=1e-4, atol=1e-4)
    assert "derived from others" in read.notes[0]
    assert str(lacks[0] + 1) in read.notes[0]
    assert read_sheet(tmp_path / "c.xlsx").notes == read.notes  # from the cache


def test_columns_that_do_not_follow_are_missing(tmp_path: Path) -> None:
    kept = [at for at in range(39) if not 26 <= at < 32]
    path = write_xlsx(
        tmp_path / "c.xlsx", [[COLUMN_KEYS[at] for at in kept], *[[row[at] for at in kept] for row in EYES]]
    )
    with pytest.raises(DataError, match="lacks 6 of the 39") as caught:
        track(path)
    assert "looks like" not in str(caught.value)  # it is a Pro Lab export, if not a whole one
    kept = [at for at in range(39) if not 28 <= at < 32]
    path = write_xlsx(
        tmp_path / "c.xlsx", [[COLUMN_KEYS[at] for at in kept], *[[row[at] for at in kept] for row in EYES]]
    )
    with pytest.raises(DataError, match="do not follow from pixels"):
        track(path)


@pytest.mark.case("-1 or -9999 where the tracker saw no eye", before="gaze 9,999 px off the display, seen")
@pytest.mark.parametrize("number", [-1, -9999])
def test_numbers_that_mean_missing(tmp_path: Path, number: int) -> None:
    lost = [number if isinstance(cell, float) else cell for cell in EYES[2]]
    path = write_text(tmp_path / "sheet.tsv", [COLUMN_KEYS, *EYES[:2], lost, *EYES[3:]])
    track = read_sheet(path, use_cache=False)
    assert track.notes == (f"writes {number} for missing values, which are read as missing",)
    assert not (track.rows == number).any()
