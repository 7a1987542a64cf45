"""Eye trackers without hardware: every protocol's device side, played in real time.

Samples come from `source`, pass a `Stage` (where faults are made), and leave through a `Transport`: a pseudo-terminal
with one of the encoders of `encoders`, an Open Gaze server on TCP, or an LSL outlet.
"""

from __future__ import annotations

from emer_edge.runtime.simulate.fault_spec import FaultSpec, parse_faults
from emer_edge.runtime.simulate.faults import Faults
from emer_edge.runtime.simulate.player import SIMULATED, Played, TrackerSimulator, simulate_tracker
from emer_edge.runtime.simulate.source import recorded_samples, simulated_samples
from emer_edge.runtime.simulate.transport import Stage, Transport

__all__ = [
    "SIMULATED",
    "FaultSpec",
    "Faults",
    "Played",
    "Stage",
    "TrackerSimulator",
    "Transport",
    "parse_faults",
    "recorded_samples",
    "simulate_tracker",
    "simulated_samples",
]
