"""Throws mutated inputs at everything that reads bytes from outside: decoders, readers of files, records of cameras.

The mutating engine takes seeded inputs and continues where the last run ended (`benchmarks/results/fuzz.progress`).
With `--engine atheris` (extra `fuzz`) libFuzzer looks for new paths for `--seconds` a target, from the same valid
inputs; it keeps no corpus. A failure prints what repeats it.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import json
import multiprocessing
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, TESTS, Floor, conclude, console, show
from benchmarks.quiet import MOST_SHARE, OTHERS
from emer_edge.report.table import Column

sys.path.insert(0, str(TESTS / "fuzzing"))  # the targets, which the tests use too

BATCH = 10_000
HANG_S = 30.0  # ends the process of a target
SLOW_S = 2.0  # CPU time of one input
GROWTH_MB = 192.0
ADDRESS_SPACE = 4 << 30  # what an input asks for beyond that is refused by the kernel
KEPT_FAILURES = 20
PROGRESS = RESULTS / "fuzz.progress"


def main() -> int:
    """Fuzz; return the exit code."""
    from fuzz_targets import TARGETS

    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--only", help="targets, separated by commas", default=",".join(TARGETS))
    made.add_argument("--inputs", type=int, help="of each target in all; by default what each one states")
    made.add_argument("--seed", type=int, default=0, help="same seed, same inputs (default 0)")
    made.add_argument("--engine", choices=("mutate", "atheris"), default="mutate")
    made.add_argument("--seconds", type=float, default=60.0, help="atheris: of each target (default 60)")
    made.add_argument("--again", action="store_true", help="begin at input 0 again")
    made.add_argument("--at", type=int, help="run this one input of one target, without a net")
    arguments = made.parse_args()
    names = arguments.only.split(",")
    if unknown := [name for name in names if name not in TARGETS]:
        made.error(f"no target is called {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    if arguments.at is not None:
        return _single(names[0], arguments.seed, arguments.at)
    for name in names:
        before = _kept().get(name, {})
        OTHERS.restart()
        if arguments.engine == "atheris":
            _keep(name, {"atheris": _atheris(name, arguments.seconds, arguments.seed)})
        else:
            inputs = arguments.inputs or TARGETS[name].inputs
            for row in _mutating(name, inputs, arguments.seed, {} if arguments.again else before):
                _keep(name, row)
    kept = _kept()
    rows = {name: kept[name] for name in TARGETS if name in kept}
    _table(rows)
    return _conclude(rows)


# The mutating engine: each target in a process of its own, which is measured.


def _mutating(name: str, inputs: int, seed: int, before: dict[str, Any]) -> Iterator[dict[str, Any]]:
    row: dict[str, Any] = {"seed": seed, "inputs": 0, "failed": 0, "failures": []}
    row |= dict.fromkeys(("worst_ms", "seconds", "growth_mb", "others_share"), 0.0)
    if before.get("seed") == seed:
        row |= before
    row.pop("atheris", None)
    if row["inputs"] >= inputs:
        console.print(f"{name}: {row['inputs']} inputs are done", highlight=False)
        yield row
        return
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_worker, args=(name, seed, row["inputs"], inputs, sender), daemon=True)
    process.start()
    sender.close()
    with contextlib.suppress(EOFError):
        while True:
            batch = receiver.recv()
            row["inputs"] = batch["next"]
            row["failed"] += batch["failed"]
            row["failures"] = [*row["failures"], *batch["failures"]][:KEPT_FAILURES]
            row["seconds"] = round(row["seconds"] + batch["seconds"], 1)
            row["worst_ms"] = round(max(row["worst_ms"], batch["worst_ms"]), 2)
            row["growth_mb"] = round(max(row["growth_mb"], batch["growth_mb"]), 1)
            console.print(
                f"{name}: {row['inputs']} of {inputs}, {row['failed']} failed, worst {row['worst_ms']:.1f} ms, "
                f"{row['growth_mb']:.0f} MB",
                highlight=False,
            )
            row["others_share"] = round(max(row["others_share"], OTHERS.share()), 4)
            yield row
    process.join()
    if process.exitcode:
        row["failed"] += 1
        note = {"input": row["inputs"], "error": f"the process ended with {process.exitcode} in the batch from here"}
        row["failures"] = [*row["failures"], note]
        yield row


def _worker(name: str, seed: int, first: int, inputs: int, sender: Any) -> None:
    from fuzz_targets import TARGETS, make_input

    target = TARGETS[name]
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    for number in range(100):  # what is loaded once is no growth
        data, random = make_input(target, seed + 1, number)
        with contextlib.suppress(Exception):
            target.one(data, random)
    base_mb = _peak_mb(reset=True)
    for begin in range(first, inputs, BATCH):
        end = min(begin + BATCH, inputs)
        failures: list[dict[str, Any]] = []
        began, worst_s = time.monotonic(), 0.0
        for number in range(begin, end):
            data, random = make_input(target, seed, number)
            if number % 100 == 0:
                faulthandler.dump_traceback_later(HANG_S, exit=True)
            before_s = time.thread_time()
            try:
                target.one(data, random)
            except BaseException as error:  # a panic of a library in Rust is no Exception
                if isinstance(error, KeyboardInterrupt):
                    raise
                failures.append({"input": number, "error": f"{type(error).__name__}: {error}"[:300]})
            used_s = time.thread_time() - before_s
            worst_s = max(worst_s, used_s)
            if used_s > SLOW_S:
                failures.append({"input": number, "error": f"took {used_s:.1f} s"})
        faulthandler.cancel_dump_traceback_later()
        sender.send(
            {
                "next": end,
                "failed": len(failures),
                "failures": failures[:KEPT_FAILURES],
                "seconds": time.monotonic() - began,
                "worst_ms": worst_s * 1e3,
                "growth_mb": max(0.0, _peak_mb() - base_mb),
            }
        )


def _peak_mb(reset: bool = False) -> float:
    """Peak of this process's resident memory; `reset` restarts it at what is resident now (proc(5), clear_refs)."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(match[1]) / 1024 if match else 0.0


