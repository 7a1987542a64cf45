"""Simulated input for measuring: a camera and an eye tracker in real time, and prepared queries.

The sensors show a rendered face, moving, and synthetic eyes. They cost what sources cost, so that a live run
measures the pipeline's own work; what they show says nothing about accuracy. The queries are different crops of the
scene and windows of eyes with different emotions: the values change no time of a compiled network; they
differ so that nothing can be kept from one query to the next.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.heads import EMOTIONS
from emer_edge.core.samples import Frame, TrackerSample
from emer_edge.core.window import EYE_COLUMN_COUNT, EYE_SLOTS, NANOSECONDS
from emer_edge.data.images import fit_crop, import_cv2, stack_faces
from emer_edge.data.synth.eyes import RATE_HZ, generate, samples
from emer_edge.data.synth.recording import SCRIPT, scene_frames
from emer_edge.runtime.cameras import Camera
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.trackers.base import Tracker

FPS: Final = 30.0
SIZE_PX: Final = (640, 480)
_MARGIN_PX: Final = 40  # how far the view wanders over the scene
_WANDER_S: Final = 7.0
_EYES_S: Final = 60.0  # the synthetic eyes repeat after this


class _Paced:
    """Waits until item `index` of a steady stream is due."""

    def __init__(self, rate_hz: float) -> None:
        self._period_ns = round(NANOSECONDS / rate_hz)
        self._start_ns: int | None = None
        self._closed = threading.Event()

    def due_ns(self, index: int) -> int:
        """When an item is due; the stream starts with the first call."""
        if self._start_ns is None:
            self._start_ns = monotonic_ns()
        return self._start_ns + index * self._period_ns

    def overdue(self, index: int) -> int:
        """How many items after `index` are due already."""
        return max(0, (monotonic_ns() - self.due_ns(index)) // self._period_ns)

    def wait(self, index: int) -> None:
        """Sleep until an item is due; raise StopIteration when closed meanwhile."""
        if self._closed.wait(max(0, self.due_ns(index) - monotonic_ns()) / NANOSECONDS):
            raise StopIteration

    def close(self) -> None:
        """End all waiting."""
        self._closed.set()


class SimulatedCamera(Camera):
    """640 x 480 at 30 fps: a view that wanders over a scene; frames that nobody takes in time are dropped."""

    live, fps, size_px = True, FPS, SIZE_PX
    clock = "capture"  # a frame's stamp is when it was due

    def __init__(self) -> None:
        self.source = "simulated camera"
        cv2, size = import_cv2(), (SIZE_PX[0] + _MARGIN_PX, SIZE_PX[1] + _MARGIN_PX)
        self._scene = cv2.resize(next(scene_frames(SCRIPT, 1.0)), size, interpolation=cv2.INTER_LINEAR)
        self._pace = _Paced(FPS)
        self._index = 0

    def view(self, index: int) -> NDArray[np.uint8]:
        """Image number `index`: (480, 640, 3) uint8."""
        phase = 2 * np.pi * index / (FPS * _WANDER_S)
        x = round((1 + np.sin(phase)) / 2 * _MARGIN_PX)
        y = round((1 + np.cos(2 * phase)) / 2 * _MARGIN_PX)
        view: NDArray[np.uint8] = self._scene[y : y + SIZE_PX[1], x : x + SIZE_PX[0]].copy()
        return view

    def __next__(self) -> Frame:
        late = self._pace.overdue(self._index)
        self._index += late
        self.dropped += late
        self._pace.wait(self._index)
        index = self._index
        self._index += 1
        return Frame(index, self.view(index), self._pace.due_ns(index), monotonic_ns(), clock=self.clock)

    def close(self) -> None:
        """End the iteration."""
        self._pace.close()


class SimulatedTracker(Tracker):
    """Synthetic eyes at 120 Hz, all 39 columns, stamped with the time at which each sample was due."""

    live, synchronised, clock, rate_hz = True, True, "device", RATE_HZ
    missing_columns = ()

    def __init__(self) -> None:
        self.source = "simulated tracker"
        self._pace = _Paced(RATE_HZ)
        self._samples = self._endless()
        self._index = 0

    def __next__(self) -> TrackerSample:
        self._pace.wait(self._index)
        sample, due_ns = next(self._samples), self._pace.due_ns(self._index)
        self._index += 1
        return TrackerSample(due_ns, due_ns, monotonic_ns(), left=sample.left, right=sample.right)

    def close(self) -> None:
        """End the iteration."""
        self._pace.close()

    @staticmethod
    def _endless() -> Iterator[TrackerSample]:
        eyes = generate("neutral", seconds=_EYES_S)
        while True:
            yield from samples(eyes)


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

    def _from(self, at: int, count: int) -> NDArray[np.intp]:
        return np.arange(at, at + count) % len(self)


def prepare() -> Queries:
    """Prepare the queries; raise MissingExtraError without OpenCV."""
    camera = SimulatedCamera()
    views = np.stack([camera.view(_STEP * at) for at in range(_COUNT)])
    eyes = []
    for at in range(_COUNT):
        rows = generate(EMOTIONS[at % len(EMOTIONS)], participant=1 + at).rows
        eyes.append(rows[np.linspace(0, len(rows) - 1, EYE_SLOTS).astype(int)].reshape(EYE_SLOTS, EYE_COLUMN_COUNT))
    eye = np.stack(eyes).astype(np.float32)
    crops = stack_faces(fit_crop(view[40:300, 180:440]) for view in views)
    return Queries(views, crops, eye, np.ascontiguousarray(eye[..., :2]))
