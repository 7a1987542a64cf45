"""Whether the network uses the eyes, and the face: what is lost when one stream comes from another clip.

The ablations are those of `emer-edge bench --probes ablations`, with 20 seeded permutations each:

- Eyes, within film and FER class: eye and gaze together change places between clips of the same film and the same
  fer-7 label. What the film and the visible expression tell stays; what only these eyes tell is lost. Clips that are
  alone in their group can't change places: the cost is that of the others.
- Anyone's eyes, anyone's faces: from another person's clip. The network then has one honest stream left.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from benchmarks.common import Floor, conclude, parser, show, workshop
from benchmarks.held_out import held_out_clips
from emer_edge.bench.accuracy.clip_scores import EncodedWindows, encode_clip
from emer_edge.bench.accuracy.judged import owner
from emer_edge.bench.probes.ablations import ablate
from emer_edge.bench.probes.effects import Judge, targets_of
from emer_edge.bench.records.probe_records import Ablation
from emer_edge.bundle import load_bundle
from emer_edge.data.dataset import EmerDataset
from emer_edge.report.table import Cell, Column, Estimate
from emer_edge.runtime.session import Session

PERMUTATIONS = 20
HEADS_SCORED = ("er-7", "fer-7")


def main() -> int:
    """Run it; return the exit code."""
    made = parser("What er-7 and fer-7 lose when eyes or faces come from other clips of the held-out fold.")
    made.add_argument("--data", type=Path, help="the data set that the checkpoint was trained on; built when left out")
    arguments = made.parse_args()
    with workshop(arguments.work) as shop:
        if arguments.bundle and not arguments.data and not shop.built(arguments.bundle):
            made.error("a bundle of your own needs --data")
        bundle = load_bundle(arguments.bundle or shop.bundle("int8"))
        clips = held_out_clips(bundle, EmerDataset.open(arguments.data or shop.data()))
        with Session(bundle, engine="onnxruntime") as session:
            whole, ablations = measure(session, EncodedWindows.of(encode_clip(session, clip) for clip in clips))
    rows: list[tuple[Cell, ...]] = [
        (ablation.name, ablation.permutations, ablation.clips, *(_cost(ablation, head) for head in HEADS_SCORED))
        for ablation in ablations
    ]
    show(
        f"Change of WAR against {', '.join(f'{head} {share:.1f} %' for head, share in whole.items())}",
        (
            Column("Ablation"), Column("draws"), Column("clips"),
            *(Column(head, "points", 1, 100) for head in HEADS_SCORED),
        ),
        rows,
        "In parentheses 95 % intervals by bootstrap over participants, paired.",
    )  # fmt: skip
    lost = {
        ablation.name: {head: -100 * _cost(ablation, head).value for head in HEADS_SCORED} for ablation in ablations
    }
    within = lost["eyes of same film and face"]
    floors = [
        Floor("er-7 lost by other eyes", within["er-7"], 15, unit=" points"),
        Floor("fer-7 lost by other eyes", within["fer-7"], 5, False, " points"),
        Floor("fer-7 lost by other faces", lost["anyone's faces"]["fer-7"], 15, unit=" points"),
        Floor("er-7: both above face alone", lost["anyone's eyes"]["er-7"], 10, unit=" points"),
        Floor("er-7: both above eyes alone", lost["anyone's faces"]["er-7"], 10, unit=" points"),
        Floor("er-7 of both, not saturated", whole["er-7"], 95, False, " %"),
    ]
    figures = {
        "permutations": PERMUTATIONS,
        "clips": len(clips),
        "whole": whole,
        "ablations": msgspec.to_builtins(ablations),
    }
    return conclude("eyes_used", floors, figures)


def measure(session: Session, windows: EncodedWindows) -> tuple[dict[str, float], tuple[Ablation, ...]]:
    """WAR in per cent of the clips untouched, head -> figure; and every ablation."""
    manifest = session.bundle.manifest
    heads = [head for head in manifest.heads if head.name in HEADS_SCORED]
    judge = Judge(targets_of(heads, windows.clips), [owner(clip) for clip in windows.clips])
    outputs = session.fuse(windows.face, windows.eye, windows.gaze)
    whole = {target.name: 100 * target.figures(outputs[target.name])["war"] for target in judge.targets}
    return whole, ablate(
        session.fuse, windows, judge, spec=manifest.window, events=manifest.events, permutations=PERMUTATIONS
    )


def _cost(ablation: Ablation, head: str) -> Estimate:
    change = ablation.heads[head]["war"].change
    assert change.low is not None
    assert change.high is not None
    return Estimate(change.value, change.low, change.high)


if __name__ == "__main__":
    sys.exit(main())
