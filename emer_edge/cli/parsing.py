"""Small texts that options hold."""

from __future__ import annotations

from collections.abc import Sequence

from emer_edge.errors import ConfigurationError
from emer_edge.spec.heads import HEADS

__all__ = ["class_orders", "fold_numbers"]


def fold_numbers(text: str) -> tuple[int, ...]:
    """Read `1,2,3`; raise ConfigurationError on anything that is not a fold from 1 to 5."""
    try:
        folds = tuple(int(each) for each in text.split(",") if each.strip())
    except ValueError:
        folds = (0,)
    if any(not 1 <= each <= 5 for each in folds):
        raise ConfigurationError(f"folds are numbers from 1 to 5, separated by commas, not {text!r}")
    return folds


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
            orders[head.strip()] = [each.strip() for each in names.split(",") if each.strip()]
        elif common is None:
            common = value
        else:
            raise ConfigurationError("--classes names the order of the emotions twice; name a head: er-3=positive,...")
    return common, orders
