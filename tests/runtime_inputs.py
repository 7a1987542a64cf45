"""A face that wanders through a room, and eyes that look around, as files and as live sources."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from emer_edge.core.samples import EyeReading, Frame, TrackerSample
from emer_edge.core.window import NANOSECONDS, WindowSpec
from emer_edge.runtime.cameras import Camera
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.trackers import Tracker
from emer_edge.runtime.trackers.formats.csv_lines import CSV_HEADER

SCENE = (480, 640)
FPS = 30
RATE_HZ = 120
TEMPLATE = ((38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2))
WINDOW = WindowSpec(length_ns=24 * NANOSECONDS // 10, hops_per_slot=1)
PORTRAIT = Path(__file__).with_name("portrait.jpg")


def portrait() -> NDArray[np.uint8]:
    """Head and shoulders, (300, 300, 3): NASA's portrait of Eileen M. Collins (public domain), as in scikit-image."""
    image: NDArray[np.uint8] = cv2.imread(str(PORTRAIT))
    height, width = image.shape[:2]
    side = min(height, width)
    return cv2.resize(image[:side, (width - side) // 2 :][:, :side], (300, 300), interpolation=cv2.INTER_AREA)


def scene(x: int, y: int, gain: float = 1.0) -> NDArray[np.uint8]:
    """The portrait at x, y in a room."""
    image = np.full((*SCENE, 3), (120, 130, 110), np.uint8)
    image[y : y + 300, x : x + 300] = np.clip(portrait() * gain, 0, 255).astype(np.uint8)
    return image


def write_video(path: Path, seconds: float, hidden: tuple[float, float] = (0.0, 0.0)) -> Path:
    """A face that wanders and changes its light; in the span `hidden` there is none."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, SCENE[::-1])
    for index in range(round(seconds * FPS)):
        at_s = index / FPS
        gain = 0.0 if hidden[0] <= at_s < hidden[1] else 0.75 + 0.25 * np.sin(2 * at_s)
        writer.write(scene(100 + int(60 * np.sin(at_s)), 80 + int(40 * np.cos(1.3 * at_s)), gain))
    writer.release()
    return path


def write_tracker(path: Path, seconds: float, lost: tuple[float, float] = (0.0, 0.0)) -> Path:
    """Fixations and saccades at 120 Hz as CSV lines; in the span `lost` the tracker sends nothing."""
    rng = np.random.default_rng(0)
    lines = [CSV_HEADER]
    point = np.array([0.5, 0.5])
    for index in range(round(seconds * RATE_HZ)):
        if index % 40 == 0:
            point = rng.uniform(0.1, 0.9, 2)
        at_s = index / RATE_HZ
        x, y = point + rng.normal(0, 0.002, 2)
        values: dict[str, float] = {"time_us": round(at_s * 1e6), "sequence": index}
        for eye, eye_x in (("left", 230.0), ("right", 295.0)):
            more = {"x": x, "y": y, "valid": 1, "pupil_mm": 3.2 + 0.3 * np.sin(at_s)}
            more |= {"eye_x_mm": eye_x, "eye_y_mm": 110.0, "eye_z_mm": 620.0}
            values |= {f"{eye}_{name}": value for name, value in more.items()}
        if not lost[0] <= at_s < lost[1]:
            lines.append(",".join(str(values.get(name, "")) for name in CSV_HEADER.split(",")))
    path.write_text("\n".join(lines) + "\n")
    return path


def sample(stamp_ns: int, seen: bool = True) -> TrackerSample:
    eye = EyeReading((960.0, 540.0), (263.0, 148.0), (0.0, 0.0, -1.0), (263.0, 148.0, 620.0), 3.3, seen)
    return TrackerSample(None, stamp_ns, stamp_ns, eye, eye)


class LiveCamera(Camera):
    """Frames at 30 fps, as a device would send them, until closed; from `silent_s` on it sends nothing."""

    live = True
    fps = FPS
    size_px = SCENE[::-1]
    clock = "arrival"

    def __init__(self, images: Sequence[NDArray[np.uint8]], silent_s: float = 1e9) -> None:
        self.source, self.dropped = "test camera", 0
        self._images, self._silent_s = images, silent_s
        self._start_s: float | None = None
        self._index = 0
        self._closed = threading.Event()

    def __next__(self) -> Frame:
        self._start_s = self._start_s or time.monotonic()
        at_s = self._index / FPS
        wait_s = 1e9 if at_s >= self._silent_s else self._start_s + at_s - time.monotonic()
        if self._closed.wait(max(0.0, min(wait_s, 60.0))):
            raise StopIteration
        now_ns = monotonic_ns()
        frame = Frame(self._index, self._images[self._index % len(self._images)], now_ns, now_ns, self.clock)
        self._index += 1
        return frame

    def close(self) -> None:
        self._closed.set()


class LiveTracker(Tracker):
    """Samples at 120 Hz until closed; from `silent_s` on it sends nothing."""

    live = True
    clock = "arrival"
    synchronised = True
    rate_hz = RATE_HZ
    missing_columns = ()

    def __init__(self, silent_s: float = 1e9) -> None:
        self.source, self._silent_s = "test tracker", silent_s
        self._start_s: float | None = None
        self._index = 0
        self._closed = threading.Event()

    def __next__(self) -> TrackerSample:
        self._start_s = self._start_s or time.monotonic()
        at_s = self._index / RATE_HZ
        wait_s = 1e9 if at_s >= self._silent_s else self._start_s + at_s - time.monotonic()
        if self._closed.wait(max(0.0, min(wait_s, 60.0))):
            raise StopIteration
        self._index += 1
        return sample(monotonic_ns())

    def close(self) -> None:
        self._closed.set()
