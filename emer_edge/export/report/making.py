"""What went into the bundle, and how to make it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emer_edge.report.html import Block, Code, Facts, Paragraph

__all__ = ["making"]

_TOLD_ABOVE = ("gate", "calibration")


def making(figures: Mapping[str, Any]) -> tuple[Block, ...]:
    """Facts, versions, classes, and the command line."""
    facts = tuple(
        (name[:1].upper() + name[1:], str(value)) for name, value in figures["facts"].items() if name not in _TOLD_ABOVE
    )
    classes = tuple((f"Classes of {head}", ", ".join(names)) for head, names in figures["heads"].items() if names)
    again: tuple[Block, ...] = (
        Paragraph("It was exported by a Python program, so there is no command line to repeat."),
    )
    if figures["command"]:
        again = (
            Paragraph("To make it again, with your own folders before the names of files:"),
            Code(figures["command"]),
        )
    return (Facts((*facts, *classes)), *again)
