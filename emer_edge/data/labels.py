"""Label files.

`EMER_label.xlsx` labels both views. `new_label.xlsx` holds one view without its name, and its emotions are integer
codes in an unpublished order: the user must give the view and the classes in code order. `suggest_classes` compares
codes with the emotion that each film induces, for the user to confirm.

A file may say how sure a shown emotion is: seven columns, `FER_Happiness` to `FER_Neutral`, hold the shares of raters
that saw each (or a network's probabilities).
"""

from __future__ import annotations

import heapq
import itertools
import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from emer_edge.core.errors import ConfigurationError, DataError
from emer_edge.core.heads import EMOTIONS, HEADS, POLARITIES, POLARITY_OF_EMOTION, ClassHead, ValueHead, View
from emer_edge.core.numbers import is_missing, number_or_nan
from emer_edge.data.layout import composed, describe_clip, emotion_of, plain_name, polarity_of, without_label
from emer_edge.data.tables import cell_text, read_table, without_value

Labels = dict[str, "int | float"]
"""Head -> class index or value, of one clip."""

Classes = Sequence[str] | Mapping[int, str]
"""Emotions in the order of their codes, or code -> emotion."""

_ID: Final = "id"
_ADVICE: Final = "Name the columns with --label-column id=COLUMN --label-column er-7=COLUMN and so on"
_BOTH_VIEWS: Final = {head.column: name for name, head in HEADS.items()}
_ONE_VIEW: Final = {head.column.partition("_")[2]: head.target for head in HEADS.values()}
_WITHOUT_POLARITY: Final = {"er-3": "derive the polarity from the emotion", "fer-3": "do without shown polarity"}
SHARE_COLUMNS: Final = {emotion: f"FER_{emotion.capitalize()}" for emotion in EMOTIONS}
"""Emotion -> column of the share of raters that saw it in the face."""
_SIGNED_POLARITY: Final = {1: "positive", -1: "negative", 0: "neutral"}


@dataclass(frozen=True)
class LabelTable:
    """An opened label file.

    Attributes:
        path: the file.
        cells: clip -> head, or a column of `SHARE_COLUMNS` -> the cell as written; None for a clip with two different
            rows.
        heads: the labelled heads, felt polarity (er-3) derived from emotion where it has no column. Shown polarity is
            not: EMER's faces labelled neutral are positive or negative, too.
        notes: what was guessed about the file, for sentences about it.
        numbered: IDs that the file holds as numbers.
    """

    path: Path
    cells: dict[str, dict[str, Any] | None]
    heads: tuple[str, ...]
    notes: tuple[str, ...] = ()
    numbered: tuple[str, ...] = ()

    def codes(self, head: str) -> dict[str, int]:
        """Clip -> integer code of a class head, of the clips with a code."""
        return {
            name: code
            for name, cells in self.cells.items()
            if cells is not None and (code := _code(cells.get(head, ""))) is not None
        }

    def needs_classes(self) -> tuple[str, ...]:
        """The emotion heads with integer codes as labels."""
        return tuple(head for head in ("er-7", "fer-7") if head in self.heads and self.codes(head))

    def code_order(self, classes: Classes | None) -> dict[str, dict[int, str]]:
        """Head -> code -> emotion, for the emotion heads with codes.

        Raises:
            ConfigurationError: codes without `classes`, classes that don't fit the codes, or polarity codes other than
                -1, 0 and 1.
        """
        for head in _WITHOUT_POLARITY:
            codes = set(self.codes(head).values())
            if codes and not ({-1} <= codes <= set(_SIGNED_POLARITY)):
                raise ConfigurationError(
                    f"{self.path} labels {head} with codes ({', '.join(map(str, sorted(codes)))}) whose order is not "
                    f"published; pass --label-column {head}= to {_WITHOUT_POLARITY[head]}"
                )
        return {head: _order(self.path, head, set(self.codes(head).values()), classes) for head in self.needs_classes()}

    def labels(self, name: str, order: Mapping[str, Mapping[int, str]]) -> Labels:
        """The labels of a clip, of the heads without a blank cell; `order` is from `code_order`.

        Raises:
            DataError: the clip has no label, two rows, or a label that is unknown or out of range.
        """
        labels: Labels = {}
        for head, cell in self._row(name).items():
            if head not in HEADS or is_missing(cell_text(cell)):
                continue
            target = HEADS[head]
            if isinstance(target, ClassHead):
                labels[head] = _class_index(target, cell, order.get(head, {}))
            else:
                labels[head] = _value(target, cell)
        if "er-7" in labels and "er-3" not in labels:
            labels["er-3"] = POLARITIES.index(POLARITY_OF_EMOTION[EMOTIONS[int(labels["er-7"])]])
        if not labels:
            raise DataError(f"{self.path.name} leaves all of its labels blank")
        return labels

    def shares(self, name: str) -> dict[str, tuple[float, ...]]:
        """`fer-7` -> shares of `EMOTIONS` among the raters of a clip, with sum 1; empty where a cell is blank.

        Raises:
            DataError: a share is no number of 0 or more, all are 0, or `labels` refuses the clip.
        """
        cells = self._row(name)
        read = [cells.get(column, "") for column in SHARE_COLUMNS.values()]
        if any(is_missing(cell_text(cell)) for cell in read):
            return {}
        values = [number_or_nan(cell) for cell in read]
        if not all(value >= 0 for value in values) or not any(values):
            raise DataError(
                f"its shares, {', '.join(map(cell_text, read))}, are not numbers of 0 or more, some above 0"
            )
        return {"fer-7": tuple(value / sum(values) for value in values)}

    def _row(self, name: str) -> dict[str, Any]:
        known = name if name in self.cells else self._alike.get(clip_id(name).casefold())
        if known is None:
            ids = f", only IDs that are numbers ({', '.join(self.numbered[:3])}, ...)" if self.numbered else ""
            raise DataError(f"{self.path.name} has no label for it{ids}")
        cells = self.cells[known]
        if cells is None:
            raise DataError(f"{self.path.name} labels it twice, differently")
        return cells

    @cached_property
    def _alike(self) -> dict[str, str]:
        """ID without case -> ID, of those that no other resembles."""
        counts = Counter(name.casefold() for name in self.cells)
        return {name.casefold(): name for name in self.cells if counts[name.casefold()] == 1}


