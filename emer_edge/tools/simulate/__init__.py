"""Eye trackers without hardware: every protocol's device side, played in real time.

Samples come from `player`, pass a `Stage` (where faults are made), and leave through a `Transport`: a pseudo-terminal
with the encoder of a format (see `emer_edge.runtime.trackers.formats`), an Open Gaze server on TCP, or an LSL outlet.
"""

from __future__ import annotations

from emer_edge.tools.simulate.faults import Faults, FaultSpec, parse_faults
from emer_edge.tools.simulate.player import (
    Played,
    SimulatedTracker,
    TrackerSimulator,
    recorded_samples,
    simulate_tracker,
    simulated_formats,
    simulated_samples,
)
from emer_edge.tools.simulate.transport import Stage, Transport

__all__ = [
    "FaultSpec",
    "Faults",
    "Played",
    "SimulatedTracker",
    "Stage",
    "TrackerSimulator",
    "Transport",
    "parse_faults",
    "recorded_samples",
    "simulate_tracker",
    "simulated_formats",
    "simulated_samples",
]
