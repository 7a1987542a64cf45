"""A run over a video at its own pace with a live tracker: nothing is lost, it is in time, and it stays small."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final

from benchmarks.common import Floor, Workshop, conclude, console, parser, show, workshop
from benchmarks.endurance.figures import histogram, percentiles
from benchmarks.endurance.live_run import LiveRun
from benchmarks.endurance.oracle import holes
from benchmarks.endurance.processes import sample_tree, thread_cpu_s, tree
from benchmarks.endurance.soak_run import brief
from benchmarks.endurance.visitors import Broker, PageVisitor, Scraper, Subscriber, free_port, mosquitto
from emer_edge.bundle import Bundle, load_bundle
from emer_edge.report.table import Cell, Column

FPS: Final = 30
TRACKER_HZ: Final = 120
P99_MS: Final = 25.0
CPU_SHARE: Final = 0.60
RSS_MB: Final = 300.0
RSS_PAGE_MB: Final = 400.0
_LOOP_S: Final = 60
_SAMPLE_S: Final = 1.0
_PROPORTIONAL_EVERY: Final = 20
_WARM_S: Final = 10.0
_LEAST_SHARE: Final = 5e-4  # of a core; the page has a thread for every image
_OPENING_S: Final = 120.0
_LATE_S: Final = 120.0


@dataclass(frozen=True)
class Variant:
    """Outputs of a run in addition to `--json` and its session's folder.

    Attributes:
        name: of the variant.
        outputs: whether it records video, publishes, serves its metrics and draws the view.
        page: whether it serves the page, which somebody watches.
    """

    name: str
    outputs: bool
    page: bool


VARIANTS: Final = (Variant("bare", False, False), Variant("outputs", True, False), Variant("page", True, True))


def main() -> int:
    """Run it; return the exit code."""
    made = parser(
        "Run over a 30 fps, 640x480 video of a face at its own pace and a 120 Hz tracker on a pseudo-terminal, without "
        "outputs, with all but the page, and with all."
    )
    made.add_argument("--minutes", type=float, default=10.0, help="length of the video")
    made.add_argument("--video", type=Path, help="another video; its own length counts")
    made.add_argument("--variants", nargs="+", choices=[variant.name for variant in VARIANTS], help="all by default")
    made.add_argument("--nice", type=int, help="niceness of this script and all it starts; below 0 needs root")
    arguments = made.parse_args()
    if arguments.nice is not None:
        os.setpriority(os.PRIO_PROCESS, 0, arguments.nice)
    if mosquitto() is None:
        sys.exit("mosquitto is not installed; the run publishes to it: sudo apt install mosquitto")
    chosen = [variant for variant in VARIANTS if not arguments.variants or variant.name in arguments.variants]
    with workshop(arguments.work) as shop, tempfile.TemporaryDirectory(prefix="emer-edge-floors-") as folder:
        bundle = load_bundle(arguments.bundle or shop.bundle("int8"))
        video = arguments.video or face_video(shop, Path(folder), arguments.minutes * 60)
        measured = {}
        for variant in chosen:
            console.print(f"running the variant {variant.name} on {video.name}", highlight=False)
            measured[variant.name] = run(bundle, video, variant, Path(folder) / variant.name)
            show_rows(measured)
    return conclude(
        "floors", [floor for name in measured for floor in floors(name, measured[name])], figures(arguments, measured)
    )


def face_video(shop: Workshop, folder: Path, seconds: float) -> Path:
    """The synthetic recording's video, one minute of it repeated."""
    if seconds <= _LOOP_S or shutil.which("ffmpeg") is None:
        return shop.recording(round(seconds)) / "video.avi"
    source, path = shop.recording(_LOOP_S) / "video.avi", folder / "video.avi"
    loops = ["-stream_loop", "-1", "-i", str(source), "-t", str(seconds), "-c", "copy"]
    subprocess.run(["ffmpeg", "-v", "error", *loops, str(path)], check=True)
    return path


