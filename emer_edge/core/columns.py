"""The 39 eye columns of EMER: names, units, order, and how words in them are coded.

The per-sample gaze columns of a standard Tobii Pro Lab export number 39, in this order. That EMER uses the same order
is inferred, so a sheet's own header decides (`match_header`), and a bundle carries the keys it was trained on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from emer_edge.core.errors import DataError


@dataclass(frozen=True)
class EyeColumn:
    """One of the 39 columns.

    Attributes:
        number: 1 to 39.
        name: Tobii's name without its unit, for example `Gaze point left X`.
        unit: `DACS px`, `DACS mm`, `MCS norm`, `mm`, `ms`, or empty.
    """

    number: int
    name: str
    unit: str

    @property
    def key(self) -> str:
        """The name with its unit, as newer exports write it: `Gaze point left X [DACS mm]`."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name


class MovementType(IntEnum):
    """Codes of `Eye movement type`."""

    UNCLASSIFIED = 0
    FIXATION = 1
    SACCADE = 2
    EYES_NOT_FOUND = 3


def _columns() -> tuple[EyeColumn, ...]:
    eyes_xy = [f"{eye} {axis}" for eye in ("left", "right") for axis in "XY"]
    eyes_xyz = [f"{eye} {axis}" for eye in ("left", "right") for axis in "XYZ"]
    named = [
        *((f"Gaze point {axis}", "DACS px") for axis in "XY"),
        *((f"Gaze point {each}", "DACS px") for each in eyes_xy),
        *((f"Gaze direction {each}", "") for each in eyes_xyz),
        *((f"Pupil diameter {eye}", "mm") for eye in ("left", "right")),
        *((f"Validity {eye}", "") for eye in ("left", "right")),
        *((f"Eye position {each}", "DACS mm") for each in eyes_xyz),
        *((f"Gaze point {each}", "DACS mm") for each in eyes_xy),
        *((f"Gaze point {axis}", "MCS norm") for axis in "XY"),
        *((f"Gaze point {each}", "MCS norm") for each in eyes_xy),
        ("Eye movement type", ""),
        ("Gaze event duration", "ms"),
        ("Eye movement type index", ""),
        *((f"Fixation point {axis}", "DACS px") for axis in "XY"),
        *((f"Fixation point {axis}", "MCS norm") for axis in "XY"),
    ]
    return tuple(EyeColumn(number, name, unit) for number, (name, unit) in enumerate(named, start=1))


EYE_COLUMNS: Final = _columns()
COLUMN_KEYS: Final = tuple(each.key for each in EYE_COLUMNS)

# Where they are; pairs are of the left and the right eye.
GAZE_POINT: Final = slice(0, 2)
GAZE_PX: Final = (slice(2, 4), slice(4, 6))
DIRECTION: Final = (slice(6, 9), slice(9, 12))
PUPILS: Final = slice(12, 14)
VALIDITY: Final = slice(14, 16)
POSITION: Final = (slice(16, 19), slice(19, 22))
GAZE_MM: Final = (slice(22, 24), slice(24, 26))
GAZE_POINT_MCS: Final = slice(26, 28)
GAZE_MCS: Final = (slice(28, 30), slice(30, 32))
EVENTS: Final = slice(32, 39)
MOVEMENT_TYPE: Final = 32
FIXATION_POINT: Final = slice(35, 39)


def column_indices(*spans: slice) -> tuple[int, ...]:
    """The indices, 0 to 38, of all columns in some of the slices above, in the order given."""
    return tuple(column for span in spans for column in range(span.start, span.stop))


@dataclass(frozen=True)
class ColumnGroup:
    """Columns that a tracker has or lacks, and gets right or wrong, together.

    Attributes:
        name: short name.
        columns: their indices, 0 to 38.
        unit: `px`, `mm`, or empty.
        guess: what values far outside of the usual range suggest.
    """

    name: str
    columns: tuple[int, ...]
    unit: str
    guess: str


