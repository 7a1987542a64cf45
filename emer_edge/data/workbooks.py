"""What a workbook would cost, before it is opened.

Workbooks are read into full grids: one stray cell in the last row turns a file of some kilobytes into gigabytes, and a
ZIP archive can hold a thousand times its size. Both are told from the archive's directory and the cells' addresses.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Final

from emer_edge.errors import DataError

__all__ = ["check_workbook"]

_LARGEST_BYTES: Final = 2 << 30
_UNSUSPICIOUS_BYTES: Final = 64 << 20
_LARGEST_RATIO: Final = 100
_CHUNK: Final = 1 << 20
_LONGEST_ADDRESS: Final = 16
_SHEET: Final = re.compile(r"xl/worksheets/[^/]+\.xml\Z")
_FAR: Final = re.compile(rb"[\"'](?:[A-Z]{1,3}(\d{5,9})|(?:[A-Z]{3}|[J-Z][A-Z])\d{1,4})[\"']")
"""Addresses of cells in row 10,000 and below it, or behind column 260, IZ."""

_WIDE: Final = re.compile(rb"[\"'](?:[A-Z]{3}|[J-Z][A-Z])\d+[\"']")
_ROW_BYTES: Final = 16  # of XML, at the least, for a row with a cell


def check_workbook(path: Path) -> None:
    """Refuse a workbook (XLSX) that would take gigabytes; other formats and damaged archives are left to the reader.

    Raises:
        DataError: it unpacks to more than 2 GB, or to a hundred times its size; or a cell lies far from the others.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            unpacked = sum(each.file_size for each in members)
            suspicious = unpacked > _UNSUSPICIOUS_BYTES and unpacked > _LARGEST_RATIO * path.stat().st_size
            if unpacked > _LARGEST_BYTES or suspicious:
                raise DataError(
                    f"{path} unpacks to {unpacked >> 20} MB, which is no table of a recording; save it again, as TSV"
                )
            for each in members:
                if _SHEET.match(each.filename):
                    _check_sheet(path, archive, each)
    except DataError:
        raise
    except Exception:  # zip and zlib share no exception; what is wrong is said by whoever reads it
        return


def _check_sheet(path: Path, archive: zipfile.ZipFile, sheet: zipfile.ZipInfo) -> None:
    last_row, wide, kept = 0, False, b""
    with archive.open(sheet) as file:
        while chunk := file.read(_CHUNK):
            text = kept + chunk
            far = _FAR.findall(text)
            if far:
                last_row = max(last_row, max(int(each or 0) for each in far))
                wide = wide or b"" in far or _WIDE.search(text) is not None
            kept = text[-_LONGEST_ADDRESS:]
    if last_row * _ROW_BYTES > sheet.file_size or (wide and last_row):
        where = f"row {last_row}" if last_row * _ROW_BYTES > sheet.file_size else "a column behind IZ"
        raise DataError(f"{path} has a cell in {where}, far from the others; delete it, or save the table as TSV")
