"""What each precision is worth on all five folds: every head's metric in FP32, FP16 and INT8, on clips held out.

A checkpoint a fold is trained on the default synthetic set (frozen backbone) and exported in three precisions; each
network scores the fold it has never seen. FP16 and the tensorrt variant's INT8 are computed by ONNX Runtime, which
keeps FP32 between FP16 layers: what a GPU makes of them, a GPU has to show. Metrics are of each fold, mean and standard
deviation over the folds; agreement is over the windows of all of them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Floor, conclude, console, parser, show, workshop
from benchmarks.held_out import Windows, held_out_clips, windows_of
from emer_edge.bundle import Bundle, load_bundle
from emer_edge.core.heads import HEADS
from emer_edge.data.dataset import EmerDataset
from emer_edge.metrics.prediction_metrics import mae, rmse, uar, war, weighted_f1
from emer_edge.report.table import Column
from emer_edge.runtime.engines import open_engine

FOLDS = (1, 2, 3, 4, 5)
# Name -> precision of the bundle, and the variant whose parts are run.
READINGS = {
    "FP32": ("fp32", "cpu"),
    "FP16": ("fp16", "tensorrt"),
    "INT8 cpu": ("int8", "cpu"),
    "INT8 tensorrt": ("int8", "tensorrt"),
}
FLOOR = 98.0
_AT_ONCE = 16

Outputs = dict[str, NDArray[np.float32]]


def outputs_of(bundle: Bundle, variant: Any, windows: Windows) -> Outputs:
    """Raw outputs of the windows by the parts of a variant, in ONNX Runtime: head -> (n, C)."""
    encoder = open_engine("onnxruntime", bundle.part(variant, "face_encoder"))
    fusion = open_engine("onnxruntime", bundle.part(variant, "fusion"))
    answers: list[Mapping[str, NDArray[np.float32]]] = []
    for at in range(0, len(windows.clips), _AT_ONCE):
        part = slice(at, at + _AT_ONCE)
        encoded = [encoder.run({"face": face})["embedding"] for face in windows.faces[part]]
        given = {"embeddings": np.stack(encoded), "eye": windows.eye[part], "gaze": windows.gaze[part]}
        answers.append(fusion.run(given))
    encoder.close()
    fusion.close()
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def metrics_of(bundle: Bundle, outputs: Outputs, windows: Windows) -> dict[str, float]:
    """`<head>/<metric>` of the windows."""
    figures: dict[str, float] = {}
    for head in bundle.manifest.heads:
        labels = np.array([clip.labels.get(head.name, np.nan) for clip in windows.clips])
        known = np.isfinite(labels)
        if not known.any():
            continue
        truth, got = labels[known], outputs[head.name][known]
        if not head.classes:
            figures |= {f"{head.name}/mae": mae(truth, got[:, 0]), f"{head.name}/rmse": rmse(truth, got[:, 0])}
            continue
        own = HEADS[head.name].classes
        order = np.array([own.index(label) for label in head.classes])
        answers, right = order[got.argmax(axis=1)], truth.astype(np.int64)
        for name, metric in (("war", war), ("uar", uar), ("weighted_f1", weighted_f1)):
            figures[f"{head.name}/{name}"] = metric(right, answers)
    return figures


def main() -> int:
    """Run it; return the exit code."""
    made = parser("Every head in FP32, FP16 and INT8 on five folds.")
    made.add_argument("--folds", default=",".join(map(str, FOLDS)), help="which folds")
    made.add_argument(
        "--draws", type=int, default=4, help="random windows per clip, in addition to its deterministic one"
    )
    arguments = made.parse_args()
    with workshop(arguments.work) as shop:
        dataset = EmerDataset.open(shop.data())
        folds = [int(field) for field in arguments.folds.split(",")]
        per_fold: dict[str, list[dict[str, float]]] = {name: [] for name in READINGS}
        same: dict[str, dict[str, list[NDArray[np.bool_]]]] = {name: {} for name in READINGS}
        verdicts: dict[int, str] = {}
        count = 0
        for fold in folds:
            bundles = {name: load_bundle(shop.bundle(name, fold)) for name in ("fp32", "fp16", "int8")}
            verdicts[fold] = bundles["int8"].manifest.gate.verdict
            windows = windows_of(bundles["fp32"], held_out_clips(bundles["int8"], dataset), arguments.draws)
            count += len(windows.clips)
            reference: Outputs = {}
            for name, (precision, variant) in READINGS.items():
                outputs = outputs_of(bundles[precision], variant, windows)
                reference = reference or outputs
                per_fold[name].append(metrics_of(bundles[precision], outputs, windows))
                for head in bundles[precision].manifest.heads:
                    if head.classes:
                        agrees = outputs[head.name].argmax(axis=1) == reference[head.name].argmax(axis=1)
                        same[name].setdefault(head.name, []).append(agrees)
            console.print(f"fold {fold}: INT8 gate {verdicts[fold]}, {len(windows.clips)} windows", highlight=False)
    names = list(per_fold["FP32"][0])
    rows = []
    for name in names:
        values = {reading: np.array([fold[name] for fold in fold_values]) for reading, fold_values in per_fold.items()}
        rows.append((name, *(f"{value.mean():.4f} ± {value.std():.4f}" for value in values.values())))
    show(
        f"Held-out folds, mean and standard deviation of folds {arguments.folds}",
        (Column("Metric"), *(Column(reading) for reading in READINGS)),
        rows,
        f"{count} windows, {1 + arguments.draws} a clip.",
    )
    shares = {
        reading: {head: 100 * float(np.concatenate(entry).mean()) for head, entry in heads.items()}
        for reading, heads in same.items()
    }
    heads = list(shares["FP32"])
    show(
        "Windows whose best class is that of FP32",
        (Column("Head"), *(Column(reading, "%", 2) for reading in READINGS if reading != "FP32")),
        [(head, *(shares[reading][head] for reading in READINGS if reading != "FP32")) for head in heads],
        "",
    )
    floors = [
        Floor(f"top-1 agreement of {head}, {reading}", shares[reading][head], FLOOR, unit=" %")
        for reading in READINGS
        if reading != "FP32"
        for head in heads
    ]
    return conclude("precisions", floors, {"windows": count, "gates": verdicts, "folds": per_fold, "agreement": shares})


if __name__ == "__main__":
    sys.exit(main())
