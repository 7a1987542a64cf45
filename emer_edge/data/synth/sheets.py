"""Write eye sheets and label files as XLSX, the same bytes for the same cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.synth.plan import ClipPlan
from emer_edge.errors import MissingExtraError
from emer_edge.spec.columns import COLUMN_KEYS
from emer_edge.spec.labels import POLARITY_OF_EMOTION

__all__ = ["LABEL_COLUMNS", "write_eye_sheet", "write_labels"]

LABEL_COLUMNS: Final = (
    "ID",
    "ER_Emotion",
    "ER_Polarity",
    "ER_Valence",
    "ER_Arousal",
    "FER_Emotion",
    "FER_Polarity",
    "FER_Valence",
    "FER_Arousal",
    "FER_Intensity",
)
_CREATED: Final = datetime(2024, 1, 1)  # XLSX holds its date of creation: a fixed one, or no two files are alike


def write_eye_sheet(path: Path, cells: NDArray[np.float64]) -> None:
    """Write one clip's eye rows under Tobii's header.

    Args:
        path: the XLSX file.
        cells: (n, 39); NaN is left blank.

    Raises:
        MissingExtraError: XlsxWriter is not installed.
    """
    _write(path, "eye", COLUMN_KEYS, cells.tolist())


def write_labels(path: Path, plans: Iterable[ClipPlan]) -> None:
    """Write the labels of both views, a row a clip, emotions and polarities in words.

    Raises:
        MissingExtraError: XlsxWriter is not installed.
    """
    _write(path, "labels", LABEL_COLUMNS, [_label_row(plan) for plan in plans])


def _label_row(plan: ClipPlan) -> list[Any]:
    return [
        plan.name,
        plan.er_emotion,
        POLARITY_OF_EMOTION[plan.er_emotion],
        plan.er_valence,
        plan.er_arousal,
        plan.fer_emotion,
        POLARITY_OF_EMOTION[plan.fer_emotion],
        plan.fer_valence,
        plan.fer_arousal,
        plan.fer_intensity,
    ]


def _write(path: Path, sheet: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    try:
        import xlsxwriter
    except ImportError as error:
        raise MissingExtraError("writing synthetic sheets", "xlsxwriter", "synth") from error
    with xlsxwriter.Workbook(str(path), {"constant_memory": True}) as book:
        book.set_properties({"created": _CREATED})
        page = book.add_worksheet(sheet)
        page.write_row(0, 0, header)
        for number, row in enumerate(rows, start=1):
            for column, cell in enumerate(row):
                if isinstance(cell, str):
                    page.write_string(number, column, cell)
                elif cell == cell:  # not NaN
                    page.write_number(number, column, cell)