def run(bundle: Bundle, video: Path, variant: Variant, folder: Path) -> dict[str, Any]:
    """One run to the video's end."""
    folder.mkdir()
    results: list[dict[str, Any]] = []
    said: list[str] = []
    with contextlib.ExitStack() as stack:
        tracker = stack.enter_context(simulated_tracker(folder / "ttyEMER"))
        arguments = [str(bundle.path), "--camera", str(video), "--tracker", tracker]
        arguments += ["--save", str(folder / "sessions"), "--participant", "floors", "--session", "run"]
        others: dict[str, Callable[[], int]] = {}
        if variant.outputs:
            arguments += outputs(stack, folder, others)
        page = free_port()
        if variant.page:
            arguments += ["--serve", str(page), "--serve-open"]
        live = LiveRun(
            arguments,
            lambda result, received_ns: results.append(brief(result, received_ns)),
            said.append,
            view=variant.outputs,
        )
        stack.callback(live.stop)
        if not live.wait_results(1, _OPENING_S):
            sys.exit("\n".join(["the run gave no results:", *said[-8:]]))
        if variant.page:
            visitor = PageVisitor(page)
            stack.callback(visitor.close)
            others |= {"events the page's visitor saw": lambda: visitor.events, "images": lambda: visitor.images}
        held = watch(live)
        if live.code:
            sys.exit("\n".join([f"the run ended with code {live.code}:", *said[-8:]]))
        heard = {name: count() for name, count in others.items()}
        if variant.outputs:
            heard["bytes drawn by the view"] = live.drawn_bytes
    session = json.loads((folder / "sessions" / "floors" / "run" / "session.json").read_text())
    shutil.rmtree(folder)
    return judged(bundle, video, results, session["summary"], held) | {"heard": heard, "arguments": arguments[1:]}


def outputs(stack: contextlib.ExitStack, folder: Path, others: dict[str, Callable[[], int]]) -> list[str]:
    """Arguments for every output but the page, and those at their other ends."""
    broker, metrics = Broker(folder), free_port()
    stack.callback(broker.kill)
    subscriber = Subscriber(broker.port, "floors")
    stack.callback(subscriber.close)
    scraper = Scraper(metrics)
    stack.callback(scraper.close)
    others |= {"results the broker passed on": lambda: subscriber.heard, "scrapes": lambda: scraper.scrapes}
    recording = ["--record", str(folder / "run.mcap"), "--record-video", "--consent-id", "synthetic"]
    sent = ["--mqtt", f"mqtt://127.0.0.1:{broker.port}/floors", "--metrics", f":{metrics}"]
    return [*recording, *sent, "--lsl-out", f"floors-{os.getpid()}"]


@contextlib.contextmanager
def simulated_tracker(link: Path) -> Iterator[str]:
    """A tracker in a process of its own; yields what `--tracker` takes."""
    command = [sys.executable, "-m", "emer_edge", "simulate", "tracker", "--link", str(link)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=quiet, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        try:
            yield f"{address}?format=emer&rate={TRACKER_HZ}"
        finally:
            process.terminate()


def watch(live: LiveRun) -> dict[str, Any]:
    """Memory and CPU time of the run's processes until it ends."""
    rss, pss, uss, shares = [], [], [], []
    held: dict[str, float] = {}
    began_s, number = monotonic(), 0
    tick = threading.Event()
    threads: dict[str, float] = {}
    before: dict[str, float] = {}
    first: tuple[float, float] | None = None
    last = (0.0, 0.0)
    names: dict[str, int] = {}
    while live.code is None and not tick.wait(_SAMPLE_S):
        taken = sample_tree(live.pid, proportional=number % _PROPORTIONAL_EVERY == 0)
        now_s, number = monotonic(), number + 1
        if live.code is not None or not taken.processes:
            break
        rss.append(taken.rss_mb)
        if taken.pss_mb is not None and taken.uss_mb is not None:
            pss.append(taken.pss_mb)
            uss.append(taken.uss_mb)
        for process in taken.processes:
            names[f"{process.name} {process.pid}"] = process.threads
            held[f"{process.name} {process.pid}"] = max(process.rss_mb, held.get(f"{process.name} {process.pid}", 0.0))
        if now_s - began_s < _WARM_S:
            continue
        spent = thread_cpu_s(tree(live.pid))
        if first is None:
            first, before = (now_s, taken.cpu_s), spent
        else:
            shares.append((taken.cpu_s - last[1]) / (now_s - last[0]))
            threads |= {name: seconds - before.get(name, 0.0) for name, seconds in spent.items()}  # some end early
        last = (now_s, taken.cpu_s)
    live.wait(_LATE_S)
    length_s = max(1e-9, last[0] - first[0]) if first is not None else 1e-9
    return {
        "rss_mb": {"at_most": max(rss), "last": rss[-1], "each_process_at_most": held},
        "pss_mb_at_most": max(pss, default=None),
        "uss_mb_at_most": max(uss, default=None),
        "threads": names,
        "cpu_share": (last[1] - first[1]) / length_s if first is not None else float("nan"),
        "cpu_share_each_second": percentiles(shares),
        "cpu_share_of_threads": {
            name: seconds / length_s
            for name, seconds in sorted(threads.items(), key=_by_time)
            if seconds > _LEAST_SHARE * length_s
        },
    }


def _by_time(item: tuple[str, float]) -> float:
    return -item[1]


def judged(
    bundle: Bundle, video: Path, results: list[dict[str, Any]], summary: dict[str, Any], held: dict[str, Any]
) -> dict[str, Any]:
    """Figures of a run."""
    window = bundle.manifest.window
    ends = [result["end_ns"] for result in results]
    span_s = (ends[-1] - ends[0] + window.hop_ns) * 1e-9  # from the lattice's start to the last window's end
    frames = frame_count(video)
    # What comes after the last window's end belongs to no window; up to there every frame and sample has to be taken.
    due = {"frames": min(frames, int(span_s * FPS)), "samples": int(span_s * TRACKER_HZ)}
    totals = [result["total_ms"] for result in results]
    # A tracker that is opened between two of its samples gives a piece of one first, which counts as garbage.
    opening = results[0]["dropped"]
    dropped = {place: count - opening.get(place, 0) for place, count in summary["dropped"].items()}
    return {
        "span_s": span_s,
        "frames_in_file": frames,
        "due": due,
        "taken": {name: summary[name] for name in due},
        "missing": {name: max(0, count - summary[name]) for name, count in due.items()},
        "dropped": {place: count for place, count in dropped.items() if count},
        "dropped_while_opening": opening,
        "outputs_lost": summary["outputs"],
        "windows_without_result": holes(ends, window.hop_ns),
        "states": summary["states"],
        "total_ms": percentiles(totals),
        "total_ms_histogram": " ".join(f"{edge:g}:{count}" for edge, count in histogram(totals)),
        "result_age_ms": percentiles([result["age_ms"] for result in results]),
        "stages": summary["stages"],
        **held,
    }


def frame_count(video: Path) -> int:
    """Frames in a video, as its container says."""
    import cv2

    return int(cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT))


