"""Where `emer-edge run` spends CPU time: thread by thread, stage by stage, in ms per second.

The run is the real command on a video file of 30 frames a second and a tracker file of 120 samples a second, at their
own pace, in a process of its own. There, clocks of the processor time of the calling thread stand around the functions
named in `STAGES`, nested ones taken off those that call them; what a thread spends outside of all of them is its rest.
Nothing is sampled, so that short and rare stages are measured as well as long ones, and a busy machine does not matter.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import run as run_process
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.common import ONE_THREAD, Floor, conclude, console, parser, show, workshop
from emer_edge.report.table import Cell, Column

FLOOR_MS = 150.0
"""CPU time per second of the whole loop with JSON alone; a third of it goes into decoding the video."""

STAGES = {
    "engine": "emer_edge.runtime.engines.onnxruntime_engine:OnnxRuntimeEngine.run",
    "encode": "emer_edge.runtime.session:Session.encode",
    "fuse": "emer_edge.runtime.session:Session.fuse",
    "crop to numbers": "emer_edge.data.images:stack_faces",
    "find": "emer_edge.runtime.faces.finder:FaceFinder.see",
    "whole look": "emer_edge.runtime.faces.detector:FaceDetector.detect",
    "near look": "emer_edge.runtime.faces.detector:NearLook.look",
    "decode faces": "emer_edge.runtime.faces.detector:CenterFace.decode",
    "align": "emer_edge.runtime.faces.looks:align",
    "appearance": "emer_edge.runtime.faces.follower:Appearance.of",
    "usable": "emer_edge.runtime.faces.looks:why_unusable",
    "wait": "emer_edge.runtime.trackers.live_tracker:LiveTracker._gather",
    "decode": "emer_edge.runtime.trackers.formats.emer:EmerDecoder.feed",
    "put": "emer_edge.runtime.trackers.live_tracker:LiveTracker._put",
    "samples": "emer_edge.runtime.evidence:Evidence.on_samples",
    "39 columns": "emer_edge.signals.rows:raw_rows",
    "network rows": "emer_edge.signals.rows:network_rows",
    "column watch": "emer_edge.runtime.evidence:ColumnWatch.add",
    "eye ring": "emer_edge.signals.rows:EyeStream.extend",
    "cut": "emer_edge.runtime.evidence:Evidence.cut",
    "eye movements": "emer_edge.signals.events:movements",
    "event columns": "emer_edge.signals.events:event_columns",
    "compose": "emer_edge.runtime.pipeline.core:PipelineCore.finish",
}
"""Name of a stage -> its function."""

_SKIPPED_S = 6.0  # of start, imports and warm-up
_BEFORE_END_S = 1.0


def main() -> int:
    """Run it; return the exit code."""
    made = parser("Where a running pipeline spends CPU time.")
    made.add_argument("--seconds", type=int, default=45, help="length of the run")
    made.add_argument("--watched", help=argparse.SUPPRESS, nargs=argparse.REMAINDER)
    arguments = made.parse_args()
    if arguments.watched:
        return watched(Path(arguments.watched[0]), float(arguments.watched[1]), arguments.watched[2:])
    with workshop(arguments.work) as shop, TemporaryDirectory(prefix="emer-edge-") as folder:
        bundle, recording = arguments.bundle or shop.bundle("int8"), shop.recording(arguments.seconds)
        output = Path(folder) / "profile.json"
        run_arguments = ["run", str(bundle), "--camera", str(recording / "video.avi"), "--offset-ms", "0", "--json"]
        run_arguments += ["--tracker", str(recording / "tracker.tsv")]
        command = [
            sys.executable,
            "-m",
            "benchmarks.profile_loop",
            "--watched",
            str(output),
            str(arguments.seconds),
            *run_arguments,
        ]
        with open(os.devnull, "w") as nowhere:
            run_process(command, stdout=nowhere, env={**os.environ, **ONE_THREAD}, check=True)
        profile = json.loads(output.read_text())
    total = sum(profile["threads"].values()) + sum(profile["children"].values())
    rows: list[tuple[Cell, ...]] = []
    for thread, spent in sorted(profile["threads"].items(), key=lambda item: -item[1]):
        rows.append((thread, "", spent, 100 * spent / total, None, None))
        for stage, entry in sorted(profile["stages"].get(thread, {}).items(), key=lambda item: -item[1]["ms"]):
            rows.append(
                ("", stage, entry["ms"], 100 * entry["ms"] / total, entry["calls"], 1e3 * entry["ms"] / entry["calls"])
            )
        inside = sum(stage["ms"] for stage in profile["stages"].get(thread, {}).values())
        if inside:
            rows.append(("", "the rest", spent - inside, 100 * (spent - inside) / total, None, None))
    rows += [(child, "", spent, 100 * spent / total, None, None) for child, spent in profile["children"].items()]
    show(
        f"CPU time in {profile['seconds']:.0f} s of a run: {total:.1f} ms per second, {total / 10:.1f} % of a core",
        (
            Column("Thread or process"),
            Column("Stage"),
            Column("ms/s", "", 2),
            Column("share", "%", 1),
            Column("calls/s", "", 1),
            Column("us/call", "", 0),
        ),
        [row for row in rows if row[2] is not None and float(row[2] or 0) >= 0.05],  # type: ignore[arg-type]
        "Stages leave out what the stages inside them take, which are listed beside them after a >.",
    )
    for name in profile["missing"]:
        console.print(f"not there: {name}", highlight=False)
    figures = {**profile, "total_ms_per_s": total, "bundle": bundle.name}
    return conclude("profile_loop", [Floor("CPU of the whole loop a second", total, FLOOR_MS, False, " ms")], figures)


@dataclass
class _Frame:
    """A call in progress: its stages, and the time of the stages inside it."""

    path: str
    inside_ns: int = 0


class Clocks:
    """Processor time by thread and stage. Each thread writes to a table of its own."""

    def __init__(self) -> None:
        self.tables: dict[int, dict[str, list[int]]] = {}
        self._local = threading.local()

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with a clock around it."""

        @functools.wraps(function)
        def clocked(*args: Any, **kwargs: Any) -> Any:
            stack, table = self._mine()
            frame = _Frame(name if not stack else f"{stack[-1].path} > {name}")
            stack.append(frame)
            began_ns = time.thread_time_ns()
            try:
                return function(*args, **kwargs)
            finally:
                spent_ns = time.thread_time_ns() - began_ns
                stack.pop()
                if stack:
                    stack[-1].inside_ns += spent_ns
                entry = table[frame.path]
                entry[0] += spent_ns - frame.inside_ns
                entry[1] += 1

        return clocked

    def _mine(self) -> tuple[list[_Frame], dict[str, list[int]]]:
        if not hasattr(self._local, "stack"):
            self._local.stack = []
            self._local.table = self.tables.setdefault(threading.get_native_id(), defaultdict(lambda: [0, 0]))
        return self._local.stack, self._local.table

    def read(self) -> dict[int, dict[str, tuple[int, int]]]:
        """Thread -> stage -> nanoseconds, calls."""
        return {
            thread: {name: (entry[0], entry[1]) for name, entry in list(table.items())}
            for thread, table in list(self.tables.items())
        }


