"""Checks of this machine and a bundle on it; every finding has the command that fixes it."""

from __future__ import annotations

from emer_edge.tools.doctor.examine import examine
from emer_edge.tools.doctor.host import Finding, worst

__all__ = ["Finding", "examine", "worst"]
