"""One candidate in a process of its own: it answers what the parent asks for, one line of JSON a question."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter_ns, process_time_ns

import numpy as np

from benchmarks.peers.candidates import CANDIDATES, Candidate, Runner
from benchmarks.peers.material import TIMED, Material

_WARM_UPS = 5


def main() -> int:
    """Serve `time RUNS` and `check FILE` until standard input ends: `worker NAME FOLDER THREADS`."""
    name, material, threads = sys.argv[1], Material(Path(sys.argv[2])), int(sys.argv[3])
    candidate = next(candidate for candidate in CANDIDATES if candidate.name == name)
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    try:
        runner = candidate.build(material, threads)
        windows = material.windows("checked")
        timed = [runner.take(windows.inputs(at)) for at in range(TIMED)]
        for at in range(_WARM_UPS):
            runner.run(timed[at])
    except Exception as error:  # whatever a peer raises is why it is left out
        print(json.dumps({"left_out": _first_line(error)}), file=answers, flush=True)
        return 0
    print(json.dumps({"ready": True}), file=answers, flush=True)
    turn = 0
    for line in sys.stdin:
        what, _, value = line.strip().partition(" ")
        if what == "check":
            print(json.dumps(check(candidate, runner, material, Path(value))), file=answers, flush=True)
            continue
        durations: list[tuple[int, int]] = []
        for _ in range(int(value)):
            turn += 1
            cpu_ns, began_ns = process_time_ns(), perf_counter_ns()
            runner.run(timed[turn % TIMED])
            durations.append((perf_counter_ns() - began_ns, process_time_ns() - cpu_ns))
        print(json.dumps(durations), file=answers, flush=True)
    return 0


def check(candidate: Candidate, runner: Runner, material: Material, path: Path) -> int:
    """Write the candidate's outputs for every checked window; return their number."""
    windows = material.windows("checked")
    parts: dict[str, list[np.ndarray]] = {}
    for at in range(len(windows)):
        for name, output in runner.run(runner.take(windows.inputs(at))).items():
            parts.setdefault(name, []).append(np.array(output))
    outputs = {name: np.concatenate(outputs) for name, outputs in parts.items()}
    written = path.with_name(f".{path.name}")
    np.savez(written, **(outputs if candidate.kind == "ours" else material.comparable(outputs)))
    written.rename(path)
    return len(windows)


def _first_line(error: BaseException) -> str:
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0][:200] if said else 'no reason given'}"


if __name__ == "__main__":
    sys.exit(main())
