"""One device that was found."""

from __future__ import annotations

import grp
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Device", "Devices", "access_problem"]


@dataclass(frozen=True)
class Device:
    """A camera or an eye tracker.

    Attributes:
        kind: `camera` or `tracker`.
        name: what it calls itself.
        argument: what to write for it, for example `--camera /dev/v4l/by-id/...`.
        details: what else is known, for people: formats, rates, where it is plugged in.
        problem: why it can't be used now, and what to do; None where nothing is known to be wrong.
    """

    kind: str
    name: str
    argument: str
    details: tuple[str, ...] = ()
    problem: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, ready for JSON."""
        return {
            "kind": self.kind,
            "name": self.name,
            "argument": self.argument,
            "details": list(self.details),
            "problem": self.problem,
        }


@dataclass(frozen=True)
class Devices:
    """All that was found.

    Attributes:
        found: cameras first.
        hints: what to check for a kind of which nothing was found, a sentence each.
    """

    found: tuple[Device, ...]
    hints: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, ready for JSON."""
        return {"devices": [each.to_dict() for each in self.found], "hints": list(self.hints)}


def access_problem(path: Path) -> str | None:
    """Why this user may not open a device file, with the group to join; None where they may."""
    if os.access(path, os.R_OK | os.W_OK):
        return None
    try:
        group = grp.getgrgid(path.stat().st_gid).gr_name
    except (OSError, KeyError):
        return f"this user may not open {path}"
    if group == "root":
        return f"this user may not open {path}, which belongs to root alone: a udev rule gives it to a group"
    return (
        f"this user may not open {path}; join its group with: sudo usermod -aG {group} $USER, then log out and in again"
    )
