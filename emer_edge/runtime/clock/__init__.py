"""The host's clock, and other clocks in its time: one-way links by arrivals, two-way links by round trips."""

from __future__ import annotations

from emer_edge.runtime.clock.mapping import Clock, ClockMapper, ClockReport, host_offset_ns, monotonic_ns
from emer_edge.runtime.clock.pace import PaceCheck
from emer_edge.runtime.clock.two_way import TwoWayClock

__all__ = ["Clock", "ClockMapper", "ClockReport", "PaceCheck", "TwoWayClock", "host_offset_ns", "monotonic_ns"]
