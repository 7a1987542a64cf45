"""Workbooks (XLSX, XLSM, XLS, ODS) as grids of cells: of every visible worksheet, with what its reader leaves out.

Workbooks are read into full grids: one stray cell in the last row turns some kilobytes into gigabytes, and a ZIP
archive can hold a thousand times its size. The archive's directory and the cells' addresses show both. The library
gives "" for a cell with an error and for a formula that no spreadsheet program has computed; the XML of an XLSX shows
these, and they become text (`#DIV/0!`, `=A1+1`) that no reader takes for a blank cell.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any, Final

from emer_edge.core.errors import DataError

_LARGEST_BYTES: Final = 2 << 30
_UNSUSPICIOUS_BYTES: Final = 64 << 20
_LARGEST_RATIO: Final = 100
_CHUNK: Final = 1 << 20
_LONGEST_ADDRESS: Final = 16
_SHEET: Final = re.compile(r"xl/worksheets/[^/]+\.xml\Z")
_FAR: Final = re.compile(rb"[\"'](?:[A-Z]{1,3}(\d{5,9})|(?:[A-Z]{3}|[J-Z][A-Z])\d{1,4})[\"']")
"""Addresses of cells from row 10,000 on, or behind column 260, IZ."""

_FAR_AS_USUAL: Final = re.compile(rb'r="(?:[A-Z]{1,3}(\d{5,9})|(?:[A-Z]{3}|[J-Z][A-Z])\d{1,4})"')
"""The same as nearly every program writes them: found in a quarter of the time, by the letters they all begin with."""

_UNUSUAL: Final = (b"r='", b"r =", b"r= ")

_WIDE: Final = re.compile(rb"[\"'](?:[A-Z]{3}|[J-Z][A-Z])\d+[\"']")
_ROW_BYTES: Final = 16  # of XML, at the least, for a row with a cell


_CELL: Final = re.compile(rb"<(?:\w+:)?c\s([^>]*[^>/])>(.*?)</(?:\w+:)?c>", re.DOTALL)
_ADDRESS: Final = re.compile(rb"\br=[\"']([A-Z]{1,3})(\d{1,7})[\"']")
_VALUE: Final = re.compile(rb"<(?:\w+:)?v[^>]*>([^<]+)<")
_FORMULA: Final = re.compile(rb"<(?:\w+:)?f[^>]*>([^<]*)")
_LONGEST_CELL: Final = 1 << 16
_NOT_AVAILABLE: Final = "#N/A"

Grid = list[list[Any]]
"""Rows of cells: text, numbers, dates; "" where blank."""

Unread = dict[tuple[int, int], str]
"""Row and column, from 0 -> the error or the formula without a result of a cell."""


def read_workbook(path: Path) -> tuple[dict[str, Grid], str]:
    """Read the visible worksheets of a workbook: name -> grid, and the names of those left out.

    Raises:
        DataError: it is no workbook, has a password or no visible worksheet, or would take gigabytes.
    """
    import python_calamine

    unread = _check(path)
    grids: dict[str, Grid] = {}
    hidden: list[str] = []
    try:
        workbook = python_calamine.CalamineWorkbook.from_path(str(path))
        for sheet in workbook.sheets_metadata:
            visible = sheet.visible == python_calamine.SheetVisibleEnum.Visible
            if not visible or sheet.typ != python_calamine.SheetTypeEnum.WorkSheet:
                hidden.append(sheet.name)
                continue
            grid = workbook.get_sheet_by_name(sheet.name).to_python(skip_empty_area=False)
            for (row, column), text in unread.get(sheet.name, {}).items():
                if row < len(grid) and column < len(grid[row]):
                    grid[row][column] = text
            grids[sheet.name] = grid
    except python_calamine.PasswordError as error:
        raise DataError(f"{path} is protected by a password; save it without one") from error
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        raise DataError(f"{path} is not a workbook that can be read ({error}); open and save it again") from error
    if not grids:
        raise DataError(f"{path} has no visible worksheet{f' (hidden: {_listed(hidden)})' if hidden else ''}")
    return grids, _listed(hidden)


def _check(path: Path) -> dict[str, Unread]:
    """Sheet -> cells that the library leaves out, of an XLSX; DataError where the file would take gigabytes.

    Other formats and damaged archives are the library's.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            unpacked = sum(member.file_size for member in members)
            suspicious = unpacked > _UNSUSPICIOUS_BYTES and unpacked > _LARGEST_RATIO * path.stat().st_size
            if unpacked > _LARGEST_BYTES or suspicious:
                raise DataError(
                    f"{path} unpacks to {unpacked >> 20} MB, which is no table of a recording; save it again, as TSV"
                )
            uncomputed, names = _described(archive)
            return {
                names.get(member.filename, ""): _check_sheet(path, archive, member, uncomputed)
                for member in members
                if _SHEET.match(member.filename)
            }
    except DataError:
        raise
    except Exception:  # zip and zlib share no exception; the reader reports what is wrong
        return {}


