"""Trees of plain values whose fractions keep the text they were written in: read, written, and compared."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

__all__ = ["TOLERANCE", "Number", "differences", "dump", "from_csv", "parse"]

TOLERANCE: Final = 1e-5
"""Absolute, and relative to the frozen number, added up."""
_WIDTH: Final = 120


class Number(float):
    """A number with a fraction or an exponent, and its text. Whole numbers stay `int`: they count."""

    text: str

    def __new__(cls, text: str) -> Number:
        made = super().__new__(cls, text)
        made.text = text
        return made


def parse(text: str) -> Any:
    """Read JSON."""
    return json.loads(text, parse_float=Number, parse_constant=Number)


def from_csv(text: str) -> dict[str, Any]:
    """Read CSV with a header: its columns, and a mapping of column to cell for every row."""
    columns, *rows = csv.reader(text.splitlines())
    cells = [[_cell(each) for each in row] for row in rows]
    assert all(len(row) == len(columns) for row in cells)
    return {"columns": columns, "rows": [dict(zip(columns, row, strict=True)) for row in cells]}


def _cell(text: str) -> str | int | Number:
    if re.fullmatch(r"-?(0|[1-9]\d*)", text):
        return int(text)
    return Number(text) if re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?", text) else text


def dump(value: Any, indent: int = 0) -> str:
    """Write JSON: what fits on a line is on one."""
    flat = _flat(value)
    if len(flat) + indent <= _WIDTH or not isinstance(value, dict | list) or not value:
        return flat
    pad = "\n" + " " * (indent + 1)
    if isinstance(value, dict):
        inner = [f"{json.dumps(key, ensure_ascii=False)}: {dump(each, indent + 1)}" for key, each in value.items()]
        return "{" + pad + f",{pad}".join(inner) + pad[:-1] + "}"
    return "[" + pad + f",{pad}".join(dump(each, indent + 1) for each in value) + pad[:-1] + "]"


def _flat(value: Any) -> str:
    if isinstance(value, Number):
        return value.text
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(key, ensure_ascii=False)}: {_flat(each)}" for key, each in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_flat, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


Rule = Callable[[str, Any, Any], bool | None]
"""Given a path and both values: whether they agree, or None to go on as usual."""


def differences(frozen: Any, made: Any, rule: Rule, path: str = "") -> Iterator[str]:
    """Say where two trees differ: kinds, names and their order, lengths, whole numbers and words are held to the byte.

    Args:
        frozen: what was kept.
        made: what came now.
        rule: asked first at every place; it decides how fractions are held.
        path: where both lie, as masks name it.
    """
    judged = rule(path, frozen, made)
    if judged is not None:
        if not judged:
            yield f"{path}: {_flat(frozen)} was frozen, {_flat(made)} came"
    elif type(frozen) is not type(made):
        yield f"{path}: {_flat(frozen)} was frozen, {_flat(made)} came"
    elif isinstance(frozen, dict):
        if list(frozen) != list(made):
            yield f"{path}: names {list(frozen)} were frozen, {list(made)} came"
            return
        for key, value in frozen.items():
            yield from differences(value, made[key], rule, f"{path}.{key}")
    elif isinstance(frozen, list):
        if len(frozen) != len(made):
            yield f"{path}: {len(frozen)} were frozen, {len(made)} came"
        for one, other in zip(frozen, made, strict=False):
            yield from differences(one, other, rule, path)
    elif _flat(frozen) != _flat(made):
        yield f"{path}: {_flat(frozen)} was frozen, {_flat(made)} came"
