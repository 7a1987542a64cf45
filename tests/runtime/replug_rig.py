"""A run whose camera and tracker are pulled out and plugged in again, and a judge of what came out of it.

The camera is a Motion JPEG server, the tracker a pseudo-terminal behind a symbolic link that points to another terminal
each time. After each return they show something else: a lamp in the picture has another colour, the gaze rests in
another place, so that whatever a window holds can be traced to when it was sent.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from camera_devices import MjpegServer
from numpy.typing import NDArray
from runtime_inputs import scene

from emer_edge.bundle import Bundle
from emer_edge.core.results import Result, State
from emer_edge.core.samples import Display, EyeReading, Frame, TrackerSample
from emer_edge.core.window import EYE_SLOTS, NANOSECONDS
from emer_edge.runtime.cameras import open_camera
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.evidence import HopWindow
from emer_edge.runtime.faces import Look
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.trackers import open_tracker
from emer_edge.runtime.trackers.base import TrackerOptions
from emer_edge.runtime.trackers.formats.emer import EMER
from emer_edge.tools.simulate.transport import TerminalTransport

RATE_HZ = 120
SIGNALS = 3
_DISPLAY = Display()
_GAZE_X = (0.2, 0.5, 0.8)
_SLACK_NS = 200_000_000  # between a plug being pulled and the last item on the wire
_SILENT_NS = NANOSECONDS + 700_000_000  # after it and a hop or two no result may hold an emotion
_LAMP_PX = 48


class FaceServer(MjpegServer):
    """The portrait at 25 Hz, with a blue, green or red lamp in the corner (`signal`)."""

    rate_hz = 25

    def __init__(self) -> None:
        self.signal = 0
        self._noise = np.random.default_rng(0)
        super().__init__()

    def draw(self) -> NDArray[np.uint8]:
        image = scene(150 + int(6 * np.sin(self.number / 9)), 90)
        image[:_LAMP_PX] = self._noise.integers(40, 60, (_LAMP_PX, 640, 3))
        image[:_LAMP_PX, :_LAMP_PX, self.signal] = 255
        return image


class GazeTerminal:
    """The `emer` format at 120 Hz on a pseudo-terminal behind a link; its clock restarts with every plug."""

    def __init__(self, link: Path) -> None:
        self.signal = 0
        self._transport = TerminalTransport(EMER, _DISPLAY, link=link)
        self.source = f"serial://{link}?format=emer&rate={RATE_HZ}"
        self._pulled = threading.Event()
        self._start()

    def plug(self) -> None:
        self._transport.plug()
        self._pulled.clear()
        self._start()

    def unplug(self) -> None:
        self._pulled.set()
        self._thread.join()
        self._transport.unplug()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        began_ns, number = monotonic_ns(), 0
        rng = np.random.default_rng(0)
        while not self._pulled.wait(max(0.0, (began_ns - monotonic_ns()) / NANOSECONDS + number / RATE_HZ)):
            x_px, y_px = _GAZE_X[self.signal] * 1920 + rng.normal(0, 2), 540 + rng.normal(0, 2)
            millimetres = (x_px * 527 / 1920, y_px * 296 / 1080)
            eye = EyeReading((x_px, y_px), millimetres, (0.0, 0.0, -1.0), (263.0, 148.0, 620.0), 3.3, True)
            device_ns = round(number * NANOSECONDS / RATE_HZ)
            self._transport.send(TrackerSample(device_ns, device_ns, device_ns, eye, eye))
            number += 1


@dataclass(frozen=True)
class Span:
    """A device was there from `from_ns` to `to_ns`, showing `signal`."""

    signal: int
    from_ns: int
    to_ns: int


@dataclass
class Cycle:
    """One pulling and plugging in.

    Attributes:
        devices: what was pulled.
        pulled_ns, plugged_ns: when.
        marked_ns: when the first result without an emotion came, None if none did.
        ok_ns: when the first result with an emotion came after plugging in, None if none did.
        said: what was said meanwhile.
    """

    devices: tuple[str, ...]
    pulled_ns: int
    plugged_ns: int
    marked_ns: int | None = None
    ok_ns: int | None = None
    said: list[str] = field(default_factory=list)


@dataclass
class Outcome:
    """What a run gave.

    Attributes:
        cycles: in order.
        results: all results.
        windows: their windows.
        spans: device -> when it was there, showing what.
        lamps: stamp of each frame that reached the evidence -> the lamp in it.
        said: all sentences.
    """

    cycles: list[Cycle]
    results: list[Result]
    windows: list[HopWindow]
    spans: dict[str, list[Span]]
    lamps: dict[int, int | None]
    said: list[str]


class Rig:
    """Runs a pipeline on both devices and pulls them out."""

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        self._bundle = bundle
        self.devices: dict[str, FaceServer | GazeTerminal] = {
            "camera": FaceServer(),
            "tracker": GazeTerminal(folder / "ttyEMER"),
        }
        self.results: list[Result] = []
        self.windows: list[HopWindow] = []
        self.said: list[str] = []
        self._lamps: dict[int, int | None] = {}
        self._times_ns: list[int] = []
        self._since = dict.fromkeys(self.devices, monotonic_ns())
        self._spans: dict[str, list[Span]] = {name: [] for name in self.devices}
        self._failure: BaseException | None = None

    def run(self, plan: Sequence[tuple[str, ...]], down_s: float, up_s: float) -> Outcome:
        """Pull each of `plan` in turn for `down_s`; after its return wait for an emotion, then for `up_s`."""
        camera, tracker = self.devices["camera"], self.devices["tracker"]
        assert isinstance(camera, FaceServer)
        assert isinstance(tracker, GazeTerminal)
        eyes = open_tracker(tracker.source, TrackerOptions(display=_DISPLAY, say=self.said.append))
        pipeline = Pipeline(self._bundle, open_camera(camera.url, say=self.said.append), eyes, display=_DISPLAY)
        try:
            with pipeline:
                self._watch(pipeline)
                reader = threading.Thread(target=self._read, args=(pipeline,), daemon=True)
                reader.start()
                self._wait_ok(60.0)
                cycles = [self._pull(each, down_s, up_s) for each in plan]
                pipeline.stop()
                reader.join(10)
        finally:
            for name in self.devices:
                self._take(name)
        if self._failure is not None:
            raise self._failure
        cut = {each.end_ns: each for each in self.windows}
        results = [each for each in self.results if each.end_ns in cut]  # a first one may have come before the watch
        return Outcome(cycles, results, [cut[each.end_ns] for each in results], self._spans, self._lamps, self.said)

    def _watch(self, pipeline: Pipeline) -> None:
        evidence = pipeline.streams[None].core.evidence  # type: ignore[union-attr]
        cut = evidence.cut

        def watched(end_ns: int) -> HopWindow:
            window = cut(end_ns)
            self.windows.append(window)
            return window

        on_look = evidence.on_look

        def seen(frame: Frame, look: Look | None) -> object:
            self._lamps[frame.stamp_ns] = lamp(frame.image)
            return on_look(frame, look)

        evidence.cut, evidence.on_look = watched, seen  # type: ignore[method-assign]

    def _read(self, pipeline: Pipeline) -> None:
        try:
            for result in pipeline:
                self._times_ns.append(monotonic_ns())
                self.results.append(result)
        except BaseException as error:
            self._failure = error

    def _pull(self, names: tuple[str, ...], down_s: float, up_s: float) -> Cycle:
        said, results = len(self.said), len(self.results)
        pulled_ns = monotonic_ns()
        for name in names:
            self._take(name)
        time.sleep(down_s)
        plugged_ns = monotonic_ns()
        for name in names:
            device = self.devices[name]
            device.signal = (device.signal + 1) % SIGNALS
            self._since[name] = monotonic_ns()
            device.plug()
        cycle = Cycle(names, pulled_ns, plugged_ns)
        cycle.ok_ns = self._wait_ok(30.0)
        time.sleep(up_s)
        marked = [
            at for at, each in zip(self._times_ns[results:], self.results[results:], strict=False) if each.state != "ok"
        ]
        cycle.marked_ns = marked[0] if marked else None
        cycle.said = self.said[said:]
        return cycle

    def _take(self, name: str) -> None:
        device = self.devices[name]
        self._spans[name].append(Span(device.signal, self._since[name], monotonic_ns()))
        device.unplug()

    def _wait_ok(self, seconds: float) -> int | None:
        """When the next result with an emotion comes whose window ends from now on; None where none does in time."""
        began_ns, deadline = monotonic_ns(), time.monotonic() + seconds
        while time.monotonic() < deadline and self._failure is None:
            for at, each in zip(reversed(self._times_ns), reversed(self.results), strict=False):
                if each.end_ns < began_ns:
                    break
                if each.state is State.OK:
                    return at
            time.sleep(0.05)
        return None


def lamp(image: NDArray[np.uint8]) -> int | None:
    """Which lamp an image shows, None where none does."""
    means = image[8 : _LAMP_PX - 8, 8 : _LAMP_PX - 8].reshape(-1, 3).mean(axis=0)
    order = np.argsort(means)
    return int(order[-1]) if means[order[-1]] > 2 * means[order[-2]] else None


def violations(outcome: Outcome, length_ns: int) -> list[str]:
    """What must not be: evidence that its device did not show then, ages that flatter, emotions without evidence."""
    found = []
    origin_ns = outcome.spans["tracker"][0].from_ns
    for window, result in zip(outcome.windows, outcome.results, strict=True):
        assert window.end_ns == result.end_ns
        at = f"{(window.end_ns - origin_ns) * 1e-9:.1f} s"
        if window.face is not None:
            shown = _shown(outcome.spans["camera"], window.face.stamp_ns, window.face.stamp_ns)
            seen = outcome.lamps.get(window.face.stamp_ns)
            if seen not in shown:
                found.append(f"{at}: a face beside lamp {seen} when the camera showed {sorted(shown)}")
        slot_ns = length_ns // EYE_SLOTS
        for slot in range(EYE_SLOTS):
            if not window.eye.covered[slot] or not window.eye.gaze[slot].any():  # nothing, or the loss within the slot
                continue
            high_ns = window.end_ns - (EYE_SLOTS - 1 - slot) * slot_ns
            shown = _shown(outcome.spans["tracker"], high_ns - slot_ns, high_ns)
            place = int(np.argmin([abs(float(window.eye.gaze[slot, 0]) - x * 1920) for x in _GAZE_X]))
            if place not in shown:
                found.append(f"{at}: gaze at place {place} in slot {slot} when the tracker showed {sorted(shown)}")
        for name, age_ms in (("camera", result.face_age_ms), ("tracker", result.sample_age_ms)):
            away_ns = _away_ns(outcome.spans[name], window.end_ns)
            if age_ms is not None and age_ms * 1e6 < away_ns - _SLACK_NS:
                found.append(
                    f"{at}: evidence {age_ms:.0f} ms old, but the {name} has been away {away_ns * 1e-6:.0f} ms"
                )
            if result.state is State.OK and away_ns > _SILENT_NS:
                found.append(f"{at}: an emotion, but the {name} has been away for {away_ns * 1e-9:.1f} s")
        if (result.state is State.OK) != bool(result.heads):
            found.append(f"{at}: state {result.state.value} with {len(result.heads)} heads")
    return found


def states(outcome: Outcome) -> Counter[str]:
    """How many results were in each state."""
    return Counter(each.state.value for each in outcome.results)


def _shown(spans: Sequence[Span], low_ns: int, high_ns: int) -> set[int]:
    """What the device showed between two times, give or take the way of an item."""
    return {each.signal for each in spans if each.from_ns <= high_ns + 5_000_000 and low_ns <= each.to_ns + _SLACK_NS}


def _away_ns(spans: Sequence[Span], at_ns: int) -> int:
    """How long the device has been away at a time, 0 while it is there."""
    if any(each.from_ns <= at_ns <= each.to_ns for each in spans):
        return 0
    ends = [each.to_ns for each in spans if each.to_ns < at_ns]
    return at_ns - max(ends) if ends else 0
