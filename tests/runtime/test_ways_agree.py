"""Live, replayed and offline, the same streams give the same results, whatever their jitter, delays, losses, gaps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from runtime_inputs import FPS, RATE_HZ, SCENE, LiveCamera, LiveTracker, sample, scene

from emer_edge.bundle import Bundle
from emer_edge.bundle.reading_records import WithoutEyesRecord
from emer_edge.core.errors import DataError
from emer_edge.core.results import Result, State
from emer_edge.core.samples import Frame, TrackerSample
from emer_edge.core.window import WindowSpec
from emer_edge.offline.predict import score_recording
from emer_edge.runtime.cameras import Camera
from emer_edge.runtime.options import DETECT_EVERY, FaceOptions, MachineOptions, Source
from emer_edge.runtime.pipeline import Pipeline, PipelineCore
from emer_edge.runtime.pipeline.core import Stepper
from emer_edge.runtime.pipeline.intake import Intake
from emer_edge.runtime.pipeline.runner import LiveRunner
from emer_edge.runtime.session import Session
from emer_edge.runtime.trackers import Tracker
from emer_edge.runtime.trackers.base import NoTracker

MS = 1_000_000
QUICK = WindowSpec(length_ns=800 * MS, hops_per_slot=1)
PICTURES = [scene(100, 90), scene(112, 84), scene(90, 100), scene(100, 90, 0.7), np.zeros((*SCENE, 3), np.uint8)]
SAME = (
    "end_ns",
    "state",
    "filling_s",
    "face_slots",
    "eye_slots",
    "face_age_ms",
    "sample_age_ms",
    "degraded",
    "begin_ns",
    "absent",
)


@pytest.fixture(scope="module")
def quick(bundle: Bundle) -> Iterator[Session]:
    """Reads faces without eyes, too; half of the portrait's faces are unlike those of training."""
    readable = WithoutEyesRecord(clips=9, before={}, after={}, lost_points=0.5, worst="fer-7/war")
    manifest = msgspec.structs.replace(bundle.manifest, window=QUICK, without_eyes=readable)
    frames = [Frame(at, PICTURES[at % 4], *2 * (round(at * 1e9 / FPS),), "media") for at in range(39)]
    source = Source(PlayedCamera(frames))
    with Session(Bundle(bundle.path, manifest)) as session:
        distances = [each.face_distance for each in score_recording(session, source) if each.face_distance is not None]
    limits = {"cpu/face_encoder": float(np.median(distances))}
    halved = msgspec.structs.replace(manifest, guard=msgspec.structs.replace(manifest.guard, limits=limits))
    with Session(Bundle(bundle.path, halved)) as session:
        yield session


@dataclass(frozen=True)
class Streams:
    frames: list[Frame]
    samples: list[TrackerSample]

    @property
    def origin_ns(self) -> int:
        return max(item.stamp_ns for item in (*self.frames[:1], *self.samples[:1]))


@dataclass(frozen=True)
class Course:
    """What becomes of two sensors; a second or so, so that all results wait for their reader."""

    seed: int
    seconds: float
    jitter_ms: int
    delay_ms: int
    lost: float
    holed: str
    gap_ms: tuple[int, int]
    dark: float
    eyes: bool = True

    def streams(self) -> Streams:
        rng = np.random.default_rng(self.seed)

        def picture() -> NDArray[np.uint8]:
            return PICTURES[-1 if rng.random() < self.dark else int(rng.integers(len(PICTURES) - 1))]

        frames = [Frame(at, picture(), *each, "media") for at, each in enumerate(self._times_ns(rng, FPS, "frames"))]
        samples = [
            replace(sample(stamp_ns, seen=rng.random() > self.lost / 2), arrival_ns=arrival_ns)
            for stamp_ns, arrival_ns in self._times_ns(rng, RATE_HZ, "samples")
        ]
        return Streams(frames, samples if self.eyes else [])

    def _times_ns(self, rng: np.random.Generator, rate_hz: float, name: str) -> Iterator[tuple[int, int]]:
        first_ns, stamp_ns, arrival_ns = int(rng.integers(0, 40 * MS)), -1, 0
        for index in range(max(2, round(self.seconds * rate_hz))):
            nominal_ns = first_ns + round(index * 1e9 / rate_hz)
            inside = name == self.holed and self.gap_ms[0] * MS < nominal_ns < sum(self.gap_ms) * MS
            if index > 1 and (inside or rng.random() < self.lost):
                continue
            jitter_ns = int(rng.integers(-self.jitter_ms * MS, self.jitter_ms * MS + 1))
            stamp_ns = max(stamp_ns + 1, nominal_ns + jitter_ns)
            arrival_ns = max(arrival_ns, stamp_ns + int(rng.integers(0, self.delay_ms * MS + 1)))
            yield stamp_ns, arrival_ns


COURSES = st.builds(
    Course,
    seed=st.integers(0, 2**32 - 1),
    seconds=st.sampled_from([0.4, 1.0, 1.3]),
    jitter_ms=st.sampled_from([0, 2, 8]),
    delay_ms=st.sampled_from([0, 30, 60, 150]),
    lost=st.sampled_from([0.0, 0.1, 0.5]),
    holed=st.sampled_from(["frames", "samples"]),
    gap_ms=st.tuples(st.integers(0, 1200), st.sampled_from([0, 100, 400])),
    dark=st.sampled_from([0.0, 0.3]),
    eyes=st.sampled_from([True, True, False]),
)


