"""The page of boards that have run this project, made from the files that `gpu_check` wrote on them.

python -m benchmarks.boards     # writes docs/boards.md anew from benchmarks/results/boards/*.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.tables import put_table
from emer_edge.report.table import Cell, Column, Table

BOARDS: Final = Path(__file__).parent / "results/boards"
"""A file a board."""
PAGE: Final = Path(__file__).parents[1] / "docs/boards.md"
_COLUMNS: Final = (
    Column("board"),
    Column("software"),
    Column("power mode"),
    Column("bundle"),
    Column("step", "ms"),
    Column("what computes it"),
    Column("live p99", "ms"),
    Column("checks that failed"),
)
_EMPTY: Final = "No board has sent a file yet: nothing is known about any, and this table is empty."


def boards_table(folder: Path) -> Table:
    """A row a board and bundle.

    Args:
        folder: of the files; it need not exist.

    Raises:
        SystemExit: a file is none of `gpu_check`.
    """
    rows: list[tuple[Cell, ...]] = []
    for path in sorted(folder.glob("*.json")):
        try:
            rows += _rows(json.loads(path.read_text()))
        except (ValueError, KeyError, TypeError) as error:
            raise SystemExit(f"{path} is no file of gpu_check: {error!r}") from None
    note = "Medians of one thread; a step is one crop encoded and one window fused." if rows else _EMPTY
    return Table("Boards", _COLUMNS, tuple(rows), note)


def _rows(document: dict[str, Any]) -> Iterator[tuple[Cell, ...]]:
    figures, environment = document["figures"], document["environment"]
    machine, failed = figures["machine"], sum(not row["ok"] for row in figures["rows"])
    board = machine["gpu"] if machine["module"] == "unknown" else machine["module"]
    software = f"{machine['tensorrt']}, CUDA {machine['cuda']}, L4T {machine['l4t']}"
    facts = (f"{board}, {machine['multiprocessors']} SMs", software, environment["power_mode"] or "none")
    for name, bundle in figures["bundles"].items() or {"none": {}}.items():
        best = next((each for each in bundle.get("combinations", ()) if _agrees(each)), None)
        live = bundle.get("live", {}).get("stages", {}).get("total", {}).get("p99_ms")
        step, parts = (best["step_ms"], " + ".join(best["parts"].values())) if best else (None, "none agreed")
        yield (*facts, name, step, parts, live, failed)


def _agrees(combination: dict[str, Any]) -> bool:
    return combination["difference"] is None or combination["difference"] <= combination["allowed"]


def main() -> int:
    """Write the page; return the exit code."""
    put_table(PAGE, "boards", boards_table(BOARDS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