def _single(name: str, seed: int, number: int) -> int:
    from fuzz_targets import TARGETS, make_input

    data, random = make_input(TARGETS[name], seed, number)
    print(data[:2000], len(data))
    TARGETS[name].one(data, random)
    print("no failure")
    return 0


# The coverage-guided engine, in a process of its own, which libFuzzer ends.

_GUIDED = """
import sys
import atheris
sys.path[:0] = {paths!r}
with atheris.instrument_imports(include={modules!r}):
    from fuzz_targets import TARGETS
from random import Random
target = TARGETS[{name!r}]

def mutate(data, longest, seed):
    random = Random(seed)
    if not data or random.random() < 0.1:
        data = random.choice(target.seeds())
    if random.random() < 0.5:
        return atheris.Mutate(data, longest)
    return target.mutate(random, random.choice(target.seeds()) if random.random() < 0.3 else data)[:longest]

def one(data):
    target.one(data, Random(len(data)))

atheris.Setup(sys.argv, one, custom_mutator=mutate)
atheris.Fuzz()
"""


def _atheris(name: str, seconds: float, seed: int) -> dict[str, Any]:
    """Fuzz one target with libFuzzer; how many inputs, how many paths, and the failure that ended it if one did."""
    from fuzz_targets import TARGETS

    paths = [str(TESTS.parent), str(TESTS / "fuzzing")]
    code = _GUIDED.format(paths=paths, modules=list(TARGETS[name].modules), name=name)
    command = [sys.executable, "-c", code, f"-max_total_time={int(seconds)}", f"-seed={seed + 1}", "-timeout=10"]
    command += ["-rss_limit_mb=2048", "-max_len=65536", "-print_final_stats=1"]
    with tempfile.TemporaryDirectory() as folder:
        command.append(f"-artifact_prefix={folder}/")
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        culprits = [path.read_bytes()[:2000].hex() for path in Path(folder).iterdir()]
    text = done.stderr + done.stdout
    runs = re.search(r"number_of_executed_units:\s*(\d+)", text) or re.search(r"Done (\d+) runs", text)
    paths_found = re.findall(r"cov: (\d+)", text)
    peak = re.search(r"peak_rss_mb:\s*(\d+)", text)
    result = {
        "inputs": int(runs[1]) if runs else 0,
        "seconds": seconds,
        "paths": int(paths_found[-1]) if paths_found else 0,
        "peak_rss_mb": int(peak[1]) if peak else None,
        "failure": None if done.returncode == 0 else {"input": culprits, "said": text[-1500:]},
    }
    console.print(f"{name}: atheris ran {result['inputs']} inputs", highlight=False)
    if done.returncode:
        console.print(text[-3000:], highlight=False, markup=False)
    return result


# What is kept and shown.


def _kept() -> dict[str, dict[str, Any]]:
    for path in (PROGRESS, RESULTS / "fuzz.json"):
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads(path.read_text())["figures"])
    return {}


def _keep(name: str, row: dict[str, Any]) -> None:
    """Add to what is kept of a target; other runs may keep theirs meanwhile."""
    RESULTS.mkdir(exist_ok=True)
    rows = _kept()
    rows[name] = {**rows.get(name, {}), **row}
    unfinished = PROGRESS.with_suffix(".new")
    unfinished.write_text(json.dumps({"figures": rows}, indent=2) + "\n")
    os.replace(unfinished, PROGRESS)


def _table(rows: dict[str, dict[str, Any]]) -> None:
    columns = (
        Column("target"),
        Column("inputs"),
        Column("failed"),
        Column("worst", "ms", 1),
        Column("memory", "MB", 1),
        Column("atheris"),
        Column("failed there"),
    )
    cells = []
    for name, row in rows.items():
        guided = row.get("atheris", {})
        failed_there = None if not guided else int(guided["failure"] is not None)
        cells.append(
            (name, row.get("inputs"), row.get("failed"), row.get("worst_ms"), row.get("growth_mb"),
             guided.get("inputs"), failed_there)
        )  # fmt: skip
    show("Mutated inputs", columns, cells, "Worst: CPU time of one input. Memory: growth of the peak over all inputs.")


def _conclude(rows: dict[str, dict[str, Any]]) -> int:
    failed = sum(row.get("failed", 0) + bool(row.get("atheris", {}).get("failure")) for row in rows.values())
    floors = [
        Floor("inputs that crashed, hung, or cost the frames behind them", failed, 1, at_least=False),
        Floor("worst input", max((row.get("worst_ms", 0.0) for row in rows.values()), default=0.0), SLOW_S * 1e3,
              at_least=False, unit=" ms"),
        Floor("growth of memory", max((row.get("growth_mb", 0.0) for row in rows.values()), default=0.0), GROWTH_MB,
              at_least=False, unit=" MB"),
    ]  # fmt: skip
    busy = [name for name, row in rows.items() if row.get("others_share", 0.0) > MOST_SHARE]
    if busy:
        console.print(f"the machine was busy, repeat them: --again --only {','.join(busy)}", soft_wrap=True)
    share = max((row.get("others_share", 0.0) for row in rows.values()), default=0.0)
    return conclude("fuzz", floors, rows, others_share=share)


if __name__ == "__main__":
    sys.exit(main())
