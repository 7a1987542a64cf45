"""Compares replays of one recording on arm64 with those on x86; benchmarks/arm64_check.sh makes both and calls this.

Floors: FP32 within 1e-4; INT8 the same top class on at least 99 % of windows, on every class head; every test passed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchmarks.common import Floor, conclude
from emer_edge.core.heads import HEADS, ClassHead

_FP32, _INT8 = 1e-4, 0.99
_PRECISIONS = ("fp32", "int8")


def results(path: Path) -> dict[int, dict[str, Any]]:
    """The results of a run by the end of their window."""
    return {line["end_ns"]: line for line in map(json.loads, path.read_text().splitlines())}


def compare(here: Mapping[int, Any], there: Mapping[int, Any]) -> dict[str, Any]:
    """Figures of two replays; windows that only one of them has count as different states."""
    both = [(here[end], there[end]) for end in here if end in there]
    ok = [(a["heads"], b["heads"]) for a, b in both if a["state"] == b["state"] == "ok"]
    heads = [head for head in HEADS if ok and head in ok[0][0]]
    largest = {
        head: max((abs(x - y) for a, b in ok for x, y in zip(_numbers(a[head]), _numbers(b[head]), strict=True)))
        for head in heads
    }
    same = {
        head: sum(max(a[head], key=a[head].get) == max(b[head], key=b[head].get) for a, b in ok) / len(ok)
        for head in heads
        if isinstance(HEADS[head], ClassHead)
    }
    return {
        "results": [len(here), len(there)],
        "other_states": len(here) + len(there) - 2 * len(both) + sum(a["state"] != b["state"] for a, b in both),
        "windows": len(ok),
        "largest_difference": largest,
        "same_top_class": same,
    }


def tests_of(path: Path) -> dict[str, Any]:
    """Counts of a JUnit file, the names of what failed, and the modules that lacked a package to begin with."""
    cases = list(ElementTree.parse(path).iter("testcase"))
    lacking = [case for case in cases if "ModuleNotFoundError" in (case.findtext("error") or "")]
    wrong = [
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if case not in lacking and (case.find("failure") is not None or case.find("error") is not None)
    ]
    skipped = sum(case.find("skipped") is not None for case in cases)
    return {
        "passed": len(cases) - len(lacking) - len(wrong) - skipped,
        "failed": wrong,
        "skipped": skipped,
        "not_run": [case.get("name") for case in lacking],
    }


def _numbers(head: Any) -> list[float]:
    return list(head.values()) if isinstance(head, dict) else [float(head)]


def main() -> int:
    """Compare the replays in a folder, and write benchmarks/results/arm64.json."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "folder", type=Path, help="holds {x86,arm64}-{fp32,int8}.jsonl, and versions and tests where made"
    )
    folder: Path = made.parse_args().folder
    figures: dict[str, Any] = {}
    floors = []
    for precision in _PRECISIONS:
        here, there = folder / f"x86-{precision}.jsonl", folder / f"arm64-{precision}.jsonl"
        if not there.exists():
            figures[precision] = "not run"
            continue
        figures[precision] = comparison = compare(results(here), results(there))
        if not comparison["windows"]:
            sys.exit(f"{here} and {there} have no window in common that is ok")
        floors.append(Floor(f"{precision}: results in another state", comparison["other_states"], 1, at_least=False))
        if precision == "fp32":
            worst = max(comparison["largest_difference"].values())
            floors.append(
                Floor(f"fp32: largest difference in {comparison['windows']} windows", worst, _FP32, at_least=False)
            )
        else:
            least = min(comparison["same_top_class"].values())
            floors.append(Floor(f"int8: same top class in {comparison['windows']} windows, worst head", least, _INT8))
    for side in ("x86", "arm64"):
        versions = folder / f"versions-{side}.json"
        figures[f"versions_{side}"] = json.loads(versions.read_text()) if versions.exists() else "not recorded"
    if (folder / "tests.xml").exists():
        figures["tests"] = tests_of(folder / "tests.xml")
        floors.append(Floor("tests that failed on arm64", len(figures["tests"]["failed"]), 1, at_least=False))
    else:
        figures["tests"] = "not run"
    # Nothing is timed, so a busy machine spoils nothing.
    return conclude("arm64", floors, figures, others_share=0.0)


if __name__ == "__main__":
    sys.exit(main())
