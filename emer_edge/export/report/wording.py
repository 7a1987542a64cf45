"""What sections share: names of variants, metrics and precisions as people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from emer_edge.report.tables import Estimate
from emer_edge.spec.heads import HEADS, ValueHead

__all__ = [
    "INTERVALS",
    "METRICS",
    "estimate",
    "precision_of",
    "share_of_range",
    "variant_labels",
    "variant_precision",
]

METRICS: Final = {"war": "WAR", "uar": "UAR", "mae": "MAE", "ece": "ECE", "nll": "NLL", "brier": "Brier score"}
INTERVALS: Final = "95 % intervals by bootstrap over participants."


def precision_of(figures: Mapping[str, Any]) -> str:
    """The lowest precision that a part computes in, as people write it: what the bundle is called by."""
    used = {each["precision"] for each in figures["parts"].values()}
    return next((each.upper() for each in ("int8", "fp16") if each in used), "FP32")


def variant_precision(figures: Mapping[str, Any], variant: str) -> str:
    """What a variant's networks compute in: `INT8`, or `INT8 and FP16` where parts differ."""
    used = [
        each["precision"].upper()
        for key, each in figures["parts"].items()
        if key.startswith(f"{variant}/") and "face_detector" not in key
    ]
    return " and ".join(dict.fromkeys(used)) or "FP32"


def variant_labels(figures: Mapping[str, Any]) -> dict[str, str]:
    """`fp32` and the variants that compute in anything else, as legends call them."""
    found = {"fp32": "FP32"}
    for variant in figures["trials"]:
        used = variant_precision(figures, variant)
        if used != "FP32":
            found[variant] = f"{variant}, {used}"
    return found


def estimate(given: Sequence[float | None], scale: float = 1.0) -> Estimate:
    """A figure of `report.json` and its limits, which are null where they are unknown."""
    value, low, high = (math.nan if each is None else each * scale for each in given)
    return Estimate(value, low, high)


def share_of_range(head: str) -> float:
    """Factor that turns an error of a value head into per cent of its label's range."""
    spec = HEADS.get(head)
    return 100.0 / (spec.high - spec.low) if isinstance(spec, ValueHead) else 100.0
