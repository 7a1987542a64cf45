"""The board: its release, power mode, clocks, heat and power draw."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from emer_edge.runtime.board import Heat, Jetson, read_clocks, read_heat, read_jetson, read_power
from emer_edge.runtime.doctor.finding import Finding

__all__ = ["look_at_board"]

_OLDEST_L4T: Final = 36  # JetPack 6: the oldest one with Python 3.10
_MARGIN_C: Final = 5.0


def look_at_board(root: Path = Path("/")) -> Iterator[Finding]:
    """Findings about the board; `root` holds its `etc`, `proc`, `sys` and `var`."""
    jetson = read_jetson(root)
    if jetson is None:
        yield Finding("board", "ok", "no Jetson")
    else:
        yield _release(jetson)
        yield _power_mode(jetson)
    yield _clocks(root, jetson is not None)
    yield from _heat(read_heat(root))
    yield Finding("power draw", "ok", read_power(root).told())


def _release(jetson: Jetson) -> Finding:
    told = f"{jetson.model}, L4T {jetson.l4t}" + (f", JetPack {jetson.jetpack}" if jetson.jetpack else "")
    if int(jetson.l4t.partition(".")[0]) < _OLDEST_L4T:
        return Finding(
            "board", "warning", f"{told}: its Python is older than 3.10", "flash JetPack 6 (NVIDIA's SDK Manager)"
        )
    return Finding("board", "ok", told)


def _power_mode(jetson: Jetson) -> Finding:
    if jetson.mode is None:
        return Finding("power mode", "warning", "can't be read", "sudo nvpmodel -q")
    if jetson.fastest is not None and jetson.mode != jetson.fastest:
        told = f"{jetson.mode.name}; {jetson.fastest.name} is faster, where power and cooling allow it"
        return Finding("power mode", "warning", told, f"sudo nvpmodel -m {jetson.fastest.number}")
    return Finding("power mode", "ok", jetson.mode.name)


def _clocks(root: Path, jetson: bool) -> Finding:
    clocks = read_clocks(root)
    if not clocks:
        return Finding("clocks", "ok", "n/a (this machine shows none: a virtual machine or a container)")
    told = ", ".join(each.told() for each in clocks)
    moving = [each.name for each in clocks if not each.held and each.name != "memory"]
    if not moving:
        return Finding("clocks", "ok", f"held at their highest: {told}")
    if jetson:
        return Finding("clocks", "warning", f"they move, and latency with them: {told}", "sudo jetson_clocks")
    return Finding("clocks", "ok", told)


def _heat(heat: Heat) -> Iterator[Finding]:
    if heat.hottest_c is None:
        yield Finding("temperature", "ok", "n/a (no thermal zone can be read)")
    else:
        told = f"{heat.hottest_c:.0f} °C in {heat.hottest}"
        if heat.limit_c is not None:
            told += f", slowed down from {heat.limit_c:.0f} °C"
        near = heat.limit_c is not None and heat.hottest_c > heat.limit_c - _MARGIN_C
        mend = "cool it: a fan (sudo nvpmodel -d cool on a Jetson), free air, or a lower power mode"
        yield Finding("temperature", "warning" if near else "ok", told, mend if near else "")
    if heat.slowed:
        yield Finding("throttling", "warning", f"slowed down now: {', '.join(heat.slowed)}", "cool it, then look again")
    if heat.over_current:
        yield Finding(
            "over-current",
            "warning",
            f"clocks were cut {heat.over_current} times since boot because of too much current",
            "a stronger power supply, or a lower power mode (sudo nvpmodel -m 1)",
        )
