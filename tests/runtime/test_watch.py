"""What hangs is reported, counted and noted: threads, steps, closing; and notes about clocks."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console
from runtime_inputs import RATE_HZ, LiveCamera, LiveTracker, scene

from emer_edge.bundle import Bundle
from emer_edge.core.errors import EngineError
from emer_edge.core.results import Result, State
from emer_edge.core.window import NANOSECONDS, WindowSpec
from emer_edge.runtime.clock import ClockReport, monotonic_ns
from emer_edge.runtime.faces import FaceDetector
from emer_edge.runtime.faces.looks import Face
from emer_edge.runtime.options import FaceOptions, Source
from emer_edge.runtime.outputs import Output
from emer_edge.runtime.outputs.summary_table import SummaryTable
from emer_edge.runtime.pipeline import Pipeline, PipelineCore
from emer_edge.runtime.pipeline.core import Stepper
from emer_edge.runtime.pipeline.intake import Intake, source_troubles
from emer_edge.runtime.pipeline.runner import LiveRunner
from emer_edge.runtime.play import play
from emer_edge.runtime.ring import Bell, FeedWatch
from emer_edge.runtime.session import Session

SECOND = NANOSECONDS


def test_a_silent_source_is_said_once_counted_and_welcomed_back() -> None:
    said: list[str] = []
    watch = FeedWatch(said.append)
    began_ns = monotonic_ns() - 7 * SECOND
    watch.start(began_ns)
    watch.look(began_ns + 4 * SECOND, frozenset())
    assert said == []
    for _ in range(3):
        watch.look(began_ns + 6 * SECOND, frozenset({"tracker"}))
    assert len(said) == 1
    assert said[0].startswith("nothing has come from the camera for 6.0 s; ")
    watch.heard("camera")
    watch.look(monotonic_ns(), frozenset({"tracker"}))
    assert said[1].startswith("the camera sends again after 7.")
    assert watch.counts == {"camera silences": 1, "tracker silences": 0, "stuck faces": 0}


@pytest.mark.case(
    "a network camera whose images come seconds late", before="nothing was said; results took them as new"
)
def test_a_source_that_lags_is_said_in_seconds() -> None:
    said: list[str] = []
    watch = FeedWatch(said.append)
    now_ns = monotonic_ns()
    watch.start(now_ns)
    for late_s, note_s in ((0.9, None), (3.24, "3.2"), (4.0, "4.0"), (0.6, "0.6"), (0.4, None)):
        watch.heard("camera", round(late_s * SECOND))
        watch.look(now_ns, frozenset())
        expected = () if note_s is None else (f"the camera lags: what comes from it is {note_s} s old",)
        assert watch.troubles(now_ns) == expected
    assert said == [
        "the camera lags: what comes from it is 3.2 s old",
        "the camera lags no longer",
    ]


class LateCamera(LiveCamera):
    """A camera whose stamps know nothing of what its lag is."""

    lag_ns = 2 * SECOND


def test_what_a_sources_own_clock_tells_of_its_lag_is_in_the_results(bundle: Bundle) -> None:
    with Pipeline(bundle, LateCamera([scene(100, 90)]), LiveTracker()) as pipeline:
        notes = next(pipeline).notes
    assert "the camera lags: what comes from it is 2.0 s old" in notes


def test_a_look_that_does_not_end_is_said_noted_and_over() -> None:
    said: list[str] = []
    watch = FeedWatch(said.append)
    watch.start(0)
    with watch.looking(10 * SECOND):
        watch.look(11 * SECOND, frozenset({"camera", "tracker"}))
        assert watch.troubles(11 * SECOND) == ()
        for _ in range(2):
            watch.look(13 * SECOND, frozenset({"camera", "tracker"}))
        assert watch.troubles(14 * SECOND) == ("the look at a frame has not ended for 4.0 s",)
    watch.look(15 * SECOND, frozenset({"camera", "tracker"}))
    assert watch.troubles(15 * SECOND) == ()
    assert said == [
        "the look at a frame has not ended for 3.0 s; results hold no emotion until it does",
        "faces are looked for again",
    ]
    assert watch.counts["stuck faces"] == 1


class Twin(FaceDetector):
    """The bundle's detector, but for what happens before each look at a whole image or at a face."""

    def __init__(self, session: Session, before: Callable[[], None]) -> None:
        self.__dict__ = session.detector.twin().__dict__
        self._before = before

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        self._before()
        return super().detect(image)

    def again(self, image: NDArray[np.uint8], face: Face, template_px: NDArray[np.float32]) -> Face | None:
        self._before()
        return super().again(image, face, template_px)


