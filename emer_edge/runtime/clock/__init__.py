"""The host's clock, and other clocks in its time: one-way links by arrivals, two-way links by round trips."""

from __future__ import annotations

from emer_edge.runtime.clock.base import Clock, ClockReport, monotonic_ns
from emer_edge.runtime.clock.one_way import ClockMapper
from emer_edge.runtime.clock.two_way import TwoWayClock

__all__ = ["Clock", "ClockMapper", "ClockReport", "TwoWayClock", "monotonic_ns"]
