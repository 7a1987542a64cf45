"""Label files, read through a mapping from heads to columns.

`EMER_label.xlsx` labels both views. `new_label.xlsx` holds one view without naming it, and its emotions are integer
codes whose order is not published: the view and the classes in code order must be given. `suggest_classes` compares
codes with the emotion that each film induces, for a person to confirm.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from emer_edge.core.errors import ConfigurationError, DataError
from emer_edge.core.heads import EMOTIONS, HEADS, POLARITIES, POLARITY_OF_EMOTION, ClassHead, ValueHead, View
from emer_edge.data.layout import describe_clip, emotion_of, polarity_of
from emer_edge.data.tables import Table, cell_text, parse_number, read_table

Labels = dict[str, "int | float"]
"""Head -> class index or value, of one clip."""

Classes = Sequence[str] | Mapping[int, str]
"""Emotions in the order of their codes, or code -> emotion."""

_ID: Final = "id"
_BOTH_VIEWS: Final = {head.column: name for name, head in HEADS.items()}
_ONE_VIEW: Final = {head.column.partition("_")[2]: head.target for head in HEADS.values()}
_SIGNED_POLARITY: Final = {1: "positive", -1: "negative", 0: "neutral"}


@dataclass(frozen=True)
class LabelTable:
    """An opened label file.

    Attributes:
        path: the file.
        cells: clip -> head -> the cell as it is written; clips with two different rows hold None.
        heads: the heads it labels, polarity derived from emotion included.
    """

    path: Path
    cells: dict[str, dict[str, Any] | None]
    heads: tuple[str, ...]

    def codes(self, head: str) -> dict[str, int]:
        """Clip -> integer code of a class head; clips labelled with words or nothing are left out."""
        return {
            name: code
            for name, cells in self.cells.items()
            if cells is not None and (code := _code(cells.get(head, ""))) is not None
        }

    def needs_classes(self) -> tuple[str, ...]:
        """The emotion heads whose labels are integer codes."""
        return tuple(head for head in ("er-7", "fer-7") if head in self.heads and self.codes(head))

    def code_order(self, classes: Classes | None) -> dict[str, dict[int, str]]:
        """Tell what each code of the emotion heads means.

        Returns:
            head -> code -> emotion, for the heads that use codes.

        Raises:
            ConfigurationError: codes without `classes`, classes that don't fit the codes, or polarity codes other than
                -1, 0 and 1.
        """
        for head in ("er-3", "fer-3"):
            codes = set(self.codes(head).values())
            if codes and not ({-1} <= codes <= set(_SIGNED_POLARITY)):
                raise ConfigurationError(
                    f"{self.path} labels {head} with codes ({', '.join(map(str, sorted(codes)))}) whose order is not "
                    f"published; pass --label-column {head}= to derive the polarity from the emotion"
                )
        return {head: _order(self.path, head, set(self.codes(head).values()), classes) for head in self.needs_classes()}

    def labels(self, name: str, order: Mapping[str, Mapping[int, str]]) -> Labels:
        """Read the labels of one clip; heads with a blank cell are left out.

        Args:
            name: the clip.
            order: from `code_order`.

        Raises:
            DataError: the clip has no label, two, or one that means nothing or is out of range.
        """
        if name not in self.cells:
            raise DataError(f"{self.path.name} has no label for it")
        cells = self.cells[name]
        if cells is None:
            raise DataError(f"{self.path.name} labels it twice, differently")
        labels: Labels = {}
        for head, cell in cells.items():
            if cell_text(cell) == "":
                continue
            target = HEADS[head]
            labels[head] = (
                _class_index(target, cell, order.get(head, {}))
                if isinstance(target, ClassHead)
                else _value(target, cell)
            )
        for view in ("er", "fer"):
            if f"{view}-7" in labels and f"{view}-3" not in labels:
                polarity = POLARITY_OF_EMOTION[EMOTIONS[int(labels[f"{view}-7"])]]
                labels[f"{view}-3"] = POLARITIES.index(polarity)
        if not labels:
            raise DataError(f"{self.path.name} leaves all of its labels blank")
        return labels


@dataclass(frozen=True)
class Suggestion:
    """Which emotion each code could stand for.

    Attributes:
        table: code -> induced emotion -> number of clips.
        classes: code -> emotion, the assignment that most clips agree with; empty where the clips leave it open.
    """

    table: dict[int, dict[str, int]]
    classes: dict[int, str]


def open_labels(path: Path, *, view: View | None = None, mapping: Mapping[str, str] | None = None) -> LabelTable:
    """Open a label file.

    Args:
        path: XLSX, TSV or CSV.
        view: `er` or `fer`: whose view columns without a prefix (`Emotion`, `Valence`, ...) hold.
        mapping: `id` or a head -> column; replaces the default for that head, "" leaves it out.

    Raises:
        DataError: the file can't be read, or no column is known, or a mapped column is missing; lists those found.
        ConfigurationError: a mapping for something that is no head, or no view where one is needed.
    """
    table = read_table(path)
    columns = _columns(table, view, dict(mapping or {}))
    at_id = columns.pop(_ID)
    cells: dict[str, dict[str, Any] | None] = {}
    for row in table.rows:
        name = re.sub(r"\.(mp4|avi|xlsx)$", "", cell_text(row[at_id]), flags=re.IGNORECASE)
        if not name:
            continue
        read = {head: row[at] for head, at in columns.items()}
        cells[name] = read if cells.get(name, read) == read else None
    derived = {f"{view}-3" for view in ("er", "fer") if f"{view}-7" in columns}
    heads = tuple(head for head in HEADS if head in columns or head in derived)
    return LabelTable(path, cells, heads)


def parse_classes(text: str) -> Classes:
    """Read `happiness,sadness,...` (in the order of their codes) or `0=happiness,1=sadness,...`.

    Raises:
        ConfigurationError: a word is no emotion, or a code no integer.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not any("=" in part for part in parts):
        return [_emotion(part) for part in parts]
    classes: dict[int, str] = {}
    for part in parts:
        code, _, word = part.partition("=")
        try:
            classes[int(code)] = _emotion(word)
        except ValueError:
            raise ConfigurationError(f"--classes holds {part!r}; write code=emotion, for example 0=happiness") from None
    return classes


