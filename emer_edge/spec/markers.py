"""Markers: moments that somebody, or the program that shows the stimuli, has named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

__all__ = ["MARKER_LABEL_CHARACTERS", "Marker"]

MARKER_LABEL_CHARACTERS: Final = 200
"""Longer labels are cut."""


@dataclass(frozen=True, slots=True)
class Marker:
    """A named moment.

    Attributes:
        label: what it is called, for example `key a` or `stimulus 3`.
        stamp_ns: when it was, host monotonic time.
        source: who said so: `keyboard`, `lines`, `program`, or an LSL stream as `lsl NAME`.
        clock: where the stamp comes from: `host`, `lsl` (the stream's own, mapped), or `arrival`.
    """

    label: str
    stamp_ns: int
    source: str = "program"
    clock: str = "host"

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, ready for JSON."""
        return {"label": self.label, "stamp_ns": self.stamp_ns, "source": self.source, "clock": self.clock}
