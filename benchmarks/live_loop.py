"""The whole live loop: Motion JPEG through named pipes, serial trackers on pseudo-terminals, results as JSON lines.

`emer-edge run` is the real command in a process of its own; with `--old WORKTREE` that of another version in turns, on
the same bundle and the same bytes. Measured from outside: processor time of all of its processes from the kernel's
scheduler, their memory, and from the results the step latency and what was lost.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.common import ROOT, Floor, add_old, compared_bundle, conclude, console, of_tree, parser, show, workshop
from benchmarks.quiet import OtherPrograms
from emer_edge.data.images import import_cv2
from emer_edge.report.table import Column

FPS, RATE_HZ = 30, 120
SETTLED_S = 12.0  # until clocks are known and trackers are read together
FIRST_S = 180.0  # to the first whole window of everybody, on a busy machine
NOISE = 1.5
SHARES_OF_OLD = {
    (1, 0): {"cpu_ms_a_second": 0.4, "p50_ms": 5 / 7, "p99_ms": 8 / 10, "rss_mb": 185 / 271, "pss_mb": 150 / 210},
    (1, 2): {"p99_ms": 1.0},
    (8, 0): {"cpu_ms_a_second": 45 / 86, "p99_ms": 44 / 111},
}
"""People and loads -> what each figure may be of the old version's, at most."""


def main() -> int:
    """Run it; return the exit code."""
    made = parser("Processor time, memory and latency of live runs: cameras and trackers as the kernel shows them.")
    made.add_argument("--seconds", type=float, default=60.0, help="measured time of a turn")
    made.add_argument("--turns", type=int, default=3, help="how often each version is measured")
    made.add_argument("--people", type=int, default=1, help="streams of the run")
    made.add_argument("--rate-hz", type=int, default=RATE_HZ, help="of each tracker")
    made.add_argument("--settled", type=float, default=SETTLED_S, help="seconds between whole windows and measuring")
    made.add_argument("--load", type=int, default=0, help="processes of stress-ng beside the run")
    made.add_argument("--everything", action="store_true", help="with a recording, a session, a page and metrics")
    add_old(made)
    made.add_argument("--feed", nargs="+", metavar="PATH", help=argparse.SUPPRESS)
    arguments = made.parse_args()
    if arguments.feed:
        return feed(Path(arguments.feed[0]), [Path(name) for name in arguments.feed[1:]])
    trees = {"new": ROOT} | ({"old": arguments.old} if arguments.old else {})
    with workshop(arguments.work) as shop, TemporaryDirectory(prefix="emer-edge-") as name:
        bundle = compared_bundle(arguments, shop)
        folder = Path(name)
        images = pictures(shop.recording(20) / "video.avi", folder / "images")
        runs: dict[str, list[dict[str, Any]]] = {version: [] for version in trees}
        for turn in range(arguments.turns):
            for version in sorted(trees, reverse=bool(turn % 2)):
                console.print(f"turn {turn + 1}: {version}", highlight=False)
                with loaded(arguments.load):
                    place = folder / f"{version}-{turn}"
                    runs[version].append(run(trees[version], bundle, images, place, arguments))
    keys = ("cpu_ms_a_second", "p50_ms", "p99_ms", "results", "rss_mb", "pss_mb", "late_looks", "lost")
    merged = {version: {key: median(each[key] for each in turns) for key in keys} for version, turns in runs.items()}
    for version, turns in runs.items():
        totals = np.concatenate([each.pop("totals_ms") for each in turns])
        merged[version] |= {"p50_ms": float(np.percentile(totals, 50)), "p99_ms": float(np.percentile(totals, 99))}
        merged[version] |= {key: sum(each[key] for each in turns) for key in ("results", "late_looks", "lost")}
    show(
        f"{arguments.people} live stream{'s' if arguments.people > 1 else ''}, {arguments.seconds:g} s a turn",
        (
            *(Column("version"), Column("CPU", "ms/s", 1), Column("step p50", "ms", 2), Column("step p99", "ms", 2)),
            *(Column("results"), Column("RSS", "MB", 0), Column("PSS", "MB", 0)),
            *(Column("looks after their step"), Column("lost")),
        ),
        [(version, *(figures[key] for key in keys)) for version, figures in merged.items()],
        "CPU and memory: all processes of a run, medians of the turns; the rest: all turns together.",
    )
    for version, turns in runs.items():
        threads = Counter[str]()
        for each in turns:
            threads.update({name: spent / len(turns) for name, spent in each["threads"].items()})
        words = ", ".join(f"{name} {spent:.1f}" for name, spent in threads.most_common(12))
        console.print(f"{version}: {words}", highlight=False, soft_wrap=True)
    floors = []
    if "old" in merged and not arguments.everything:
        for key, most in SHARES_OF_OLD.get((arguments.people, arguments.load), {}).items():
            share = merged["new"][key] / merged["old"][key]
            floors.append(Floor(f"{key} as a share of the old version's", share, most, False))
    if arguments.people > 1:
        floors.append(Floor("looks after their step", merged["new"]["late_looks"], 1, False))
    name = f"live_loop-{arguments.people}{'-loaded' if arguments.load else ''}{'-all' if arguments.everything else ''}"
    figures = {"seconds": arguments.seconds, "people": arguments.people, "load": arguments.load, "runs": runs}
    return conclude(name, floors, figures | {"merged": merged, "bundle": bundle.name})


