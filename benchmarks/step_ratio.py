"""How much faster a live step of the INT8 bundle is than the whole window in eager PyTorch, the published way.

Both candidates live in processes of their own and take turns; each turn is a few runs after a pause, as in a live loop.
With `--old WORKTREE` the step of that version takes its turns, too, on a bundle that it exports.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns

import numpy as np

from benchmarks.common import ROOT, Floor, add_old, compared_bundle, conclude, of_tree, parser, show, workshop
from emer_edge.core.window import EYE_COLUMN_COUNT, EYE_SLOTS, FACE_SIZE_PX, FACE_SLOTS
from emer_edge.metrics.latency import summarise
from emer_edge.report.table import Column

FLOOR = 15.0
OLD_FLOOR = 1.03
RUNS = {"eager": 3, "step": 15, "old step": 15, "encode": 15, "fuse": 15}
Work = Callable[[], object]


def main() -> int:
    """Run it; return the exit code."""
    made = parser("Live step of the INT8 bundle against the whole window in eager PyTorch, one thread.")
    made.add_argument("--rounds", type=int, default=40, help="turns of each candidate")
    add_old(made)
    made.add_argument("--worker", choices=("eager", "live"), help=argparse.SUPPRESS)
    arguments = made.parse_args()
    if arguments.worker:
        return serve(eager() if arguments.worker == "eager" else live(arguments.bundle))
    with workshop(arguments.work) as shop:
        trees = {"eager": ROOT, "live": ROOT} | ({"old": arguments.old} if arguments.old else {})
        bundle = compared_bundle(arguments, shop)
        durations = take_turns(trees, bundle, arguments.rounds)
    medians = {name: [statistics.median(turn) for turn in turns] for name, turns in durations.items()}
    ratios = [one / other for one, other in zip(medians["eager"], medians["step"], strict=True)]
    summaries = {name: summarise(duration for turn in turns for duration in turn) for name, turns in durations.items()}
    names = {
        "eager": "whole window, eager PyTorch",
        "step": "live step, INT8",
        "old step": "live step, INT8, old version",
        "encode": "  encode one crop",
        "fuse": "  fuse one window",
    }
    show(
        "One thread, in turns",
        (Column("What"), Column("p50", "ms"), Column("p90", "ms"), Column("p99", "ms"), Column("count")),
        [
            (names[name], summary.p50_ms, summary.p90_ms, summary.p99_ms, summary.count)
            for name, summary in summaries.items()
        ],
    )
    ratio = summaries["eager"].p50_ms / summaries["step"].p50_ms
    figures = {
        "ratio_of_medians": ratio,
        "ratio_per_turn": {"median": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)},
        "latency": {name: summary.to_dict() for name, summary in summaries.items()},
        "bundle": bundle.name,
    }
    floors = [Floor("eager whole window over live step", ratio, FLOOR, unit=" times")]
    if "old step" in summaries:
        faster = summaries["old step"].p50_ms / summaries["step"].p50_ms
        figures["old_over_new"] = faster
        floors.append(Floor("the old version's live step over this one's", faster, OLD_FLOOR, unit=" times"))
    return conclude("step_ratio", floors, figures)


def take_turns(trees: dict[str, Path], bundle: Path, rounds: int) -> dict[str, list[list[int]]]:
    """Durations in ns: candidate -> turn -> runs."""
    kinds = {"eager": "eager", "step": "live", "old step": "old", "encode": "live", "fuse": "live"}
    kinds = {name: kind for name, kind in kinds.items() if kind in trees}
    workers = {kind: start(kind, tree, bundle) for kind, tree in trees.items()}
    durations: dict[str, list[list[int]]] = {name: [] for name in kinds}
    try:
        for _ in range(rounds):
            for name, kind in kinds.items():
                durations[name].append(ask(workers[kind], name.removeprefix("old "), RUNS[name]))
    finally:
        for worker in workers.values():
            worker.kill()
            worker.wait()
    return durations


def start(kind: str, tree: Path, bundle: Path) -> subprocess.Popen[str]:
    """Start a candidate in a process of its own, one thread."""
    python, how = of_tree(tree)
    worker = "eager" if kind == "eager" else "live"
    command = [*python, "benchmarks.step_ratio", str(bundle), "--worker", worker]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **how)


def ask(worker: subprocess.Popen[str], name: str, runs: int) -> list[int]:
    """Have a candidate run so often; return the durations in ns."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(f"{name} {runs}\n")
    worker.stdin.flush()
    answer = worker.stdout.readline()
    if not answer:
        sys.exit(f"the process that times {name} has died")
    durations: list[int] = json.loads(answer)
    return durations


def serve(work: dict[str, Work]) -> int:
    """Run what the parent asks for and answer with the durations."""
    for folder in work.values():
        for _ in range(5):
            folder()
    for line in sys.stdin:
        name, runs = line.split()
        durations = []
        for _ in range(int(runs)):
            began = perf_counter_ns()
            work[name]()
            durations.append(perf_counter_ns() - began)
        print(json.dumps(durations), flush=True)
    return 0


def inputs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A window of EMER-like numbers: (1, 8, 3, 112, 112), (1, 32, 39), (1, 32, 2)."""
    from emer_edge.data.synth.eyes import generate

    rng = np.random.default_rng(0)
    face = rng.random((1, FACE_SLOTS, 3, FACE_SIZE_PX, FACE_SIZE_PX), np.float32)
    rows = generate("neutral").rows
    eye = rows[np.linspace(0, len(rows) - 1, EYE_SLOTS).astype(int)].reshape(1, EYE_SLOTS, EYE_COLUMN_COUNT)
    return face, eye, np.ascontiguousarray(eye[..., :2])


def eager() -> dict[str, Work]:
    """The whole window in eager PyTorch; weights are random, which changes no time."""
    import torch

    from emer_edge.model.emert import Emert

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Emert("nine").eval()
    tensors = [torch.from_numpy(entry) for entry in inputs()]

    def run() -> object:
        with torch.inference_mode():
            return model(*tensors)

    return {"eager": run}


def live(bundle: Path) -> dict[str, Work]:
    """The live step of a bundle in ONNX Runtime, and its two halves."""
    import emer_edge

    session = emer_edge.Session(bundle, engine="onnxruntime", threads=1)
    face, eye, gaze = inputs()
    crop = face[0, :1]
    embeddings = session.encode(face[0])[None]

    def step() -> object:
        embeddings[0, -1] = session.encode(crop)[0]
        return session.fuse(embeddings, eye, gaze)

    return {"step": step, "encode": lambda: session.encode(crop), "fuse": lambda: session.fuse(embeddings, eye, gaze)}


if __name__ == "__main__":
    sys.exit(main())
