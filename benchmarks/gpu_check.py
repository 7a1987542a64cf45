"""Everything that needs an NVIDIA GPU, in one command and one file to send back.

It builds, loads and runs every part, compares, inspects, times, chooses, and runs live on simulated sensors.

    python -m benchmarks.gpu_check                    # exports the demo weights in every precision first
    python -m benchmarks.gpu_check a.emer b.emer      # bundles made elsewhere: no torch is needed, as on a Jetson

Works with `tensorrt` (a Jetson, a server) and `tensorrt_rtx` (a desktop's GPU). What fails is a row of the table, not
the end; the table, all figures and what they were measured beside go to one file, which names no person and no folder:
benchmarks/results/boards/MODULE.json, from which docs/boards.md is made. Without a GPU it ends at once with 2.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any

import msgspec
import numpy as np

from benchmarks.boards import BOARDS
from benchmarks.common import Floor, conclude, console, show, workshop
from benchmarks.quiet import OTHERS
from benchmarks.tensorrt_cases import Case, demo, given
from emer_edge.bundle import load_bundle
from emer_edge.core.errors import EmerEdgeError
from emer_edge.export.verification import seeded_windows
from emer_edge.metrics.latency import summarise
from emer_edge.metrics.prediction_metrics import largest_error
from emer_edge.report.table import Column
from emer_edge.runtime.engines import open_engine
from emer_edge.runtime.engines.choosing import time_parts
from emer_edge.runtime.engines.kept_choice import keep_choice
from emer_edge.runtime.engines.tensorrt.builder import BuildOptions
from emer_edge.runtime.engines.tensorrt.cuda import find_gpu
from emer_edge.runtime.engines.tensorrt.engine import TensorRtEngine, why_not
from emer_edge.runtime.engines.tensorrt.toolkit import UNKNOWN, describe_machine, load_toolkit
from emer_edge.runtime.pipeline import Pipeline, Summary

BATCHES = (1, 3, 16, 17)
_LIVE_S = 30
TOLERANCE = {"fp32": 1e-3, "fp16": 0.03, "int8": 0.1}
"""Largest difference from ONNX Runtime on the same file, as a share of the output's largest value."""

Inputs = dict[str, np.ndarray[Any, np.dtype[np.float32]]]


@dataclass
class Findings:
    """The rows of the table, failures among them."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, case: Case, check: str, message: str, ok: bool = True, **figures: Any) -> None:
        """Add a row, and say it."""
        row = {"group": case.group, "part": case.part, "precision": case.precision, "check": check, "message": message}
        self.rows.append({**row, "ok": ok, **figures})
        console.print(f"{'ok    ' if ok else 'FAILED'} {case.group} {case.part}: {check}: {message}", highlight=False)

    def attempt(self, case: Case, check: str, work: Callable[[], Any]) -> Any:
        """Do something that may fail; a failure becomes a row and gives None."""
        try:
            return work()
        except Exception as error:
            self.add(case, check, f"{type(error).__name__}: {error}", ok=False)
            return None

    def refuse(self, case: Case, message: str) -> None:
        """Add the row of a case that could not be made."""
        self.add(case, "export", message, ok=False)

    @property
    def failed(self) -> int:
        """Rows that failed."""
        return sum(not row["ok"] for row in self.rows)


def main() -> int:
    """Run it; return the exit code: 0, 1 when a row failed, 2 where nothing can be checked."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("bundles", nargs="*", type=Path, help="bundles to check; the demo weights when left out")
    made.add_argument("--package", choices=("tensorrt", "tensorrt_rtx"), help="by default the one that is installed")
    made.add_argument("--repeats", type=int, default=500, help="timed runs of each part")
    made.add_argument("--warmup", type=int, default=50, help="runs before them")
    made.add_argument("--work", type=Path, help="folder for what is exported; temporary by default")
    arguments = made.parse_args()
    reason = why_not()
    if reason is not None:
        console.print(f"gpu_check: nothing can be checked here: TensorRT can't run, as {reason}", soft_wrap=True)
        return 2
    findings = Findings()
    with workshop(arguments.work) as shop:
        try:
            toolkit = load_toolkit(arguments.package)
            cases = list(given(arguments.bundles) if arguments.bundles else demo(shop.folder, findings.refuse))
        except EmerEdgeError as error:
            console.print(f"gpu_check: {error}", soft_wrap=True)
            return 2
        machine = describe_machine(toolkit.can, find_gpu())
        console.print(f"{machine.gpu}, {machine.tensorrt}, CUDA {machine.cuda}, driver {machine.driver}")
        options = BuildOptions(package=toolkit.can.package)
        embeddings = _embeddings(cases)
        for case in cases:
            _check(findings, case, options, embeddings, arguments.repeats, arguments.warmup)
        bundles = arguments.bundles or sorted(shop.folder.glob("*.emer"))
        chosen = {path.name: _whole(findings, path, shop.recording(_LIVE_S)) for path in bundles}
    _show(findings.rows)
    figures: dict[str, Any] = {"machine": msgspec.to_builtins(machine), "tolerance": TOLERANCE, "bundles": chosen}
    figures |= {"rows": findings.rows, "beside_others_share": round(OTHERS.share(), 4)}
    name = re.sub(r"[^a-z0-9]+", "-", (machine.gpu if machine.module == UNKNOWN else machine.module).lower()).strip("-")
    path = BOARDS / f"{name}.json"
    floors = [Floor("rows that failed", findings.failed, 1, at_least=False)]
    code = conclude("gpu_check", floors, figures, path, others_share=0.0)  # a board of others may be busy: it is said
    console.print(f"please send {path} back, whatever it says: docs/boards.md tells where", soft_wrap=True)
    return code


