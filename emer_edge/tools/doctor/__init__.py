"""What is right and what is wrong with this machine and a bundle on it, each with the command that mends it."""

from __future__ import annotations

from emer_edge.tools.doctor.examine import examine
from emer_edge.tools.doctor.host import Finding, worst

__all__ = ["Finding", "examine", "worst"]
