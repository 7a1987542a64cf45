"""A camera that needs no hardware: a rendered face, acting, as `emer-edge simulate recording` draws it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.window import NANOSECONDS
from emer_edge.data.images import import_cv2
from emer_edge.runtime.address import Address
from emer_edge.runtime.cameras.grabber import CameraDriver, Target
from emer_edge.runtime.capture.grabber import Grab, Grabber
from emer_edge.runtime.clock import monotonic_ns

_FPS: Final = 30.0
_DRAWN_HZ: Final = 5  # drawing takes 25 ms: in between the last drawing sways
_LOOP_S: Final = 3600.0
_SWAY_PX: Final = 1.5


def _check(address: Address) -> Target:
    _parameters(address)
    import_cv2()
    return Target(address.text)


def _parameters(address: Address) -> tuple[float, tuple[int, int], int]:
    if address.path:
        raise ConfigurationError(
            f"{address.text}: the synthetic camera is written synthetic://?fps=30&size=640x480&seed=0"
        )
    seed = address.number("seed", 0, 2**31)
    return address.number("fps", 1, 240) or _FPS, address.size_px() or (640, 480), int(seed or 0)


class SyntheticGrabber(Grabber):
    """Draws a face at a steady rate; the same seed gives the same images.

    Args:
        fps: images per second.
        size_px: width and height.
        seed: of the participant and of what they do.
    """

    mode = "drawn"

    def __init__(self, fps: float, size_px: tuple[int, int], seed: int) -> None:
        self._cv2 = import_cv2()
        self.fps = fps
        self._size_px = size_px
        self._seed = seed
        self._drawings = self._draw()
        self._drawing = next(self._drawings)
        self._drawn = self._index = 0
        self._start_ns = monotonic_ns()

    def read(self, into: NDArray[np.uint8] | None) -> Grab:
        """Wait for the next image; its stamp is when it was due."""
        late = int((monotonic_ns() - self._start_ns) * self.fps // NANOSECONDS) - self._index
        self._index += max(0, late)
        due_ns = self._start_ns + round(self._index * NANOSECONDS / self.fps)
        image = self.image(self._index)
        self._index += 1
        time.sleep(max(0, due_ns - monotonic_ns()) / NANOSECONDS)
        return Grab(image, due_ns, "capture")

    def image(self, index: int) -> NDArray[np.uint8]:
        """Image number `index`, (H, W, 3) uint8; numbers must not fall."""
        while self._drawn < int(index * _DRAWN_HZ / self.fps):
            self._drawing = next(self._drawings)
            self._drawn += 1
        phase = 2 * np.pi * index / self.fps
        shift = np.array([[1, 0, _SWAY_PX * np.sin(1.3 * phase)], [0, 1, _SWAY_PX * np.cos(1.7 * phase)]])
        swayed: NDArray[np.uint8] = self._cv2.warpAffine(
            self._drawing, shift, (640, 480), borderMode=self._cv2.BORDER_REPLICATE
        )
        return swayed if self._size_px == (640, 480) else self._fitted(swayed)

    def close(self) -> None:
        """End the drawing."""
        self._drawings = iter(())

    def _fitted(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The scene cut to the image's shape, then resized."""
        width, height = self._size_px
        scale = min(640 / width, 480 / height)
        cut_w, cut_h = round(width * scale), round(height * scale)
        left, top = (640 - cut_w) // 2, (480 - cut_h) // 2
        cut = image[top : top + cut_h, left : left + cut_w]
        fitted: NDArray[np.uint8] = self._cv2.resize(cut, self._size_px, interpolation=self._cv2.INTER_LINEAR)
        return fitted

    def _draw(self) -> Iterator[NDArray[np.uint8]]:
        from emer_edge.data.synth.recording import SCRIPT, scene_frames

        while True:
            yield from scene_frames(SCRIPT, _LOOP_S, self._seed, _DRAWN_HZ)


SYNTHETIC: Final = CameraDriver(
    name="synthetic",
    help="a camera that needs no hardware: a rendered face, acting",
    example="synthetic://?fps=30&seed=0",
    parameters={
        "fps": "images per second, 30 by default",
        "size": "640x480 by default",
        "seed": "of the participant, 0 by default",
    },
    schemes=("synthetic",),
    grab=lambda address: SyntheticGrabber(*_parameters(address)),
    check=_check,
)