def _described(archive: zipfile.ZipFile) -> tuple[bool, dict[str, str]]:
    """Whether the workbook asks to be computed when it is opened, and member -> sheet name."""

    def elements(member: str, tag: str) -> Iterator[dict[str, str]]:
        for element in re.findall(rf"<(?:\w+:)?{tag}\s([^>]*)>", archive.read(member).decode()):
            yield {name: unescape(text) for name, text in re.findall(r"([\w:]+)=\"([^\"]*)\"", element)}

    targets = {each["Id"]: each["Target"] for each in elements("xl/_rels/workbook.xml.rels", "Relationship")}
    names = {
        posixpath.normpath(posixpath.join("/xl", targets[key])).lstrip("/"): each["name"]
        for each in elements("xl/workbook.xml", "sheet")
        if (key := next((text for name, text in each.items() if name.endswith(":id")), "")) in targets
    }
    computes = any(each.get("fullCalcOnLoad") in ("1", "true") for each in elements("xl/workbook.xml", "calcPr"))
    return computes, names


def _check_sheet(path: Path, archive: zipfile.ZipFile, sheet: zipfile.ZipInfo, uncomputed: bool) -> Unread:
    last_row, wide, kept = 0, False, b""
    unread: Unread = {}
    with archive.open(sheet) as file:
        while chunk := file.read(_CHUNK):
            text = kept + chunk
            far = (_FAR if any(mark in text for mark in _UNUSUAL) else _FAR_AS_USUAL).findall(text)
            if far:
                last_row = max(last_row, max(int(row or 0) for row in far))
                wide = wide or b"" in far or _WIDE.search(text) is not None
            if b'="e"' in text or b"<f" in text or b":f" in text:
                unread.update(_unread(text, uncomputed))
            near = max(0, len(text) - _LONGEST_CELL)
            cell = text.rfind(b"<c ", near)
            cell = text.rfind(b":c ", near) if cell < 0 else cell  # where tags have a prefix
            kept = text[max(0, min(len(text) - _LONGEST_ADDRESS, cell - 8 if cell >= 0 else len(text))) :]
    if last_row * _ROW_BYTES > sheet.file_size or (wide and last_row):
        where = f"row {last_row}" if last_row * _ROW_BYTES > sheet.file_size else "a column behind IZ"
        raise DataError(f"{path} has a cell in {where}, far from the others; delete it, or save the table as TSV")
    return unread


def _unread(xml: bytes, uncomputed: bool) -> Unread:
    """Cells with an error, and formulas without a result: some writers leave it out, others write 0 for it."""
    unread: Unread = {}
    for attributes, content in _CELL.findall(xml):
        address, value, formula = (
            pattern.search(found)
            for pattern, found in zip((_ADDRESS, _VALUE, _FORMULA), (attributes, content, content), strict=True)
        )
        if address is None:
            continue
        text = ""
        if b't="e"' in attributes:
            text = value[1].decode(errors="replace") if value else "#ERROR!"
        elif formula and b't="str"' not in attributes and (not value or (uncomputed and value[1] == b"0")):
            text = f"={formula[1].decode(errors='replace')}"
        column = 0
        for letter in address[1]:
            column = 26 * column + letter - 64
        if text and text != _NOT_AVAILABLE:
            unread[int(address[2]) - 1, column - 1] = text
    return unread


def _listed(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
