"""Cost of images in a run, encoded in a process of their own and on a thread of the run, in turns."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import threading
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from statistics import median
from time import monotonic, process_time, sleep
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Floor, conclude, parser, show, workshop
from emer_edge.report.table import Column
from emer_edge.runtime.encoding import Coding, Encoder, encoded
from emer_edge.runtime.outputs import Host, Output
from emer_edge.runtime.outputs.page.output import Page, PageOptions
from emer_edge.runtime.outputs.recorder import Recorder
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.play import play
from emer_edge.runtime.recording.keep import RecordOptions

FLOORS_MB = {False: 300.0, True: 400.0}  # without the page and with it
CASES = [(what, where) for what in ("recording", "page", "both") for where in ("thread", "process")]


class OnThread(Encoder):
    """Encodes on the thread that asks."""

    def start(self) -> None:
        """Nothing to start."""

    def encode(self, image: NDArray[np.uint8], coding: Coding) -> bytes:
        """Encode here."""
        return encoded(image, coding)


def main() -> int:
    """Measure; return the exit code."""
    made = parser("CPU time, memory and latency of runs with images encoded on a thread or in a process.")
    made.add_argument("--seconds", type=float, default=20.0, help="length of a run")
    made.add_argument("--turns", type=int, default=2, help="how often every case is measured")
    made.add_argument("--video", type=Path, help="a face video; a synthetic recording's by default")
    made.add_argument("--case", nargs=2, metavar=("WHAT", "WHERE"), help="one run, as JSON; used by the script itself")
    arguments = made.parse_args()
    with workshop(arguments.work) as shop:
        bundle = arguments.bundle or shop.bundle("int8")
        recording = shop.recording(45)
        video = arguments.video or recording / "video.avi"
        if arguments.case:
            run(bundle, video, recording / "tracker.tsv", arguments.seconds, *arguments.case)
            return 0
        cases: dict[str, list[dict[str, Any]]] = {}
        for _ in range(arguments.turns):
            for what, where in [("nothing", "thread"), *CASES]:
                command = [sys.executable, "-m", "benchmarks.image_encoding", str(bundle), "--work", str(shop.folder)]
                command += ["--video", str(video), "--seconds", str(arguments.seconds), "--case", what, where]
                cases.setdefault(f"{what}, {where}", []).append(watched(command))
    columns = (
        *(Column("images for"), Column("CPU", "%", 1), Column("CPU", "ms per frame", 2)),
        *(Column(name, "MB", 0) for name in ("RSS", "PSS")),
        *(Column(name, "ms", 1) for name in ("p50", "p99", "max")),
        Column("lost", "", 0),
    )
    keys = ("cpu_percent", "cpu_ms_a_frame", "rss_mb", "pss_mb", "p50_ms", "p99_ms", "max_ms", "lost")
    rows = [(name, *(median(run[key] for run in runs) for key in keys)) for name, runs in cases.items()]
    show(
        "runs with images",
        columns,
        rows,
        "medians of the turns; memory: all processes, at most; ms: deadline to result",
    )
    floors = []
    for what in ("recording", "page", "both"):
        most_mb = max(run["rss_mb"] for run in cases[f"{what}, process"])
        what_held = f"RSS of all processes together, images for {what}"
        floors.append(Floor(what_held, most_mb, FLOORS_MB[what != "recording"], False, " MB"))
    figures = {"seconds": arguments.seconds, "bundle": bundle.name, "video": video.name, "runs": cases}
    return conclude("image_encoding", floors, figures)


def run(bundle: Path, video: Path, tracker: Path, seconds: float, what: str, where: str) -> None:
    """One run in this process; prints the page's address, then what it cost."""
    encoder = OnThread() if where == "thread" else Encoder()
    pipeline = Pipeline(bundle, str(video), str(tracker), offset_ms=0.0, say=lambda sentence: None)
    with tempfile.TemporaryDirectory() as folder:
        kept = what in ("recording", "both")
        options = RecordOptions(Path(folder) / "run.mcap", *(("jpeg", "form 17") if kept else ()))
        host = Host(pipeline, say=pipeline.say, encoder=encoder)
        outputs: list[Output] = [Recorder(options, host)]
        page = Page(PageOptions("0"), host) if what in ("page", "both") else None
        if page is not None:
            outputs.append(page)
        print("" if page is None else page.url, flush=True)
        began_s, began_cpu_s = monotonic(), process_time()
        summary = play(pipeline, outputs, seconds)
        took_s = monotonic() - began_s
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = process_time() - began_cpu_s + children.ru_utime + children.ru_stime
    total = summary.stages["total"]
    costs = {
        "cpu_percent": 100 * cpu_s / took_s,
        "cpu_ms_a_frame": 1000 * cpu_s / summary.frames,
        **{key: value for key, value in total.to_dict().items() if key != "min_ms"},
        "lost": sum(summary.outputs.get("record", {}).values()),
        "dropped": summary.dropped,
    }
    print(json.dumps(costs), flush=True)


def watched(command: list[str]) -> dict[str, Any]:
    """Run a case and watch it: memory from outside, a visitor where it has a page."""
    over = threading.Event()
    pictures: list[int] = []
    most = {"rss_mb": 0.0, "pss_mb": 0.0}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        visitor = threading.Thread(target=visit, args=(url, over, pictures))
        if url:
            visitor.start()
        reader = threading.Thread(target=watch, args=(process.pid, over, most))
        reader.start()
        costs: dict[str, Any] = json.loads(process.stdout.readline())
        over.set()
        reader.join()
        if url:
            visitor.join()
    return costs | most | {"pictures": len(pictures), "picture_bytes": median(pictures) if pictures else 0}


def visit(url: str, over: threading.Event, pictures: list[int]) -> None:
    """Watch a page as a browser does: each image once the one before has come."""
    address, after = url.removeprefix("http://").rstrip("/"), 0
    while not over.is_set():
        try:
            connection = HTTPConnection(address, timeout=5)
            connection.request("GET", f"/frame?after={after}")
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
        except (OSError, HTTPException):
            sleep(0.2)
            continue
        if answer.status == 200:
            after = int(answer.headers["X-Number"])
            pictures.append(len(body))


def watch(process: int, over: threading.Event, most: dict[str, float]) -> None:
    """Keep the largest memory of a process and its children, in 10^6 bytes."""
    while not over.wait(0.5):
        now = {"rss_mb": 0.0, "pss_mb": 0.0}
        for pid in (process, *children_of(process)):
            try:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            except OSError:
                continue
            sizes = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
            for key, name in (("rss_mb", "Rss"), ("pss_mb", "Pss")):
                now[key] += int(sizes[name][0]) * 1024 / 1e6 if name in sizes else 0.0
        for key, value in now.items():
            most[key] = max(most[key], value)


def children_of(process: int) -> list[int]:
    """The processes that a process has started and that still run."""
    pids: list[int] = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            pids += [int(field) for field in path.read_text().split()]
        except OSError:
            continue
    return pids


if __name__ == "__main__":
    sys.exit(main())
