"""Tables that tests of foreign files change."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xlsxwriter
from emer_folders import BOTH_VIEWS, WORDS, eye_rows

from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.heads import EMOTIONS
from emer_edge.data.labels import open_labels
from emer_edge.data.sheets import read_sheet

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
