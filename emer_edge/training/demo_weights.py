"""Make the demo weights that the package carries: `make demo-weights`.

Synthetic clips of 60 people, fold 1 held out, a frozen backbone: about ten minutes on two cores. The result replaces
`emer_edge/model/assets/demo.safetensors`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import emer_edge
from emer_edge.core.progress import Progress, silent
from emer_edge.core.whole_file import scratch_folder
from emer_edge.data.dataset import EmerDataset
from emer_edge.data.synth import synthesise
from emer_edge.model.checkpoint import load_checkpoint, save_demo_checkpoint
from emer_edge.training.config import TrainingConfig
from emer_edge.training.train import train

_PACKAGED: Final = "model/assets/demo.safetensors"
_PARTICIPANTS: Final = 60


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
