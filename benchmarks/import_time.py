"""What importing costs, and which packages the device commands load."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter_ns

from benchmarks.common import ONE_THREAD, Floor, conclude, parser, show, workshop
from emer_edge.report.table import Column

FLOOR_MS = 50.0
HEAVY = ("torch", "onnx", "pandas", "matplotlib")
CODE = {"bare Python": "pass", "import emer_edge": "import emer_edge", "import numpy": "import numpy"}


def main() -> int:
    """Run it; return the exit code."""
    made = parser("Import time of emer_edge, and the import sets of run, bench and predict.")
    made.add_argument("--rounds", type=int, default=40, help="turns of each candidate")
    arguments = made.parse_args()
    durations: dict[str, list[float]] = {name: [] for name in CODE}
    for _ in range(arguments.rounds):
        for name, code in CODE.items():
            began = perf_counter_ns()
            subprocess.run([sys.executable, "-c", code], check=True)
            durations[name].append((perf_counter_ns() - began) * 1e-6)
    medians = {name: statistics.median(duration) for name, duration in durations.items()}
    bare = medians["bare Python"]
    cost_ms, ratio = medians["import emer_edge"] - bare, medians["import emer_edge"] / bare
    show(
        "A process that does this and ends",
        (Column("What"), Column("median", "ms"), Column("above bare Python", "ms"), Column("count")),
        [(name, median, median - bare, arguments.rounds) for name, median in medians.items()],
    )
    with workshop(arguments.work) as shop:
        loaded = import_sets(arguments.bundle or shop.bundle("int8"), shop.recording(15))
    show(
        "Packages that a command loads while it works",
        (Column("Command"), Column("packages"), Column("heavy ones")),
        [
            (name, len(packages), ", ".join(sorted(packages & set(HEAVY))) or "none")
            for name, packages in loaded.items()
        ],
    )
    heavy = sum(len(packages & set(HEAVY)) for packages in loaded.values())
    floors = [
        Floor("import emer_edge above bare Python", cost_ms, FLOOR_MS, at_least=False, unit=" ms"),
        Floor("heavy packages in run, bench, predict", heavy, 1, at_least=False),
    ]
    figures = {
        "medians_ms": medians,
        "count": arguments.rounds,
        "ratio_to_bare_python": ratio,
        "packages": {name: sorted(packages) for name, packages in loaded.items()},
    }
    return conclude("import_time", floors, figures)


def import_sets(bundle: Path, recording: Path) -> dict[str, set[str]]:
    """Command -> top-level packages that it and its children imported while doing real work."""
    video, tracker = str(recording / "video.avi"), str(recording / "tracker.tsv")
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            "run": ["run", str(bundle), "--camera", video, "--tracker", tracker, "--pace", "fast", "--json"],
            "bench": ["bench", str(bundle), "--output", f"{folder}/bench"],
            "predict": ["predict", str(bundle), str(recording), "--output", f"{folder}/results.csv"],
        }
        return {name: packages_of(command) for name, command in commands.items()}


def packages_of(arguments: list[str]) -> set[str]:
    """Top-level packages imported by `emer-edge ARGUMENTS` and the processes it starts."""
    environment = {**os.environ, **ONE_THREAD, "PYTHONPROFILEIMPORTTIME": "1"}
    command = [sys.executable, "-m", "emer_edge", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(f"emer-edge {arguments[0]} ended with code {done.returncode}:\n{done.stderr[-2000:]}")
    names = re.findall(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", done.stderr, re.MULTILINE)
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)


if __name__ == "__main__":
    sys.exit(main())
