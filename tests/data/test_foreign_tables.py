"""Tables as spreadsheet programs, statistics packages and other people's scripts leave them."""

from __future__ import annotations

import base64
import math
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xlsxwriter
from emer_folders import BOTH_VIEWS, WORDS, eye_rows, write_text, write_xlsx

from emer_edge.core.columns import COLUMN_KEYS, DIRECTION, GAZE_MCS, GAZE_MM, GAZE_POINT_MCS, GAZE_PX, POSITION
from emer_edge.core.errors import ConfigurationError, DataError
from emer_edge.core.heads import EMOTIONS
from emer_edge.data.dataset import EmerDataset
from emer_edge.data.labels import open_labels
from emer_edge.data.layout import find_layout
from emer_edge.data.sheets import read_sheet
from emer_edge.data.tables import column_numbers, read_table

CALAMINE_105 = "https://github.com/dimastbk/python-calamine/issues/105"
HEADER = list(BOTH_VIEWS)
ROWS = [[f"{at}_film_x", word, "", 0.5, -0.25, "neutral", "", 0.0, 0.0, 1.5] for at, word in enumerate(WORDS)]
EYES = eye_rows(12)
TREE = list(COLUMN_KEYS)


def track(path: Path) -> np.ndarray:
    return read_sheet(path, use_cache=False).rows


PLAIN = np.array(
    [
        [
            {"Valid": 1, "Fixation": 1, "EyesNotFound": 3}.get(cell, cell or 0) if isinstance(cell, str) else cell
            for cell in row
        ]
        for row in [[0 if cell in ("", "Invalid") else cell for cell in row] for row in EYES]
    ]
)


def book(
    path: Path, sheets: dict[str, Sequence[Sequence[Any]]], hidden: Sequence[str] = (), chart: bool = False
) -> Path:
    with xlsxwriter.Workbook(str(path)) as made:
        if chart:
            made.add_chartsheet("picture")
        for name, rows in sheets.items():
            sheet = made.add_worksheet(name)
            for at, row in enumerate(rows):
                sheet.write_row(at, 0, row)
            if name in hidden:
                sheet.hide()
            else:
                sheet.activate()
                sheet.set_first_sheet()
    return path