@dataclass(frozen=True)
class Suggestion:
    """A guess at the emotion of each code.

    Attributes:
        table: code -> induced emotion -> number of clips.
        classes: code -> emotion, the assignment that most clips agree with; empty where it is ambiguous.
    """

    table: dict[int, dict[str, int]]
    classes: dict[int, str]


def open_labels(path: Path, *, view: View | None = None, mapping: Mapping[str, str] | None = None) -> LabelTable:
    """Open a label file.

    `view`, `er` or `fer`, is that of columns without a prefix (`Emotion`, `Valence`, ...). `mapping`, `id` or a head ->
    column, replaces the default for that head; "" removes it.

    Raises:
        DataError: the file can't be read, or has no known column, or lacks a mapped one; lists its columns.
        ConfigurationError: a mapping for an unknown head, or no view where one is needed.
    """
    table = read_table(path, lambda header: _columns(path, header, view, mapping or {}))
    columns = _columns(path, table.header, view, mapping or {})
    at_id = columns.pop(_ID)
    marks = {head: table.mark([row[at] for row in table.rows], table.header[at]) for head, at in columns.items()}
    cells: dict[str, dict[str, Any] | None] = {}
    numbered, nameless = [], 0
    for number, row in enumerate(table.rows, start=table.first_row):
        name = clip_id(cell_text(row[at_id]))
        if not name:
            nameless += any(not is_missing(cell_text(row[at])) for at in columns.values())
            continue
        if isinstance(row[at_id], (date, time, timedelta)):
            raise DataError(
                f"{path}, row {number}: the ID {name} is a date, which a spreadsheet program made of a name; write the "
                "column as text"
            )
        for at in (at_id, *columns.values()):
            if wrong := without_value(row[at]):
                raise DataError(f"{path}, row {number}, column {table.header[at]}: {wrong}")
        if isinstance(row[at_id], (int, float)):
            numbered.append(name)
        read = {head: _in_mark(row[at], marks[head]) for head, at in columns.items()}
        cells[name] = _merged(cells[name], read) if name in cells else read
    notes = (*table.notes, *([f"has {nameless} rows with labels and no ID, which are left out"] if nameless else []))
    derived = {"er-3"} if "er-7" in columns else set()
    heads = tuple(head for head in HEADS if head in columns or head in derived)
    return LabelTable(path, cells, heads, notes=notes, numbered=tuple(numbered))


def clip_id(text: str) -> str:
    """A clip's name in a label file, without folder, extension and labels after a blank, with composed accents."""
    name = re.split(r"[/\\]", composed(text).strip())[-1]
    return without_label(re.sub(r"\.(mp4|avi|mov|mkv|xlsx?|csv|tsv|png|jpe?g|bmp)$", "", name, flags=re.IGNORECASE))


def _in_mark(cell: Any, mark: str) -> Any:
    """A number of a column with this decimal mark; other cells unchanged."""
    value = number_or_nan(cell, mark) if isinstance(cell, str) else math.nan
    return cell if math.isnan(value) else value


def _merged(one: dict[str, Any] | None, other: dict[str, Any]) -> dict[str, Any] | None:
    """Two rows of a clip that differ by case and blanks only; None where they contradict each other."""
    merged = {}
    for head, cell in (one or {}).items():
        texts = [cell_text(each).casefold() for each in (cell, other[head])]
        if texts[0] != texts[1] and not any(map(is_missing, texts)):
            return None
        merged[head] = other[head] if is_missing(texts[0]) else cell
    return merged or None


