"""A live run while other programs want both cores: the newest evidence still wins, and what is skipped is counted."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from typing import Any, Final

from benchmarks.common import Floor, conclude, console, parser, show, workshop
from benchmarks.endurance.devices import FaceCamera, FaultyTracker
from benchmarks.endurance.figures import percentiles
from benchmarks.endurance.live_run import LiveRun
from benchmarks.endurance.oracle import holes
from benchmarks.endurance.processes import sample_tree
from benchmarks.endurance.soak_run import brief
from benchmarks.quiet import OTHERS
from emer_edge.bundle import Bundle, load_bundle
from emer_edge.report.table import Cell, Column
from emer_edge.runtime.options import WindowOptions

LOADS: Final[dict[str, tuple[str, ...]]] = {
    "none": (),
    "cpu": ("--cpu", "2"),
    "memory": ("--vm", "2", "--vm-bytes", "256M"),
    "disk": ("--hdd", "2", "--hdd-bytes", "64M"),
}
_OPENING_S: Final = 120.0
_SILENCE_MS: Final = 1000.0
_DEVICES_NICE: Final = -15
"""Of this script: the sensors stand outside of the machine and keep their pace whatever it does."""


def main() -> int:
    """Run it; return the exit code."""
    made = parser("Run with live sensors under stress-ng and without, in turns; judge the age of the evidence.")
    made.add_argument("--seconds", type=float, default=60.0, help="of each turn, from the first whole window on")
    made.add_argument("--rounds", type=int, default=2, help="turns of each load")
    made.add_argument("--loads", nargs="+", choices=LOADS, default=list(LOADS), help="which loads")
    made.add_argument("--nice", type=int, default=-5, help="niceness of the run in the turns that have one")
    arguments = made.parse_args()
    if shutil.which("stress-ng") is None:
        sys.exit("stress-ng is not installed; it makes the load: sudo apt install stress-ng")
    urgent = allowed(min(_DEVICES_NICE, arguments.nice))
    if urgent:
        os.setpriority(os.PRIO_PROCESS, 0, _DEVICES_NICE)
    ways = [(load, 0) for load in arguments.loads]
    ways += [(load, arguments.nice) for load in arguments.loads if load != "none" and urgent]
    if not urgent:
        console.print("not root: no turns with --nice, and the sensors compete with the load")
    turns: dict[tuple[str, int], list[dict[str, Any]]] = {way: [] for way in ways}
    with workshop(arguments.work) as shop:
        bundle = load_bundle(arguments.bundle or shop.bundle("int8"))
        for number in range(arguments.rounds):
            for load, nice in ways:
                console.print(f"round {number + 1}: load {load}, niceness {nice}", highlight=False)
                turns[load, nice].append(turn(bundle, load, nice, arguments.seconds))
    merged = {way: merge(runs, bundle) for way, runs in turns.items()}
    show_rows(merged)
    return conclude("load", floors(merged, bundle), figures(arguments, merged))


def turn(bundle: Bundle, load: str, nice: int, seconds: float) -> dict[str, Any]:
    """One run beside one load; its results from the first whole window on."""
    results: list[dict[str, Any]] = []
    said: list[str] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="emer-edge-load-")))
        camera, tracker = FaceCamera(), FaultyTracker(folder / "ttyEMER")
        stack.callback(camera.unplug)
        stack.callback(tracker.unplug)
        arguments = [str(bundle.path), "--camera", camera.url, "--tracker", tracker.source, "--nice", str(nice)]
        run = LiveRun(arguments, lambda result, received_ns: results.append(brief(result, received_ns)), said.append)
        stack.callback(run.stop)
        hops = bundle.manifest.window.hops
        if not run.wait_results(hops, _OPENING_S):
            sys.exit("\n".join(["the run gave no results:", *said[-5:]]))
        with stressed(load, folder):
            sleep(2.0)  # the load has begun
            first, before = len(results), sample_tree(run.pid)
            sleep(seconds)
            after, last = sample_tree(run.pid), len(results)
        alive = run.code is None
    share = (after.cpu_s - before.cpu_s) / seconds
    # One more in front, whose count of late steps is where this turn's count begins.
    return {"results": results[first - 1 : last], "cpu_share": share, "rss_mb": after.rss_mb, "alive": alive}


@contextlib.contextmanager
def stressed(load: str, folder: Path) -> Iterator[None]:
    """Have stress-ng at work, at niceness 0."""
    if not LOADS[load]:
        yield
        return
    command = ["stress-ng", *LOADS[load], "--temp-path", str(folder), "--quiet"]
    own = os.getpriority(os.PRIO_PROCESS, 0)
    prefix = ["nice", "-n", str(-own)] if own else []
    with subprocess.Popen([*prefix, *command], stdout=subprocess.DEVNULL) as stress:
        try:
            with OTHERS.declared(stress.pid):
                yield
        finally:
            stress.terminate()


def merge(turns: list[dict[str, Any]], bundle: Bundle) -> dict[str, Any]:
    """The figures of all turns of a way."""
    results = [result for turn in turns for result in turn["results"][1:]]
    missing = counted = 0
    for item in turns:
        ends = [result["end_ns"] for result in item["results"]]
        missing += holes(ends, bundle.manifest.window.hop_ns)
        counted += skipped(item["results"][-1]) - skipped(item["results"][0])
    return {
        "results": len(results),
        "alive": all(turn["alive"] for turn in turns),
        "states": {
            state: sum(result["state"] == state for result in results) for state in {r["state"] for r in results}
        },
        "result_age_ms": percentiles([result["age_ms"] for result in results]),
        "face_age_ms": percentiles([result["face_age_ms"] for result in results if result["face_age_ms"] is not None]),
        "sample_age_ms": percentiles(
            [result["sample_age_ms"] for result in results if result["sample_age_ms"] is not None]
        ),
        "total_ms": percentiles([result["total_ms"] for result in results]),
        "windows_without_result": missing,
        "late_steps_counted": counted,
        "dropped": turns[-1]["results"][-1]["dropped"],
        "cpu_share": sum(turn["cpu_share"] for turn in turns) / len(turns),
        "rss_mb": max(turn["rss_mb"] for turn in turns),
    }


def skipped(result: dict[str, Any]) -> int:
    """Windows that a run has reported as skipped, up to a result."""
    return int(result["dropped"].get("late steps", 0) + result["dropped"].get("results", 0))


def floors(merged: dict[tuple[str, int], dict[str, Any]], bundle: Bundle) -> list[Floor]:
    """The floors under every load.

    A step that would begin a hop late is skipped, so a result is never older than the allowance and a hop when its step
    begins; another hop is left for the step itself. Left alone, or more urgent than the load, the run finds a face in
    every hop. Where it has to share, it sees fewer frames; but a second without any would be silence, which results
    call stale, so evidence older than that is an exception, and older than a face slot it never is.
    """
    window = bundle.manifest.window
    hop_ms, slot_ms = window.hop_ns * 1e-6, window.face_slot_ns * 1e-6
    result_ms = WindowOptions().allowance_ns * 1e-6 + 2 * hop_ms
    promised = []
    for (load, nice), way in merged.items():
        name = f"load {load}, niceness {nice}"
        shares = load != "none" and nice >= 0
        face_ms, sample_ms = (_SILENCE_MS, hop_ms) if shares else (hop_ms, hop_ms / 2)
        uncounted = abs(way["windows_without_result"] - way["late_steps_counted"])
        promised += [
            Floor(f"{name}: oldest result", way["result_age_ms"]["max"], result_ms, False, " ms"),
            Floor(f"{name}: age of the newest face, p99", way["face_age_ms"]["p99"], face_ms, False, " ms"),
            Floor(f"{name}: age of the newest face, at most", way["face_age_ms"]["max"], slot_ms, False, " ms"),
            Floor(f"{name}: age of the newest sample, p99", way["sample_age_ms"]["p99"], sample_ms, False, " ms"),
            Floor(f"{name}: age of the newest sample, at most", way["sample_age_ms"]["max"], slot_ms, False, " ms"),
            Floor(f"{name}: windows without a result that nobody counted", uncounted, 1, False),
            Floor(f"{name}: runs that ended", float(not way["alive"]), 1, False),
        ]
    return promised


def show_rows(merged: dict[tuple[str, int], dict[str, Any]]) -> None:
    """Print the table."""
    rows: list[tuple[Cell, ...]] = []
    for (load, nice), way in merged.items():
        ages = [
            way[key][share] for key in ("face_age_ms", "sample_age_ms", "result_age_ms") for share in ("p99", "max")
        ]
        rows.append((load, nice, way["results"], *ages, way["total_ms"]["p99"], way["windows_without_result"],
                     way["late_steps_counted"], 100 * way["cpu_share"]))  # fmt: skip
    columns = [Column("load"), Column("niceness"), Column("results")]
    for name in ("face", "sample", "result"):
        columns += [Column(f"{name} p99", "ms", 0), Column(f"{name} max", "ms", 0)]
    columns += [Column("total p99", "ms", 1), Column("skipped"), Column("counted"), Column("CPU", "%", 0)]
    show(
        "Age of the newest face and sample at the window's end, and of the result when it is read", tuple(columns), rows
    )


def figures(arguments: argparse.Namespace, merged: dict[tuple[str, int], dict[str, Any]]) -> dict[str, Any]:
    """The figures of the result."""
    return {
        "seconds": arguments.seconds,
        "rounds": arguments.rounds,
        "loads": {name: " ".join(("stress-ng", *options)) for name, options in LOADS.items() if options},
        "turns": [{"load": load, "nice": nice, **way} for (load, nice), way in merged.items()],
    }


def allowed(nice: int) -> bool:
    """Whether this user may be as urgent as that."""
    probe = [sys.executable, "-c", f"import os; os.setpriority(os.PRIO_PROCESS, 0, {nice})"]
    return subprocess.run(probe, stderr=subprocess.DEVNULL, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