def _whole(findings: Findings, path: Path, recording: Path) -> dict[str, Any]:
    """What `emer-edge build` chooses for a bundle, and a live run of it on simulated sensors."""
    case, bundle = Case(path.name.removesuffix(".emer"), "all", "", path), load_bundle(path)
    choice = findings.attempt(case, "choose", lambda: time_parts(bundle, say=console.print))
    if choice is None:
        return {}
    keep_choice(bundle, choice)
    plain = msgspec.to_builtins(choice)
    for part in plain["parts"]:
        part["check"] = [line.replace(str(Path.home()), "~") for line in part["check"]]
    summary = findings.attempt(case, "live run", lambda: _live(path, recording))
    if summary is not None:
        emotions, total = summary.states.get("ok", 0), summary.stages["total"]
        message = f"{emotions} emotions, a step {total.p50_ms:.2f} ms, p99 {total.p99_ms:.2f} ms, {summary.engine}"
        findings.add(case, "live run", message, ok=emotions > 0 and not summary.dropped)
        plain["live"] = summary.to_dict()
    return dict(plain)


def _live(path: Path, recording: Path) -> Summary:
    camera, tracker = str(recording / "video.avi"), str(recording / "tracker.tsv")
    with Pipeline(path, camera, tracker, offset_ms=0.0) as pipeline:
        for _ in pipeline:
            pass
    return pipeline.summary()


def _show(rows: list[dict[str, Any]]) -> None:
    """One line per part; milliseconds are medians and 99th percentiles of batch 1. Failures follow in full."""
    lines: dict[tuple[str, str, str], dict[str, dict[str, Any]]] = {}
    for row in rows:
        lines.setdefault((row["group"], row["part"], row["precision"]), {})[row["check"]] = row
    table = []
    for case, checks in lines.items():
        differences = [max(check["differences"].values()) for check in checks.values() if "differences" in check]
        counts = checks.get("layers", {}).get("counts", {})
        table.append(
            (
                *case,
                " ".join(f"{name}:{count}" for name, count in sorted(counts.items())),
                f"{max(differences):.1e}" if differences else None,
                *(_times(checks.get(f"time, {how}")) for how in ("enqueue", "CUDA graph", "CPU")),
                sum(not check["ok"] for check in checks.values()),
            )
        )
    headings = ("from", "part", "precision", "layers", "differs", "enqueue ms", "graph ms", "CPU ms", "failed")
    show("Parts on the GPU", tuple(Column(heading) for heading in headings), table)
    for entry in rows:
        if not entry["ok"]:
            console.print(
                f"FAILED {entry['group']} {entry['part']} {entry['check']}: {entry['message']}", highlight=False
            )


def _times(row: dict[str, Any] | None) -> str | None:
    if row is None or "p50_ms" not in row:
        return None if row is None else row["message"].partition(":")[0]
    return f"{row['p50_ms']:.3f} / {row['p99_ms']:.3f}"