def parse_classes(text: str) -> Classes:
    """Read `happiness,sadness,...` (in the order of their codes) or `0=happiness,1=sadness,...`.

    Raises:
        ConfigurationError: a word is no emotion, or a code no integer.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if "=" not in text:
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
    """Guess the meaning of codes (clip -> code) from the induced emotions in the clips' names.

    The assignment of different emotions to the codes with the largest sum of within-code shares wins, unless another
    one is as good. A guess: show the table and let the user confirm.
    """
    table: dict[int, dict[str, int]] = {code: {} for code in sorted(set(codes.values()))}
    for name, code in codes.items():
        emotion = describe_clip(name)[2]
        if emotion is not None:
            table[code][emotion] = table[code].get(emotion, 0) + 1
    if not table or len(table) > len(EMOTIONS):
        return Suggestion(table, {})
    shares = [{emotion: count / sum(row.values()) for emotion, count in row.items()} for row in table.values()]
    orders = itertools.permutations(EMOTIONS, len(table))
    scored = [(sum(row.get(word, 0.0) for row, word in zip(shares, order, strict=True)), order) for order in orders]
    best, second = heapq.nlargest(2, scored, key=lambda score: score[0])
    if second[0] >= best[0] - 1e-9:
        return Suggestion(table, {})
    return Suggestion(table, dict(zip(table, best[1], strict=True)))


def _columns(path: Path, header: Sequence[str], view: View | None, mapping: Mapping[str, str]) -> dict[str, int]:
    """Position of the ID and of each labelled head."""
    listed = ", ".join(header)
    wrong = [head for head in mapping if head != _ID and head not in HEADS]
    if wrong:
        raise ConfigurationError(f"--label-column names {', '.join(wrong)}; use id or a head: {', '.join(HEADS)}")
    positions = {plain_name(name): at for at, name in reversed(list(enumerate(header)))}
    if plain_name(mapping.get(_ID, _ID)) not in positions:
        named = f"column {mapping[_ID]} for {_ID}" if _ID in mapping else "column of clip names (ID)"
        raise DataError(f"{path} has no {named}; it holds {listed}. {_ADVICE}")
    columns = {head: positions[plain_name(name)] for name, head in _BOTH_VIEWS.items() if plain_name(name) in positions}
    bare = {name: suffix for name, suffix in _ONE_VIEW.items() if plain_name(name) in positions}
    if bare and not columns and not set(mapping) & set(HEADS):
        if view is None:
            raise ConfigurationError(
                f"{path} does not say whether {', '.join(bare)} are what people feel or what faces show; "
                "pass --view er or --view fer"
            )
        heads = {f"{view}-{suffix}": positions[plain_name(name)] for name, suffix in bare.items()}
        columns = {head: at for head, at in heads.items() if head in HEADS}
    if _ID in positions:
        columns[_ID] = positions[_ID]
    for head, name in mapping.items():
        columns.pop(head, None)
        if name and plain_name(name) not in positions:
            raise DataError(f"{path} has no column {name} for {head}; it holds {listed}")
        if name:
            columns[head] = positions[plain_name(name)]
    if len(columns) < 2:
        raise DataError(f"{path} has no label column that is known; it holds {listed}. {_ADVICE}")
    columns |= {name: positions[plain_name(name)] for name in SHARE_COLUMNS.values() if plain_name(name) in positions}
    twice = {name for name in map(plain_name, header) if [*map(plain_name, header)].count(name) > 1}
    if wrong := [header[at] for at in columns.values() if plain_name(header[at]) in twice]:
        raise DataError(f"{path} has the column {wrong[0]} twice; it holds {listed}. Rename or delete one")
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
        if first is not None:
            named = dict(enumerate(words, start=first))
        elif len(codes) == len(words):
            named = dict(zip(sorted(codes), words, strict=True))
        else:
            raise ConfigurationError(
                f"{path} labels {head} with the codes {listed}: whether they start at 0 or 1 is open; "
                "pass --classes as 0=happiness,1=sadness and so on"
            )
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
    code, text = _code(cell), cell_text(cell)
    if head.classes == EMOTIONS:
        word, hint = emotion_of(text) if code is None else order.get(code), ""
    elif code is None:
        word, hint = polarity_of(text), ""
    else:
        word, hint = _SIGNED_POLARITY.get(code), "; polarity codes are -1, 0 and 1"
    if word is None:
        raise DataError(f"its {head.name} is {text!r}, which is none of {', '.join(head.classes)}{hint}")
    return head.classes.index(word)


def _value(head: ValueHead, cell: Any) -> float:
    value = number_or_nan(cell)
    if math.isnan(value):
        raise DataError(f"its {head.name} is {cell_text(cell)!r}, which is not a number")
    if not head.low <= value <= head.high:
        raise DataError(f"its {head.name} is {value:g}, outside {head.low:g} to {head.high:g}")
    return value


def _code(cell: Any) -> int | None:
    """The integer that a cell holds, or None for words, blanks and fractions."""
    value = number_or_nan(cell)
    return int(value) if value.is_integer() else None
