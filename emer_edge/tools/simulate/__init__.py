"""Eye trackers without hardware: every protocol's device side, played in real time.

Samples come from `player`, pass `Faults`, and leave through a `Transport`: a pseudo-terminal
with the encoder of a format (see `emer_edge.runtime.trackers.formats`), an Open Gaze server on TCP, or an LSL outlet.
"""

from __future__ import annotations

from emer_edge.tools.simulate.player import (
    SimulatedTracker,
    TrackerSimulator,
    recorded_samples,
    simulate_tracker,
    simulated_formats,
    simulated_samples,
)

__all__ = [
    "SimulatedTracker",
    "TrackerSimulator",
    "recorded_samples",
    "simulate_tracker",
    "simulated_formats",
    "simulated_samples",
]