def runner_of(session: Session, detector: FaceDetector, said: list[str], stepper: Stepper | None = None) -> LiveRunner:
    bell = Bell()
    core = PipelineCore(session, RATE_HZ, detector=detector)
    feed = Intake(core, LiveCamera([scene(100, 90)]), LiveTracker(), bell=bell, say=said.append)
    return LiveRunner(stepper or Stepper(session), [feed], bell, said.append)


def test_a_face_thread_that_hangs_makes_results_stale_until_it_goes_on(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FeedWatch, "stuck_ns", SECOND // 2)
    free, said = threading.Event(), list[str]()
    free.set()

    def before() -> None:
        free.wait(60)

    runner = runner_of(session, Twin(session, before), said)
    runner.start(monotonic_ns())
    results: list[Result] = []
    hung = False
    for result in runner.results():
        results.append(result)
        if len(results) == 4:
            free.clear()
        if result.state is State.STALE and not hung:
            hung = True
            assert any("the look at a frame has not ended" in each for each in result.notes)
            assert result.dropped["stuck faces"] == 1
            assert result.dropped["camera queue"] > 0  # the newest frames wait, not the oldest
            free.set()
        elif hung and result.state is not State.STALE:
            break
        assert len(results) < 60
    assert runner.close()
    assert any(each.startswith("the look at a frame has not ended") for each in said)
    assert said[-1] == "faces are looked for again"
    assert results[-1].face_age_ms is not None


def test_looks_that_fail_are_counted_and_the_run_goes_on(session: Session) -> None:
    said: list[str] = []
    failures = iter([EngineError("the GPU is away"), EngineError("the GPU is away")])

    def before() -> None:
        error = next(failures, None)
        if error is not None:
            raise error

    runner = runner_of(session, Twin(session, before), said)
    runner.start(monotonic_ns())
    results = [next(each) for each in [runner.results()] for _ in range(4)]
    assert runner.close()
    assert said == ["looking for a face failed, the next frame is tried: the GPU is away"]
    assert results[-1].dropped["failed looks"] == 2
    assert results[-1].face_slots > 0


def test_looks_that_always_fail_end_the_run(session: Session) -> None:
    def before() -> None:
        raise EngineError("the GPU is away")

    runner = runner_of(session, Twin(session, before), [])
    runner.start(monotonic_ns())
    with pytest.raises(EngineError, match="the GPU is away"):
        list(runner.results())
    assert runner.close()


def test_a_step_that_hangs_is_said_and_counted(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LiveRunner, "stuck_ns", SECOND)  # two hops, so that one is surely skipped
    said: list[str] = []

    class Hanging(Stepper):
        def step(self, cores: Sequence[PipelineCore], end_ns: int, due_ns: int | None = None) -> list[Result]:
            if not runner.stuck_steps:
                deadline_s = time.monotonic() + 60
                while not runner.stuck_steps and time.monotonic() < deadline_s:
                    time.sleep(0.01)
            return super().step(cores, end_ns, due_ns)

    runner = runner_of(session, session.detector.twin(), said, Hanging(session))
    runner.start(monotonic_ns())
    results = runner.results()
    next(results)
    assert next(results).dropped["late steps"] >= 1
    assert runner.close()
    assert runner.stuck_steps == 1
    assert said[0].startswith("a step has not ended for ")
    assert said[0].endswith("does the engine hang?")


class Deaf(LiveCamera):
    """A camera that neither sends nor closes until it is let go."""

    def __init__(self) -> None:
        super().__init__([scene(100, 90)])
        self.let_go = threading.Event()

    def __next__(self) -> object:  # type: ignore[override]
        self.let_go.wait(60)
        raise StopIteration

    def close(self) -> None:
        self.let_go.wait(60)


def test_closing_does_not_wait_for_a_camera_that_hangs(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LiveRunner, "join_s", 0.5)
    said: list[str] = []
    camera = Deaf()
    pipeline = Pipeline(bundle, camera, LiveTracker(), say=said.append)
    try:
        with pipeline:
            states = [next(pipeline).state for _ in range(5)]
        assert states[-1] is State.STALE
        assert any("'emer-edge closing the camera' has not ended within 0.5 s" in each for each in said)
        assert any("'emer-edge camera' has not ended" in each for each in said)
        assert not any("tracker" in each for each in said)
        assert pipeline.summary().states["stale"] >= 1
        pipeline.close()  # once more, at once
    finally:
        camera.let_go.set()


def test_where_faces_take_longer_than_frames_the_newest_is_looked_at(session: Session) -> None:
    said: list[str] = []
    bell = Bell()
    core = PipelineCore(
        session, RATE_HZ, Source(faces=FaceOptions(detect_every=1)), detector=Twin(session, lambda: time.sleep(0.2))
    )
    runner = LiveRunner(
        Stepper(session),
        [Intake(core, LiveCamera([scene(100, 90)]), LiveTracker(), bell=bell, say=said.append)],
        bell,
        said.append,
    )
    runner.start(monotonic_ns())
    results = [next(each) for each in [runner.results()] for _ in range(12)]
    assert runner.close()
    lost = results[-1].dropped
    assert lost["camera queue"] + lost.get("frames passed over", 0) > 30  # of about 110
    assert "late steps" not in lost or lost["late steps"] < 6  # the step does not wait for faces
    ages_ms = [each.face_age_ms for each in results[4:]]
    assert all(each is not None and each < 1500 for each in ages_ms)  # a look may take two tries, and one hop
    assert said == []


def test_a_slow_output_delays_no_step_and_what_it_misses_is_counted(bundle: Bundle) -> None:
    class Slow(Output):
        def __init__(self) -> None:
            self.ends_ns: list[int] = []

        def result(self, result: Result) -> bool:
            self.ends_ns.append(result.end_ns)
            time.sleep(0.35)
            return True

    quick = WindowSpec(length_ns=800_000_000, hops_per_slot=2)  # a result every 50 ms, and places for 16
    output = Slow()
    pipeline = Pipeline(
        Bundle(bundle.path, msgspec.structs.replace(bundle.manifest, window=quick)),
        LiveCamera([scene(100, 90)]),
        LiveTracker(),
    )
    summary = play(pipeline, [output], seconds=3.0)
    steps = summary.stages["total"].count
    lost = summary.dropped["results"]
    assert lost > 0
    assert steps + summary.dropped.get("late steps", 0) >= 50  # of 60 in three seconds: none waited for the output
    assert len(output.ends_ns) <= steps - lost <= len(output.ends_ns) + 17  # the rest still waited at the end


DARK = [np.zeros((48, 64, 3), np.uint8)]
POOR = ClockReport("one-way", 320.0, 85.0, 2)


class Drifting(LiveTracker):
    """A tracker whose clock is known badly."""

    clock_report = POOR  # type: ignore[assignment]


def test_a_clock_that_is_known_badly_is_a_note_of_the_results() -> None:
    assert source_troubles(LiveCamera(DARK), LiveTracker()) == ()
    notes = source_troubles(LiveCamera(DARK), Drifting())
    assert notes == POOR.notes()
    assert [any(word in each for each in notes) for word in ("2 times", "320 ppm", "85 ms late")] == [True] * 3


def test_the_summary_says_how_well_the_clock_is_known(bundle: Bundle) -> None:
    with Pipeline(bundle, LiveCamera(DARK), Drifting(), say=lambda sentence: None) as pipeline:
        next(pipeline)
    summary = pipeline.summary()
    assert summary.to_dict()["clock"] == {
        "link": "one-way", "drift_ppm": 320.0, "residual_ms": 85.0, "resets": 2, "uncertainty_ms": None,
    }  # fmt: skip
    text = io.StringIO()
    SummaryTable(Console(file=text, width=200)).end(summary)
    assert "its clock drifts by 320 ppm, 85 ms of jitter taken away, 2 resets (one-way)" in text.getvalue()
