"""How the cost of a live run grows: with people, with the window, with the tracker's rate, with the size of a frame.

Every point is a real `emer-edge run` as in `benchmarks.live_loop`, Motion JPEG through pipes and serial trackers; one
thing at a time is changed from one person, 12 s, 120 Hz and 640x480. The plot and the table go to docs/scaling.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from benchmarks.common import conclude, console, parser, show, workshop
from benchmarks.endurance.time_series import Course, stacked, time_series
from benchmarks.live_loop import FIRST_S, pictures, run
from benchmarks.tables import put_table
from emer_edge.core.window import NANOSECONDS
from emer_edge.report import write_whole
from emer_edge.report.table import Column, Table

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "scaling.md"
PLOT: Final = ROOT / "docs" / "images" / "scaling.svg"
SIZES: Final = {"640x480": 0.3, "1280x720": 0.9, "1920x1080": 2.1, "3840x2160": 8.3}
"""Of frames -> their millions of pixels."""

AXES: Final[dict[str, tuple[Any, ...]]] = {
    "people": (1, 2, 4, 8, 16),
    "window": (6, 12, 24, 60),
    "rate": (30, 120, 300, 1000),
    "frame": tuple(SIZES),
}
UNITS: Final = {"people": "people", "window": "s of a window", "rate": "samples a second", "frame": "megapixels"}
BASE: Final = {"people": 1, "window": 12, "rate": 120, "frame": "640x480"}
_RESULT_EVERY_S: Final = 0.5  # or as near as the window's slots allow
_SETTLED_S: Final = 4.0


def main() -> int:
    """Run it; return the exit code."""
    made = parser("How the cost of a live run grows, one thing at a time. Eight minutes.")
    made.add_argument("--seconds", type=float, default=10.0, help="measured time of each point")
    made.add_argument("--only", nargs="+", choices=list(AXES), default=list(AXES), help="axes")
    arguments = made.parse_args()
    with workshop(arguments.work) as shop, TemporaryDirectory(prefix="emer-edge-") as name:
        bundle, folder, beyond = (arguments.bundle or shop.bundle("int8")).resolve(), Path(name), list[str]()
        video, measured = shop.recording(20) / "video.avi", dict[str, dict[str, Any]]()
        for axis in arguments.only:
            for value in AXES[axis]:
                point = {**BASE, axis: value}
                if (key := json.dumps(point)) not in measured:
                    console.print(f"{axis} {value}", highlight=False)
                    try:
                        measured[key] = _measured(point, bundle, video, folder, seconds=arguments.seconds)
                    except SystemExit as ended:
                        if not str(ended.code).startswith("no result"):
                            raise
                        console.print(str(ended.code)[-300:], highlight=False)  # that much is beyond this machine
                        beyond.append(f"{value} {UNITS[axis]}")
    rows = [
        {"axis": axis, "value": value, **measured[key]}
        for axis in arguments.only
        for value in AXES[axis]
        if (key := json.dumps({**BASE, axis: value})) in measured
    ]
    table = _table(rows, arguments.seconds, beyond)
    show(table.title, table.columns, list(table.rows), table.note)
    figures = {"seconds": arguments.seconds, "bundle": bundle.name, "rows": rows}
    whole = arguments.only == list(AXES)
    return conclude("scaling", [], figures, beside=(lambda: _put(rows, table)) if whole else None)


def _measured(point: dict[str, Any], bundle: Path, video: Path, folder: Path, *, seconds: float) -> dict[str, Any]:
    images = folder / point["frame"]
    if not images.exists():
        width, height = map(int, point["frame"].split("x"))
        pictures(video, images, (width, height))
    place = folder / "-".join(map(str, point.values()))
    given = argparse.Namespace(
        people=point["people"], rate_hz=point["rate"], seconds=seconds, settled=_SETTLED_S, everything=False, old=None
    )
    figures = run(ROOT, _with_window(bundle, point["window"], folder), images, place, given)
    shutil.rmtree(place)
    keys = ("cpu_ms_a_second", "p50_ms", "p99_ms", "pss_mb", "late_looks", "lost", "others_share")
    return {**{key: figures[key] for key in keys}, "results_a_second": figures["results"] / seconds}


def _with_window(bundle: Path, length_s: int, folder: Path) -> Path:
    """A copy of the bundle that reads windows of another length, still about every half second."""
    changed = folder / f"window-{length_s}.emer"
    if not changed.exists():
        shutil.copytree(bundle, changed)
        manifest = json.loads((changed / "manifest.json").read_text())
        hops = max(1, round(length_s / 8 / _RESULT_EVERY_S))
        manifest["window"] |= {"length_ns": length_s * NANOSECONDS, "hops_per_slot": hops}
        (changed / "manifest.json").write_text(json.dumps(manifest))
    return changed


def _table(rows: list[dict[str, Any]], seconds: float, beyond: list[str]) -> Table:
    columns = (
        *(Column("Changed"), Column("To"), Column("Processor", "ms a second", 1), Column("Step p50", "ms", 1)),
        *(Column("p99", "ms", 1), Column("Memory (PSS)", "MB", 0), Column("Results a second", digits=1)),
        *(Column("Late looks"), Column("Lost")),
    )
    keys = ("cpu_ms_a_second", "p50_ms", "p99_ms", "pss_mb", "results_a_second", "late_looks", "lost")
    cells = [(row["axis"], str(row["value"]), *(row[key] for key in keys)) for row in rows]
    note = (
        f"One person, a window of 12 s, 120 samples a second and 640x480 but for what is changed; {seconds:g} s each; "
        f"all processes of a run, INT8, one thread, {os.cpu_count()} cores (`python -m benchmarks.scaling`)."
    )
    if beyond:
        note += f" Beyond this machine, so that no whole window was read in {FIRST_S:g} s: {', '.join(beyond)}."
    return Table("What a live run costs (measured)", columns, tuple(cells), note)


def _put(rows: list[dict[str, Any]], table: Table) -> None:
    put_table(PAGE, "scale curve", replace(table, note=f"{table.note}\n\n![The same as curves](images/{PLOT.name})"))
    drawings = []
    for axis in AXES:
        points = [row for row in rows if row["axis"] == axis]
        places = [float(SIZES.get(row["value"], row["value"]) if axis == "frame" else row["value"]) for row in points]
        spent = [row["cpu_ms_a_second"] for row in points]
        slope, start = np.polyfit(places, spent, 1)
        lines = [Course("measured", places, spent), Course("a line", places, [start + slope * at for at in places])]
        drawings.append(time_series(f"Processor time by {axis}", "ms a second", UNITS[axis], lines))
    write_whole(PLOT, stacked("What a live run costs", drawings))


if __name__ == "__main__":
    sys.exit(main())
