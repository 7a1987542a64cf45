"""The pool of renders that distillation draws from, and the held-out ones that it is judged on.

A shard holds renders of its own people, drawn from a seed of its own, and is written whole: an interrupted pool goes on
with the shard that is missing.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.demo_weights.heads import Heads
from benchmarks.demo_weights.people import draw_light, draw_look, draw_person, draw_units, draw_view
from benchmarks.demo_weights.renders import align, background, render
from emer_edge.core.progress import Progress, silent
from emer_edge.core.whole_file import whole_file

SIDE: Final = 144
"""Width and height of a render: the crop of 112 pixels with a margin for turning and shifting it."""
AN_IDENTITY: Final = 6
"""Renders of one, in a row."""
_A_SHARD: Final = 50  # identities
RENDERS_A_SHARD: Final = AN_IDENTITY * _A_SHARD
_HELD_OUT: Final = 1_000_000  # first seed of held-out shards
_BETWEEN_EYES: Final = (SIDE / 2, SIDE / 2 - 12)
_SPAN_PX: Final = 38.0
_FINER: Final = 1.15  # than a pixel of a render: crops are resampled once more


@dataclass(frozen=True)
class Pool:
    """Renders in memory.

    Attributes:
        images: (n, 144, 144, 3) uint8, B, G, R, before drawn backgrounds.
        landmarks: (n, 5, 2) float32.
    """

    images: NDArray[np.uint8]
    landmarks: NDArray[np.float32]

    def crops(self, change: NDArray[np.float64] | None = None) -> NDArray[np.float32]:
        """All renders as the product cuts faces out: (n, 3, 112, 112) float32, B, G, R in [0, 1].

        Args:
            change: a further (2, 3) map within the crop.
        """
        crops = [
            align(image, five.astype(np.float64), change)
            for image, five in zip(self.images, self.landmarks, strict=True)
        ]
        return np.ascontiguousarray(np.stack(crops).transpose(0, 3, 1, 2)) / np.float32(255)


def make_pool(work: Path, shards: int, *, held_out: bool, workers: int = 2, progress: Progress = silent) -> list[Path]:
    """Render the shards that are missing in `work`, and return the paths of all of them.

    Args:
        work: folder of the downloads and of the pool.
        shards: how many, of 300 renders of 50 identities each.
        held_out: of other people than those of the training pool.
        workers: processes.
        progress: called after each shard.

    Raises:
        DataError: the assets can't be fetched.
    """
    Heads.open(work)  # fetched and read once, before the workers start
    first = _HELD_OUT if held_out else 0
    paths = {first + at: work / f"{'held-out' if held_out else 'pool'}-{at:04}.npz" for at in range(shards)}
    missing = [seed for seed, path in paths.items() if not path.exists()]
    done = shards - len(missing)
    progress("rendering shards", done, shards)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as processes:
        for future in as_completed([processes.submit(_write_shard, work, paths[seed], seed) for seed in missing]):
            future.result()
            done += 1
            progress("rendering shards", done, shards)
    return list(paths.values())


def open_pool(paths: list[Path]) -> Pool:
    """Read shards into memory: 62 kB a render."""
    images, landmarks = [], []
    for path in paths:
        with np.load(path) as shard:
            images.append(shard["images"])
            landmarks.append(shard["landmarks"])
    return Pool(np.concatenate(images), np.concatenate(landmarks))


@lru_cache(maxsize=1)
def _heads(work: Path) -> Heads:
    return Heads.open(work)


def _write_shard(work: Path, path: Path, seed: int) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    cv2.setNumThreads(1)
    heads, rng = _heads(work), np.random.default_rng([2, seed])
    images, landmarks = [], []
    for _ in range(_A_SHARD):
        person = draw_person(heads, rng)
        look = draw_look(person, rng)
        for _ in range(AN_IDENTITY):
            light = draw_light(rng)
            rendering = render(
                heads,
                person,
                look,
                light,
                draw_units(heads, rng),
                view=draw_view(rng),
                size=(SIDE, SIDE),
                between_eyes=_BETWEEN_EYES,
                span_px=_SPAN_PX * rng.uniform(0.93, 1.06),
                finer=_FINER,
            )
            image = rendering.over(background(rng, (SIDE, SIDE)))
            image += rng.normal(0, light.noise, image.shape)
            images.append(np.clip(image, 0, 255).astype(np.uint8))
            landmarks.append(rendering.landmarks.astype(np.float32))
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, images=np.stack(images), landmarks=np.stack(landmarks))
