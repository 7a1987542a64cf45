"""Text tables as spreadsheet programs, statistics packages and other people's scripts leave them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emer_folders import write_text, write_xlsx
from foreign_tables import EYES, HEADER, PLAIN, RIGHT, ROWS, emotions, track

from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.errors import DataError
from emer_edge.core.heads import EMOTIONS
from emer_edge.data.labels import open_labels
from emer_edge.data.sheets import read_sheet
from emer_edge.data.tables import column_numbers, read_table


@pytest.mark.case("words for no value: NA, N/A, NULL, ., #N/A, inf", before="'NA' is not a number")
@pytest.mark.case(
    "no value as programs built with MSVC print it: -1.#IND, 1.#QNAN, -nan(ind)",
    source="https://github.com/NatLabRockies/SAM/issues/45",
    before="'-1.#IND' is not a number",
)
@pytest.mark.parametrize(
    "word",
    ["NA", "N/A", "NULL", ".", "#N/A", "inf", "-Infinity", "-1.#IND", "1.#QNAN0", "-nan(ind)", "None", "--", "?"],
)
def test_words_for_no_value_are_missing(tmp_path: Path, word: str) -> None:
    rows = [list(row) for row in EYES]
    rows[3][0] = word
    assert track(write_text(tmp_path / "s.tsv", [COLUMN_KEYS, *rows]))[3, 0] == 0
    assert track(write_xlsx(tmp_path / "s.xlsx", [COLUMN_KEYS, *rows]))[3, 0] == 0
    labels = open_labels(write_xlsx(tmp_path / "l.xlsx", [HEADER, ["a_b_c", word, word, 0.5, *ROWS[0][4:]]]))
    assert "er-7" not in labels.labels("a_b_c", {})


def spoken(rows: Sequence[Sequence[Any]], shown: Callable[[float], str]) -> list[list[str]]:
    return [[shown(cell) if isinstance(cell, float) else str(cell) for cell in row] for row in rows]


BIG = [[cell + 900.0 if isinstance(cell, float) else cell for cell in row] for row in EYES]


LOCALES: dict[str, Callable[[float], str]] = {
    "comma": lambda value: str(value).replace(".", ","),
    "us-thousands": lambda value: f"{value:,.3f}",
    "german-thousands": lambda value: f"{value:,.3f}".translate(str.maketrans(",.", ".,")),
    "french-thousands": lambda value: f"{value:,.3f}".translate(str.maketrans(",.", "\u202f,")),
    "swiss-thousands": lambda value: f"{value:,.3f}".replace(",", "'"),
}


@pytest.mark.case(
    "thousands and decimal commas: 1.000,92",
    source="https://github.com/jasp-stats/jasp-desktop/issues/403",
    before="'1.000,92' is not a number",
)
@pytest.mark.parametrize("name", LOCALES)
@pytest.mark.parametrize("delimiter", ["\t", ";"])
def test_every_locale_reads_alike(tmp_path: Path, name: str, delimiter: str) -> None:
    rows = spoken(BIG, LOCALES[name])
    plain = track(write_text(tmp_path / "p.tsv", [COLUMN_KEYS, *BIG]))
    read = track(write_text(tmp_path / "s.csv", [COLUMN_KEYS, *rows], delimiter=delimiter))
    np.testing.assert_allclose(read, plain, rtol=1e-6)


@pytest.mark.case('a gaze of "1,139" px in a column beside whole numbers', before="read as 1.139 px")
def test_a_column_is_read_by_what_the_table_proves(tmp_path: Path) -> None:
    head = ["id", "whole", "other"]
    path = tmp_path / "t.csv"
    path.write_text('id,whole,other\n1,"1,139",0.5\n2,960,0.75\n')
    table = read_table(path)
    assert table.mark([row[1] for row in table.rows], "whole") == "."  # thousands: the other column has points
    write_text(path, [head, [1, "1,139", "0,5"], [2, "960", "0,75"]], delimiter=";")
    table = read_table(path)
    assert table.mark([row[1] for row in table.rows], "whole") == ","
    write_text(path, [head, [1, "3,139", "1"], [2, "3,412", "2"]], delimiter=";")
    table = read_table(path)
    assert table.mark([row[1] for row in table.rows], "whole") == ","
    path.write_text('id,whole\n1,"1,139"\n2,960\n')
    table = read_table(path)
    assert table.mark([row[1] for row in table.rows], "whole") == "."


def test_zeros_are_numbers_and_one_odd_column_does_not_outweigh_the_others(tmp_path: Path) -> None:
    head = ["pupil", "x", "y", "said"]
    table = read_table(write_text(tmp_path / "t.tsv", [head, ["3.412", "0.5", "12.25", "1,5"], ["0", "", "0.0", "no"]]))
    assert column_numbers(table, 0, table.rows, [2, 3]).tolist() == [3.412, 0.0]
    table = read_table(write_xlsx(tmp_path / "t.xlsx", [["a", "b"], [0.0, "x"], ["", "y"], ["0", "z"]]))
    read = column_numbers(table, 0, table.rows, [2, 3, 4])
    assert (read[0], math.isnan(read[1]), read[2]) == (0.0, True, 0.0)


@pytest.mark.case("decimal commas and decimal points in one column", before="both read, silently")
def test_a_column_that_mixes_locales_is_refused(tmp_path: Path) -> None:
    rows = [list(row) for row in EYES]
    rows[1][0], rows[2][0] = "12,5", "12.5"
    with pytest.raises(DataError, match=r"'12,5' has a decimal comma and '12\.5' a decimal point"):
        track(write_text(tmp_path / "s.tsv", [COLUMN_KEYS, *rows]))
    rows = [[cell if at else f"1,{139 + number}" for at, cell in enumerate(row)] for number, row in enumerate(BIG)]
    whole = [[round(cell) if isinstance(cell, float) else cell for cell in row] for row in rows]
    with pytest.raises(DataError, match="whether '1,139' has a decimal mark or one of thousands is open"):
        track(write_xlsx(tmp_path / "s.xlsx", [COLUMN_KEYS, *whole]))


@pytest.mark.case(
    "decimal commas between commas, without quotation marks",
    source="https://github.com/DreamSourceLab/DSView/issues/788",
    before="the first 39 cells were read as the columns",
)
def test_a_row_longer_than_its_header_is_refused(tmp_path: Path) -> None:
    rows = spoken(EYES, lambda value: str(value).replace(".", ","))
    with pytest.raises(DataError, match=r"row 2: \d\d cells under 39 names"):
        track(write_text(tmp_path / "s.csv", [COLUMN_KEYS, *rows], delimiter=","))


@pytest.mark.case(
    "R's write.table: row names without a name of their own, so that the header is one cell short",
    source="https://github.com/Rdatatable/data.table/issues/763",
    before="every column read as its neighbour",
)
def test_row_names_of_r_are_no_column(tmp_path: Path) -> None:
    rows = [[f'"{at}"', *row] for at, row in enumerate(EYES, start=1)]
    quoted = [f'"{key}"' for key in COLUMN_KEYS]
    np.testing.assert_allclose(track(write_text(tmp_path / "s.tsv", [quoted, *rows])), PLAIN, rtol=1e-6)


@pytest.mark.case(
    "a stray quotation mark in a comma-separated table",
    source="https://github.com/apple/turicreate/issues/1692",
    before="all rows behind it were lost",
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_stray_quotation_mark_costs_no_rows(tmp_path: Path, delimiter: str) -> None:
    stray = {5: ('"cut', ""), 7: ('"a', 'b"'), 9: ('5" wide', "")}
    rows = [[stray.get(at, ("", ""))[0], *row, stray.get(at, ("", ""))[1]] for at, row in enumerate(EYES)]
    path = write_text(tmp_path / "s.csv", [["note", *COLUMN_KEYS, "more"], *rows], delimiter=delimiter)
    np.testing.assert_allclose(track(path), PLAIN, rtol=1e-6)


@pytest.mark.case(
    "U+2028, U+0085 and form feeds inside cells",
    source="https://github.com/awslabs/gluonts/pull/920",
    before="the row was cut in two, the halves padded with blanks",
)
def test_only_line_ends_end_a_row(tmp_path: Path) -> None:
    rows = [["a\u2028b\x85c\x0cd", *row] for row in EYES]
    np.testing.assert_allclose(track(write_text(tmp_path / "s.tsv", [["note", *COLUMN_KEYS], *rows])), PLAIN, rtol=1e-6)


@pytest.mark.case("a table whose last line is cut", before="the cut number was read, the missing cells as blanks")
def test_a_cut_last_line_is_left_out_and_said(tmp_path: Path) -> None:
    path = write_text(tmp_path / "s.tsv", [COLUMN_KEYS, *EYES])
    path.write_bytes(path.read_bytes()[:-80])
    read = read_sheet(path, use_cache=False)
    assert len(read.rows) == len(EYES) - 1
    assert read.notes == ("ends in a cut line, which is left out",)


SHAPES: dict[str, tuple[str, str]] = {  # what stands before the header, and what ends a line
    "sep-line": ("sep=;", "\r\n"),
    "blank-first-lines": ("\n\n   ", "\n"),
    "title": ("Participant 3; film happy", "\n"),
    "old-mac": ("", "\r"),
}


@pytest.mark.case(
    "a sep=; line, blank lines or a title before the header; lines ended by CR",
    before="'lacks 39 of the 39 eye columns'",
)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gbk"])
def test_what_stands_before_the_header_is_passed_over(tmp_path: Path, shape: str, encoding: str) -> None:
    before, ends = SHAPES[shape]
    lines = [before] if before else []
    lines += [";".join(map(str, row)) for row in [COLUMN_KEYS, *EYES]]
    (tmp_path / "s.csv").write_bytes((ends.join(lines) + ends).encode(encoding))
    np.testing.assert_allclose(track(tmp_path / "s.csv"), PLAIN, rtol=1e-6)


@pytest.mark.case("line breaks inside the quoted names of a header", before="'lacks 38 of the 39 eye columns'")
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_line_breaks_in_a_header(tmp_path: Path, delimiter: str) -> None:
    names = [f'"{key}"'.replace(" [", "\n[") for key in COLUMN_KEYS]
    np.testing.assert_allclose(
        track(write_text(tmp_path / "s.csv", [names, *EYES], delimiter=delimiter)), PLAIN, rtol=1e-6
    )


@pytest.mark.case(
    "units in a second header row; ER and FER over the names of labels",
    before="'lacks 12 of the 39 columns'; 'no column of clip names (ID)'; --view fer read the columns of ER",
)
def test_two_header_rows(tmp_path: Path) -> None:
    names, units = zip(
        *((key.partition(" [")[0], key.partition("[")[2].rstrip("]")) for key in COLUMN_KEYS), strict=True
    )
    np.testing.assert_allclose(track(write_xlsx(tmp_path / "s.xlsx", [names, units, *EYES])), PLAIN, rtol=1e-6)
    upper = ["", "ER", "", "", "", "FER", "", "", "", ""]
    path = write_xlsx(tmp_path / "l.xlsx", [upper, [name.split("_")[-1] for name in HEADER], *ROWS])
    table = open_labels(path)
    assert len(table.heads) == 9
    assert emotions(path) == RIGHT
    assert table.labels("0_film_x", {})["fer-7"] == EMOTIONS.index("neutral")
    bare = write_xlsx(tmp_path / "b.xlsx", [[name.split("_")[-1] for name in HEADER], *ROWS])
    with pytest.raises(DataError, match="has the column Emotion twice"):
        open_labels(bare, view="fer")


@pytest.mark.case(
    "two columns of one name, the first of them empty",
    source="https://github.com/mne-tools/mne-bids-pipeline/pull/600",
    before="the empty one was read: gaze 0",
)
def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    rows = [["", *row] for row in EYES]
    with pytest.raises(DataError, match=r"has Gaze point X \[DACS px\] twice"):
        track(write_xlsx(tmp_path / "s.xlsx", [[COLUMN_KEYS[0], *COLUMN_KEYS], *rows]))
