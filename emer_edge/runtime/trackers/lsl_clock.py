"""What liblsl knows about clocks: this machine's beside the host clock, and an outlet's beside this machine's."""

from __future__ import annotations

import ctypes
from typing import Any, Final

from emer_edge.runtime.clock import monotonic_ns

__all__ = ["lsl_to_host_ns", "time_correction"]

_BRACKETS: Final = 5


def lsl_to_host_ns(pylsl: Any) -> int:
    """What added to this machine's LSL clock gives host time: from the tightest of a few bracketed readings."""
    readings: list[tuple[int, int]] = []
    for _ in range(_BRACKETS):
        before_ns = monotonic_ns()
        lsl_ns = round(pylsl.local_clock() * 1e9)
        after_ns = monotonic_ns()
        readings.append((after_ns - before_ns, (before_ns + after_ns) // 2 - lsl_ns))
    return min(readings)[1]


def time_correction(pylsl: Any, inlet: Any, wait_s: float) -> tuple[float, float, float] | None:
    """The newest clock measurement: remote time, offset to the local LSL clock and round trip, all s; or None."""
    function = pylsl.lib.lib.lsl_time_correction_ex
    function.restype = ctypes.c_double
    remote_s, round_trip_s, code = ctypes.c_double(), ctypes.c_double(), ctypes.c_int()
    offset_s = function(
        inlet.obj, ctypes.byref(remote_s), ctypes.byref(round_trip_s), ctypes.c_double(wait_s), ctypes.byref(code)
    )
    return None if code.value else (remote_s.value, float(offset_s), round_trip_s.value)
