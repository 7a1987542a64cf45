"""Numbers as people's programs write them: decimal commas, thousands, words for missing; one locale a column.

`1,139` alone is a thousand in one country and a little more than one in another. A column is read by what its cells
prove together (`decimal_mark`), and a column that proves nothing as the rest of its table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, Final

_MISSING: Final = re.compile(
    r"|--?|\.|\?|#?n/?a|<na>|null|none|nil|missing|undefined|[-+]?(?:nan(?:\(\w+\))?|1[.,]#[a-z]+0*|inf(?:inity)?|∞)"
)
"""What programs write for no value, in lower case; a number that is not finite is none either."""

LARGEST: Final = 3e38
"""The largest magnitude of a cell: float32 holds it."""

_DIGITS: Final = re.compile(r"[-+]?(?=[.,]?\d)(\d*(?:[.,]\d*)*)(?:[eE][-+]?\d+)?")
_QUICK: Final = re.compile(r"-?\d+(?:\.\d*)?", re.ASCII)
_GAP: Final = re.compile(r"(?<=\d)[ \u00a0\u2009\u202f'’](?=\d{3}(?!\d))")
_GROUPED: Final = re.compile(r"\d{1,3}(?:([.,])\d{3})(?:\1\d{3})*")
_AMBIGUOUS: Final = re.compile(r"[-+]?[1-9]\d{0,2}[.,]\d{3}")


def is_missing(text: str) -> bool:
    """Whether a cell's text is blank or a word for no value."""
    return _MISSING.fullmatch(text.strip().strip('"').strip().lower()) is not None


def parse_number(cell: Any, mark: str = "") -> float:
    """Read one cell, text or a number, as a number; NaN where it is missing.

    `mark` is the decimal mark of its column; "" where the cell is alone: a single comma or point is the decimal mark.

    Raises:
        ValueError: the cell holds anything else, or a number too large for float32.
    """
    if isinstance(cell, (int, float)):
        value = float(cell)
    elif not isinstance(cell, str):
        raise ValueError(cell)
    elif mark != "," and _QUICK.fullmatch(cell):
        value = float(cell)
    else:
        if is_missing(cell):
            return math.nan
        text = _plain(cell)
        if mark:
            whole, point, rest = text.partition(mark)
            grouped = "," in whole or "." in whole
            if grouped and not _GROUPED.fullmatch(whole.lstrip("+-")):
                raise ValueError(cell)
            text = f"{whole.replace(',', '').replace('.', '')}{point}{rest}"
        if not _DIGITS.fullmatch(text) or text.count(",") + text.count(".") > 1:
            raise ValueError(cell)
        value = float(text.replace(",", "."))
    if abs(value) > LARGEST:
        raise ValueError(cell)
    return value


def number_or_nan(cell: Any, mark: str = "") -> float:
    """Read one cell as `parse_number` does; NaN where it holds anything else, too."""
    try:
        return parse_number(cell, mark)
    except ValueError:
        return math.nan


def decimal_mark(cells: Iterable[str]) -> set[str]:
    """The decimal marks that cells prove: none, one, or both where they contradict each other.

    A mark before other than three digits is decimal, and so is the last of two kinds; one that comes twice parts
    thousands. Cells that are no number prove nothing.
    """
    proved: set[str] = set()
    for cell in cells:
        if "," in cell or "." in cell:
            match = _DIGITS.fullmatch(text := _plain(cell))
            if match and not _AMBIGUOUS.fullmatch(text):
                proved.add(_proved(match[1]))
    return proved - {""}


def _proved(digits: str) -> str:
    marks = [character for character in digits if character in ",."]
    if not marks:
        return ""
    other = "." if marks[-1] == "," else ","
    if len(marks) == 1:
        return marks[0]
    if len(set(marks)) == 1:
        return other if _GROUPED.fullmatch(digits) else ""
    whole = digits.rpartition(marks[-1])[0]
    return marks[-1] if marks.count(marks[-1]) == 1 and _GROUPED.fullmatch(whole) else ""


def _plain(text: str) -> str:
    return _GAP.sub("", text.strip().strip('"').strip().replace("\u2212", "-"))
