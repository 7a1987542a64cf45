"""The 39 eye columns of EMER: names, units, order, and the codes of words in them.

A standard Tobii Pro Lab export has 39 gaze columns, in this order. That EMER uses the same order is inferred, so a
sheet's own header decides (`match_header`), and a bundle holds the keys that it was trained on.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
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
        *((f"Gaze point {axis}", "DACS px") for axis in eyes_xy),
        *((f"Gaze direction {axis}", "") for axis in eyes_xyz),
        *((f"Pupil diameter {eye}", "mm") for eye in ("left", "right")),
        *((f"Validity {eye}", "") for eye in ("left", "right")),
        *((f"Eye position {axis}", "DACS mm") for axis in eyes_xyz),
        *((f"Gaze point {axis}", "DACS mm") for axis in eyes_xy),
        *((f"Gaze point {axis}", "MCS norm") for axis in "XY"),
        *((f"Gaze point {axis}", "MCS norm") for axis in eyes_xy),
        ("Eye movement type", ""),
        ("Gaze event duration", "ms"),
        ("Eye movement type index", ""),
        *((f"Fixation point {axis}", "DACS px") for axis in "XY"),
        *((f"Fixation point {axis}", "MCS norm") for axis in "XY"),
    ]
    return tuple(EyeColumn(number, name, unit) for number, (name, unit) in enumerate(named, start=1))


EYE_COLUMNS: Final = _columns()
COLUMN_KEYS: Final = tuple(column.key for column in EYE_COLUMNS)

# Indices, 0 to 38; pairs are the left and the right eye.
GAZE_POINT: Final = slice(0, 2)
GAZE_PX: Final = (slice(2, 4), slice(4, 6))
DIRECTION: Final = (slice(6, 9), slice(9, 12))
PUPILS: Final = slice(12, 14)
VALIDITY: Final = slice(14, 16)
POSITION: Final = (slice(16, 19), slice(19, 22))
DISTANCE: Final = [18, 21]
GAZE_MM: Final = (slice(22, 24), slice(24, 26))
GAZE_POINT_MCS: Final = slice(26, 28)
GAZE_MCS: Final = (slice(28, 30), slice(30, 32))
EVENTS: Final = slice(32, 39)
MOVEMENT_TYPE: Final = 32
FIXATION_POINT: Final = slice(35, 39)


def column_indices(*spans: slice) -> tuple[int, ...]:
    """Indices of all columns in these slices, in the order given."""
    return tuple(column for span in spans for column in range(span.start, span.stop))


@dataclass(frozen=True)
class ColumnGroup:
    """Columns that a tracker has or lacks, and gets right or wrong, together.

    Attributes:
        columns: indices, 0 to 38.
        unit: `px`, `mm`, or empty.
        guess: likely cause of values far outside the usual range.
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
MOVEMENT_CODES: Final = {movement.name.title().replace("_", ""): float(movement) for movement in MovementType}

# Newer exports renamed this one column besides moving units into brackets.
_RENAMED: Final = {"eye movement event duration": "gaze event duration"}
_UNIT: Final = re.compile(r"\s*[\[(]\s*([^\])]*?)\s*[\])]\s*$")


def _normalised(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.lower())


_DEFAULT_UNIT: Final = {"gazepoint": "dacspx", "fixationpoint": "dacspx", "eyeposition": "dacsmm"}
_OTHER_SPELLINGS: Final = {
    "dacspx": ("adcspx", "px"), "dacsmm": ("adcsmm", "mm"), "mcsnorm": ("mcsnormalised", "mcsnormalized")
}  # fmt: skip


def _split(header: str) -> tuple[str, str]:
    """Split a header cell into its plain lower-case name and its normalised unit, "" without one."""
    match = _UNIT.search(header)
    name, unit = (header[: match.start()], _normalised(match.group(1))) if match else (header, "")
    plain = " ".join(name.lower().split())
    return _RENAMED.get(plain, plain), unit


def _units(column: EyeColumn) -> list[str]:
    """The units that headers write for a column, its own first."""
    unit = _normalised(column.unit)
    stem = _normalised(" ".join(column.name.split()[:2]))
    # A header without a unit means the unit that the oldest exports omit.
    bare = [""] if unit in ("", "mm", "ms", _DEFAULT_UNIT.get(stem)) else []
    return [unit, *bare, *_OTHER_SPELLINGS.get(unit, ())]


def match_header(header: Sequence[str], optional: Collection[int] = ()) -> dict[int, int]:
    """Find the 39 columns in the cells of a sheet's header row.

    Units may be in brackets (new exports), in parentheses (old exports) or absent. `optional` ones may be missing.

    Returns:
        Column index (0 to 38) -> position in the sheet.

    Raises:
        DataError: columns are missing, or there twice; the message lists them and the header.
    """
    return dict(_matched(tuple(map(str, header)), frozenset(optional)))


@lru_cache(maxsize=8)  # the sheets of a data set have one header
def _matched(header: tuple[str, ...], optional: frozenset[int]) -> dict[int, int]:
    positions: dict[tuple[str, str], list[int]] = {}
    for position, cell in enumerate(header):
        positions.setdefault(_split(cell), []).append(position)
    matched: dict[int, int] = {}
    for index, column in enumerate(EYE_COLUMNS):
        keys = [(column.name.lower(), unit) for unit in _units(column)]
        key = next((key for key in keys if key in positions), None)
        if key is not None:
            matched[index], *more = positions[key]
            if more:
                raise DataError(f"the header has {column.key} twice; rename or delete one of them")
    missing = [column.key for index, column in enumerate(EYE_COLUMNS) if index not in matched and index not in optional]
    if missing:
        listed = ", ".join(header) or "nothing"
        raise DataError(
            f"the header lacks {len(missing)} of the 39 eye columns: {', '.join(missing)}; it holds {listed}"
        )
    return matched


def column_words(keys: Sequence[str]) -> str:
    """Name columns for a sentence, without axes and units: `gaze direction, pupil diameter and eye position right`."""
    eyes: dict[str, set[str]] = {}
    for key in keys:
        words = key.partition(" [")[0].split()
        eye = {word for word in words if word in ("left", "right")}
        about = " ".join(word for word in words if word not in ("left", "right", "X", "Y", "Z"))
        eyes.setdefault(about[:1].lower() + about[1:], set()).update(eye)
    named = [f"{about} {min(eye)}" if len(eye) == 1 else about for about, eye in eyes.items()]
    return " and ".join(filter(None, (", ".join(named[:-1]), *named[-1:])))
