"""Which windows calibrated, by which method, and what was made of each tensor's values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from emer_edge.bundle import VARIANTS
from emer_edge.report.html import Block, Details, Facts, Figure, Paragraph
from emer_edge.report.plots import Bar, bars
from emer_edge.report.spans import Span, spans
from emer_edge.report.tables import Cell, Column, Estimate, Table

__all__ = ["calibration", "ranges"]

_SHOWN = 12
_NOTHING = "Nothing was calibrated: no part of this bundle computes in INT8."


def calibration(figures: Mapping[str, Any]) -> tuple[Block, ...]:
    """Windows by class and participants, and the trial of methods where there was one."""
    found = figures["calibration"]
    if found is None:
        return (Paragraph(_NOTHING),)
    source = {"data": "the data set's training clips", "synthetic": "synthetic clips"}[found["source"]]
    facts = (
        ("Windows", f"{found['windows']} of {source}, one a clip"),
        ("Participants", str(found["participants"])),
        ("Method", f"{found['method']} ({found['requested']} was asked for)"),
    )
    items = [Bar(name, Estimate(count)) for name, count in found["windows_by_class"].items()]
    blocks: list[Block] = [Facts(facts)]
    if items:
        blocks.append(
            Figure(bars("Calibration windows by class", "windows", items, 0), "Spread over emotions, then people.")
        )
    if found["methods"]:
        blocks.append(_methods(found))
    return tuple(blocks)


def _methods(found: Mapping[str, Any]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, each in found["methods"].items():
        told = [each.get(f"{style}/{figure}") for style in VARIANTS for figure in ("shift", "embedding_db")]
        rows.append((name, "kept" if name in found["method"].split(", ") else "", *told))
    columns = [Column("method"), Column("choice")]
    for style in VARIANTS:
        columns += [Column(f"{style}: movement of heads", "%", 3, 100.0), Column(f"{style}: SQNR", "dB", 1)]
    note = "Tried on selection windows; the method is kept whose worse variant moves the heads' answers least."
    return Table("Calibration methods", tuple(columns), tuple(rows), note)


def ranges(figures: Mapping[str, Any]) -> tuple[Block, ...]:
    """The tensors that lose most: what they held and the range they got; all of them as a table."""
    found = sorted(figures["ranges"], key=_worst)
    if not found:
        return (Paragraph(_NOTHING),)
    shown = [
        Span(
            each["name"],
            (each["low"], each["high"]),
            {f"{style} range": (each[style]["low"], each[style]["high"]) for style in VARIANTS},
        )
        for each in found[:_SHOWN]
    ]
    caption = "Values outside of a range are clipped; a wide range makes steps coarse. Noise decides, not the extent."
    plot = spans(f"The {len(shown)} noisiest of {len(found)} tensors", shown)
    columns = [Column("tensor"), Column("met")]
    for style in VARIANTS:
        columns += [Column(f"{style} range"), Column("clipped", "%", 4, 100.0), Column("SQNR", "dB", 1)]
    note = "Expected signal to noise of the values by themselves, rounding and clipping together."

    def table(title: str, some: list[Any]) -> Table:
        rows: list[tuple[Cell, ...]] = []
        for each in some:
            kept = (each[style] for style in VARIANTS)
            told = (cell for one in kept for cell in (_extent(one), one["clipped"], one["noise_db"]))
            rows.append((each["name"], _extent(each), *told))
        return Table(title, tuple(columns), tuple(rows), note)

    worst = table("Ranges of these tensors", found[:_SHOWN])
    return (Figure(plot, caption), worst, Details(f"All {len(found)} tensors", (table("All ranges", found),)))


def _extent(given: Mapping[str, Any]) -> str:
    return f"{given['low']:.3f} to {given['high']:.3f}"


def _worst(tensor: Mapping[str, Any]) -> float:
    told = [tensor[style]["noise_db"] for style in VARIANTS]
    return min((each for each in told if each is not None), default=math.inf)
