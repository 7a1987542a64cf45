"""Resident memory of a running pipeline: `emer-edge run` in real time, watched from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from time import sleep

from benchmarks.common import ONE_THREAD, Floor, conclude, parser, show, workshop
from emer_edge.report.table import Column

FLOOR_MB = 300.0


def main() -> int:
    """Run it; return the exit code."""
    made = parser("Resident memory of `emer-edge run` over a recording at its own pace.")
    made.add_argument("--seconds", type=int, default=45, help="length of the recording")
    arguments = made.parse_args()
    with workshop(arguments.work) as shop:
        bundle = arguments.bundle or shop.bundle("int8")
        resident, peak = watch(bundle, shop.recording(arguments.seconds))
    first, last = resident[min(5, len(resident) - 1)], resident[-1]
    show(
        "emer-edge run",
        (Column("when"), Column("RSS", "MB", 1)),
        [("after 5 s", first), ("at the end", last), ("at most", peak)],
    )
    figures = {"seconds": arguments.seconds, "rss_mb_each_second": resident, "peak_rss_mb": peak, "bundle": bundle.name}
    return conclude("memory", [Floor("peak RSS of a running pipeline", peak, FLOOR_MB, False, " MB")], figures)


def watch(bundle: Path, recording: Path) -> tuple[list[float], float]:
    """Resident memory every second, and its peak, in 10^6 bytes."""
    files = ["--camera", str(recording / "video.avi"), "--tracker", str(recording / "tracker.tsv"), "--offset-ms", "0"]
    command = [sys.executable, "-m", "emer_edge", "run", str(bundle), *files, "--json"]
    resident, peak = [], 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **ONE_THREAD}) as process:
        while process.poll() is None:
            sleep(1)
            now, highest = memory_mb(process.pid)
            if now:
                resident.append(now)
                peak = max(peak, highest)
    if process.returncode or not resident:
        sys.exit(f"emer-edge run ended with code {process.returncode}")
    return resident, peak


def memory_mb(process: int) -> tuple[float, float]:
    """VmRSS and VmHWM of a process; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    fields = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    now, highest = (int(fields[name][0]) * 1024 / 1e6 if name in fields else 0.0 for name in ("VmRSS", "VmHWM"))
    return now, highest


if __name__ == "__main__":
    sys.exit(main())
