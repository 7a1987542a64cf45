"""Cost of reading a camera in a process of its own, against a thread: latency, CPU, memory."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, monotonic_ns, sleep
from typing import Any

from benchmarks.common import ONE_THREAD, TESTS, Floor, conclude, parser, show, workshop
from benchmarks.memory import memory_mb
from emer_edge.report.table import Column

sys.path[:0] = [str(TESTS), str(TESTS / "runtime")]  # the tests' camera with a face

FLOOR_MB = 300.0
FLOOR_ADDED_MS = 5.0
SOURCES = {
    "640x480": "gst://videotestsrc is-live=true pattern=snow ! "
    "video/x-raw,format=BGR,width=640,height=480,framerate=30/1",
    "1280x720": "gst://videotestsrc is-live=true pattern=snow ! "
    "video/x-raw,format=BGR,width=1280,height=720,framerate=30/1",
}
WAYS = ("thread", "process")


def main() -> int:
    """Run it; return the exit code."""
    made = parser("Reading a camera in a process of its own, against a thread of ours.")
    made.add_argument("--seconds", type=float, default=10.0, help="length of a turn")
    made.add_argument("--rounds", type=int, default=3, help="turns of each candidate")
    made.add_argument("--turn", nargs=2, help="one turn in this process: a way and a source")
    arguments = made.parse_args()
    if arguments.turn:
        print(json.dumps(turn(*arguments.turn, arguments.seconds)))
        return 0
    figures: dict[str, Any] = {"seconds": arguments.seconds, "rounds": arguments.rounds, "sources": {}}
    rows, added = [], []
    for name, source in SOURCES.items():
        turns: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        for _ in range(arguments.rounds):
            for way in WAYS:
                turns[way].append(measured(way, source, arguments.seconds))
        merged = {way: merge(runs) for way, runs in turns.items()}
        figures["sources"][name] = merged
        added.append(merged["process"]["p50_ms"] - merged["thread"]["p50_ms"])
        keys = ("p50_ms", "p99_ms", "max_ms", "frames", "cpu_ms_a_frame", "rss_mb", "capture_rss_mb")
        rows += [(name, way, *(merged[way][key] for key in keys)) for way in WAYS]
    show(
        "From the image's stamp to the reader",
        (
            Column("noise at 30 Hz"),
            Column("read by"),
            Column("p50", "ms", 2),
            Column("p99", "ms", 2),
            Column("max", "ms", 2),
            Column("frames"),
            Column("CPU/frame", "ms", 2),
            Column("RSS", "MB"),
            Column("capture RSS", "MB"),
        ),
        rows,
        "CPU and RSS of ours and of the capture process; GStreamer's own process is left out of both.",
    )
    with workshop(arguments.work) as shop:
        memory = run_memory(arguments.bundle or shop.bundle("int8"))
    both = tuple(sum(sizes[at] for sizes in memory.values()) for at in range(2))
    show(
        "emer-edge run on a Motion JPEG camera, 640x480 at 25",
        (Column("process"), Column("RSS", "MB", 1), Column("PSS", "MB", 1)),
        [*((name, *sizes) for name, sizes in memory.items()), ("both", *both)],
    )
    figures["run_rss_and_pss_mb"] = memory
    floors = [
        Floor("latency added by the process, median", max(added), FLOOR_ADDED_MS, False, " ms"),
        Floor("RSS of a run and its capture process", both[0], FLOOR_MB, False, " MB"),
    ]
    return conclude("camera_path", floors, figures)


def measured(way: str, source: str, seconds: float) -> dict[str, Any]:
    """A turn in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.camera_path", "--turn", way, source, "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ONE_THREAD}, check=False)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def merge(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Latencies of all turns together; the median of what is measured once per turn."""
    ages_ms = sorted(age_ms for turn in turns for age_ms in turn.pop("ages_ms"))
    merged = {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
    at = (len(ages_ms) - 1) / 100
    return merged | {"p50_ms": ages_ms[round(50 * at)], "p99_ms": ages_ms[round(99 * at)], "max_ms": ages_ms[-1],
                     "frames": len(ages_ms)}  # fmt: skip


def turn(way: str, source: str, seconds: float) -> dict[str, Any]:
    """Read a source for some seconds."""
    from emer_edge.runtime.cameras import open_camera

    camera = open_camera(source) if way == "process" else None
    frames = iter(camera) if camera is not None else in_thread(source)
    capture = None if camera is None else camera.pid
    next(frames)
    ages_ms = []
    before, deadline = cpu_s(os.getpid()) + cpu_s(capture), monotonic() + seconds
    for frame in frames:
        ages_ms.append((monotonic_ns() - frame.stamp_ns) * 1e-6)
        if monotonic() > deadline:
            break
    spent = cpu_s(os.getpid()) + cpu_s(capture) - before
    rss_mb = memory_mb(os.getpid())[0]
    capture_rss_mb = 0.0 if capture is None else memory_mb(capture)[0]
    if camera is not None:
        camera.close()
    return {
        "ages_ms": ages_ms,
        "cpu_ms_a_frame": spent * 1e3 / len(ages_ms),
        "rss_mb": rss_mb,
        "capture_rss_mb": capture_rss_mb,
    }


def in_thread(source: str) -> Iterator[Any]:
    """The driver read by a thread of this process that keeps the newest image."""
    from emer_edge.runtime.cameras.registry import grabber_for

    grabber = grabber_for(source)
    changed = threading.Condition()
    newest: list[Any] = []

    def drain() -> None:
        while True:
            grab = grabber.read(None)
            with changed:
                newest[:] = [grab]
                changed.notify()

    threading.Thread(target=drain, daemon=True).start()
    while True:
        with changed:
            while not newest:
                changed.wait()
            grab = newest.pop()
        yield grab


def cpu_s(process: int | None) -> float:
    """CPU time that a process has used, without its children's."""
    if process is None:
        return 0.0
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_memory(bundle: Path, seconds: float = 20.0) -> dict[str, tuple[float, float]]:
    """RSS and PSS of `emer-edge run` on live sources, and of its capture process; MB.

    PSS counts a page that both share, as of OpenCV's and Python's code, half to each.
    """
    from replug_rig import FaceServer

    camera = FaceServer()
    environment = {**os.environ, **ONE_THREAD}
    program = [sys.executable, "-m", "emer_edge"]
    with subprocess.Popen([*program, "simulate", "tracker"], stdout=subprocess.PIPE, text=True) as tracker:
        assert tracker.stdout is not None
        port = tracker.stdout.readline().strip()
        arguments = ["run", str(bundle), "--camera", camera.url, "--tracker", port, "--json", "--seconds", str(seconds)]
        with subprocess.Popen([*program, *arguments], stdout=subprocess.DEVNULL, env=environment) as run:
            sleep(seconds - 3)
            capture = int(Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()[0])
            memory = {name: (memory_mb(pid)[0], pss_mb(pid)) for name, pid in (("run", run.pid), ("capture", capture))}
        tracker.terminate()
    camera.unplug()
    return memory


def pss_mb(process: int) -> float:
    """Proportional set size of a process."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6


if __name__ == "__main__":
    sys.exit(main())
