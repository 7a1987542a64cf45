"""Words and columns that the reports of bench and export share: what metrics are called, and how figures are shown."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Final

from emer_edge.core.heads import HEADS, ClassHead
from emer_edge.metrics.latency import BINS_A_DECADE
from emer_edge.report.bars import Bar, dots
from emer_edge.report.html import Details
from emer_edge.report.table import Table

METRIC_NAMES: Final = {
    "war": "WAR", "uar": "UAR", "weighted_f1": "weighted F1", "ece": "ECE", "nll": "NLL", "brier": "Brier",
    "mae": "MAE", "mse": "MSE", "rmse": "RMSE", "ccc": "CCC", "pearson": "Pearson r", "auroc": "AUROC",
}  # fmt: skip
SHARES: Final = frozenset({"war", "uar", "weighted_f1", "ece"})
"""Metrics that people read as per cent."""
CLASS_METRICS: Final = ("war", "uar", "weighted_f1")
VALUE_METRICS: Final = ("mae", "rmse", "ccc", "pearson")

MILLISECONDS: Final = "p50 (ms) | p90 (ms) | p99 (ms) | largest (ms) | count"
INTERVALS: Final = "In parentheses 95 % intervals by bootstrap over participants."
WHISKERS: Final = "Whiskers: 95 % intervals by bootstrap over participants."

BIN_RATIO: Final = 10 ** (1 / BINS_A_DECADE)
"""Of the edges of a bin of a latency's distribution."""
_MANY: Final = 14
_MOST_DIGITS: Final = 9
_SHEET: Final = 45


def digits_that_decide(pairs: Iterable[tuple[float, float]], fewest: int = 3) -> int:
    """Decimals at which figures and their limits still differ when both are rounded, as they do unless they are equal.

    Args:
        pairs: figures and their limits; those that are not finite are left out.
        fewest: decimals at least.
    """
    digits = fewest
    for figure, limit in pairs:
        while (
            digits < _MOST_DIGITS
            and 10.0**-_MOST_DIGITS < abs(figure - limit) < math.inf
            and (round(figure, digits) == round(limit, digits))
        ):
            digits += 1
    return digits


def metric_header(metrics: Iterable[str]) -> str:
    """The columns of metrics, as `columns` reads them; shares in per cent."""
    return " | ".join(f"{METRIC_NAMES[metric]}{' (%):1' if metric in SHARES else ':3'}" for metric in metrics)


def metric_label(metric: str) -> str:
    """How a metric is called in a column of several: `WAR (%)`, `MAE`."""
    return f"{METRIC_NAMES.get(metric, metric)}{' (%)' if metric in SHARES else ''}"


def main_metric(metrics: Container[str]) -> str:
    """What one figure speaks for a head: WAR of class heads, MAE of value heads."""
    return "war" if "war" in metrics else "mae"


def metric_of(head: str) -> str:
    """What one figure speaks for a head, by its name."""
    return "war" if isinstance(HEADS[head], ClassHead) else "mae"


def unit_of(metric: str) -> str:
    """How the axis of a metric is called."""
    name = METRIC_NAMES.get(metric, metric)
    return f"{name} (%)" if metric in SHARES else f"{name} (label units)" if metric in ("mae", "rmse") else name


def scaled(value: float, metric: str) -> float:
    """In per cent where the metric is a share."""
    return value * 100 if metric in SHARES else value


def in_order(heads: Container[str]) -> list[str]:
    """Names of heads in the order of `HEADS`."""
    return [name for name in HEADS if name in heads]


def metric_dots(title: str, metric: str, items: Sequence[Bar]) -> str:
    """A dot plot of a metric, which is in per cent with one decimal where it is a share."""
    return dots(title, unit_of(metric), items, 1 if metric in SHARES else 3)


def sentence(note: str) -> str:
    """A note as a sentence; what looks like the name of a bundle keeps its first letter."""
    first = note.split(" ", 1)[0].rstrip(":,")
    shown = note if not first.isalpha() or first.isupper() else f"{note[:1].upper()}{note[1:]}"
    return f"{shown}{'' if note.endswith(('.', '!', '?')) else '.'}"


def folded(table: Table) -> Table | Details:
    """A table that opens at a click where it is long, and is not printed where it fills sheets."""
    if len(table.rows) <= _MANY:
        return table
    return Details(f"{table.title}: {len(table.rows)} rows", (table,), len(table.rows) <= _SHEET)


def folded_of(tables: Mapping[str, Table], *names: str) -> list[Table | Details]:
    """The tables of these names, folded; names without a table are skipped."""
    return [folded(tables[name]) for name in names if name in tables]
