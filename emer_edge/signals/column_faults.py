"""What is wrong with a stream's eye columns, compared with those a network was trained on.

Every test is about seconds of rows in which an eye is seen, and about faults of set-ups, not of people: a unit that is
off by more than any seat explains, an eye where no viewer has one, a column that is empty or frozen. What a viewer can
do (lean back, look into a corner, close an eye for a moment) must pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import (
    COLUMN_KEYS,
    EVENTS,
    EYE_COLUMNS,
    EYE_GROUPS,
    GAZE_PX,
    POSITION,
    ColumnGroup,
    column_indices,
)
from emer_edge.core.samples import Display
from emer_edge.core.window import EYE_COLUMN_COUNT
from emer_edge.signals.gaze_faults import gaze_fault

Floats = NDArray[np.float64]

_UNITS: Final = {1e-3: "metres", 1e-1: "centimetres", 1 / 25.4: "inches", 1e3: "micrometres"}
_NEAR: Final = math.log(2.5)  # how far a factor may miss a unit's
_FAR: Final = 1.5  # trained spreads beyond the trained range, for a quarter of the rows' best
_AXIS_FLOOR_MM: Final = 10.0
_DEPTHS: Final = tuple(eye.stop - 1 for eye in POSITION)
_LEAST_FILLED: Final = 0.5  # of rows, before a column's values are judged


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        key: stable name, for example `position unit`.
        text: a sentence for people, with what is seen and what was trained on.
    """

    key: str
    text: str


@dataclass(frozen=True, eq=False)
class TrainedColumns:
    """What the columns held in training.

    Attributes:
        low, middle, high: (39,) 1 %, 50 % and 99 % quantile, NaN where unknown; missing cells left out.
        quarter: (39,) half the distance of the quartiles.
    """

    low: Floats
    middle: Floats
    high: Floats
    quarter: Floats

    @classmethod
    def of(cls, quantiles: Mapping[str, Sequence[float]]) -> TrainedColumns:
        """Take a manifest's seven quantiles (1, 5, 25, 50, 75, 95, 99 %) a column key."""
        table = np.full((EYE_COLUMN_COUNT, 7), np.nan)
        for at, key in enumerate(COLUMN_KEYS):
            if len(quantiles.get(key, ())) == 7:
                table[at] = quantiles[key]
        reach = 2.5 * (table[:, 4] - table[:, 2])
        # Bundles whose quantiles count missing cells as 0 have a 0 at the end of a range that does not hold it.
        low = np.where((table[:, 1] == 0) & (table[:, 2] > 0), table[:, 2] - reach, table[:, 0])
        high = np.where((table[:, 5] == 0) & (table[:, 4] < 0), table[:, 4] + reach, table[:, 6])
        return cls(low, table[:, 3], high, (table[:, 4] - table[:, 2]) / 2)

    @property
    def known(self) -> bool:
        """Whether anything is known."""
        return bool(np.isfinite(self.middle).any())

    def range_text(self, column: int) -> str:
        """`520..700`."""
        return f"{_number(self.low[column])}..{_number(self.high[column])}"


@dataclass(frozen=True, eq=False)
class _Seen:
    """Some seconds of rows, their columns sorted once for all tests.

    Attributes:
        cells: (n, 39), NaN where missing.
        filled: (39,) share of rows that fill a column.
        low, middle, high: (39,) quartiles of what fills it, NaN where nothing does.
    """

    cells: Floats
    filled: Floats
    low: Floats
    middle: Floats
    high: Floats

    @classmethod
    def of(cls, cells: Floats) -> _Seen:
        ordered = np.sort(cells, axis=0)  # missing cells go last
        counts = np.isfinite(cells).sum(axis=0)
        every, last = np.arange(cells.shape[1]), np.maximum(counts - 1, 0)
        quartiles = []
        for share in (0.25, 0.5, 0.75):
            place = share * last
            below = place.astype(np.int64)
            one, next_one = ordered[below, every], ordered[np.minimum(below + 1, last), every]
            quartiles.append(one + (next_one - one) * (place - below))
        return cls(cells, counts / len(cells), *quartiles)