def rewritten(path: Path, change: Callable[[bytes], bytes]) -> Path:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["xl/worksheets/sheet1.xml"] = change(members["xl/worksheets/sheet1.xml"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def emotions(path: Path, **how: Any) -> list[int]:
    table = open_labels(path, **how)
    return [int(table.labels(f"{at}_film_x", {})["er-7"]) for at in range(len(ROWS))]


RIGHT = [EMOTIONS.index({"happy": "happiness", "sad": "sadness"}.get(word, word)) for word in WORDS]


@pytest.mark.case(
    "a workbook whose first sheet is hidden and holds old labels",
    source="https://github.com/tidyverse/readxl/issues/513",
    before="trained on the old labels",
)
def test_hidden_and_chart_sheets_are_no_data(tmp_path: Path) -> None:
    old = [HEADER, *[[row[0], "neutral", *row[2:]] for row in ROWS]]
    path = book(tmp_path / "l.xlsx", {"old": old, "labels": [HEADER, *ROWS]}, hidden=["old"], chart=True)
    assert emotions(path) == RIGHT


@pytest.mark.case("a workbook whose first visible sheet is a README", before="'no column of clip names (ID)'")
def test_the_sheet_that_has_the_columns_is_read(tmp_path: Path) -> None:
    sheets = {"README": [["Please cite"]], "labels": [["EMER", "labels"], [], HEADER, *ROWS], "notes": [["ID"]]}
    assert emotions(book(tmp_path / "l.xlsx", sheets)) == RIGHT


@pytest.mark.case("a workbook with two visible sheets of labels", before="the first was read, the other not mentioned")
def test_two_sheets_of_labels_are_refused_by_name(tmp_path: Path) -> None:
    path = book(tmp_path / "l.xlsx", {"rater A": [HEADER, *ROWS], "rater B": [HEADER, *ROWS]})
    with pytest.raises(DataError, match="several sheets with the columns: rater A, rater B"):
        open_labels(path)


def test_a_workbook_without_the_columns_names_its_sheets(tmp_path: Path) -> None:
    path = book(tmp_path / "l.xlsx", {"one": [["a", "b"]], "two": [["c"]], "kept": [HEADER]}, hidden=["kept"])
    with pytest.raises(
        DataError, match=r"no column of clip names.*the sheets one, two were looked at, hidden ones \(kept\)"
    ):
        open_labels(path)
    with pytest.raises(DataError, match=r"no visible worksheet \(hidden: picture\)"):
        read_table(book(tmp_path / "c.xlsx", {}, chart=True))


def formulas(path: Path, value: Any) -> Path:
    with xlsxwriter.Workbook(str(path)) as made:
        sheet = made.add_worksheet()
        for at, row in enumerate([COLUMN_KEYS, *EYES]):
            sheet.write_row(at, 0, row)
        sheet.write_formula(3, 2, "=900+60", None, value)
    return path


@pytest.mark.case(
    "formulas that no spreadsheet program has computed: without a result, or 0 as XlsxWriter writes",
    source="https://github.com/jmcnamara/XlsxWriter/issues/877",
    before="gaze is 0, a head of the labels vanishes",
)
@pytest.mark.parametrize("empty", [b"<v>0</v>", b"<v></v>", b"<v/>", b""])
def test_a_formula_without_a_result_is_refused(tmp_path: Path, empty: bytes) -> None:
    path = rewritten(formulas(tmp_path / "s.xlsx", 0), lambda xml: xml.replace(b"</f><v>0</v>", b"</f>" + empty))
    with pytest.raises(DataError, match=r"row 4, column Gaze point left X .*'=900\+60' is a formula without a result"):
        read_sheet(path, use_cache=False)
    with xlsxwriter.Workbook(str(path)) as made:
        sheet = made.add_worksheet()
        sheet.write_row(0, 0, HEADER)
        sheet.write_row(1, 0, ROWS[0])
        sheet.write_formula(1, 1, '="happy"')
    with pytest.raises(DataError, match=r"row 2, column ER_Emotion: .* is a formula without a result"):
        open_labels(path)


def test_a_computed_formula_is_its_result(tmp_path: Path) -> None:
    assert track(formulas(tmp_path / "s.xlsx", 960))[2, 2] == 960


@pytest.mark.case(
    "a cell with an error: #DIV/0! in an XLSX", source=CALAMINE_105, before="read as a blank cell: gaze 0"
)
@pytest.mark.parametrize("word", ["#DIV/0!", "#REF!", "#NAME?", "#VALUE!"])
def test_an_error_in_a_cell_is_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(
        DataError, match=f"row 4, column Gaze point left X .*'{word.replace('?', '.')}' is the error of"
    ):
        read_sheet(formulas(tmp_path / "s.xlsx", word), use_cache=False)
    (tmp_path / "s.tsv").write_text(
        "\n".join("\t".join(map(str, row)) for row in [COLUMN_KEYS, [word, *EYES[0][1:]]]), encoding="utf-8"
    )
    with pytest.raises(DataError, match="is the error of a formula"):
        read_sheet(tmp_path / "s.tsv", use_cache=False)


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
    assert column_numbers(table, 0, table.rows, [2, 3]) == [3.412, 0.0]
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


XLS = (
    "c-rk)O=wd=5dL<P*ZkO~FKsHcLJ0+HZF><fUeZ?u?a5NTC@N^u<WL$C2_DpgR@)p4f+xjGp%*VzFaDqhJqR9ziXH?(Nc8AQQ1H;^IXmyY@>-)bP=l5I9y>dk"
    "ncbc2%+C9HvmCE1Jm{%n14a-)&5oeOClk~n-VYO`w{69GeVCf9v8@mZQy^OmJZ*a&QZZEVu0rB|@C8xe6SXrqkMUw5muw;qu@7mXd`O8P<(|YHYB6-PUmZ*"
    "*nRYV0$F|Ryj<RH)X^Lzs;uMyx@xcQ$kGf9EKGwyE3OwR5A6T*vU3jJP`05Se<h+4{rKxoO-&FJlTd@d=+*q!VE2Z-lBq)T7_--eGZ{Asbp49T@$^}UNW4%0"
    "7M}AWVff?B6gi6FRcHm_|g*Sj=K3k@0n=+huXIE$jvLy`{;xx4kwTn?zl=%>w>ke@nr*<pREZUimbAp>xrdRHMeS0)BVVz~k3>R*vyzf^2z{WK-f(FM}BiHnU"
    "%nvcW&a>`fzK3ao(vtfAi7uBpGRrn|tnH_D_A}mDdwl!=@#Qba9`}|%TYHIL8mnGTEWNiD&_^4Pb&u>UhQ+YBeM{kq<@LfX1Rt4p|56mf(sX^d-FsL&RuN@"
    "3&Qw{54Hj2qlx1=9nQn!$0}oj>>bn^>Z{OuM-go)ieRqDT-4VVh$huKDEggHYwwoLiSuZ9U8X6iJ8X6iJe}r%!Fx6{?dIUAx$JmhjU1ybAO@Ai&Z*d$&x-QUb>"
    "0uP8FX2){`Lh#-@a7Vm9OHd2R5(GamoSYC`!U^c{?coR@c*Ap4>Y&#2sOHXtr0)}^7=mkwdU%4"
)
"""A workbook of Excel 97 to 2003: a hidden sheet `old` with 9 under a, and `d` with a, b over 1.5, x."""

NAMES = "urn:oasis:names:tc:opendocument:xmlns"
TEXT, NUMBER = 'office:value-type="string"', 'office:value-type="float" office:value="1.5"'
CELLS = [[(TEXT, "a"), (TEXT, "b")], [(NUMBER, "1,5"), (TEXT, "x")]]
GRID = "".join(
    "<table:table-row>"
    + "".join(f"<table:table-cell {kind}><text:p>{shown}</text:p></table:table-cell>" for kind, shown in row)
    + "</table:table-row>"
    for row in CELLS
)
ODS = {
    "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
    "META-INF/manifest.xml": f'<manifest:manifest xmlns:manifest="{NAMES}:manifest:1.0"/>',
    "content.xml": f'<office:document-content xmlns:office="{NAMES}:office:1.0" xmlns:table="{NAMES}:table:1.0" '
    f'xmlns:text="{NAMES}:text:1.0"><office:body><office:spreadsheet><table:table table:name="d">{GRID}</table:table>'
    "</office:spreadsheet></office:body></office:document-content>",
}


def test_old_and_open_workbooks(tmp_path: Path) -> None:
    (tmp_path / "t.xls").write_bytes(zlib.decompress(base64.b85decode(XLS)))
    with zipfile.ZipFile(tmp_path / "t.ods", "w") as archive:
        for member, content in ODS.items():
            archive.writestr(member, content)
    for name in ("t.xls", "t.ods"):
        table = read_table(tmp_path / name)
        assert (table.header, table.rows) == (("a", "b"), [[1.5, "x"]])


def test_the_sheets_of_a_data_set_may_be_of_any_kind(tmp_path: Path, small_root: Path) -> None:
    clip = EmerDataset.open(small_root).clips[0]
    for suffix in (".xlsm", ".tsv"):
        clip.sheet_path.rename(clip.sheet_path.with_suffix(suffix))
        assert len(EmerDataset.open(small_root).clips) == 12
        clip.sheet_path.with_suffix(suffix).rename(clip.sheet_path)


def test_what_was_guessed_is_said_once_for_a_data_set(small_root: Path) -> None:
    assert EmerDataset.open(small_root).notes == ()
    for clip in EmerDataset.open(small_root).clips[:2]:
        path = write_text(clip.sheet_path.with_suffix(".tsv"), [COLUMN_KEYS, *EYES])
        path.write_bytes(path.read_bytes()[:-80])
        clip.sheet_path.unlink()
    (note,) = EmerDataset.open(small_root).notes
    assert note.endswith(".tsv and 1 more: ends in a cut line, which is left out")


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
