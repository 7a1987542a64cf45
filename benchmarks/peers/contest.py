"""The parent's side: every candidate in a process of its own, all of them in turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.common import console
from benchmarks.peers.candidates import Candidate
from benchmarks.peers.material import Material

RUNS = 3
"""Of a candidate's turn. The first finds the caches filled by others, as every step of a live loop does."""


@dataclass
class Contest:
    """What one number of threads gave.

    Attributes:
        durations_ns: candidate -> turn -> runs, each the time by the clock and the processor time of all threads.
        left_out: candidate -> why.
    """

    durations_ns: dict[str, list[list[tuple[int, int]]]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def prepared(candidates: Sequence[Candidate], material: Material) -> dict[str, str]:
    """Make the graphs that candidates load; candidate -> why it has to be left out."""
    missing: dict[str, str] = {}
    for candidate in candidates:
        absent = [name for name in candidate.needs if find_spec(name) is None]
        if absent:
            missing[candidate.name] = f"not installed here: {', '.join(absent)} (pip install {' '.join(absent)})"
        elif candidate.prepare is not None:
            console.print(f"preparing {candidate.title}", highlight=False)
            try:
                candidate.prepare(material)
            except Exception as error:  # whatever a peer's tool raises is why it is left out
                missing[candidate.name] = f"{type(error).__name__}: {str(error).strip().splitlines()[:1]}"
    return missing


def held(candidates: Sequence[Candidate], material: Material, threads: int, rounds: int) -> Contest:
    """Time all candidates side by side; each writes `outputs-NAME.npz` first where it is not there."""
    contest = Contest()
    workers: dict[str, subprocess.Popen[str]] = {}
    try:
        for candidate in candidates:
            console.print(f"{threads} threads: loading {candidate.title}", highlight=False)
            worker = _start(candidate.name, material.folder, threads)
            workers[candidate.name] = worker
            said = _answer(worker, candidate.name)
            if "left_out" in said:
                contest.left_out[candidate.name] = said["left_out"]
                _end(workers.pop(candidate.name))
            elif not material.outputs(candidate.name).exists():
                _ask(worker, candidate.name, f"check {material.outputs(candidate.name)}")
        contest.durations_ns = {name: [] for name in workers}
        for number in range(rounds):
            if number % max(1, rounds // 5) == 0:
                console.print(f"{threads} threads: round {number + 1} of {rounds}", highlight=False)
            for name, worker in workers.items():
                contest.durations_ns[name].append(_ask(worker, name, f"time {RUNS}"))
    finally:
        for worker in workers.values():
            _end(worker)
    return contest


def _start(name: str, folder: Path, threads: int) -> subprocess.Popen[str]:
    limits = {f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "OPENBLAS", "MKL")}
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.peers.worker", name, str(folder), str(threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **limits},
    )


def _ask(worker: subprocess.Popen[str], name: str, question: str) -> Any:
    assert worker.stdin is not None
    worker.stdin.write(question + "\n")
    worker.stdin.flush()
    return _answer(worker, name)


def _answer(worker: subprocess.Popen[str], name: str) -> Any:
    assert worker.stdout is not None
    line = worker.stdout.readline()
    if not line:
        sys.exit(f"the process of {name} has died")
    return json.loads(line)


def _end(worker: subprocess.Popen[str]) -> None:
    worker.kill()
    worker.wait()
