"""Calibration: cost of a pass, growth of its memory with the windows, and each method against FP32.

Methods are compared on one window of each of 40 clips of the held-out fold, in both variants: `shift` is how far the
heads' answers move from FP32 (0 to 1, mean over windows and heads), the embedding's signal to noise is in dB. Three
draws of calibration windows at each size show how much depends on who was drawn.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter
from typing import Any

import onnx

from benchmarks.common import Floor, conclude, parser, show, workshop
from benchmarks.held_out import held_out_clips
from emer_edge.bundle import Bundle, load_bundle
from emer_edge.calibration.crops import choose_clips, plan_crops
from emer_edge.calibration.measurement import measure
from emer_edge.calibration.methods import METHODS
from emer_edge.data.dataset import Clip, EmerDataset, clip_hash
from emer_edge.export.choosing.calibrating import try_methods
from emer_edge.export.judging.workshop import FullOutputs, embeddings_of, outputs_of, read_evidence
from emer_edge.export.precision.writing import GRID_OF, PROBES, EncoderQuantiser, tensors_to_measure
from emer_edge.report.table import Cell, Column

GROWTH = 1.1
SIZES = (200, 2000)
DRAWS = ((25, 3), (200, 3))
JUDGED = 40


def main() -> int:
    """Run it; return the exit code."""
    made = parser("Calibration methods, time and memory, on the FP32 bundle of a checkpoint.")
    made.add_argument("--data", type=Path, help="the data set that the checkpoint was trained on; built when left out")
    made.add_argument("--one-pass", type=int, help="only measure this many windows, and print time and peak memory")
    arguments = made.parse_args()
    with workshop(arguments.work) as shop:
        bundle = load_bundle(arguments.bundle or shop.bundle("fp32"))
        dataset = EmerDataset.open(arguments.data or shop.data())
        if arguments.one_pass:
            print(json.dumps(one_pass(bundle, training_of(bundle, dataset), arguments.one_pass)))
            return 0
        passes = {size: in_a_process(bundle.path, dataset.root, size) for size in SIZES}
        rows, compared = compare(bundle, dataset)
    show(
        "One pass of histograms, each in a process of its own",
        (Column("windows"), Column("crops"), Column("time", "s", 1), Column("peak", "MB", 0)),
        [(size, entry["crops"], entry["seconds"], entry["peak_mb"]) for size, entry in passes.items()],
    )
    show(
        f"Methods on {JUDGED} held-out windows, median of draws",
        (
            Column("windows"),
            Column("method"),
            Column("variant"),
            Column("shift", "", 4),
            Column("worst shift", "", 4),
            Column("embedding", "dB", 1),
        ),
        rows,
    )
    growth = passes[SIZES[1]]["peak_mb"] / passes[SIZES[0]]["peak_mb"]
    floors = [Floor(f"peak memory at {SIZES[1]} windows over that at {SIZES[0]}", growth, GROWTH, False)]
    return conclude("calibration", floors, {"passes": passes, "methods": compared, "bundle": bundle.path.name})


def training_of(bundle: Bundle, dataset: EmerDataset) -> tuple[Clip, ...]:
    """The clips that the bundle's network was fitted to."""
    record = bundle.manifest.data
    if record is None:
        sys.exit("the bundle does not say what it was trained on")
    known = set(record.training_hashes)
    return tuple(clip for clip in dataset.clips if clip_hash(record.salt, clip) in known)


def one_pass(bundle: Bundle, clips: tuple[Clip, ...], windows: int) -> dict[str, Any]:
    """Measure, clips repeated until there are enough."""
    encoder = onnx.load(str(bundle.path / "cpu" / "face_encoder.onnx"))
    plan = plan_crops(tuple(islice(cycle(clips), windows)), bundle.manifest.window, bundle.manifest.events)
    began = perf_counter()
    measure(encoder, tensors_to_measure(encoder), plan, use_cache=False)
    seconds = perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    crops = sum(len(frames) for _, frames in plan.picks)
    return {"windows": windows, "crops": crops, "seconds": round(seconds, 2), "peak_mb": round(peak, 1)}


def in_a_process(bundle: Path, data: Path, windows: int) -> dict[str, Any]:
    """`one_pass` where nothing else has used memory before."""
    command = [sys.executable, "-m", "benchmarks.calibration", str(bundle), "--data", str(data), "--one-pass"]
    done = subprocess.run([*command, str(windows)], check=True, capture_output=True, text=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def compare(bundle: Bundle, dataset: EmerDataset) -> tuple[list[tuple[Cell, ...]], list[dict[str, Any]]]:
    """Every method, several draws of windows; rows of medians and all figures."""
    manifest, training = bundle.manifest, training_of(bundle, dataset)
    encoder, fusion = (onnx.load(str(bundle.path / "cpu" / f"{part}.onnx")) for part in ("face_encoder", "fusion"))
    clips = choose_clips(held_out_clips(bundle, dataset), JUDGED)
    evidence = read_evidence(clips, manifest.window, manifest.events, heads=manifest.head_names, draws=0)
    parts = bundle.path / "cpu"
    embeddings = embeddings_of(parts / "face_encoder.onnx", evidence, 2)
    full = FullOutputs(embeddings, outputs_of(parts / "fusion.onnx", embeddings, evidence, 2))
    rows: list[tuple[Cell, ...]] = []
    compared: list[dict[str, Any]] = []
    for windows, draws in DRAWS:
        for seed in range(draws):
            plan = plan_crops(choose_clips(training, windows, seed), manifest.window, manifest.events, seed=seed)
            measured = measure(encoder, tensors_to_measure(encoder), plan, use_cache=False)
            quantiser = EncoderQuantiser(encoder, measured.ranges("minmax"), plan.probes(PROBES))
            tried = try_methods(fusion, evidence, full, quantiser, measured=measured, threads=2)
            compared += [
                {"windows": windows, "seed": seed, "method": method, **figures} for method, figures in tried.items()
            ]
        for method in METHODS:
            for variant in GRID_OF:
                mine = [row for row in compared if (row["windows"], row["method"]) == (windows, method)]
                shifts = [row[f"{variant}/shift"] for row in mine]
                decibels = statistics.median(row[f"{variant}/embedding_db"] for row in mine)
                rows.append((windows, method, variant, statistics.median(shifts), max(shifts), decibels))
    return rows, compared


if __name__ == "__main__":
    sys.exit(main())
