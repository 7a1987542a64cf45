"""Which files of the package a frame passes on its way from the camera to a line of JSON.

Their number is how many files a newcomer opens to follow it.

The run is the real command in this process: a synthetic camera, read by its capture process, and a simulated tracker on
a pseudo-terminal, in a process that is not traced. In every thread of the run, and in the capture process, a profile
function notes the file of every call and of its caller. Once the window is filled, the files of every hop are kept.

A file counts when it runs in three quarters of the hops. What runs once a second, as the check of the eye columns does,
is listed and not counted; nor is `data/synth`, the scene that the synthetic camera draws in place of the world.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, FrameType
from typing import Any

PACKAGE = str(Path(__file__).parent.parent / "emer_edge") + os.sep
FLOOR = 31
"""Files: fewer than this."""

_SETTLED_S = 16.0  # start and warm-up, and 12 s until the window is filled
_HOP_S = 0.5
_LEAST_SHARE = 0.75
_SCENE = "data/synth/"


class Tracer:
    """Notes the files of the package whose code runs in this process, hop by hop.

    Args:
        path: gets a line of JSON for each hop: the time, and the files.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._codes: set[CodeType] = set()
        threading.Thread(target=self._write, name="trace", daemon=True).start()
        threading.setprofile(self._note)
        sys.setprofile(self._note)

    def _note(self, frame: FrameType, event: str, argument: Any) -> None:
        self._codes.add(frame.f_code)
        if event == "call" and frame.f_back is not None:  # who calls runs, too, though not as a call of its own
            self._codes.add(frame.f_back.f_code)

    def _write(self) -> None:
        sys.setprofile(None)
        with self._path.open("a") as out:
            while True:
                time.sleep(_HOP_S)
                codes, self._codes = self._codes, set()
                names = sorted({code.co_filename for code in codes if code.co_filename.startswith(PACKAGE)})
                out.write(json.dumps([time.monotonic(), [name.removeprefix(PACKAGE) for name in names]]) + "\n")
                out.flush()


def trace_capture(folder: Path) -> None:
    """Have the processes that are started from now on trace themselves; each writes a file of its own to `folder`."""
    start = subprocess.Popen.__init__

    def traced(self: Any, command: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(command, list) and "-c" in command:
            at = command.index("-c") + 1
            root, path = str(Path(__file__).parent.parent), str(folder / f"child-{time.monotonic_ns()}.jsonl")
            before = f"import sys; sys.path.insert(0, {root!r}); from pathlib import Path; "
            before += f"from benchmarks.frame_path import Tracer; Tracer(Path({path!r})); "
            command = [*command[:at], before + command[at], *command[at + 1 :]]
        start(self, command, *args, **kwargs)

    subprocess.Popen.__init__ = traced  # type: ignore[method-assign]


def traced_run(bundle: Path, seconds: float, folder: Path) -> list[dict[str, Any]]:
    """Run the command with traces in it; return its results."""
    simulator = [sys.executable, "-m", "emer_edge", "simulate", "tracker"]
    with subprocess.Popen(simulator, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as tracker:
        assert tracker.stdout is not None
        address = tracker.stdout.readline().strip()
        from emer_edge.cli import main as command

        sys.argv = ["emer-edge", "run", str(bundle), "--camera", "synthetic://", "--tracker", address, "--json"]
        sys.argv += ["--seconds", f"{seconds:g}"]
        lines = io.StringIO()
        trace_capture(folder)
        Tracer(folder / "run.jsonl")
        try:
            with redirect_stdout(lines):
                command()
        except SystemExit as ended:
            if ended.code:
                raise
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]
            tracker.terminate()
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def read(path: Path, from_s: float, to_s: float) -> list[set[str]]:
    """The files of each hop between two times."""
    hops = [json.loads(line) for line in path.read_text().splitlines()]
    return [set(names) for time_s, names in hops if from_s <= time_s < to_s]


def main() -> int:
    """Run it; return the exit code."""
    from benchmarks.common import Floor, conclude, parser, show, workshop
    from emer_edge.report.table import Column

    made = parser("Which files a frame passes on its way to a line of JSON.")
    made.add_argument("--seconds", type=float, default=30.0, help="length of the run")
    arguments = made.parse_args()
    with workshop(arguments.work) as shop, TemporaryDirectory(prefix="emer-edge-") as name:
        folder = Path(name)
        bundle = arguments.bundle or shop.bundle("int8")
        results = traced_run(bundle, arguments.seconds, folder)
        times_s = [json.loads(line)[0] for line in (folder / "run.jsonl").read_text().splitlines()]
        from_s, to_s = times_s[0] + _SETTLED_S, times_s[-1] - 2.0
        traces = {"run": read(folder / "run.jsonl", from_s, to_s)}
        traces["capture"] = [hop for path in folder.glob("child-*.jsonl") for hop in read(path, from_s, to_s)]
    states = Counter(result["state"] for result in results[-8:])
    if not traces["capture"] or set(states) != {"ok"}:
        sys.exit(f"no steady run: {len(traces['capture'])} hops of the capture process, the last states {dict(states)}")
    shares = {
        process: {name: count / len(hops) for name, count in Counter(name for hop in hops for name in hop).items()}
        for process, hops in traces.items()
    }
    everything = sorted({name for process in shares.values() for name in process})
    files = [
        name
        for name in everything
        if not name.startswith(_SCENE) and max(process.get(name, 0.0) for process in shares.values()) >= _LEAST_SHARE
    ]
    show(
        f"{len(files)} files run code between a camera's frame and a line of JSON",
        (Column("File"), Column("run, hops", "%"), Column("capture process, hops", "%")),
        [(name, *(100 * shares[process][name] if name in shares[process] else None for process in shares))
         for name in everything],
    )  # fmt: skip
    figures = {"files": files, "hops": {process: len(hops) for process, hops in traces.items()}, "shares": shares}
    floor = Floor("files between a frame and its line of JSON", len(files), FLOOR, False)
    return conclude("frame_path", [floor], figures)


if __name__ == "__main__":
    sys.exit(main())
