"""Parsing and building every part in every precision with NVIDIA's builder: what it takes, without a GPU.

Each build is a process of its own, so that its peak memory is its own. Plans are thrown away.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.common import ONE_THREAD, Floor, conclude, console, show, workshop
from benchmarks.tensorrt_cases import Case, demo, given
from emer_edge.report.table import Column
from emer_edge.runtime.engines.tensorrt.builder import BuildOptions, build_plan
from emer_edge.runtime.engines.tensorrt.toolkit import find_tensorrt


def main() -> int:
    """Run it; return the exit code."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("bundles", nargs="*", type=Path, help="bundles to build; the demo weights when left out")
    made.add_argument("--work", type=Path, help="folder for what is exported; temporary by default")
    made.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = made.parse_args()
    if arguments.child is not None:
        return _child(arguments.child)
    if find_tensorrt() is None:
        console.print("tensorrt_builds: neither tensorrt nor tensorrt_rtx is here: pip install '.[rtx]'")
        return 2
    refused: list[str] = []
    with workshop(arguments.work) as shop:
        if arguments.bundles:
            cases = list(given(arguments.bundles))
        else:
            cases = list(demo(shop.folder, lambda case, reason: refused.append(f"{case.group} {case.part}: {reason}")))
        rows = [_build(case) for case in cases]
    show(
        f"Built by {rows[0].get('package', 'nothing') if rows else 'nothing'}",
        (
            Column("from"),
            Column("part"),
            Column("precision"),
            Column("build", "s", 2),
            Column("plan", "MB", 1),
            Column("peak", "MB", 0),
            Column("Q/DQ"),
            Column("error"),
        ),
        [
            (
                row["group"],
                row["part"],
                row["precision"],
                row.get("seconds"),
                row.get("plan_mb"),
                row.get("peak_mb"),
                row.get("violations"),
                row.get("error", ""),
            )
            for row in rows
        ],
    )
    for reason in refused:
        console.print(f"could not be made: {reason}")
    failed = len(refused) + sum("error" in row for row in rows)
    console.print("Q/DQ: violations of the rules for explicit quantisation", highlight=False)
    floors = [
        Floor("parts that were not built", failed, 1, at_least=False),
        Floor("Q/DQ violations", sum(row.get("violations", 0) for row in rows), 1, at_least=False),
    ]
    return conclude("tensorrt_builds", floors, {"rows": rows, "refused": refused})


def _build(case: Case) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.tensorrt_builds", "--child", str(case.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **ONE_THREAD})
    row: dict[str, Any] = {"group": case.group, "part": case.part, "precision": case.precision}
    if done.returncode:
        return {**row, "error": (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]}
    return {**row, **json.loads(done.stdout), "violations": _violations(case.path)}


def _violations(path: Path) -> int:
    import onnx

    from benchmarks.qdq_rules import find_qdq_violations

    return len(find_qdq_violations(onnx.load(str(path))))


def _child(path: Path) -> int:
    built = build_plan(path, BuildOptions())
    status = Path("/proc/self/status").read_text()  # getrusage's peak is inherited from whoever started this
    peak_mb = int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    figures = {
        "package": f"{built.package} {built.version}",
        "seconds": round(built.seconds, 3),
        "plan_mb": len(built.plan) / 1e6,
        "peak_mb": peak_mb,
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
