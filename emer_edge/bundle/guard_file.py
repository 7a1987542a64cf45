"""`guard.npz`: where the embeddings of training lie, so that faces unlike all of them are told.

For each face encoder's file the mean of the training embeddings, their principal directions, the spread along each, and
that of the rest. The distance of an embedding is that of probabilistic principal components: the root mean square, over
all dimensions, of its deviations in these spreads; those of training are about 1 away.

The file is a NumPy archive, all float32: `<variant>/<part>/mean` (W), `directions` (32, W) and `spread` (33).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle.golden_file import archive_of, read_archive
from emer_edge.core.errors import BundleError

GUARD_NAME: Final = "guard.npz"
DIRECTIONS: Final = 32
FEWEST: Final = 4 * DIRECTIONS  # embeddings; of fewer the directions mean nothing
_TENSORS: Final = ("mean", "directions", "spread")


@dataclass(frozen=True, eq=False)
class KnownFaces:
    """The embeddings of training: `mean` (W,), orthonormal `directions` (32, W), `spread` (33,) above 0, float32."""

    mean: NDArray[np.float32]
    directions: NDArray[np.float32]
    spread: NDArray[np.float32]

    @classmethod
    def of(cls, embeddings: NDArray[np.float32]) -> KnownFaces:
        """Fit to (n, W) embeddings, n at least `FEWEST`."""
        mean = embeddings.astype(np.float64).mean(axis=0)
        _, scale, directions = np.linalg.svd(embeddings - mean, full_matrices=False)
        variance = scale**2 / max(1, len(embeddings) - 1)
        rest = variance[DIRECTIONS:].sum() / max(1, len(mean) - DIRECTIONS)
        spread = np.sqrt(np.append(variance[:DIRECTIONS], rest))
        spread = np.maximum(spread, 1e-3 * (spread.max() or 1.0))  # a dead direction must not rule
        mean, directions, spread = (array.astype(np.float32) for array in (mean, directions[:DIRECTIONS], spread))
        return cls(mean, directions, spread)

    def distance(self, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
        """Distance (n,) of windows from the embeddings of their faces, (n, slots, W): the mean over slots."""
        apart = embeddings.astype(np.float64) - self.mean
        along = apart @ self.directions.T.astype(np.float64)
        rest = np.maximum((apart**2).sum(axis=-1) - (along**2).sum(axis=-1), 0.0)
        squares = ((along / self.spread[:-1]) ** 2).sum(axis=-1) + rest / self.spread[-1].astype(np.float64) ** 2
        distance: NDArray[np.float64] = np.sqrt(squares / len(self.mean)).mean(axis=-1)
        return distance


def write_guard(known: Mapping[str, KnownFaces]) -> bytes:
    """Encode; `known`: `cpu/face_encoder` and so on -> the embeddings of training that it made."""
    return archive_of({f"{key}/{name}": getattr(faces, name) for key, faces in known.items() for name in _TENSORS})


def read_guard(content: bytes, where: str = GUARD_NAME) -> dict[str, KnownFaces]:
    """Read the content of `guard.npz`, called `where` in messages; BundleError unless it is whole and nothing else."""
    found: dict[str, dict[str, NDArray[np.float32]]] = {}
    for key, array in read_archive(content, where).items():
        part, _, name = key.rpartition("/")
        found.setdefault(part, {})[name] = array
    known = {}
    for part, tensors in found.items():
        shapes = {name: array.shape for name, array in tensors.items()}
        width = tensors["mean"].size if "mean" in tensors else 0
        expected = dict(zip(_TENSORS, ((width,), (DIRECTIONS, width), (DIRECTIONS + 1,)), strict=True))
        if shapes != expected or not (tensors["spread"] > 0).all():
            raise BundleError(f"{where} does not hold what a face guard is made of; export the bundle again")
        known[part] = KnownFaces(**tensors)
    return known
