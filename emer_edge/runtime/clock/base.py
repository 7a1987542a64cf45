"""What every clock mapping offers, and what it says about itself."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

__all__ = ["Clock", "ClockReport", "monotonic_ns"]

monotonic_ns: Final = time.monotonic_ns
"""The host clock of all stamps: CLOCK_MONOTONIC in nanoseconds."""

_POOR_RESIDUAL_MS: Final = 50.0
_POOR_DRIFT_PPM: Final = 200.0
_POOR_UNCERTAINTY_MS: Final = 10.0


@dataclass(frozen=True, slots=True)
class ClockReport:
    """How well a tracker's clock is known in host time.

    Attributes:
        link: `one-way` (arrivals alone) or `two-way` (round trips).
        drift_ppm: how much slower than the host's the device clock runs.
        residual_ms: mean delay above the fastest link seen: the jitter that the mapping takes away.
        resets: how often the device clock was seen to restart, jump or pause.
        uncertainty_ms: two-way links: the mapping errs by no more than this; None where nothing bounds it.
    """

    link: str
    drift_ppm: float
    residual_ms: float
    resets: int
    uncertainty_ms: float | None = None

    def __str__(self) -> str:
        known = "" if self.uncertainty_ms is None else f", known to {self.uncertainty_ms:.2g} ms"
        return (
            f"drifts by {self.drift_ppm:.0f} ppm, {self.residual_ms:.2g} ms of jitter taken away, "
            f"{self.resets} resets ({self.link}{known})"
        )

    def notes(self) -> tuple[str, ...]:
        """Sentences for the reader of results where the mapping is poor; empty where it is good."""
        poor = []
        if self.resets:
            times = "once" if self.resets == 1 else f"{self.resets} times"
            poor.append(f"the tracker's clock restarted or jumped {times}: its times are less sure for 5 s after each")
        if abs(self.drift_ppm) > _POOR_DRIFT_PPM:
            poor.append(f"the tracker's clock drifts by {self.drift_ppm:.0f} ppm, more than a quartz should")
        if self.residual_ms > _POOR_RESIDUAL_MS:
            poor.append(f"samples arrive {self.residual_ms:.0f} ms late on average: times may err by milliseconds")
        if self.uncertainty_ms is not None and self.uncertainty_ms > _POOR_UNCERTAINTY_MS:
            poor.append(f"the tracker's clock is known to {self.uncertainty_ms:.0f} ms only: its link is slow")
        return tuple(poor)

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, ready for JSON."""
        return asdict(self)


class Clock(Protocol):
    """Maps a device's stamps to host monotonic time, sample by sample, and never runs backwards."""

    @property
    def report(self) -> ClockReport:
        """How well it does."""
        ...

    def map(self, device_ns: int | None, arrival_ns: int) -> int:
        """Return the host time of a sample stamped `device_ns` (None where the device has no clock)."""
        ...

    def resume(self) -> None:
        """Take note that the link was cut: the device's clock may have stopped meanwhile, or be another one."""
        ...
