"""What a bundle is timed on: different crops of the portrait, and windows of synthetic eyes that feel differently.

The values change no time of a network that was compiled beforehand; they differ so that nothing can be kept from one
query to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.latency.sensors import SimulatedCamera
from emer_edge.data.images import fit_crop
from emer_edge.data.synth.eyes import generate
from emer_edge.data.windows import stack_faces
from emer_edge.spec.heads import HEADS, ClassHead
from emer_edge.spec.window import EYE_COLUMN_COUNT, EYE_SLOTS, FACE_SLOTS

__all__ = ["Queries", "prepare"]

_COUNT: Final = 16
_STEP: Final = 13  # views of the wandering camera from one to the next


@dataclass(frozen=True)
class Queries:
    """Prepared inputs, `len(self)` of each; number `i` of any kind is `each[i]`.

    Attributes:
        views: (n, 480, 640, 3) uint8, B, G, R: whole frames.
        crops: (n, 3, 112, 112) float32, B, G, R in 0 to 1.
        eye: (n, 32, 39) float32.
        gaze: (n, 32, 2) float32.
    """

    views: NDArray[np.uint8]
    crops: NDArray[np.float32]
    eye: NDArray[np.float32]
    gaze: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.crops)

    def crop(self, at: int, count: int = 1) -> NDArray[np.float32]:
        """So many crops from number `at` on: (count, 3, 112, 112)."""
        return self.crops[self._from(at, count)]

    def window(self, at: int, count: int = 1) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Eyes of so many windows from number `at` on: (count, 32, 39) and (count, 32, 2)."""
        rows = self._from(at, count)
        return self.eye[rows], self.gaze[rows]

    def faces(self, at: int) -> NDArray[np.float32]:
        """Eight crops from number `at` on, as one window: (1, 8, 3, 112, 112)."""
        return self.crop(at, FACE_SLOTS)[None]

    def _from(self, at: int, count: int) -> NDArray[np.intp]:
        return np.arange(at, at + count) % len(self)


def prepare() -> Queries:
    """Make them; raise MissingExtraError without OpenCV."""
    camera = SimulatedCamera()
    views = np.stack([camera.view(_STEP * at) for at in range(_COUNT)])
    felt = HEADS["er-7"]
    assert isinstance(felt, ClassHead)
    eyes = []
    for at in range(_COUNT):
        rows = generate(felt.classes[at % len(felt.classes)], participant=1 + at).rows
        eyes.append(rows[np.linspace(0, len(rows) - 1, EYE_SLOTS).astype(int)].reshape(EYE_SLOTS, EYE_COLUMN_COUNT))
    eye = np.stack(eyes).astype(np.float32)
    crops = stack_faces(fit_crop(view[40:300, 180:440]) for view in views)
    return Queries(views, crops, eye, np.ascontiguousarray(eye[..., :2]))