def suggest_classes(codes: Mapping[str, int]) -> Suggestion:
    """Guess the meaning of integer codes from the emotions that the films induce, as the clips' names tell them.

    The assignment of different emotions to the codes with the largest sum of within-code shares wins; it is left open
    where another one does as well. A guess: show the table and let a person confirm.

    Args:
        codes: clip -> code, as `LabelTable.codes` returns them.
    """
    table: dict[int, dict[str, int]] = {code: {} for code in sorted(set(codes.values()))}
    for name, code in codes.items():
        emotion = describe_clip(name)[2]
        if emotion is not None:
            table[code][emotion] = table[code].get(emotion, 0) + 1
    if not table or len(table) > len(EMOTIONS):
        return Suggestion(table, {})
    shares = {
        code: {emotion: count / sum(counts.values()) for emotion, count in counts.items()}
        for code, counts in table.items()
    }
    scored = sorted(
        (
            (sum(shares[code].get(emotion, 0.0) for code, emotion in zip(table, order, strict=True)), order)
            for order in itertools.permutations(EMOTIONS, len(table))
        ),
        key=lambda each: -each[0],
    )
    best = scored[0]
    if len(scored) > 1 and scored[1][0] >= best[0] - 1e-9:
        return Suggestion(table, {})
    return Suggestion(table, dict(zip(table, best[1], strict=True)))