def watched(output: Path, seconds: float, arguments: list[str]) -> int:
    """Run the command with clocks in it, and write what they show."""
    clocks = Clocks()
    missing = [place for name, place in STAGES.items() if not _put(clocks, name, place)]
    threading.Thread(target=_observe, args=(clocks, output, seconds, missing), name="profile", daemon=True).start()
    from emer_edge.cli import main as command

    sys.argv = ["emer-edge", *arguments]
    try:
        command()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def _put(clocks: Clocks, name: str, place: str) -> bool:
    """Put a clock around a function wherever it is known by its name."""
    importlib.import_module("emer_edge.runtime.pipeline")
    module_name, _, path = place.partition(":")
    try:
        owner: Any = importlib.import_module(module_name)
    except ImportError:
        return False
    *parents, last = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent, None)
    raw = None if owner is None else vars(owner).get(last)
    if raw is None:
        return False
    if isinstance(raw, classmethod):
        setattr(owner, last, classmethod(clocks.around(name, raw.__func__)))
        return True
    clocked = clocks.around(name, raw)
    if parents:
        setattr(owner, last, clocked)
        return True
    for module in [module for key, module in list(sys.modules.items()) if key.startswith("emer_edge")]:
        for known, value in list(vars(module).items()):
            if value is raw:
                setattr(module, known, clocked)
    return True


def _observe(clocks: Clocks, output: Path, seconds: float, missing: list[str]) -> None:
    time.sleep(_SKIPPED_S)
    before, began_s = (_threads(os.getpid()), clocks.read(), _children()), time.monotonic()
    time.sleep(max(5.0, seconds - _SKIPPED_S - _BEFORE_END_S))
    after, lasted_s = (_threads(os.getpid()), clocks.read(), _children()), time.monotonic() - began_s
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    threads: dict[str, float] = defaultdict(float)
    stages: dict[str, dict[str, dict[str, float]]] = {}
    for thread, spent_ns in after[0].items():
        name = names.get(thread, "threads of libraries")
        if name == "profile":
            continue
        threads[name] += (spent_ns - before[0].get(thread, 0)) * 1e-6 / lasted_s
        for stage, (stage_ns, calls) in after[1].get(thread, {}).items():
            earlier = before[1].get(thread, {}).get(stage, (0, 0))
            if calls > earlier[1]:
                entry = stages.setdefault(name, {}).setdefault(stage, {"ms": 0.0, "calls": 0.0})
                entry["ms"] += (stage_ns - earlier[0]) * 1e-6 / lasted_s
                entry["calls"] += (calls - earlier[1]) / lasted_s
    children = {name: (spent - before[2].get(name, 0)) * 1e-6 / lasted_s for name, spent in after[2].items()}
    document = {"seconds": lasted_s, "threads": threads, "stages": stages, "children": children, "missing": missing}
    output.write_text(json.dumps(document))


def _threads(process: int) -> dict[int, int]:
    """Thread -> nanoseconds on a processor, of the kernel's scheduler."""
    spent = {}
    for task in Path(f"/proc/{process}/task").glob("*"):
        try:
            spent[int(task.name)] = int((task / "schedstat").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            continue
    return spent


def _children() -> dict[str, int]:
    """Child process, by what it runs -> nanoseconds on a processor."""
    spent: dict[str, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid():
                said = (folder / "cmdline").read_text().split("\0")
                spent[f"process {folder.name}: {' '.join(said[1:4])}"] = sum(_threads(int(folder.name)).values())
        except (OSError, ValueError):
            continue
    return spent


if __name__ == "__main__":
    sys.exit(main())