def pictures(video: Path, folder: Path, size: tuple[int, int] = (640, 480)) -> Path:
    """JPEGs as of a webcam (4:2:2, quality 80, a sensor's noise) of a video, enlarged, there and back again."""
    cv2 = import_cv2()
    folder.mkdir()
    capture, rng = cv2.VideoCapture(str(video)), np.random.default_rng(0)
    noise = rng.normal(0, NOISE, (480, 640, 3)).astype(np.float32)
    options = [cv2.IMWRITE_JPEG_QUALITY, 80, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422]
    for number in range(6 * FPS):
        got, image = capture.read()
        if not got:
            break
        drawn = cv2.add(cv2.GaussianBlur(image, (0, 0), 0.8), np.roll(noise, rng.integers(640), 1), dtype=cv2.CV_8U)
        data = cv2.imencode(".jpg", cv2.resize(drawn, size, interpolation=cv2.INTER_CUBIC), options)[1]
        (folder / f"{number:05}.jpg").write_bytes(data.tobytes())
    return folder


def feed(folder: Path, pipes: list[Path]) -> int:
    """Write the images of a folder into pipes at 30 a second, until nobody reads them."""
    images = [path.read_bytes() for path in sorted(folder.iterdir())]
    images += images[-2:0:-1]  # never the same twice: a camera drops what it repeats

    def write(path: Path, phase: float) -> None:
        with contextlib.suppress(BrokenPipeError), open(path, "wb", buffering=0) as pipe:
            began_s, number = time.monotonic() + phase / FPS, 0
            while True:
                pipe.write(images[number % len(images)])
                number += 1
                time.sleep(max(0.0, began_s + number / FPS - time.monotonic()))

    threads = [threading.Thread(target=write, args=(path, at / len(pipes))) for at, path in enumerate(pipes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 0


@contextlib.contextmanager
def loaded(processes: int) -> Iterator[None]:
    """So many processes that compute all the time."""
    if not processes:
        yield
        return
    if shutil.which("stress-ng") is None:
        sys.exit("--load needs stress-ng: sudo apt install stress-ng")
    with subprocess.Popen(["stress-ng", "--quiet", "--cpu", str(processes)]) as load:
        try:
            yield
        finally:
            load.terminate()


def run(tree: Path, bundle: Path, images: Path, place: Path, given: argparse.Namespace) -> dict[str, Any]:
    """One run of one version, and what it cost."""
    place.mkdir()
    python, how = of_tree(tree)
    pipes, links = ([place / f"{kind}-{at}" for at in range(given.people)] for kind in ("camera", "tracker"))
    for pipe in pipes:
        os.mkfifo(pipe)
    mine, helper = of_tree(ROOT)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    simulate = [*mine, "emer_edge", "simulate", "tracker", "--format", "emer", "--rate-hz", str(given.rate_hz)]
    helpers = [subprocess.Popen([*simulate, "--link", str(link)], **quiet, **helper) for link in links]
    feeder = [*mine, "benchmarks.live_loop", "--feed", str(images), *map(str, pipes)]
    helpers.append(subprocess.Popen(feeder, **quiet, **helper))
    command = [*python, "emer_edge", "run", str(bundle), "--json"]
    if given.people == 1:
        command += ["--camera", str(pipes[0]), "--tracker", str(links[0])]
    else:
        table = "".join(
            f'[[stream]]\nname = "p{at}"\ncamera = "{pipe}"\ntracker = "{link}"\n'
            for at, (pipe, link) in enumerate(zip(pipes, links, strict=True))
        )
        (place / "run.toml").write_text(table)
        command += ["--config", str(place / "run.toml")]
    if given.everything:
        command += ["--record", str(place / "kept") + "/", "--record-video", "--consent-id", "benchmark"]
        command += ["--save", str(place / "sessions"), "--serve", "0", "--metrics", "0"]
    try:
        while not all(link.exists() for link in links):
            time.sleep(0.1)
        with (place / "results.jsonl").open("w") as results, (place / "said").open("w") as said:
            process = subprocess.Popen(command, stdout=results, stderr=said, **how)
            try:
                await_windows(process, place, given.people, given.settled)
                watched = processes_of(process.pid)
                before, began_s, others = {pid: threads_of(pid) for pid in watched}, time.monotonic(), OtherPrograms()
                already = (place / "results.jsonl").read_text().count("\n")
                time.sleep(given.seconds)
                lasted_s, after = time.monotonic() - began_s, {pid: threads_of(pid) for pid in watched}
                others_share = others.share()
                memory = [memory_mb(pid) for pid in watched]
                exit_if_ended(process, place)
            finally:
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(20)
                process.kill()
    finally:
        for each in helpers:
            each.terminate()
            each.wait()
    spent: Counter[str] = Counter()
    for pid, threads in after.items():
        for thread, (what, used_ns) in threads.items():
            earlier = before[pid].get(thread, ("", 0))[1]
            spent[what if pid == process.pid else f"child {watched[pid]}"] += (used_ns - earlier) * 1e-6 / lasted_s
    lines = [json.loads(line) for line in (place / "results.jsonl").read_text().splitlines()]
    opened = {line.get("stream"): line["dropped"] for line in lines[:already]}  # lost while the others opened
    lines = lines[already:]
    read = [line for line in lines if line["state"] == "ok"]
    if not read:
        sys.exit(f"no result of a whole window: {(place / 'said').read_text()[-2000:]}")
    newest = {line.get("stream"): line["dropped"] for line in lines}
    newest = {who: dict(Counter(lost) - Counter(opened.get(who, {}))) for who, lost in newest.items()}
    late = sum(dropped.get("frames after their step", 0) for dropped in newest.values())
    return {
        "cpu_ms_a_second": sum(spent.values()),
        "threads": dict(spent),
        "totals_ms": [line["stages_ms"]["total"] for line in read],
        "results": len(read),
        "rss_mb": sum(rss for rss, _ in memory),
        "pss_mb": sum(pss for _, pss in memory),
        "late_looks": late,
        "lost": sum(sum(dropped.values()) for dropped in newest.values()) - late,
        "dropped": newest,
        "others_share": round(others_share, 4),
    } | {
        f"p{share}_ms": float(np.percentile([line["stages_ms"]["total"] for line in read], share)) for share in (50, 99)
    }


def await_windows(process: subprocess.Popen[bytes], place: Path, people: int, settled_s: float) -> None:
    """Wait until everybody has had a whole window, and a little."""
    deadline_s = time.monotonic() + FIRST_S
    while True:
        lines = (place / "results.jsonl").read_text().splitlines()[:-1]
        whole = {each.get("stream") for each in map(json.loads, lines) if each["state"] == "ok"}
        if len(whole) == people:
            break
        exit_if_ended(process, place)
        if time.monotonic() > deadline_s:
            sys.exit(f"no result of a whole window: {(place / 'said').read_text()[-2000:]}")
        time.sleep(0.5)
    time.sleep(settled_s)


def exit_if_ended(process: subprocess.Popen[bytes], place: Path) -> None:
    """Exit with what a run has said, where it has ended by itself."""
    if process.poll() is not None:
        sys.exit(f"the run ended with {process.returncode}: {(place / 'said').read_text()[-2000:]}")


def processes_of(pid: int) -> dict[int, str]:
    """A process and all that it has started -> what they run."""
    found = {pid: "run"}
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            found |= processes_of(int(child)) | {int(child): f"{len(found)}"}
    return found


def threads_of(pid: int) -> dict[int, tuple[str, int]]:
    """Thread -> its name in the kernel, and nanoseconds on a processor."""
    found = {}
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            spent_ns = int((task / "schedstat").read_text().split()[0])
            found[int(task.name)] = (f"{(task / 'comm').read_text().strip()} {task.name}", spent_ns)
    return found


def memory_mb(pid: int) -> tuple[float, float]:
    """RSS and PSS of a process, in 10^6 bytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {name: int(value.split()[0]) * 1024e-6 for name, _, value in (line.partition(":") for line in lines)}
    return sizes["Rss"], sizes["Pss"]


if __name__ == "__main__":
    sys.exit(main())
