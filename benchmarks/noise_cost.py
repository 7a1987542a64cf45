"""What tracker noise costs er-7, on clips of people that a bundle never saw: bench's robustness probe, several seeds.

`python -m benchmarks.noise_cost` measures the built-in weights (FP32) on 240 clips of 24 people synthesised for it;
`--trained` the network that the other benchmarks train on their set, `--augment` one trained with `--augment`, a
bundle as argument that bundle. Accuracy does not depend on the load of the machine.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.common import Floor, Workshop, conclude, parser, show, workshop
from emer_edge.bench.accuracy.clip_scores import EncodedWindows, encode_clip
from emer_edge.bench.accuracy.judged import owner, refuse_known_clips
from emer_edge.bench.probes.effects import Judge, targets_of
from emer_edge.bench.probes.robustness import robustness
from emer_edge.bench.probes.worse_input import WAYS
from emer_edge.bundle import load_bundle
from emer_edge.data.dataset import EmerDataset
from emer_edge.report.table import Cell, Column
from emer_edge.runtime.session import Session
from emer_edge.runtime.spreading import Spread

HEAD, WAY = "er-7", "tracker noise"
MOST_LOST = {10: 2.0, 20: 4.0}
LOWEST_END = {10: -5.0, 20: -8.0}
PEOPLE_SEED = 4_000_037
"""Of the clips: other people than those of any set that weights here are trained on."""


def main() -> int:
    """Run it; return the exit code."""
    made = parser("Change of er-7 under tracker noise, over clips of unseen people and several seeds of the noise.")
    made.add_argument("--people", type=int, default=24, help="with ten clips each")
    made.add_argument("--seeds", type=int, default=3, help="draws of the noise")
    made.add_argument("--trained", action="store_true", help="the network that the benchmarks train")
    made.add_argument("--augment", action="store_true", help="a network trained for this with --augment")
    arguments = made.parse_args()
    with workshop(arguments.work) as shop:
        bundle = load_bundle(arguments.bundle or _bundle(shop, arguments.trained, arguments.augment))
        size = ("--participants", str(arguments.people), "--seed", str(PEOPLE_SEED))
        unseen = shop.folder / f"unseen-{arguments.people}"
        clips = EmerDataset.open(shop.make(unseen, "synth", str(unseen), *size)).clips
        refuse_known_clips(bundle.manifest, clips)
        with Session(bundle, engine="onnxruntime") as session:
            windows = EncodedWindows.of(encode_clip(session, clip) for clip in clips)
            heads = [head for head in bundle.manifest.heads if head.name == HEAD]
            judge = Judge(targets_of(heads, windows.clips), [owner(clip) for clip in windows.clips])
            clean = judge.targets[0].figures(session.fuse(windows.face, windows.eye, windows.gaze)[HEAD])["war"]
            lost: dict[float, list[tuple[float, float, float]]] = {}
            for seed in range(arguments.seeds):
                drawn = Judge(judge.targets, judge.owners, seed=seed)
                ways = [replace(way, levels=tuple(MOST_LOST)) for way in WAYS if way.name == WAY]
                (curve,) = robustness(Spread(session), windows, drawn, count=len(clips), ways=ways)
                for level in curve.levels[1:]:
                    change = level.heads[HEAD]["war"].change
                    assert change.low is not None
                    assert change.high is not None
                    lost.setdefault(level.level, []).append((change.value, change.low, change.high))
    table = {level: 100 * np.array(draws) for level, draws in lost.items()}
    rows: list[tuple[Cell, ...]] = [
        (level, draws[:, 0].mean(), draws[:, 0].min(), draws[:, 0].max(), draws[:, 1].min(), draws[:, 2].max())
        for level, draws in table.items()
    ]
    columns = (
        Column("noise an eye", "px"), Column("mean change", "points", 1), Column("lowest", "", 1),
        Column("highest", "", 1), Column("lowest lower end", "", 1), Column("highest upper end", "", 1),
    )  # fmt: skip
    about = f"{bundle.manifest.name}: {HEAD} {100 * clean:.1f} % on {len(clips)} clips without noise"
    show(about, columns, rows, f"{arguments.seeds} draws of the noise; 95 % intervals over people, paired.")
    floors = [
        floor
        for level in MOST_LOST
        for floor in (
            Floor(f"mean change at {level} px", table[level][:, 0].mean(), -MOST_LOST[level], unit=" points"),
            Floor(f"lowest lower end at {level} px", table[level][:, 1].min(), LOWEST_END[level], unit=" points"),
        )
    ]
    figures = {
        "clips": len(clips), "people": arguments.people, "clean": 100 * float(clean), "events": bundle.manifest.events,
        "change_low_high": {str(level): draws.tolist() for level, draws in table.items()},
    }  # fmt: skip
    ending = "_augment" if arguments.augment else "_trained" if arguments.trained else ""
    return conclude(f"noise_cost{ending}", floors, figures)


def _bundle(shop: Workshop, trained: bool, augment: bool) -> Path:
    if trained:
        return shop.bundle("fp32")
    path = shop.folder / ("augmented.emer" if augment else "built-in.emer")
    source: tuple[str, ...] = ()
    if augment:
        checkpoint = shop.folder / "augmented.pt"
        options = ("--data", str(shop.data()), "--frozen-backbone", "--augment", "--output", str(checkpoint))
        source = ("--checkpoint", str(shop.make(checkpoint, "train", *options)), "--data", str(shop.data()))
    return shop.make(path, "export", "--precision", "fp32", *source, "--output", str(path))


if __name__ == "__main__":
    sys.exit(main())
