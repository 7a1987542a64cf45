"""What the TensorRT benchmarks work on: the parts of bundles, or of the demo weights in every precision."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from emer_edge.bundle import TENSORRT, file_of, load_bundle, role_of

PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class Case:
    """One part to check: which bundle or form it is from, its precision, its file, and the CPU's file of it."""

    group: str
    part: str
    precision: str
    path: Path
    cpu: Path | None = None


def given(paths: Sequence[Path]) -> Iterator[Case]:
    """Every tensorrt part of bundles."""
    for entry in paths:
        bundle = load_bundle(entry)
        precisions: dict[str, str] = dict(bundle.manifest.precision.parts)
        for part in bundle.parts(TENSORRT):
            path = bundle.path / file_of(TENSORRT, part)
            same = (f"cpu/{name}.onnx" for name in (part, role_of(part)))  # in its own precision where that is there
            cpu = next((bundle.path / name for name in same if name in bundle.manifest.files), None)
            precision = precisions.get(f"tensorrt/{part}", "fp32")
            yield Case(entry.name.removesuffix(".emer"), part, precision, path, cpu)


def demo(folder: Path, refuse: Callable[[Case, str], None]) -> Iterator[Case]:
    """The demo weights in every precision; `refuse` is told of what can't be made."""
    for precision in PRECISIONS:
        path = folder / f"{precision}.emer"
        if not path.exists():
            command = [sys.executable, "-m", "emer_edge", "export", "--precision", precision, "--output", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if not path.exists():
                last = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
                refuse(Case(precision, "all", precision, path), last)
                continue
        yield from given([path])