class PlayedCamera(Camera):
    live, fps, size_px, clock = False, FPS, SCENE[::-1], "media"

    def __init__(self, frames: list[Frame]) -> None:
        self.source, self.dropped, self._left = "played", 0, iter(frames)

    def __next__(self) -> Frame:
        return next(self._left)

    def close(self) -> None: ...


class PlayedTracker(Tracker):
    live, clock, synchronised, rate_hz, missing_columns = False, "media", True, RATE_HZ, ()

    def __init__(self, samples: list[TrackerSample]) -> None:
        self.source, self._left = "played", iter(samples)

    def __next__(self) -> TrackerSample:
        return next(self._left)

    def close(self) -> None: ...


class World(threading.Condition):
    """The clock of a live run, which moves when the run waits, and what arrives meanwhile."""

    def __init__(self, streams: Streams) -> None:
        super().__init__()
        self.now_ns = 0
        self._frames, self._samples = list(streams.frames), list(streams.samples)
        self.intake: Intake | None = None

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        assert self.intake is not None
        self.now_ns += max(1, round(timeout * 1e9))
        while self._samples and self._samples[0].arrival_ns <= self.now_ns:
            last = self._samples.pop(0)
            self.intake._samples.put(last, ring=False)
            if not self._samples:
                self.intake.end(last.stamp_ns + round(1e9 / RATE_HZ) + MS)
        while self._frames and self._frames[0].arrival_ns <= self.now_ns:
            frame = self._frames.pop(0)
            self.intake.looks.put((frame, self.intake.core.evidence.faces.finder.see(frame)))
            if not self._frames:
                self.intake.end(frame.stamp_ns + round(1e9 / FPS) + MS)
        return True


def live(session: Session, streams: Streams) -> list[Result]:
    world = World(streams)
    looks = FaceOptions(detect_every=DETECT_EVERY)  # those of a file: a live camera's calm face is looked at less often
    core = PipelineCore(session, RATE_HZ, Source(faces=looks), eyes=bool(streams.samples))
    silent = LiveCamera(PICTURES, silent_s=0.0), LiveTracker(silent_s=0.0) if streams.samples else NoTracker()

    def clock() -> int:
        return world.now_ns

    intake = world.intake = Intake(core, *silent, bell=world, say=print, clock=clock)
    runner = LiveRunner(Stepper(session), [intake], world, print, clock=clock)
    runner.start(streams.origin_ns)
    runner.threads[0].join(30)
    results = list(runner.results())
    assert runner.close()
    return results


def numbers(result: Result) -> list[float]:
    values = (each.values() if isinstance(each, dict) else [each] for each in result.heads.values())
    return [number for each in values for number in each]


def results_of(way: Callable[[], Iterable[Result]]) -> list[Result]:
    """All results of a way; none where it refuses files that give none."""
    try:
        return list(way())
    except DataError as error:
        if "no result" not in str(error):
            raise
        return []


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(course=COURSES)
def test_live_replayed_and_offline_results_agree(quick: Session, course: Course) -> None:
    streams = course.streams()

    def played() -> Source:
        return Source(PlayedCamera(streams.frames), PlayedTracker(streams.samples) if course.eyes else None)

    with Pipeline(quick.bundle, sources=[played()], machine=MachineOptions(pace="fast")) as pipeline:
        replayed = results_of(lambda: pipeline)
    for way in (lambda: live(quick, streams), lambda: score_recording(quick, played())):
        other = results_of(way)
        assert len(other) == len(replayed)
        for one, two in zip(replayed, other, strict=True):
            assert {name: getattr(one, name) for name in SAME} == {name: getattr(two, name) for name in SAME}
            np.testing.assert_allclose(numbers(one), numbers(two), rtol=0, atol=1e-5)
            assert (one.face_distance or 0) == pytest.approx(two.face_distance or 0, abs=1e-5)


def test_without_eyes_a_live_run_reads_the_same_faces(quick: Session) -> None:
    frames = [Frame(at, PICTURES[at % 4], *2 * (round(at * 1e9 / FPS),), "media") for at in range(39)]
    results = live(quick, Streams(frames, []))
    assert [each.state for each in results] == [State.FILLING] * 7 + [State.NO_GAZE] * 6
    assert {name.partition("-")[0] for each in results for name in each.heads} == {"fer"}
    assert {each.unlike for each in results[7:]} == {False, True}
    offline = list(score_recording(quick, Source(PlayedCamera(frames))))
    assert [numbers(each) for each in results] == [pytest.approx(numbers(each), abs=1e-5) for each in offline]


def test_what_agrees_holds_emotions(quick: Session) -> None:
    frames = [Frame(at, PICTURES[at % 4], *2 * (round(at * 1e9 / FPS),), "media") for at in range(39)]
    results = live(quick, Streams(frames, [sample(round(at * 1e9 / RATE_HZ)) for at in range(156)]))
    assert [each.state for each in results] == [State.FILLING] * 7 + [State.OK] * 6
    assert len(numbers(results[-1])) > 20
