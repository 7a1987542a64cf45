"""A camera and a tracker that can be made to fail: Motion JPEG over HTTP, and the `emer` format on a pseudo-terminal.

Both are read by the live drivers, through the capture process and a serial port.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Final

import cv2
import numpy as np

from benchmarks.common import TESTS
from emer_edge.core.samples import Display, EyeReading, TrackerSample
from emer_edge.core.window import NANOSECONDS
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.trackers.formats.emer import EMER
from emer_edge.tools.simulate.transport import TerminalTransport

sys.path.insert(0, str(TESTS))  # the tests' camera, and a face

from camera_devices import MjpegServer
from runtime_inputs import SCENE, scene

__all__ = ["TRACKER_HZ", "FaceCamera", "FaultyTracker", "StallWatch"]

TRACKER_HZ: Final = 120
_IMAGES: Final = 64
_QUALITY: Final = 85
_STALL_S: Final = 0.25
_TICK_S: Final = 0.05


class FaceCamera(MjpegServer):
    """A wandering portrait at 30 Hz, 640 x 480. The images are encoded beforehand: serving them costs next to nothing.

    Its ways to fail are `unplug` and `plug`, and the modes `silence`, `freeze` and `black`.
    """

    rate_hz = 30

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._faces, self._dark = [], []
        for at in range(_IMAGES):
            turn = 2 * np.pi * at / _IMAGES
            image = scene(160 + int(30 * np.sin(turn)), 90 + int(12 * np.cos(turn)))
            noisy = np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)
            self._faces.append(_jpeg(noisy))
            self._dark.append(_jpeg(rng.integers(0, 5, (*SCENE, 3), np.uint8)))
        super().__init__()

    def next_jpeg(self) -> bytes | None:
        """The next image when it is due; None at the end, nothing while silent."""
        if self.stopped.wait(1 / self.rate_hz):
            return None
        if self.mode == "silence":
            return b""
        if self.mode != "freeze":
            self.number = (self.number + 1) % _IMAGES
        return (self._dark if self.mode == "black" else self._faces)[self.number]


class FaultyTracker:
    """Two eyes that look around, 120 samples per second.

    Its ways to fail are `unplug` and `plug` (its clock restarts then), and the modes `silence`, `garbage` (random
    bytes) and `lost eyes`; otherwise its mode is `run`.

    Args:
        link: keeps pointing to the terminal.

    Attributes:
        source: what `--tracker` takes.
        sent: samples since the start, in whatever mode but silence.
    """

    def __init__(self, link: Path) -> None:
        self.mode = "run"
        self.sent = 0
        self.source = f"serial://{link}?format=emer&rate={TRACKER_HZ}"
        self._rng = np.random.default_rng(0)
        self._transport = TerminalTransport(EMER, Display(), link=link)
        self._transport.stage = _Garbler(self)
        self._away = threading.Event()
        self._start()

    def plug(self) -> None:
        """Put it back."""
        self._transport.plug()
        self._away.clear()
        self._start()

    def unplug(self) -> None:
        """Take it away; may be called twice."""
        self._away.set()
        self._thread.join()
        self._transport.unplug()

    def garbled(self, data: bytes) -> bytes:
        """What leaves instead of a sample's bytes."""
        return self._rng.bytes(len(data)) if self.mode == "garbage" else data

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        began_s, number = monotonic(), 0
        while not self._away.wait(max(0.0, began_s + number / TRACKER_HZ - monotonic())):
            if self.mode != "silence":
                self._transport.send(self._sample(number))
                self.sent += 1
            number += 1

    def _sample(self, number: int) -> TrackerSample:
        fixation = number // 40
        x, y = 200 + 1500 * ((fixation * 0.618) % 1.0), 150 + 750 * ((fixation * 0.755) % 1.0)
        x, y = x + self._rng.normal(0, 2), y + self._rng.normal(0, 2)
        place_mm = (x * 527 / 1920, y * 296 / 1080)
        seen = self.mode != "lost eyes"
        eye = EyeReading((x, y), place_mm, (0.0, 0.0, -1.0), (263.0, 148.0, 620.0), 3.3, seen)
        device_ns = round(number * NANOSECONDS / TRACKER_HZ)
        return TrackerSample(device_ns, device_ns, device_ns, eye, eye)


class _Garbler:
    """The stage between tracker and wire."""

    def __init__(self, tracker: FaultyTracker) -> None:
        self._tracker = tracker

    def samples(self, samples: Iterator[TrackerSample]) -> Iterator[TrackerSample]:
        return samples

    def data(self, data: bytes) -> bytes:
        return self._tracker.garbled(data)


class StallWatch:
    """Notes when this process, and so its devices, did not run for a quarter of a second or more.

    Attributes:
        stalls: (from_ns, to_ns) of each.
    """

    def __init__(self) -> None:
        self.stalls: list[tuple[int, int]] = []
        self._over = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def close(self) -> None:
        """Stop watching."""
        self._over.set()

    def _watch(self) -> None:
        while not self._over.is_set():
            before_ns = monotonic_ns()
            sleep(_TICK_S)
            after_ns = monotonic_ns()
            if after_ns - before_ns > (_TICK_S + _STALL_S) * NANOSECONDS:
                self.stalls.append((before_ns, after_ns))


def _jpeg(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1])
