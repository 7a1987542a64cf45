"""What is left out of a data set, in every command alike, and the table that says so."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from emer_folders import (
    clip_names,
    eye_rows,
    folds_of,
    write_frames,
    write_release,
    write_sets,
    write_text,
    write_xlsx,
)
from typer.testing import CliRunner

from emer_edge.cli.app import app
from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.errors import DataError
from emer_edge.core.window import WindowSpec
from emer_edge.data.dataset import EmerDataset, UsableClips
from emer_edge.data.layout import find_layout
from emer_edge.data.overview import overview
from emer_edge.data.windows import clip_window

NAMES = clip_names(6)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_sets(tmp_path / "EMER", NAMES, folds_of(NAMES))


def folder_of(root: Path, name: str) -> Path:
    return next(root.glob(f"face/set*/{name}"))


def timed(root: Path, name: str, seconds: float, rate_hz: float = 120.0, header: str = "Timestamp [ms]") -> None:
    (root / "eye" / f"{name}.xlsx").unlink()
    count = int(seconds * rate_hz)
    rows: list[list[Any]] = [[*row, at * 1000 / rate_hz] for at, row in enumerate(eye_rows(count))]
    write_text(root / "eye" / f"{name}.tsv", [[*COLUMN_KEYS, header], *rows])


def skipped(dataset: EmerDataset | UsableClips) -> dict[str, str]:
    return {clip.name: clip.reason for clip in dataset.skipped}


@pytest.mark.case(
    "hidden folders of notebooks, thumbnails of NAS boxes, and what Macs and Windows leave",
    source="https://github.com/bytedance/Next-ViT/issues/25",
    before="in __MACOSX and @eaDir: good clips dropped, 'it is in set1 and in set1'; in .ipynb_checkpoints: read",
)
def test_litter_anywhere_changes_nothing(root: Path) -> None:
    for number in range(1, 6):
        for litter in ("__MACOSX", "@eaDir", ".ipynb_checkpoints", "#recycle"):
            for clip in list((root / "face" / f"set{number}").glob("[0-9]*")):
                shutil.copytree(clip, clip.parent / litter / clip.name)
    for folder in (root, root / "face", root / "eye", folder_of(root, NAMES[0])):
        for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._1.png", "~$labels.xlsx"):
            (folder / name).write_bytes(b"x")
    shutil.copytree(root / "eye", root / "eye" / "__MACOSX" / "eye")
    dataset = EmerDataset.open(root)
    assert [clip.name for clip in dataset.clips] == NAMES
    assert dataset.skipped == ()
    assert "not read" not in overview(dataset)


@pytest.mark.case("eye/all is a link to the sheets elsewhere", before="no eye sheet for any clip")
def test_links_are_followed_and_those_to_nothing_are_named(root: Path, tmp_path: Path) -> None:
    (root / "eye").rename(tmp_path / "far")
    (root / "eye").mkdir()
    (root / "eye" / "all").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "round").symlink_to(root / "eye")  # and back again
    frame, clip = folder_of(root, NAMES[0]) / "4.png", folder_of(root, NAMES[1])
    frame.unlink()
    frame.symlink_to("/nowhere/4.png")
    shutil.rmtree(clip)
    clip.symlink_to("/nowhere/clip")
    assert list(skipped(EmerDataset.open(root))) == NAMES[:2]
    reasons = skipped(EmerDataset.open(root))
    assert "4.png" in reasons[NAMES[0]]
    assert "link to nothing" in reasons[NAMES[1]]


@pytest.mark.case("sheets in upper case or with outer blanks, folders with decomposed letters", before="no eye sheet")
def test_names_that_file_systems_take_for_one_are_one(tmp_path: Path) -> None:
    names = [*NAMES, "7_f\u00e9te_sad"]
    root = write_sets(tmp_path / "EMER", names, folds_of(names))
    folder_of(root, names[-1]).rename(folder_of(root, names[-1]).with_name("7_fe\u0301te_sad"))
    for sheet in list((root / "eye").iterdir()):
        sheet.rename(sheet.with_name(f"{sheet.stem.upper()} .xlsx"))
    assert [clip.name for clip in EmerDataset.open(root).clips] == names


@pytest.mark.case(
    "a folder called `3_film_happy Happy`, a label after a blank", source="EMER's folders", before="no label, no sheet"
)
@pytest.mark.parametrize("write", [write_sets, write_release])
def test_names_are_cut_at_the_blank_before_a_label(tmp_path: Path, write: Callable[..., Path]) -> None:
    root = write(tmp_path / "EMER", NAMES, folds_of(NAMES))
    one, other, third = NAMES[:3]
    (folder,), (sheet,) = root.rglob(one), root.rglob(f"{other}.xlsx")
    folder.rename(folder.with_name(f"{one} Happy"))
    sheet.rename(sheet.with_name(f"{other} sad Negative.xlsx"))
    if write is write_release:
        text = (root / "emer_set.txt").read_text()
        (root / "emer_set.txt").write_text(text.replace(third, f"{third} Fear"))
    dataset = EmerDataset.open(root, keep_folds=True)
    assert [clip.name for clip in dataset.clips] == NAMES
    assert {clip.name: clip.fold for clip in dataset.clips} == folds_of(NAMES)


def test_two_folders_of_one_clip_are_said(root: Path) -> None:
    folder = folder_of(root, NAMES[0])
    shutil.copytree(folder, folder.with_name(f"{NAMES[0]} Happy"))
    assert list(skipped(EmerDataset.open(root))) == NAMES[:1]
    assert "Happy" in skipped(EmerDataset.open(root))[NAMES[0]]


def test_a_sheet_that_an_export_named_is_hinted_at_and_counted(root: Path) -> None:
    sheet = root / "eye" / f"{NAMES[0]}.xlsx"
    sheet.rename(sheet.with_name(f"{NAMES[0]} Data Export.xlsx"))
    dataset = EmerDataset.open(root)
    assert skipped(dataset) == {
        NAMES[0]: f"it has no eye sheet; is it {NAMES[0]} Data Export.xlsx? Call it {NAMES[0]}.xlsx"
    }
    assert overview(dataset)["not read"] == "1 eye sheets of no clip"


@pytest.mark.case("a zero-byte frame in the middle", before="predict skipped the clip, train aborted")
def test_a_broken_frame_has_one_fate(root: Path) -> None:
    (folder_of(root, NAMES[3]) / "5.png").write_bytes(b"")
    dataset = EmerDataset.open(root)
    usable = UsableClips.of(find_layout(root), WindowSpec())
    assert skipped(dataset) == skipped(usable)
    assert "5.png is not an image that OpenCV can read: it is cut short, at 0 bytes" in skipped(dataset)[NAMES[3]]
    with pytest.raises(DataError, match=f"clip {NAMES[3]} can't be used"):
        EmerDataset.open(root, strict=True)


@pytest.mark.case("a clip of 5 s, and one of 4 frames, among clips of 12 s", before="trained on, mostly of copies")
def test_clips_below_the_floors_are_left_out(root: Path) -> None:
    timed(root, NAMES[0], 5.0)
    shutil.rmtree(folder_of(root, NAMES[1]))
    write_frames(root / "face" / f"set{folds_of(NAMES)[NAMES[1]]}" / NAMES[1], 4)
    timed(root, NAMES[2], 13.0)
    dataset = EmerDataset.open(root)
    reasons = skipped(dataset)
    assert list(reasons) == NAMES[:2]
    assert reasons[NAMES[0]].startswith("3 of 8 face slots and 14 of 32 eye slots are covered, at least 6 and 24")
    assert "8 frames and 600 rows over 5.00 s by its clock (ms, as the header says)" in reasons[NAMES[0]]
    assert "4 of 8 face slots and 31 of 32 eye slots" in reasons[NAMES[1]]
    check = dataset.checks[NAMES[2]]
    window = clip_window(next(clip for clip in dataset.clips if clip.name == NAMES[2]), WindowSpec())
    assert (check.face_slots, check.eye_slots) == (window.covered_face.sum(), window.covered_eye.sum())
    assert check.seconds == pytest.approx(13.0, rel=1e-3)


@pytest.mark.case("all clips half as long as a window", before="train wrote a checkpoint, exit 0")
def test_many_clips_below_the_floors_stop_the_command(root: Path) -> None:
    for name in NAMES[:4]:
        timed(root, name, 5.0)
    with pytest.raises(DataError, match=r"4 of 12 clips cover too little of a window; the first: 1_film0_sad: 3 of 8"):
        EmerDataset.open(root)
    done = CliRunner().invoke(app, ["info", str(root)])
    assert "face slots    8 of 8: 8, 3 of 8: 4" in done.stdout
    assert f"skipped {NAMES[0]}: 3 of 8 face slots" in done.stdout
    assert isinstance(done.exception, DataError)  # `main` says it, exit code 2


def test_info_prints_what_is_there_what_is_left_out_and_the_guesses(root: Path) -> None:
    timed(root, NAMES[0], 12.0, header="Timestamp")
    (folder_of(root, NAMES[1]) / "notes.txt").write_text("x")
    (root / "eye" / f"{NAMES[2]}.xlsx").unlink()
    done = CliRunner().invoke(app, ["info", str(root)])
    assert done.exit_code == 0
    lines = dict(line.strip().split(maxsplit=1) for line in done.stdout.splitlines()[1:])
    assert lines["clips"] == "11 of 12 can be used"
    assert lines["folds"].endswith("1: 2, 2: 4, 3: 1, 4: 2, 5: 2")
    assert lines["er-7"].startswith("surprise: 2, ")
    assert lines["frames"] == "88, 8 a clip"
    assert lines["clocks"] == "none: 10, ms, told by the rate: 1"
    assert "the unit of time of 1 sheets, from their rate; rows and frames of 10 clips" in lines["guesses"]
    assert re.search(r"not read +1 files that are no images", done.stdout)
    assert f"skipped {NAMES[2]}: it has no eye sheet" in done.stdout
    assert os.fspath(root) in done.stdout.splitlines()[0]


def test_info_shows_the_files_where_the_labels_need_a_view(root: Path) -> None:
    write_xlsx(root / "new_label.xlsx", [["ID", "Emotion"], *([name, "sad"] for name in NAMES)])
    done = CliRunner().invoke(app, ["info", str(root)])
    assert "12 of 12 can be used" in done.stdout
    assert "--view er or --view fer" in str(done.exception)
    assert "er-7" in CliRunner().invoke(app, ["info", str(root), "--view", "er"]).stdout
