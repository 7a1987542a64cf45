"""Workbooks as spreadsheet programs leave them."""

from __future__ import annotations

import base64
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from emer_folders import write_text
from foreign_tables import CALAMINE_105, EYES, HEADER, RIGHT, ROWS, book, emotions, rewritten, track

from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.errors import DataError
from emer_edge.data.dataset import EmerDataset
from emer_edge.data.labels import open_labels
from emer_edge.data.sheets import read_sheet
from emer_edge.data.tables import read_table


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