def floors(name: str, figures: dict[str, Any]) -> list[Floor]:
    """The floors of a variant."""
    lost = sum(figures["dropped"].values()) + sum(sum(counts.values()) for counts in figures["outputs_lost"].values())
    promised = [
        Floor(f"{name}: frames not taken", figures["missing"]["frames"], 1, False),
        # The tracker began before the run, whose first window may begin between two of its samples.
        Floor(f"{name}: samples not taken", figures["missing"]["samples"], 3, False),
        Floor(f"{name}: items lost on the way", lost, 1, False),
        Floor(f"{name}: windows without a result", figures["windows_without_result"], 1, False),
        Floor(f"{name}: step latency (deadline to result), p99", figures["total_ms"]["p99"], P99_MS, False, " ms"),
        Floor(f"{name}: CPU of all processes", 100 * figures["cpu_share"], 100 * CPU_SHARE, False, " % of a core"),
    ]
    if figures["heard"]:
        silent = [other for other, count in figures["heard"].items() if not count]
        promised.append(Floor(f"{name}: outputs without a receiver", len(silent), 1, False))
    most = RSS_PAGE_MB if name == "page" else RSS_MB
    promised.append(Floor(f"{name}: RSS of all processes", figures["rss_mb"]["at_most"], most, False, " MB"))
    return promised


def show_rows(measured: dict[str, dict[str, Any]]) -> None:
    """Print the table so far."""
    rows: list[tuple[Cell, ...]] = []
    for name, item in measured.items():
        taken = [f"{item['taken'][kind]} of {item['due'][kind]}" for kind in ("frames", "samples")]
        rows.append((name, *taken, sum(item["dropped"].values()), item["total_ms"]["p50"], item["total_ms"]["p99"],
                     item["total_ms"]["max"], 100 * item["cpu_share"], item["rss_mb"]["at_most"],
                     item["pss_mb_at_most"]))  # fmt: skip
    columns = (
        Column("variant"),
        Column("frames"),
        Column("samples"),
        Column("dropped"),
        Column("p50", "ms", 1),
        Column("p99", "ms", 1),
        Column("max", "ms", 1),
        Column("CPU", "%", 1),
        Column("RSS", "MB", 1),
        Column("PSS", "MB", 1),
    )
    show("emer-edge run, all its processes", columns, rows)
    for name, held in measured.items():
        busiest = list(held["cpu_share_of_threads"].items())[:8]
        shares = ", ".join(f"{thread} {100 * share:.1f} %" for thread, share in busiest)
        console.print(f"CPU of the variant {name}: {shares}", highlight=False, soft_wrap=True)


def figures(arguments: argparse.Namespace, measured: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The figures of the result."""
    return {"minutes": arguments.minutes, "tracker_hz": TRACKER_HZ, "fps": FPS, "variants": measured}


if __name__ == "__main__":
    sys.exit(main())
