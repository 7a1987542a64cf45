"""The renders as the packaged encoder sees them, with the teacher's word on each: what FER heads learn from.

Of every render the plain crop is encoded, and one drawn a little off, in other colours. A shard's files are written
whole, features under the encoder's hash: an interrupted run goes on with the shard that is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.demo_weights.augment import draw_each
from benchmarks.demo_weights.pool import open_pool
from benchmarks.demo_weights.teacher import OWN_PX, SIZE, Teacher
from emer_edge.core.progress import Progress, silent
from emer_edge.core.whole_file import whole_file
from emer_edge.model.separable import SeparableNet, packaged_sha256, packaged_tensors

_DRAWN: Final = 1  # crops of a render beside the plain one
_AT_ONCE: Final = 8  # more at once are slower: their maps don't fit into a cache
_OWN: Final = SIZE / OWN_PX[2] * np.array([[1, 0, -OWN_PX[0]], [0, 1, -OWN_PX[1]]])
_SEED: Final = 5


@dataclass(frozen=True)
class Encoded:
    """Crops of n renders, v of each; the first one is plain. Six renders in a row are of one identity.

    Attributes:
        features: (n, v, 256) float32, of the packaged encoder.
        seen: (n, 7) float32, the teacher's probabilities of `EMOTIONS`, by `Teacher.seen`.
        readout: the teacher's last layer, features -> logits of `EMOTIONS`.
    """

    features: NDArray[np.float32]
    seen: NDArray[np.float32]
    readout: nn.Linear


def encode(work: Path, shards: list[Path], progress: Progress = silent) -> Encoded:
    """Encode shards of renders, or read what is kept of them.

    Args:
        work: folder of the downloads, and of what is kept.
        shards: their paths.
        progress: called after each shard.
    """
    teacher, backbone = Teacher(work), SeparableNet()
    backbone.load_state_dict(packaged_tensors())
    backbone.eval()
    features, seen = [], []
    for done, shard in enumerate(shards, 1):
        features.append(_kept(work / f"encoded-{packaged_sha256()[:16]}-{shard.stem}.npy", _features, shard, backbone))
        seen.append(_kept(work / f"seen-{shard.stem}.npy", _seen, shard, teacher))
        progress("encoding renders", done, len(shards))
    return Encoded(np.concatenate(features).astype(np.float32), np.concatenate(seen), teacher.readout(backbone.gain))


def _kept(path: Path, make: Callable[..., NDArray[Any]], *given: object) -> NDArray[Any]:
    """Read a file; make it first where it is missing."""
    if not path.exists():
        with whole_file(path) as unfinished, unfinished.open("wb") as file:
            np.save(file, make(*given))
    kept: NDArray[Any] = np.load(path)
    return kept


@torch.no_grad()
def _features(shard: Path, backbone: SeparableNet) -> NDArray[np.float16]:
    cv2.setNumThreads(1)
    pool, rng = open_pool([shard]), np.random.default_rng([_SEED, *shard.stem.encode()])
    features = []
    for crops in (pool.crops(), *(draw_each(pool, rng) for _ in range(_DRAWN))):
        faces = torch.from_numpy(crops).to(memory_format=torch.channels_last)
        features.append(torch.cat([backbone(part) for part in faces.split(_AT_ONCE)]).numpy())
    return np.stack(features, axis=1).astype(np.float16)


def _seen(shard: Path, teacher: Teacher) -> NDArray[np.float32]:
    cv2.setNumThreads(1)
    pool = open_pool([shard])
    return teacher.seen(pool.crops(), pool.crops(_OWN))
