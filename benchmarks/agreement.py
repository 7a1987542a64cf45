"""How often INT8 and FP32 name the same class on windows of the held-out fold.

A fold of the default synthetic set has 120 clips; each gives its deterministic window and random draws of its slots
(as in training) until there are at least 500 windows. Draws of one clip are not independent: the share of clips on
which all windows agree is shown beside. The gate's verdict on the selection slice is the export's own; its rule is
applied to the held-out windows as well.
"""

from __future__ import annotations

import sys
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Floor, conclude, console, parser, show, workshop
from benchmarks.held_out import held_out_clips, windows_of
from emer_edge.bundle import load_bundle
from emer_edge.data.dataset import EmerDataset
from emer_edge.export.judging.gate import compare, verdict_of
from emer_edge.export.judging.workshop import Truth
from emer_edge.report.table import Cell, Column
from emer_edge.runtime.session import Session

FLOOR = 98.0
WINDOWS = 500


def main() -> int:
    """Run it; return the exit code."""
    made = parser("Top-1 agreement of the INT8 and the FP32 bundle of one checkpoint.")
    made.add_argument("--fp32", type=Path, help="FP32 bundle of the same checkpoint; built when left out")
    made.add_argument("--data", type=Path, help="the data set that the checkpoint was trained on; built when left out")
    arguments = made.parse_args()
    with workshop(arguments.work) as shop:
        own = arguments.bundle and not shop.built(arguments.bundle)
        if own and not (arguments.fp32 and arguments.data):
            made.error("a bundle of your own needs --fp32 and --data")
        int8 = load_bundle(arguments.bundle or shop.bundle("int8"))
        fp32 = load_bundle(arguments.fp32 or shop.bundle("fp32"))
        dataset = EmerDataset.open(arguments.data or shop.data())
        clips = held_out_clips(int8, dataset)
        draws = max(0, ceil(WINDOWS / len(clips)) - 1)
        windows = windows_of(int8, clips, draws)
        outputs, logits = [], []
        for bundle in (int8, fp32):
            with Session(bundle, engine="onnxruntime") as session:
                given = windows.embeddings(session), windows.eye, windows.gaze
                outputs.append(session.fuse(*given))
                logits.append(session.logits(*given))
    count, gate = len(windows.clips), int8.manifest.gate
    names = np.array([clip.name for clip in windows.clips])
    rows: list[tuple[Cell, ...]] = []
    floors: list[Floor] = []
    figures: dict[str, Any] = {}
    for head in int8.manifest.heads:
        one, other = (output[head.name] for output in outputs)
        if not head.classes:
            figures[head.name] = {"mean_absolute_difference": float(np.abs(one - other).mean())}
            rows.append((head.name, None, None, float(np.abs(one - other).mean())))
            continue
        same = one.argmax(axis=1) == other.argmax(axis=1)
        wrong_clips = len(set(names[~same]))
        share, whole = 100 * float(same.mean()), 100 * (1 - wrong_clips / len(clips))
        difference = float(np.abs(one - other).mean())
        figures[head.name] = {"agreement": share, "clips_in_agreement": whole, "mean_absolute_difference": difference}
        rows.append((head.name, share, whole, difference))
        floors.append(Floor(f"top-1 agreement of {head.name}", share, FLOOR, unit=" %"))
    show(
        f"INT8 against FP32, {count} windows of {len(clips)} held-out clips (1 + {draws} draws each)",
        (
            Column("Head"),
            Column("windows agree", "%", 1),
            Column("clips agree throughout", "%", 1),
            Column("mean difference", "", 4),
        ),
        rows,
        f"Gate on {gate.windows} selection windows: {gate.verdict}.",
    )
    truth = Truth(
        {name: np.array([clip.labels.get(name, np.nan) for clip in windows.clips]) for name in outputs[0]},
        tuple(clip.participant or clip.name for clip in windows.clips),
        np.unique(names, return_inverse=True)[1],
        {head.name: head.classes for head in int8.manifest.heads if head.classes},
    )
    changes = compare(logits[1], logits[0], truth)
    for change in changes:
        console.print(str(change), soft_wrap=True, highlight=False)
    held_out = verdict_of(changes)
    floors.append(Floor("windows", count, WINDOWS))
    floors.append(Floor(f"the gate's rule on these windows ({held_out}) says passed", float(held_out == "passed"), 1))
    figures |= {"windows": count, "clips": len(clips), "draws_per_clip": draws}
    figures |= {
        "gate_on_selection": gate.verdict,
        "gate_on_held_out": held_out,
        "changes": [str(change) for change in changes],
    }
    return conclude("agreement", floors, figures)


if __name__ == "__main__":
    sys.exit(main())