def find_faults(cells: Floats, trained: TrainedColumns, display: Display) -> tuple[Fault, ...]:
    """Compare some seconds of rows with training.

    Args:
        cells: (n, 39) from `raw_row` of rows in which an eye is seen, NaN where missing.
        trained: what the network was trained on.
        display: that the pixels and millimetres of the run refer to.
    """
    cells = np.where(np.isfinite(cells), cells, np.nan)
    seen = _Seen.of(cells)
    faults: list[Fault] = []
    dead = _dead(seen, trained, faults)
    for group in EYE_GROUPS:
        columns = [each for each in group.columns if each not in dead and np.isfinite(trained.middle[each])]
        if not columns:
            continue
        fault = _unit_fault(group, columns, seen, trained, display=display)
        if fault is None and group.name == "position":
            fault = _axes_fault(seen, trained, dead) or _side_fault(columns, seen, trained)
        if fault is None and group.name == "gaze":
            found = gaze_fault(cells, trained.middle, trained.quarter, display)
            fault = None if found is None else Fault(*found)
        if fault is None:
            fault = _far_fault(group, columns, seen, trained)
        if fault is None:
            continue
        faults.append(fault)
        if group.name in ("gaze", "position"):
            break  # what is derived from it is wrong in its wake
    return tuple(faults)


def _dead(seen: _Seen, trained: TrainedColumns, faults: list[Fault]) -> set[int]:
    """Columns that are empty or frozen although training saw them move."""
    moved = trained.quarter > 0
    moved[EVENTS] = False  # computed, not sent
    missing = moved & (seen.filled == 0)
    with np.errstate(invalid="ignore"):
        spread = np.fmax.reduce(seen.cells, axis=0) - np.fmin.reduce(seen.cells, axis=0)
    frozen = moved & (seen.filled >= _LEAST_FILLED) & (spread == 0)
    for key, flags in (("missing", missing), ("constant", frozen)):
        fault = _dead_fault(key, np.flatnonzero(flags).tolist(), seen, trained)
        if fault is not None:
            faults.append(fault)
    return set(np.flatnonzero(missing | frozen).tolist())


def _dead_fault(key: str, columns: list[int], seen: _Seen, trained: TrainedColumns) -> Fault | None:
    """One sentence for all columns that are empty, or frozen."""
    groups = [each for each in EYE_GROUPS if set(each.columns) & set(columns)]
    if not groups:
        return None
    sides = {side for side in ("left", "right") for each in columns if f" {side}" in EYE_COLUMNS[each].name}
    name = f"{'+'.join(each.name for each in groups)} {key}"
    if key == "missing" and len(sides) == 1 and set(columns) & set(column_indices(*GAZE_PX)):
        side = sides.pop()
        return Fault(name, f"The {side} eye: not found in any row, trained on both: is it covered or switched off?")
    first = next((each for each in columns if each in _DEPTHS), columns[0])
    said = "no value in any row" if key == "missing" else f"{_number(_median(seen, first))} in every row"
    others = len(columns) - 1
    more = f" (and {others} more column{'s' if others > 1 else ''})" if others else ""
    return Fault(name, f"{_named(first)}: {said}, trained on {trained.range_text(first)}{more}")


def _unit_fault(
    group: ColumnGroup, columns: list[int], seen: _Seen, trained: TrainedColumns, display: Display
) -> Fault | None:
    """A factor that most columns of the group share."""
    guesses = dict(_UNITS) if group.unit == "mm" else {}
    if group.name == "gaze":
        guesses = {1 / display.width_px: "fractions of the display"}
    elif group.name == "stimulus":
        guesses = {float(display.width_px): "pixels", 100.0: "per cent"}
    elif group.name == "pupil":
        guesses[10.0] = "pixels or tenths of a millimetre"
    judged = [each for each in columns if abs(trained.middle[each]) > trained.quarter[each] and _filled(seen, each)]
    found: dict[str, list[int]] = {}
    for column in judged:
        ratio = _median(seen, column) / trained.middle[column]
        if ratio <= 0:
            continue
        factor = min(guesses, key=lambda each: abs(math.log(ratio / each)), default=1.0)
        if abs(math.log(ratio)) > _NEAR and abs(math.log(ratio / factor)) < min(_NEAR, abs(math.log(ratio))):
            found.setdefault(guesses[factor], []).append(column)
    for name, hit in found.items():
        if 2 * len(hit) > len(judged):
            column = next((each for each in hit if EYE_COLUMNS[each].name.endswith("Z")), hit[0])
            return Fault(f"{group.name} unit", f"{_value_text(column, seen, trained)}: {name}?")
    return None


