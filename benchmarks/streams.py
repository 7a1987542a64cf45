"""Cost of a stream: 1, 2, 4 and 8 people in one process, each with a 30 fps video and a 120 Hz tracker file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from benchmarks.common import ONE_THREAD, conclude, console, parser, show, workshop
from benchmarks.tables import put_table
from emer_edge.report.table import Column, Table
from emer_edge.runtime.options import Source
from emer_edge.runtime.pipeline import Pipeline

SCALING: Final = Path(__file__).parents[1] / "docs" / "scaling.md"
COUNTS: Final = (1, 2, 4, 8)
_WARM_S: Final = 3.0  # until all threads run and the first looks at whole images are over
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_ROLES: Final = ("camera", "tracker", "faces", "steps")


def main() -> int:
    """Run it; return the exit code."""
    made = parser(
        "Read 1, 2, 4 and 8 people in one process, each count in a process of its own. Every stream decodes its own "
        "640x480 video at its pace, as a capture process would for a camera."
    )
    made.add_argument("--seconds", type=float, default=60.0, help="measured time of each count")
    made.add_argument("--counts", nargs="+", type=int, default=list(COUNTS), help="streams")
    made.add_argument("--output", type=Path, help="where the figures go; results/streams.json by default")
    made.add_argument("--child", nargs=4, metavar=("COUNT", "BUNDLE", "RECORDING", "SECONDS"), help=argparse.SUPPRESS)
    arguments = made.parse_args()
    if arguments.child:
        count, bundle, recording, seconds = arguments.child
        print(json.dumps(measure(int(count), Path(bundle), Path(recording), float(seconds))))
        return 0
    with workshop(arguments.work) as shop:
        bundle = arguments.bundle or shop.bundle("int8")
        recording = shop.recording(round(arguments.seconds + _WARM_S + 20))
        rows = []
        for count in arguments.counts:
            console.print(f"{count} streams for {arguments.seconds:g} s", highlight=False)
            rows.append(in_child(count, bundle, recording, arguments.seconds))
    figures = [
        "streams",
        *("cpu_share", "cpu_share_a_stream", "total_p50_ms", "total_p99_ms", "wait_p99_ms", "encode_p50_ms"),
        *("encode_a_crop_ms", "face_age_p99_ms", "peak_rss_mb", "lost"),
    ]
    show(
        "several people in one process",
        tuple(Column(figure.replace("_", " ")) for figure in figures),
        [tuple(_cell(row[figure]) for figure in figures) for row in rows],
        "cpu share: of one core, decoding of the videos included; total: deadline to the last result of a step",
    )
    table = table_of(rows, arguments.seconds)
    command = f"python -m benchmarks.streams --seconds {arguments.seconds:g}"
    return conclude(
        "streams",
        [],
        {"command": command, "seconds": arguments.seconds, "rows": rows},
        arguments.output,
        beside=None if arguments.output else lambda: put_table(SCALING, "streams", table),
    )


def table_of(rows: list[dict[str, Any]], seconds: float) -> Table:
    """The table in docs/scaling.md."""
    columns = (
        Column("Streams"),
        Column("Processor, all", "% of a core", 0, 100.0),
        Column("Processor, each", "% of a core", 1, 100.0),
        Column("Deadline to last result, p50", "ms", 1),
        Column("p99", "ms", 1),
        Column("Encoder, each crop", "ms", 2),
        Column("Memory", "MB", 0),
        Column("Lost"),
    )
    keys = ("streams", "cpu_share", "cpu_share_a_stream", "total_p50_ms", "total_p99_ms", "encode_a_crop_ms")
    cells = [tuple(row[key] for key in (*keys, "peak_rss_mb", "lost")) for row in rows]
    note = (
        f"{platform.machine()} server, {os.cpu_count()} cores, INT8, one thread; {seconds:g} s each; every stream "
        "decodes a 640x480 video at 30 frames a second and reads 120 samples a second (`python -m benchmarks.streams`)."
    )
    return Table("A process with several streams (measured)", columns, tuple(cells), note)


def in_child(count: int, bundle: Path, recording: Path, seconds: float) -> dict[str, Any]:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.streams", "--child", str(count), str(bundle), str(recording)]
    done = subprocess.run(
        [*command, str(seconds)], env={**os.environ, **ONE_THREAD}, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"the run of {count} streams ended with code {done.returncode}")
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def measure(count: int, bundle: Path, recording: Path, seconds: float) -> dict[str, Any]:
    """Run `count` streams for `seconds`; return what they cost."""
    sources = [
        Source(str(recording / "video.avi"), str(recording / "tracker.tsv"), name=f"seat-{number}", offset_ms=0.0)
        for number in range(1, count + 1)
    ]
    with Pipeline(bundle, sources=sources, say=lambda sentence: None) as streams:
        length_s = streams.bundle.manifest.window.length_ns * 1e-9
        began_s = time.monotonic()
        from_s: float | None = None
        cpu_s, roles_s = 0.0, {}
        for _ in streams:
            now_s = time.monotonic()
            if from_s is None and now_s - began_s >= min(_WARM_S, length_s):
                from_s, cpu_s, roles_s = now_s, time.process_time(), thread_cpu_s()
            if from_s is not None and now_s - from_s >= seconds:
                break
        else:
            sys.exit("the recording was too short")
        assert from_s is not None
        span_s = time.monotonic() - from_s
        cpu_s = time.process_time() - cpu_s
        roles_s = {role: after_s - roles_s.get(role, 0.0) for role, after_s in thread_cpu_s().items()}
    summary = streams.summary()
    total, stages = summary.stages["total"], summary.stages
    faces = [stream.ages["face age"] for stream in summary.streams.values() if "face age" in stream.ages]
    return {
        "streams": count,
        "cpu_share": cpu_s / span_s,
        "cpu_share_a_stream": cpu_s / span_s / count,
        "cpu_share_by_thread": {role: used_s / span_s for role, used_s in sorted(roles_s.items())},
        "total_p50_ms": total.p50_ms,
        "total_p99_ms": total.p99_ms,
        "total_max_ms": total.max_ms,
        "steps": total.count,
        "wait_p99_ms": stages["wait"].p99_ms,
        "encode_p50_ms": stages["encode"].p50_ms,
        "encode_a_crop_ms": stages["encode"].p50_ms / count,
        "fuse_p50_ms": stages["fuse"].p50_ms if "fuse" in stages else None,
        "detect_p50_ms": stages["detect"].p50_ms,
        "detect_p99_ms": stages["detect"].p99_ms,
        "face_age_p99_ms": max((face.p99_ms for face in faces), default=None),
        "peak_rss_mb": summary.peak_rss_mb,
        "states": summary.states,
        "dropped": summary.dropped,
        "lost": sum(summary.dropped.values()),
    }


def thread_cpu_s() -> dict[str, float]:
    """CPU time of the pipeline's threads so far, by their role; `rest` is all others."""
    names = {thread.native_id: thread.name.removeprefix("emer-edge ") for thread in threading.enumerate()}
    used: dict[str, float] = defaultdict(float)
    for task in Path("/proc/self/task").iterdir():
        name = names.get(int(task.name), "rest")
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        used[name if name in _ROLES else "rest"] += (int(fields[11]) + int(fields[12])) / _TICKS
    return dict(used)


def _cell(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


if __name__ == "__main__":
    sys.exit(main())