EYE_GROUPS: Final = (
    ColumnGroup("gaze", column_indices(GAZE_POINT, *GAZE_PX), "px", "another display or origin"),
    ColumnGroup("position", column_indices(*POSITION), "mm", "another origin or axis"),
    ColumnGroup("direction", column_indices(*DIRECTION), "", "axes swapped or mirrored"),
    ColumnGroup("pupil", column_indices(PUPILS), "mm", "another unit"),
    ColumnGroup("display", column_indices(*GAZE_MM), "mm", "another display or origin"),
    ColumnGroup("stimulus", column_indices(GAZE_POINT_MCS, *GAZE_MCS), "", "another stimulus rectangle"),
)
"""Columns 1 to 32 without validity; `display` and `stimulus` are the gaze point in DACS mm and in MCS."""

VALIDITY_CODES: Final = {"Valid": 1.0, "Invalid": 0.0}
MOVEMENT_CODES: Final = {
    "Unclassified": float(MovementType.UNCLASSIFIED),
    "Fixation": float(MovementType.FIXATION),
    "Saccade": float(MovementType.SACCADE),
    "EyesNotFound": float(MovementType.EYES_NOT_FOUND),
}

# Newer exports renamed this one column besides moving units into brackets.
_RENAMED: Final = {"eye movement event duration": "gaze event duration"}
_UNIT: Final = re.compile(r"\s*[\[(]\s*([^\])]*?)\s*[\])]\s*$")


def _normalised(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.lower())


_DEFAULT_UNIT: Final = {"gazepoint": "dacspx", "fixationpoint": "dacspx", "eyeposition": "dacsmm"}


def _split(header: str) -> tuple[str, str]:
    """Split a header cell into its plain lower-case name and its normalised unit ("" when none is written)."""
    found = _UNIT.search(header)
    name, unit = (header[: found.start()], _normalised(found.group(1))) if found else (header, "")
    plain = " ".join(name.lower().split())
    return _RENAMED.get(plain, plain), unit


def _candidates(column: EyeColumn) -> set[tuple[str, str]]:
    name, unit = column.name.lower(), _normalised(column.unit)
    accepted = {(name, unit)}
    stem = _normalised(" ".join(name.split()[:2]))
    # A header without a unit means the unit that the oldest exports left out.
    if not unit or unit in ("mm", "ms") or _DEFAULT_UNIT.get(stem) == unit:
        accepted.add((name, ""))
    if unit == "dacspx":
        accepted |= {(name, "px"), (name, "adcspx")}
    if unit == "dacsmm":
        accepted |= {(name, "mm"), (name, "adcsmm")}
    if unit == "mcsnorm":
        accepted.add((name, "mcsnormalized"))
        accepted.add((name, "mcsnormalised"))
    return accepted


def match_header(header: Sequence[str]) -> dict[int, int]:
    """Find the 39 columns in a sheet's header row.

    Args:
        header: the cells of the header row, in sheet order. Units in brackets (new exports), in parentheses
            (old exports) or left out are all understood.

    Returns:
        column index (0 to 38) -> position in the sheet.

    Raises:
        DataError: a column is missing; the message lists every missing one and what the header holds.
    """
    positions: dict[tuple[str, str], int] = {}
    for position, cell in enumerate(header):
        positions.setdefault(_split(str(cell)), position)
    matched: dict[int, int] = {}
    for index, column in enumerate(EYE_COLUMNS):
        exact = (column.name.lower(), _normalised(column.unit))
        options = [exact, *sorted(_candidates(column) - {exact})]
        found = next((positions[option] for option in options if option in positions), None)
        if found is not None:
            matched[index] = found
    missing = [column.key for index, column in enumerate(EYE_COLUMNS) if index not in matched]
    if missing:
        listed = ", ".join(str(cell) for cell in header) or "nothing"
        raise DataError(
            f"the header lacks {len(missing)} of the 39 eye columns: {', '.join(missing)}; it holds {listed}"
        )
    return matched
