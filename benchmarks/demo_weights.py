"""Make the demo weights that the package carries: `make demo-weights`.

Synthetic clips of 60 people, fold 1 held out, a frozen backbone: about ten minutes on two cores. The result replaces
`emer_edge/model/assets/demo.safetensors`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file

import emer_edge
from emer_edge.core.errors import ConfigurationError
from emer_edge.core.progress import Progress, silent
from emer_edge.core.whole_file import scratch_folder, whole_file
from emer_edge.data.dataset import EmerDataset
from emer_edge.data.synth import synthesise
from emer_edge.model.checkpoint import DEMO_HEADER, drawn_tensors, load_checkpoint
from emer_edge.model.emert import Emert
from emer_edge.model.metadata import CheckpointMetadata
from emer_edge.training.config import TrainingConfig
from emer_edge.training.train import train

_PACKAGED: Final = "model/assets/demo.safetensors"
_PARTICIPANTS: Final = 60
SIZE_LIMIT: Final = 8_000_000
"""Bytes that the demo checkpoint may take in the package."""


def save_demo_checkpoint(path: Path, model: Emert, metadata: CheckpointMetadata) -> None:
    """Write a network with a seeded backbone as a demo checkpoint.

    Raises:
        ConfigurationError: its backbone does not come from a seed, or the file would pass 8 MB.
        OSError, SafetensorError: the file can't be written.
    """
    if metadata.backbone_seed is None:
        raise ConfigurationError("a demo checkpoint needs a network trained with --frozen-backbone on no other weights")
    drawn = drawn_tensors(metadata.backbone_seed)
    tensors = {}
    for name, tensor in model.state_dict().items():
        if name in drawn:
            if not torch.equal(tensor, drawn[name]):
                raise ConfigurationError(f"{name} is not what seed {metadata.backbone_seed} draws")
            continue
        half = tensor.is_floating_point() and tensor.dim() > 1
        tensors[name] = (tensor.half() if half else tensor).detach().cpu().contiguous()
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if size > SIZE_LIMIT:
        raise ConfigurationError(f"the demo checkpoint would take {size} bytes, more than {SIZE_LIMIT}")
    document = {**metadata.to_builtins(), "demo": True}
    with whole_file(path) as temporary:
        save_file(tensors, temporary, {DEMO_HEADER: json.dumps(document)})


def make_demo_weights(path: Path, work: Path, progress: Progress = silent) -> dict[str, float]:
    """Synthesise, train, and write the demo checkpoint to `path`; return the kept epoch's figures.

    The clips and the full checkpoint are written into `work`.
    """
    clips = synthesise(work / "clips", _PARTICIPANTS, progress=progress)
    dataset = EmerDataset.open(clips, progress=progress)
    config = TrainingConfig(output=work / "demo.pt", fold=1, frozen_backbone=True)
    summary = train(dataset, config, progress)
    save_demo_checkpoint(path, *load_checkpoint(config.output))
    return summary.scores


def _main() -> None:
    packaged = Path(emer_edge.__file__).parent / _PACKAGED
    with scratch_folder() as folder:
        work = Path(sys.argv[1]) if len(sys.argv) > 1 else folder
        scores = make_demo_weights(packaged, work, progress=_say)
    listed = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
    sys.stderr.write(f"wrote {packaged}; on the selection slice: {listed}\n")


def _say(label: str, done: int, total: int) -> None:
    if done == total or done % 50 == 0:
        sys.stderr.write(f"{label}: {done} of {total}\n")


if __name__ == "__main__":
    _main()
