"""Scoring clips with several processes: how much faster, and whether memory grows with the data set.

Every run is `run_bench` without timings in a process of its own, on clips of the fold that the bundle has never seen;
four times as many are the same ones under other names and of other people. The peak is the kernel's, of the process
that deals and collects.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import ONE_THREAD, Floor, conclude, console, parser, show, workshop
from emer_edge.bench.bench_options import BenchOptions, LatencyOptions, ProbeOptions, WorkerOptions
from emer_edge.bench.benchmark import run_bench
from emer_edge.data.dataset import EmerDataset
from emer_edge.report.table import Column

TIMES = 4
UNTIMED = LatencyOptions(
    repeats=1, warmup=0, rests=0, starts=0, streams=(), min_seconds=0.0, min_queries=0, stream_s=0.0
)
_MOST_MB = 0.1
"""What is kept of a clip are 20 kB of numbers; intervals and tables take some more while they are made."""


def main() -> int:
    """Run it; return the exit code."""
    made = parser("Speed-up and memory of `emer-edge bench --workers`.")
    made.add_argument("--data", type=Path, help="data set of the bundle; built when left out")
    made.add_argument("--clips", type=int, default=100, help=f"clips of a run; one run has {TIMES} times as many")
    made.add_argument("--workers", type=int, default=2, help="processes")
    made.add_argument("--turns", type=int, default=1, help="pairs of runs, with one process and with several")
    made.add_argument("--child", type=int, help=argparse.SUPPRESS)
    arguments = made.parse_args()
    if arguments.child is not None:
        print(
            json.dumps(
                scored(
                    arguments.bundle, arguments.data, arguments.clips, times=arguments.child, workers=arguments.workers
                )
            )
        )
        return 0
    with workshop(arguments.work) as shop:
        bundle, data = arguments.bundle or shop.bundle("int8"), arguments.data or shop.data()
        runs = []
        for _ in range(arguments.turns):
            runs += [
                _run(bundle, data, arguments.clips, times=1, workers=workers) for workers in (1, arguments.workers)
            ]
        runs.append(_run(bundle, data, arguments.clips, times=TIMES, workers=arguments.workers))
    return _concluded(runs, arguments.clips, arguments.workers)


def scored(bundle: Path, data: Path, count: int, *, times: int, workers: int) -> dict[str, Any]:
    """Score `times` x `count` clips with `workers` processes; speed, peaks and the load before."""
    load = os.getloadavg()[0]
    whole = EmerDataset.open(data)
    chosen = [clip for clip in whole.clips if clip.fold == 1][:count]
    clips = [
        dataclasses.replace(variant, name=f"{turn}x{variant.name}", participant=f"{turn}x{variant.participant}")
        for turn in range(times)
        for variant in chosen
    ]
    dataset = dataclasses.replace(whole, clips=(*clips, *(clip for clip in whole.clips if clip.fold != 1)))
    report = run_bench(
        BenchOptions(
            bundles=(bundle,),
            data=dataset,
            folds=(1,),
            latency=UNTIMED,
            probing=ProbeOptions(probes=()),
            work=WorkerOptions(workers=workers),
        )
    )
    accuracy = report.bundles[0].accuracy
    assert accuracy is not None
    return {
        "workers": workers,
        "clips": accuracy.clips,
        "clips_per_s": accuracy.clips_per_s,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        "load_average_before": load,
        "heads": {name: head.metrics["war" if head.classes else "mae"].value for name, head in accuracy.heads.items()},
    }


def _run(bundle: Path, data: Path, clips: int, *, times: int, workers: int) -> dict[str, Any]:
    numbers = ("--clips", str(clips), "--child", str(times), "--workers", str(workers))
    command = [sys.executable, "-m", "benchmarks.spreading", str(bundle), "--data", str(data), *numbers]
    console.print(f"scoring {clips * times} clips with {workers} processes", highlight=False)
    done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"scoring ended with code {done.returncode}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def _concluded(runs: list[dict[str, Any]], clips: int, workers: int) -> int:
    alone = [run for run in runs if run["workers"] == 1]
    together = [run for run in runs if run["workers"] > 1]
    ratios = [b["clips_per_s"] / a["clips_per_s"] for a, b in zip(alone, together[:-1], strict=True)]
    few, many = together[0], together[-1]
    more = many["clips"] - few["clips"]
    grown = (many["peak_rss_mb"] - few["peak_rss_mb"]) / more
    columns = ("workers", "clips", "clips_per_s", "peak_rss_mb", "load_average_before")
    show(
        "scoring",
        tuple(Column(column, "", 2) for column in columns),
        [tuple(run[name] for name in columns) for run in runs],
    )
    console.print(
        f"{workers} processes score {median(ratios):.2f} times as many clips per second as one", highlight=False
    )
    floors = [
        Floor("peak RSS of the distributing process, per further clip", grown, _MOST_MB, False, unit=" MB"),
        Floor("runs whose figures differ from those of one process", _different(runs, clips), 1, False),
    ]
    figures = {"runs": runs, "speed_up": ratios, "grown_mb_a_clip": grown, "cores": len(os.sched_getaffinity(0))}
    return conclude("spreading", floors, figures)


def _different(runs: list[dict[str, Any]], clips: int) -> int:
    same = [run["heads"] for run in runs if run["clips"] <= clips]
    return sum(figures != same[0] for figures in same)


if __name__ == "__main__":
    sys.exit(main())