def _columns(table: Table, view: View | None, mapping: dict[str, str]) -> dict[str, int]:
    """Position of the ID and of each labelled head."""
    found = ", ".join(table.header)
    wrong = [head for head in mapping if head != _ID and head not in HEADS]
    if wrong:
        raise ConfigurationError(f"--label-column names {', '.join(wrong)}; use id or a head: {', '.join(HEADS)}")
    positions = {_plain(name): at for at, name in reversed(list(enumerate(table.header)))}
    columns = {head: positions[_plain(name)] for name, head in _BOTH_VIEWS.items() if _plain(name) in positions}
    bare = {name: suffix for name, suffix in _ONE_VIEW.items() if _plain(name) in positions}
    if bare and not columns and not set(mapping) & set(HEADS):
        if view is None:
            raise ConfigurationError(
                f"{table.path} does not say whether {', '.join(bare)} are what people feel or what faces show; "
                "pass --view er or --view fer"
            )
        heads = {f"{view}-{suffix}": positions[_plain(name)] for name, suffix in bare.items()}
        columns = {head: at for head, at in heads.items() if head in HEADS}
    if _ID in positions:
        columns[_ID] = positions[_ID]
    for head, name in mapping.items():
        columns.pop(head, None)
        if name and _plain(name) not in positions:
            raise DataError(f"{table.path} has no column {name} for {head}; it holds {found}")
        if name:
            columns[head] = positions[_plain(name)]
    if _ID not in columns or len(columns) < 2:
        lacks = "no column of clip names (ID)" if _ID not in columns else "no label column that is known"
        raise DataError(
            f"{table.path} has {lacks}; it holds {found}. Name the columns with --label-column id=COLUMN "
            "--label-column er-7=COLUMN and so on"
        )
    return columns


def _order(path: Path, head: str, codes: Collection[int], classes: Classes | None) -> dict[int, str]:
    listed = ", ".join(map(str, sorted(codes)))
    if classes is None:
        raise ConfigurationError(
            f"{path} labels {head} with codes ({listed}) whose order is not published; pass --classes with the seven "
            f"emotions in the order of their codes, for example --classes {','.join(EMOTIONS)}"
        )
    if isinstance(classes, Mapping):
        named = {code: _emotion(word) for code, word in classes.items()}
    else:
        words = [_emotion(word) for word in classes]
        first = 0 if 0 in codes else 1 if len(words) in codes else None
        if first is None and len(codes) == len(words):
            named = dict(zip(sorted(codes), words, strict=True))
        elif first is None:
            raise ConfigurationError(
                f"{path} labels {head} with the codes {listed}: whether they start at 0 or 1 is open; "
                "pass --classes as 0=happiness,1=sadness and so on"
            )
        else:
            named = dict(enumerate(words, start=first))
    if len(set(named.values())) != len(named):
        raise ConfigurationError(f"--classes names an emotion twice: {', '.join(named.values())}")
    unnamed = sorted(set(codes) - set(named))
    if unnamed:
        raise ConfigurationError(
            f"{path} labels {head} with the codes {listed}, and --classes gives no emotion for "
            f"{', '.join(map(str, unnamed))}"
        )
    return named


def _emotion(word: str) -> str:
    emotion = emotion_of(word)
    if emotion is None:
        raise ConfigurationError(f"--classes names {word!r}; the emotions are {', '.join(EMOTIONS)}")
    return emotion


def _class_index(head: ClassHead, cell: Any, order: Mapping[int, str]) -> int:
    code = _code(cell)
    word: str | None
    if code is None:
        text = cell_text(cell)
        word = emotion_of(text) if head.width == len(EMOTIONS) else polarity_of(text)
    else:
        word = order.get(code) if head.width == len(EMOTIONS) else _SIGNED_POLARITY.get(code)
    if word is None:
        hint = "; polarity codes are -1, 0 and 1" if head.width != len(EMOTIONS) and code is not None else ""
        raise DataError(f"its {head.name} is {cell_text(cell)!r}, which is none of {', '.join(head.classes)}{hint}")
    return head.classes.index(word)


def _value(head: ValueHead, cell: Any) -> float:
    try:
        value = parse_number(cell)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise DataError(f"its {head.name} is {cell_text(cell)!r}, which is not a number")
    if not head.low <= value <= head.high:
        raise DataError(f"its {head.name} is {value:g}, outside {head.low:g} to {head.high:g}")
    return value


def _code(cell: Any) -> int | None:
    """The integer that a cell holds, or None for words, blanks and fractions."""
    try:
        value = parse_number(cell)
    except ValueError:
        return None
    return int(value) if not math.isnan(value) and value.is_integer() else None


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.lower())
