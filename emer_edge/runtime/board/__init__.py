"""What a board says about itself in /etc, /proc and /sys: its release, power mode, clocks, heat, memory and power draw.

Every reader takes the root under which those folders lie. The layouts are those of the kernel's documentation and of
NVIDIA's Jetson Linux Developer Guide; they were never compared with a board.
"""

from __future__ import annotations

from emer_edge.runtime.board.power import EnergyCounter, EnergyCounters, Power, Rail, read_energy, read_power
from emer_edge.runtime.board.state import (
    ADD_SWAP,
    Clock,
    Heat,
    Jetson,
    Memory,
    PowerMode,
    read_clocks,
    read_heat,
    read_jetson,
    read_l4t,
    read_memory,
    read_number,
    read_text,
)

__all__ = [
    "ADD_SWAP",
    "Clock",
    "EnergyCounter",
    "EnergyCounters",
    "Heat",
    "Jetson",
    "Memory",
    "Power",
    "PowerMode",
    "Rail",
    "read_clocks",
    "read_energy",
    "read_heat",
    "read_jetson",
    "read_l4t",
    "read_memory",
    "read_number",
    "read_power",
    "read_text",
]
