"""Label files as people keep them."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
import xlsxwriter
from emer_folders import write_text, write_xlsx
from foreign_tables import HEADER, RIGHT, ROWS, book

from emer_edge.core.errors import ConfigurationError, DataError
from emer_edge.data.labels import open_labels
from emer_edge.data.layout import find_layout


@pytest.mark.case("an old EMER_label.csv beside EMER_label.xlsx", before="the CSV was read, not said")
def test_two_label_files_are_refused(small_root: Path) -> None:
    labels = find_layout(small_root).labels
    labels.with_suffix(".csv").write_text("ID,ER_Emotion\n")
    with pytest.raises(DataError, match=f"several label files, {labels.stem}.csv and {labels.stem}.xlsx"):
        find_layout(small_root)


@pytest.mark.case(
    "IDs with another case, with an extension or a folder, with decomposed accents",
    source="https://github.com/llmsresearch/paperbanana/issues/234",
    before="'has no label for it', for every clip",
)
@pytest.mark.parametrize(
    "change",
    [
        str.upper,
        lambda name: f"set1/{name}.png",
        lambda name: f" {name} ",
        lambda name: unicodedata.normalize("NFD", name),
    ],
)
def test_ids_are_compared_as_people_read_them(tmp_path: Path, change: Callable[[str], str]) -> None:
    name = "müller_film_happy"
    path = write_xlsx(tmp_path / "l.xlsx", [HEADER, [change(name), *ROWS[0][1:]]])
    assert open_labels(path).labels(name, {})["er-7"] == RIGHT[0]
    assert open_labels(path).labels(unicodedata.normalize("NFD", name), {})["er-7"] == RIGHT[0]


def test_folders_and_sheets_with_accents_apart_are_one_clip(small_root: Path) -> None:
    layout = find_layout(small_root)
    files = layout.clips[0]
    files.frames.rename(files.frames.with_name(unicodedata.normalize("NFD", "é_film_happy")))
    assert files.sheet is not None
    files.sheet.rename(files.sheet.with_name("é_film_happy.xlsx"))
    folds = small_root / "emer_set.txt"
    if folds.is_file():
        folds.write_text(folds.read_text().replace(files.name, "é_film_happy"))
    found = {clip.name: clip for clip in find_layout(small_root).clips}
    assert found["é_film_happy"].sheet is not None


@pytest.mark.case(
    "IDs that a spreadsheet program made dates or numbers of, without their zeros",
    source="https://github.com/incf-nidash/PyNIDM/pull/441",
    before="'has no label for it'",
)
def test_ids_as_dates_and_numbers_are_named(tmp_path: Path) -> None:
    path = tmp_path / "l.xlsx"
    with xlsxwriter.Workbook(str(path), {"default_date_format": "yyyy-mm-dd"}) as made:
        sheet = made.add_worksheet()
        sheet.write_row(0, 0, HEADER)
        sheet.write_row(1, 0, [date(2024, 3, 1), *ROWS[0][1:]])
    with pytest.raises(DataError, match="row 2: the ID 2024-03-01 is a date"):
        open_labels(path)
    table = open_labels(write_xlsx(path, [HEADER, [1, *ROWS[0][1:]], [2, *ROWS[1][1:]]]))
    assert table.labels("1", {})["er-7"] == RIGHT[0]
    with pytest.raises(DataError, match=r"no label for it, only IDs that are numbers \(1, 2"):
        table.labels("001", {})


@pytest.mark.case("two rows of a clip that differ by case and blanks only", before="'labels it twice, differently'")
def test_rows_that_differ_by_case_and_blanks_are_one(tmp_path: Path) -> None:
    twin = [ROWS[0][0], " HAPPY ", "", 0.5, "", *ROWS[0][5:]]
    table = open_labels(write_xlsx(tmp_path / "l.xlsx", [HEADER, twin, ROWS[0]]))
    assert table.labels("0_film_x", {})["er-arousal"] == -0.25
    other = [ROWS[0][0], "sad", *ROWS[0][2:]]
    with pytest.raises(DataError, match="twice, differently"):
        open_labels(write_xlsx(tmp_path / "l.xlsx", [HEADER, ROWS[0], other, ROWS[0]])).labels("0_film_x", {})


@pytest.mark.case("rows of labels whose ID is blank, as merged cells leave them", before="left out, not said")
def test_rows_without_an_id_are_counted(tmp_path: Path) -> None:
    rows = [ROWS[0], ["", "sad", *ROWS[0][2:]], ["", *[""] * 9], ROWS[1]]
    assert open_labels(write_xlsx(tmp_path / "l.xlsx", [HEADER, *rows])).notes == (
        "has 1 rows with labels and no ID, which are left out",
    )


@pytest.mark.case("labels in GBK with Chinese headers", before="'has no column 编号'")
def test_labels_in_gbk_say_so(tmp_path: Path) -> None:
    names = ["编号", "情绪"]
    path = write_text(tmp_path / "l.csv", [names, *[row[:2] for row in ROWS]], delimiter=",", encoding="gbk")
    table = open_labels(path, mapping={"id": "编号", "er-7": "情绪"})
    assert table.labels("0_film_x", {})["er-7"] == RIGHT[0]
    assert "read as GBK" in table.notes[0]


def test_a_view_is_still_asked_for(tmp_path: Path) -> None:
    path = book(tmp_path / "l.xlsx", {"Info": [["Emotion codes"]], "d": [["ID", "Emotion"], ["a_b_c", "sad"]]})
    with pytest.raises(ConfigurationError, match="--view"):
        open_labels(path)
