"""Faults of a stream's eye columns, by comparison with those that a network was trained on.

Every test takes some seconds of rows in which an eye is seen, and looks for faults of set-ups, not of people: a unit
that is off by more than any seat explains, an eye where no viewer has one, an empty or frozen column. What a viewer can
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
    DISTANCE,
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
from emer_edge.signals.gaze_faults import Fault, gaze_fault

Floats = NDArray[np.float64]

_UNITS: Final = {1e-3: "metres", 1e-1: "centimetres", 1 / 25.4: "inches", 1e3: "micrometres"}
_NEAR: Final = math.log(2.5)  # largest distance of a factor from a unit's
_FAR: Final = 1.5  # trained spreads beyond the trained range, for a quarter of the rows' best
_AXIS_FLOOR_MM: Final = 10.0
_LEAST_FILLED: Final = 0.5  # of rows, before a column's values are judged


@dataclass(frozen=True, eq=False)
class TrainedColumns:
    """The columns in training.

    Attributes:
        low, middle, high: (39,) 1 %, 50 % and 99 % quantile of the filled cells, NaN where unknown.
        quarter: (39,) half the distance of the quartiles.
    """

    low: Floats
    middle: Floats
    high: Floats
    quarter: Floats

    @classmethod
    def of(cls, quantiles: Mapping[str, Sequence[float]]) -> TrainedColumns:
        """From a manifest: column key -> quantiles (1, 5, 25, 50, 75, 95, 99 %)."""
        table = np.full((EYE_COLUMN_COUNT, 7), np.nan)
        for at, key in enumerate(COLUMN_KEYS):
            if len(quantiles.get(key, ())) == 7:
                table[at] = quantiles[key]
        reach = 2.5 * (table[:, 4] - table[:, 2])
        # Bundles whose quantiles count missing cells as 0 have a 0 at the end of a range without it.
        low = np.where((table[:, 1] == 0) & (table[:, 2] > 0), table[:, 2] - reach, table[:, 0])
        high = np.where((table[:, 5] == 0) & (table[:, 4] < 0), table[:, 4] + reach, table[:, 6])
        return cls(low, table[:, 3], high, (table[:, 4] - table[:, 2]) / 2)

    @property
    def known(self) -> bool:
        """Whether any quantile is known."""
        return bool(np.isfinite(self.middle).any())

    def range_text(self, column: int) -> str:
        """`520..700`."""
        return f"{_number(self.low[column])}..{_number(self.high[column])}"


@dataclass(frozen=True, eq=False)
class _Seen:
    """Some seconds of rows: (n, 39) cells, the share that fills a column, and its quartiles (NaN if empty)."""

    cells: Floats
    filled: Floats
    low: Floats
    middle: Floats
    high: Floats

    @classmethod
    def of(cls, cells: Floats) -> _Seen:
        ordered = np.sort(np.ascontiguousarray(cells.T), axis=1).T  # columns lie together; missing cells go last
        counts = np.isfinite(cells).sum(axis=0)
        columns, last = np.arange(cells.shape[1]), np.maximum(counts - 1, 0)
        quartiles = []
        for share in (0.25, 0.5, 0.75):
            place = share * last
            below = place.astype(np.int64)
            one, next_one = ordered[below, columns], ordered[np.minimum(below + 1, last), columns]
            quartiles.append(one + (next_one - one) * (place - below))
        return cls(cells, counts / len(cells), *quartiles)

    def judged(self, column: int) -> bool:
        """Whether enough rows fill a column to judge its values."""
        return bool(self.filled[column] >= _LEAST_FILLED)


def find_faults(cells: Floats, trained: TrainedColumns, display: Display) -> tuple[Fault, ...]:
    """Compare some seconds of rows with training.

    Args:
        cells: (n, 39) from `raw_rows` of rows in which an eye is seen, NaN where missing.
        trained: the network's training columns.
        display: the run's display.
    """
    cells = np.where(np.isfinite(cells), cells, np.nan)
    seen = _Seen.of(cells)
    missing, frozen = _dead(seen, trained)
    dead = {*missing, *frozen}
    by_key = (_dead_fault(key, columns, seen, trained) for key, columns in (("missing", missing), ("constant", frozen)))
    faults = [fault for fault in by_key if fault is not None]
    for group in EYE_GROUPS:
        columns = [at for at in group.columns if at not in dead and np.isfinite(trained.middle[at])]
        if not columns:
            continue
        fault = _unit_fault(group, columns, seen, trained, display=display)
        if group.name == "position":
            fault = fault or _axes_fault(seen, trained, dead) or _side_fault(columns, seen, trained)
        elif group.name == "gaze":
            fault = fault or gaze_fault(cells, trained.middle, trained.quarter, display)
        fault = fault or _far_fault(group, columns, seen, trained)
        if fault is None:
            continue
        faults.append(fault)
        if group.name in ("gaze", "position"):
            break  # columns derived from it are wrong too
    return tuple(faults)


def _dead(seen: _Seen, trained: TrainedColumns) -> tuple[list[int], list[int]]:
    """Columns that are empty, and frozen, although they moved in training."""
    moved = trained.quarter > 0
    moved[EVENTS] = False  # computed, not sent
    missing = moved & (seen.filled == 0)
    with np.errstate(invalid="ignore"):
        spread = np.fmax.reduce(seen.cells, axis=0) - np.fmin.reduce(seen.cells, axis=0)
    frozen = moved & (seen.filled >= _LEAST_FILLED) & (spread == 0)
    return np.flatnonzero(missing).tolist(), np.flatnonzero(frozen).tolist()


def _dead_fault(key: str, columns: list[int], seen: _Seen, trained: TrainedColumns) -> Fault | None:
    """One sentence for all empty, or all frozen, columns."""
    groups = [group for group in EYE_GROUPS if set(group.columns) & set(columns)]
    if not groups:
        return None
    sides = {side for side in ("left", "right") for column in columns if f" {side}" in EYE_COLUMNS[column].name}
    name = f"{'+'.join(group.name for group in groups)} {key}"
    if key == "missing" and len(sides) == 1 and set(columns) & set(column_indices(*GAZE_PX)):
        side = sides.pop()
        return Fault(name, f"The {side} eye: not found in any row, trained on both: is it covered or switched off?")
    first = next((column for column in columns if column in DISTANCE), columns[0])
    value = "no value in any row" if key == "missing" else f"{_number(seen.middle[first])} in every row"
    others = len(columns) - 1
    more = f" (and {others} more column{'s' if others > 1 else ''})" if others else ""
    return Fault(name, f"{_named(first)}: {value}, trained on {trained.range_text(first)}{more}")


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
    judged = [at for at in columns if abs(trained.middle[at]) > trained.quarter[at] and seen.judged(at)]
    hits: dict[str, list[int]] = {}
    for column in judged:
        ratio = float(seen.middle[column] / trained.middle[column])
        if ratio <= 0:
            continue
        factor = min(guesses, key=lambda guess: abs(math.log(ratio / guess)), default=1.0)
        if abs(math.log(ratio)) > _NEAR and abs(math.log(ratio / factor)) < min(_NEAR, abs(math.log(ratio))):
            hits.setdefault(guesses[factor], []).append(column)
    for name, hit in hits.items():
        if 2 * len(hit) > len(judged):
            column = next((at for at in hit if EYE_COLUMNS[at].name.endswith("Z")), hit[0])
            return Fault(f"{group.name} unit", f"{_value_text(column, seen, trained)}: {name}?")
    return None


def _axes_fault(seen: _Seen, trained: TrainedColumns, dead: set[int]) -> Fault | None:
    """Eye positions whose axes fit training far better in another order."""
    for axes in map(column_indices, POSITION):
        if any(at in dead or not seen.judged(at) or np.isnan(trained.middle[at]) for at in axes):
            continue
        places = seen.middle[list(axes)]
        middle = trained.middle[list(axes)]
        scale = np.maximum(_AXIS_FLOOR_MM, (trained.high - trained.low)[list(axes)] / 4)
        cost = {order: float(np.abs((places[list(order)] - middle) / scale).mean()) for order in permutations(range(3))}
        order = min(cost, key=cost.__getitem__)
        if order != (0, 1, 2) and cost[0, 1, 2] > 3.0 and cost[order] < min(2.0, cost[0, 1, 2] / 3):
            moved = " and ".join("XYZ"[at] for at in range(3) if order[at] != at)
            values = ", ".join(f"{axis} {_number(value)}" for axis, value in zip("XYZ", places, strict=True))
            ranges = ", ".join(f"{axis} {trained.range_text(at)}" for axis, at in zip("XYZ", axes, strict=True))
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
    values = " and ".join(_number(seen.middle[at]) for at in (left, right))
    ranges = " and ".join(trained.range_text(at) for at in (left, right))
    text = f"Eye position left X and right X: {values}, trained on {ranges}: left and right swapped, or X mirrored?"
    return Fault("position sides", text)


def _far_fault(group: ColumnGroup, columns: list[int], seen: _Seen, trained: TrainedColumns) -> Fault | None:
    """Three quarters of the values far outside the training range."""
    for column in columns:
        if not seen.judged(column):
            continue
        low, high = seen.low[column], seen.high[column]
        reach = _FAR * (trained.high[column] - trained.low[column])
        if low > trained.high[column] + reach or high < trained.low[column] - reach:
            return Fault(f"{group.name} range", f"{_value_text(column, seen, trained)}: {group.guess}?")
    return None


def _value_text(column: int, seen: _Seen, trained: TrainedColumns) -> str:
    return f"{_named(column)}: {_number(seen.middle[column])}, trained on {trained.range_text(column)}"


def _named(column: int) -> str:
    """The column's name, with its unit where another column has the same name."""
    named = EYE_COLUMNS[column]
    return named.key if named.name.startswith("Gaze point") else named.name


def _number(value: float) -> str:
    """Three significant digits: 637, 0.65, 0.0036."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