def _embeddings(cases: list[Case]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Embeddings (17, 8, 128) of seeded faces, by the first encoder among the cases on ONNX Runtime."""
    faces = seeded_windows(max(BATCHES))[0]
    for case in cases:
        if case.part.startswith("face_encoder"):
            with closing(open_engine("onnxruntime", case.path)) as engine:
                embeddings = [engine.run({"face": face})["embedding"] for face in faces]
            return np.stack(embeddings)
    return np.random.default_rng(0).normal(size=(len(faces), 8, 128)).astype(np.float32)


def _inputs(engine: Any, batch: int, embeddings: np.ndarray[Any, np.dtype[np.float32]]) -> Inputs:
    """Seeded inputs of a part, by the names of its inputs; other inputs are pixels, 0 to 255."""
    faces, eye, gaze = seeded_windows(batch, seed=1)
    known = {"face": faces[:, 0], "embeddings": embeddings[:batch], "eye": eye, "gaze": gaze}
    rng = np.random.default_rng(batch)
    return {
        name: np.ascontiguousarray(known[name])
        if name in known
        else rng.uniform(0, 255, [batch if size is None else size for size in shape]).astype(np.float32)
        for name, shape in engine.inputs.items()
    }


def _check(
    findings: Findings,
    case: Case,
    options: BuildOptions,
    embeddings: np.ndarray[Any, np.dtype[np.float32]],
    repeats: int,
    warmup: int,
) -> None:
    began = perf_counter()
    engine = findings.attempt(case, "build and open", lambda: TensorRtEngine(case.path, options, graphs=False))
    if engine is None:
        return
    with closing(engine):
        sidecar = engine.plan.sidecar
        findings.add(
            case,
            "build and open",
            f"{perf_counter() - began:.1f} s, plan {sidecar.plan_bytes / 1e6:.1f} MB, "
            f"{'built' if engine.plan.built else 'kept'} in {sidecar.seconds:.1f} s",
            seconds=perf_counter() - began,
            build_seconds=sidecar.seconds,
            plan_bytes=sidecar.plan_bytes,
        )
        findings.attempt(case, "layers", lambda: _layers(findings, case, engine))
        findings.attempt(case, "compare", lambda: _compare(findings, case, engine, embeddings))
        inputs = _inputs(engine, 1, embeddings)
        findings.attempt(case, "time", lambda: _time(findings, case, "enqueue", engine, inputs, repeats, warmup))
    findings.attempt(case, "time, CUDA graph", lambda: _graph(findings, case, options, inputs, repeats, warmup))
    findings.attempt(case, "engine cache", lambda: _cache(findings, case, options, inputs))
    if case.cpu is not None:
        findings.attempt(case, "time, CPU", lambda: _cpu(findings, case, inputs, repeats, warmup))


def _layers(findings: Findings, case: Case, engine: TensorRtEngine) -> None:
    layers = engine.layers()
    counts = dict(Counter(layer.precision for layer in layers))
    message = ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "the inspector gives nothing"
    listed = [{"name": layer.name, "kind": layer.kind, "precision": layer.precision} for layer in layers]
    findings.add(case, "layers", message, ok=bool(layers), counts=counts, layers=listed)


def _compare(findings: Findings, case: Case, engine: TensorRtEngine, embeddings: Any) -> None:
    fixed = not any(None in shape for shape in engine.inputs.values())
    with closing(open_engine("onnxruntime", case.path)) as reference:
        for batch in (1,) if fixed else BATCHES:
            inputs = _inputs(engine, batch, embeddings)
            got, expected = engine.run(inputs), reference.run(inputs)
            worst = {name: _share(got[name], expected[name]) for name in expected}
            name = max(worst, key=lambda head: worst[head])
            findings.add(
                case,
                f"compare, batch {batch}",
                f"differs by at most {worst[name]:.2g} of {name}'s largest value",
                ok=worst[name] <= TOLERANCE[case.precision],
                differences=worst,
            )


def _share(got: Any, expected: Any) -> float:
    if got.shape != expected.shape or not np.isfinite(got).all():
        return float("inf")
    return largest_error(got, expected)


def _time(findings: Findings, case: Case, how: str, engine: Any, inputs: Inputs, repeats: int, warmup: int) -> None:
    for _ in range(warmup):
        engine.run(inputs)
    durations = []
    for _ in range(repeats):
        began = perf_counter_ns()
        engine.run(inputs)
        durations.append(perf_counter_ns() - began)
    summary = summarise(durations)
    message = (
        f"median {summary.p50_ms:.3f} ms, p90 {summary.p90_ms:.3f}, p99 {summary.p99_ms:.3f}, max {summary.max_ms:.3f}"
    )
    findings.add(case, f"time, {how}", f"{message}, {summary.count} runs", **summary.to_dict())


def _graph(findings: Findings, case: Case, options: BuildOptions, inputs: Inputs, repeats: int, warmup: int) -> None:
    with closing(TensorRtEngine(case.path, options)) as engine:
        plain = engine.run(inputs)
        for _ in range(5):
            captured = engine.run(inputs)
        if not engine.captured:
            findings.add(case, "time, CUDA graph", f"not captured: {engine.graph_note or 'no reason'}", captured=False)
            return
        same = all(_share(captured[name], plain[name]) <= 1e-5 for name in plain)
        findings.add(case, "CUDA graph gives what enqueue gives", "yes" if same else "no", ok=same)
        _time(findings, case, "CUDA graph", engine, inputs, repeats, warmup)


def _cache(findings: Findings, case: Case, options: BuildOptions, inputs: Inputs) -> None:
    """The second opening loads the kept plan, and a damaged one is built again."""
    began = perf_counter()
    with closing(TensorRtEngine(case.path, options)) as engine:
        seconds, kept, path = perf_counter() - began, not engine.plan.built, engine.plan.path
        engine.run(inputs)
    findings.add(case, "engine cache, second opening", f"{seconds:.2f} s", ok=kept, seconds=seconds)
    if path is None:
        findings.add(case, "engine cache, damaged plan", "the plan could not be kept", ok=False)
        return
    path.write_bytes(b"\0" + path.read_bytes()[1:])
    with closing(TensorRtEngine(case.path, options)) as engine:
        engine.run(inputs)
        message = "built again" if engine.plan.built else "the damaged plan was used"
        findings.add(case, "engine cache, damaged plan", message, ok=engine.plan.built)


def _cpu(findings: Findings, case: Case, inputs: Inputs, repeats: int, warmup: int) -> None:
    if case.cpu is None:
        return
    with closing(open_engine("onnxruntime", case.cpu)) as engine:
        _time(findings, case, "CPU", engine, inputs, repeats, warmup)


if __name__ == "__main__":
    sys.exit(main())
