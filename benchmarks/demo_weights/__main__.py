"""Make the demo weights that the package carries: `make demo-weights`.

Renders of anny's heads, the teacher's feature layers, synthetic clips of 60 people, and projection and heads trained on
those with the feature layers frozen, fold 1 held out, then on clips and renders together. About half an hour on two
cores. Every part goes on where it was interrupted. The results replace `backbone.safetensors` and `demo.safetensors` in
`emer_edge/model/assets`, and the figures `benchmarks/results/demo_weights.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import msgspec
import torch

from benchmarks.common import RESULTS
from benchmarks.demo_weights.encoded import encode
from benchmarks.demo_weights.package import MODEL, save_backbone, save_demo_checkpoint
from benchmarks.demo_weights.pool import make_pool, open_pool
from benchmarks.demo_weights.refine import BATCH, agreement, refine
from benchmarks.demo_weights.teacher import Teacher
from emer_edge.core.progress import Progress, silent
from emer_edge.core.whole_file import whole_file
from emer_edge.data.dataset import EmerDataset
from emer_edge.data.synth import synthesise
from emer_edge.model.checkpoint import load_checkpoint
from emer_edge.model.separable import packaged_sha256
from emer_edge.training.config import TrainingConfig
from emer_edge.training.examples import Examples
from emer_edge.training.face_features import FrozenFaces
from emer_edge.training.losses import predict, scores
from emer_edge.training.train import train

_DEMO: Final = MODEL / "assets/demo.safetensors"
_WORK: Final = Path("build/demo-weights")
_HEADS_SHARDS: Final = 16  # of 300 renders, that heads learn from
_GAIN_SHARDS: Final = 2
_HELD_OUT_SHARDS: Final = 4
_AT_ONCE: Final = 50
_DEVIATION: Final = 0.5  # of every feature, where its gain isn't the largest
_LARGEST_GAIN: Final = 4.0  # 8 bits hold a feature that hardly varies badly: it is not blown up
_PARTICIPANTS: Final = 60


def make_backbone(work: Path, progress: Progress = silent) -> dict[str, Any]:
    """Write the teacher's feature layers into the package, even in their gains; return figures of the gains.

    Features of the network differ in size by orders of magnitude: heads learn sooner from even ones.
    """
    network = Teacher(work).net
    crops = open_pool(make_pool(work, _HEADS_SHARDS, held_out=False, progress=progress)[:_GAIN_SHARDS]).crops()
    with torch.no_grad():
        features = torch.cat([network(part) for part in torch.from_numpy(crops).split(_AT_ONCE)])
    network.gain.copy_((_DEVIATION / features.std(0).clamp_min(1e-6)).clamp(max=_LARGEST_GAIN))
    save_backbone(network.state_dict())
    return {"crops": len(crops), "smallest_gain": float(network.gain.min()), "largest_gain": float(network.gain.max())}


def make_heads(work: Path, progress: Progress = silent) -> dict[str, Any]:
    """Synthesise, train behind the packaged encoder, go on with renders, write the demo checkpoint.

    Returns:
        Figures of the heads on renders of people whom nothing here was fitted on, before and after renders took part,
        and on the selection slice of the clips.
    """
    clips = work / "clips"
    if not clips.exists():  # it is written whole
        synthesise(clips, _PARTICIPANTS, progress=progress)
    dataset = EmerDataset.open(clips, progress=progress)
    output = work / f"by-clips-{packaged_sha256()[:16]}.pt"
    config = TrainingConfig(output=output, fold=1, frozen_backbone=True, epochs=40)
    if not output.exists():
        train(dataset, config, progress)
    renders = encode(work, make_pool(work, _HEADS_SHARDS, held_out=False, progress=progress), progress)
    others = encode(work, make_pool(work, _HELD_OUT_SHARDS, held_out=True, progress=progress), progress)
    model, metadata = load_checkpoint(config.output)
    training, selection = (
        Examples(slice_, metadata.heads, metadata.window, metadata.events, progress=progress)
        for slice_ in (dataset.training(config.fold), dataset.selection(config.fold))
    )
    faces = FrozenFaces(  # those of training, from the cache
        model.subnet.f_extractor,
        (*training.clips, *selection.clips),
        (*training.candidates, *selection.candidates),
        dataset.fingerprint,
        progress=progress,
    )
    by_clips_alone = agreement(model, others)
    refine(model, training, faces, renders, work / f"refined-{packaged_sha256()[:16]}.pt", progress)
    batches = selection.batches(selection.windows(), faces, BATCH, torch.device("cpu"))
    selected = scores(predict(model, batches), selection.labels)
    save_demo_checkpoint(_DEMO, model, msgspec.structs.replace(metadata, scores=selected))
    return {
        "renders": len(renders.seen),
        "held_out_by_clips_alone": asdict(by_clips_alone),
        "held_out": asdict(agreement(model, others)),
        "held_out_moved": asdict(agreement(model, others, moved=True)),
        "selection": selected,
    }


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=_WORK, help="downloads, renders, clips, and what is unfinished")
    parser.add_argument("--only", choices=("backbone", "heads"), help="make one part")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    path = RESULTS / "demo_weights.json"
    figures = json.loads(path.read_text("utf-8")) if path.exists() else {}
    if arguments.only != "heads":
        figures["backbone"] = make_backbone(work, _say)
    if arguments.only != "backbone":
        figures["heads"] = make_heads(work, _say)
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    sys.stderr.write(f"wrote the weights into {MODEL / 'assets'}, and {path}: {json.dumps(figures)}\n")


def _say(label: str, done: int, total: int) -> None:
    if done == total or done % 50 == 0 or len(label) > 40:
        sys.stderr.write(f"{label}: {done} of {total}\n")


if __name__ == "__main__":
    _main()
