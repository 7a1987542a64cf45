from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from emer_folders import eye_rows, write_text
from hypothesis import given
from hypothesis import strategies as st

from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.errors import DataError
from emer_edge.core.samples import Display, StimulusRect
from emer_edge.data.recordings import is_recording, open_recording, write_recording_file

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
    assert recording.offset_ns == -12_500_000
    assert recording.display == Display(1280, 720, 300.0, 170.0)
    assert recording.stimulus == StimulusRect(10, 20, 640, 480)
    assert recording.participant == "p1"
    assert len(recording.export().values) == 4


def test_what_is_written_is_read(tmp_path: Path) -> None:
    folder = make(tmp_path / "r1", GOOD)
    path = write_recording_file(folder, video="video.avi", tracker="tracker.tsv", offset_ms=3.0, display=Display())
    assert sorted(each.name for each in folder.iterdir()) == ["recording.json", "tracker.tsv", "video.avi"]
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
        ({**GOOD, "video": "../video.avi"}, "lies outside of the recording's folder"),
        ({**GOOD, "video": "/etc/passwd"}, "lies outside of the recording's folder"),
        ({**GOOD, "tracker": ""}, "lies outside of the recording's folder"),
        ({**GOOD, "tracker": "a\x00b"}, "lies outside of the recording's folder"),
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
    with pytest.raises(DataError, match="lies outside"):
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
