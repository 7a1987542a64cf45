"""Readers of short option values: numbers, durations, points, class orders."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from math import isfinite
from typing import Final

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.heads import HEADS

_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}


def fold_numbers(text: str) -> tuple[int, ...]:
    """Read `1,2,3`; raise ConfigurationError on anything that is not a fold from 1 to 5."""
    folds = _numbers(text)
    if not all(1 <= fold <= 5 for fold in folds):
        raise ConfigurationError(f"folds are numbers from 1 to 5, separated by commas, not {text!r}")
    return folds


def stream_numbers(text: str) -> tuple[int, ...]:
    """Read `1,2,4`; raise ConfigurationError on anything but numbers from 1 on; an empty text gives none."""
    numbers = _numbers(text)
    if min(numbers, default=1) < 1:
        raise ConfigurationError(f"streams are numbers from 1 on, separated by commas, not {text!r}")
    return numbers


def _numbers(text: str) -> tuple[int, ...]:
    """Whole numbers between commas; 0 alone where there is anything else."""
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        return (0,)


def worker_number(text: str) -> int:
    """Read `3`, or `auto` for one per core; raise ConfigurationError on anything but numbers from 0 on."""
    if text.strip().lower() == "auto":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.strip().isdecimal():
        raise ConfigurationError(f"workers are a number from 0 on, or auto for one per core, not {text!r}")
    return int(text)


def duration_s(text: str) -> float:
    """Read `30s`, `2min`, `1.5 min` or `500ms` as seconds; a number alone is seconds too.

    Raises:
        ConfigurationError: anything else, or no time at all.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|min|h)?\s*", text)
    seconds = float(match[1]) * _UNITS_S[match[2] or "s"] if match else 0.0
    if seconds <= 0:
        raise ConfigurationError(f"can't read {text!r} as a duration; write it as 30s or 2min")
    return seconds


def points(text: str) -> tuple[tuple[float, float], ...]:
    """Read `x,y;x,y;...`; raise ConfigurationError on anything else."""
    try:
        pairs = [pair.split(",") for pair in text.split(";") if pair.strip()]
        read = tuple((float(x), float(y)) for x, y in pairs)
    except ValueError:
        read = ()
    if not read or not all(isfinite(number) for pair in read for number in pair):
        raise ConfigurationError(f"can't read {text!r} as points; write them as x,y;x,y in pixels")
    return read


def class_orders(values: Sequence[str]) -> tuple[str | None, dict[str, list[str]]]:
    """Split the values of a repeatable `--classes`.

    Args:
        values: `happiness,sadness,...` for everything with emotions, `er-3=positive,...` for one head.

    Returns:
        The order of the emotions' codes as text, None when not given, and head -> class names in output order.

    Raises:
        ConfigurationError: two orders without a head.
    """
    common: str | None = None
    orders: dict[str, list[str]] = {}
    for value in values:
        head, equals, names = value.partition("=")
        if equals and head.strip() in HEADS:
            orders[head.strip()] = [name.strip() for name in names.split(",") if name.strip()]
        elif common is None:
            common = value
        else:
            raise ConfigurationError("--classes names the order of the emotions twice; name a head: er-3=positive,...")
    return common, orders
