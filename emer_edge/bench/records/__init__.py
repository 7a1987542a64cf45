"""What bench writes: `report.json`, schema `emer-edge/bench/2` (docs/bench-report.md describes every field).

One file a subject; here is what all of them share. Decoding is strict, so a report that decodes is a valid one.
"""

from __future__ import annotations

import math

import msgspec

from emer_edge.metrics.intervals import Interval

__all__ = ["Estimated", "Excluded", "Record"]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every record of a report is: immutable, its fields named, unknown ones refused."""


class Estimated(Record, frozen=True):
    """A figure and its 95 % interval, by bootstrap over participants; no limits with fewer than two of them."""

    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, interval: Interval) -> Estimated:
        """From an interval."""
        limits = [limit if math.isfinite(limit) else None for limit in (interval.low, interval.high)]
        return cls(value=interval.value, low=limits[0], high=limits[1])


class Excluded(Record, frozen=True):
    """A clip that was not scored, and why."""

    clip: str
    reason: str
