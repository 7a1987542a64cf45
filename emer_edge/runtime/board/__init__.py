"""What a board says about itself in /etc, /proc and /sys: its release, power mode, clocks, heat and power draw.

Every reader takes the root under which those folders lie. The layouts are those of the kernel's documentation and of
NVIDIA's Jetson Linux Developer Guide; they were never compared with a board.
"""

from __future__ import annotations

from emer_edge.runtime.board.clocks import Clock, read_clocks
from emer_edge.runtime.board.energy import EnergyCounter, EnergyCounters, read_energy
from emer_edge.runtime.board.heat import Heat, read_heat
from emer_edge.runtime.board.jetson import Jetson, PowerMode, read_jetson, read_l4t
from emer_edge.runtime.board.power import Power, Rail, read_power

__all__ = [
    "Clock",
    "EnergyCounter",
    "EnergyCounters",
    "Heat",
    "Jetson",
    "Power",
    "PowerMode",
    "Rail",
    "read_clocks",
    "read_energy",
    "read_heat",
    "read_jetson",
    "read_l4t",
    "read_power",
]