def _axes_fault(seen: _Seen, trained: TrainedColumns, dead: set[int]) -> Fault | None:
    """Eye positions whose axes fit training far better in another order."""
    for axes in map(column_indices, POSITION):
        if any(each in dead or not _filled(seen, each) or np.isnan(trained.middle[each]) for each in axes):
            continue
        places = np.array([_median(seen, each) for each in axes])
        middle = trained.middle[list(axes)]
        scale = np.maximum(_AXIS_FLOOR_MM, (trained.high - trained.low)[list(axes)] / 4)
        cost = {order: float(np.abs((places[list(order)] - middle) / scale).mean()) for order in permutations(range(3))}
        order = min(cost, key=lambda each: cost[each])
        if order != (0, 1, 2) and cost[0, 1, 2] > 3.0 and cost[order] < min(2.0, cost[0, 1, 2] / 3):
            moved = " and ".join("XYZ"[at] for at in range(3) if order[at] != at)
            values = ", ".join(f"{axis} {_number(value)}" for axis, value in zip("XYZ", places, strict=True))
            ranges = ", ".join(f"{axis} {trained.range_text(each)}" for axis, each in zip("XYZ", axes, strict=True))
            name = EYE_COLUMNS[axes[0]].name.rsplit(" ", 1)[0]
            return Fault("position axes", f"{name}: {values}, trained on {ranges}: {moved} swapped?")
    return None


def _side_fault(columns: list[int], seen: _Seen, trained: TrainedColumns) -> Fault | None:
    """The left eye right of the right one."""
    left, right = (eye.start for eye in POSITION)
    if left not in columns or right not in columns:
        return None
    apart = seen.cells[:, right] - seen.cells[:, left]
    both = np.isfinite(apart)
    usual = trained.middle[right] - trained.middle[left]
    if both.mean() < _LEAST_FILLED or abs(usual) < 2 * _AXIS_FLOOR_MM:
        return None
    median = float(np.median(apart[both]))
    if median * usual > 0 or abs(median) < abs(usual) / 2:
        return None
    values = " and ".join(_number(_median(seen, each)) for each in (left, right))
    ranges = " and ".join(trained.range_text(each) for each in (left, right))
    return Fault(
        "position sides",
        f"Eye position left X and right X: {values}, trained on {ranges}: left and right swapped, or X mirrored?",
    )


def _far_fault(group: ColumnGroup, columns: list[int], seen: _Seen, trained: TrainedColumns) -> Fault | None:
    """Three quarters of the values far outside of all that training saw."""
    for column in columns:
        if not _filled(seen, column):
            continue
        low, high = seen.low[column], seen.high[column]
        reach = _FAR * (trained.high[column] - trained.low[column])
        if low > trained.high[column] + reach or high < trained.low[column] - reach:
            return Fault(f"{group.name} range", f"{_value_text(column, seen, trained)}: {group.guess}?")
    return None


def _filled(seen: _Seen, column: int) -> bool:
    return bool(seen.filled[column] >= _LEAST_FILLED)


def _median(seen: _Seen, column: int) -> float:
    return float(seen.middle[column])


def _value_text(column: int, seen: _Seen, trained: TrainedColumns) -> str:
    return f"{_named(column)}: {_number(_median(seen, column))}, trained on {trained.range_text(column)}"


def _named(column: int) -> str:
    """The column's name, with its unit where another column has the same name."""
    each = EYE_COLUMNS[column]
    return each.key if each.name.startswith("Gaze point") else each.name


def _number(value: float) -> str:
    """Three digits that say something: 637, 0.65, 0.0036."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
