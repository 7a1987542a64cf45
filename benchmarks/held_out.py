"""Windows of the held-out fold, read once for all benchmarks of a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.accuracy.judged import refuse_known_clips
from emer_edge.bundle import Bundle
from emer_edge.data.dataset import Clip, EmerDataset
from emer_edge.data.windows import PreparedClip, load_faces
from emer_edge.runtime.session import Session


@dataclass(frozen=True)
class Windows:
    """(n, 8, 3, 112, 112), (n, 32, 39), (n, 32, 2) float32, and the clip of each."""

    clips: tuple[Clip, ...]
    faces: NDArray[np.float32]
    eye: NDArray[np.float32]
    gaze: NDArray[np.float32]

    def embeddings(self, session: Session) -> NDArray[np.float32]:
        """(n, 8, 128) float32."""
        count, slots = self.faces.shape[:2]
        encoded = [session.encode(face) for face in self.faces]
        return np.stack(encoded).reshape(count, slots, -1)


def held_out_clips(bundle: Bundle, dataset: EmerDataset) -> tuple[Clip, ...]:
    """The clips that the bundle has never seen; DataError if it has."""
    record = bundle.manifest.data
    clips = dataset.fold(record.fold if record is not None and record.fold else 1)
    refuse_known_clips(bundle.manifest, clips)
    return clips


def windows_of(bundle: Bundle, clips: Sequence[Clip], draws: int = 0, seed: int = 0) -> Windows:
    """The deterministic window of each clip, and `draws` random ones."""
    rng = np.random.default_rng(seed)
    owners, faces, cut = [], [], []
    for clip in clips:
        prepared = PreparedClip(clip, bundle.manifest.window, bundle.manifest.events)
        for window in [prepared.window(), *(prepared.draw(rng) for _ in range(draws))]:
            owners.append(clip)
            faces.append(load_faces(clip, window.frames))
            cut.append(window)
    return Windows(
        tuple(owners),
        np.stack(faces),
        np.stack([window.eye for window in cut]),
        np.stack([window.gaze for window in cut]),
    )
