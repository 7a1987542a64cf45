from __future__ import annotations

import itertools
import json
import math
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import msgspec
import numpy as np
import pytest
from runtime_inputs import (
    FPS,
    RATE_HZ,
    WINDOW,
    LiveCamera,
    LiveTracker,
    scene,
    write_tracker,
    write_video,
)

from emer_edge.bundle import Bundle
from emer_edge.core.errors import CameraError, ConfigurationError
from emer_edge.core.heads import HEADS, ValueHead
from emer_edge.core.results import Result, State, gap_numbers
from emer_edge.core.samples import Display, Frame, StimulusRect
from emer_edge.core.window import WindowSpec
from emer_edge.data.images import stack_faces
from emer_edge.metrics.probabilities import js_distance
from emer_edge.offline.predict import score_recording
from emer_edge.runtime.cameras import open_camera
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.evidence import UNWATCHED
from emer_edge.runtime.faces import FaceSource
from emer_edge.runtime.options import DETECT_EVERY, FaceOptions, MachineOptions, Source, WindowOptions
from emer_edge.runtime.pipeline import Pipeline, PipelineCore
from emer_edge.runtime.pipeline.core import Stepper
from emer_edge.runtime.pipeline.intake import Intake
from emer_edge.runtime.pipeline.runner import LiveRunner
from emer_edge.runtime.ring import Bell
from emer_edge.runtime.session import Session
from emer_edge.runtime.trackers import open_tracker
from emer_edge.runtime.trackers.base import TrackerOptions
from emer_edge.signals.rows import EyeStream, network_rows, raw_rows

HOP_NS = WINDOW.hop_ns
FAST = TrackerOptions(pace="fast", offset_ms=0.0)


def numbers(result: Result) -> list[float]:
    cells: list[float] = []
    for value in result.heads.values():
        cells += value.values() if isinstance(value, dict) else [value]
    gap = result.gap
    if gap is not None:
        cells += [each for each in gap_numbers(asdict(gap)) if each is not None]
    return cells


@pytest.fixture(scope="module")
def replayed(bundle: Bundle, video: Path, tracker: Path) -> list[Result]:
    with Pipeline(bundle, str(video), str(tracker), machine=MachineOptions(pace="fast"), offset_ms=0.0) as pipeline:
        return list(pipeline)


def test_fills_then_gives_a_result_each_hop(replayed: list[Result]) -> None:
    assert [each.end_ns for each in replayed] == [HOP_NS * hop for hop in range(1, 21)]
    assert [each.state for each in replayed] == [State.FILLING] * 7 + [State.OK] * 13
    assert all(each.face_slots == 8 and each.eye_slots == 32 for each in replayed[7:])
    assert all(not each.heads and each.gap is None and each.filling_s > 0 for each in replayed[:7])
    assert all(each.dropped == {} for each in replayed)
    assert replayed[-1].notes == ("demo weights, trained on synthetic clips", UNWATCHED)
    assert {"detect", "align", "encode", "fuse", "total"} == set(replayed[-1].stages_ms)


def test_heads_and_gap(replayed: list[Result]) -> None:
    result = replayed[-1]
    assert len(result.heads) == 9
    er, fer = result.heads["er-7"], result.heads["fer-7"]
    assert isinstance(er, dict)
    assert isinstance(fer, dict)
    assert sum(er.values()) == pytest.approx(1.0, abs=1e-5)
    gap = result.gap
    assert gap is not None
    assert gap.distance == pytest.approx(float(js_distance(list(er.values()), list(fer.values()))))
    assert gap.larger_than == (math.ceil(40 * gap.distance), 40)
    assert gap.p_differ == pytest.approx(0.1 + 0.8 * gap.distance)
    assert result.absent == {}
    assert result.face_distance < 1
    assert result.end_ns - result.begin_ns == WINDOW.length_ns
    assert gap.valence == pytest.approx(result.heads["er-valence"] - result.heads["fer-valence"])  # type: ignore[operator]
    json.dumps(result.to_dict(), allow_nan=False)


def test_offline_scoring_gives_the_replays_numbers(
    bundle: Bundle, video: Path, tracker: Path, replayed: list[Result]
) -> None:
    with (
        Session(bundle) as session,
        open_camera(str(video), "fast") as camera,
        open_tracker(str(tracker), FAST) as eyes,
    ):
        offline = list(score_recording(session, Source(camera, eyes)))
    assert len(offline) == len(replayed)
    spread = np.std([numbers(each) for each in replayed[7:]], axis=0)
    assert spread.max() > 1e-3  # windows differ, so agreement means something
    for one, other in zip(replayed, offline, strict=True):
        np.testing.assert_allclose(numbers(one), numbers(other), rtol=0, atol=1e-5)
        for name in ("end_ns", "state", "face_slots", "eye_slots", "face_age_ms", "sample_age_ms", "degraded", "notes"):
            assert getattr(one, name) == getattr(other, name)


def test_a_result_is_the_whole_window_of_its_evidence(
    session: Session, video: Path, tracker: Path, replayed: list[Result]
) -> None:
    end_ns = 15 * HOP_NS
    crops = []
    every = FaceOptions(detect_every=DETECT_EVERY)  # as a pipeline looks at files
    faces = FaceSource(session.detector, session.bundle.manifest.face, HOP_NS, every)
    for frame in open_camera(str(video), "fast"):
        face = faces.on_frame(frame)
        if frame.stamp_ns % HOP_NS == 0 and end_ns - WINDOW.length_ns < frame.stamp_ns <= end_ns:
            assert face is not None
            crops.append(face.crop)
    stream = EyeStream(2000, RATE_HZ)
    display = Display()
    for sample in open_tracker(str(tracker), FAST):
        cells = raw_rows([sample], display, StimulusRect.whole(display))
        stream.append(network_rows(cells)[0], sample.stamp_ns, sample.left.valid or sample.right.valid)
    eye = stream.window(end_ns, WINDOW)
    expected = session.predict(stack_faces(crops)[None], eye.eye[None], eye.gaze[None])
    (result,) = [each for each in replayed if each.end_ns == end_ns]
    for name, value in result.heads.items():
        got = list(value.values()) if isinstance(value, dict) else [value]
        spec, wanted = HEADS[name], expected[name][0]
        if isinstance(spec, ValueHead):
            wanted = np.clip(wanted, spec.low, spec.high)
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_replays_are_identical(bundle: Bundle, video: Path, tracker: Path, replayed: list[Result]) -> None:
    with Pipeline(bundle, str(video), str(tracker), machine=MachineOptions(pace="fast"), offset_ms=0.0) as pipeline:
        again = list(pipeline)
    assert [numbers(each) for each in again] == [numbers(each) for each in replayed]
    summary = pipeline.summary()
    assert (summary.frames, summary.samples) == (180, 720)
    assert summary.faces == summary.detections
    assert summary.states == {"filling": 7, "ok": 13}
    assert summary.stages["fuse"].count == 13
    assert summary.stages["encode"].count == summary.stages["total"].count == 20
    assert summary.dropped == {}


def test_a_face_that_leaves_is_no_emotion(bundle: Bundle, tracker: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "leaves.avi", 5.0, hidden=(2.5, 4.5))
    pipeline = Pipeline(bundle, str(video), str(tracker), machine=MachineOptions(pace="fast"), offset_ms=0.0)
    results = list(pipeline)
    states = [each.state for each in results]
    assert states[7] is State.OK
    without = [each for each in results if each.state is State.NO_FACE]
    assert len(without) >= 4
    assert all(not each.heads and each.gap is None and each.face_slots < 6 for each in without)
    assert max(each.face_age_ms or 0 for each in without) > 1500
    assert all(any(note.startswith("no usable face: no face (") for note in each.notes) for each in without)
    assert not any("no usable face" in note for note in results[7].notes)
    summary = pipeline.summary()
    assert list(summary.missed) == ["no face"]
    assert summary.faces + summary.missed["no face"] == summary.detections


@pytest.mark.parametrize("subject", ["nearest", ""])
def test_an_unknown_subject_is_refused(bundle: Bundle, subject: str) -> None:
    with pytest.raises(ConfigurationError, match="largest, center, left or right"):
        Pipeline(bundle, "0", "/dev/ttyUSB0", faces=FaceOptions(subject))  # type: ignore[arg-type]


@pytest.mark.parametrize(("lost", "state"), [((2.5, 3.4), State.NO_GAZE), ((2.5, 4.5), State.STALE)], ids=str)
def test_a_tracker_that_stops_is_no_emotion(
    bundle: Bundle, video: Path, tmp_path: Path, lost: tuple[float, float], state: State
) -> None:
    tracker = write_tracker(tmp_path / "gaze.csv", 6.0, lost)
    results = list(Pipeline(bundle, str(video), str(tracker), machine=MachineOptions(pace="fast"), offset_ms=0.0))
    assert state in {each.state for each in results}
    assert all(not each.heads for each in results if each.state is not State.OK)


def test_says_when_nobody_knows_how_times_relate(bundle: Bundle, video: Path, tracker: Path) -> None:
    with Pipeline(bundle, str(video), str(tracker), machine=MachineOptions(pace="fast")) as pipeline:
        assert "unsynchronised" in next(pipeline).notes[1]


def test_says_that_published_events_differ(bundle: Bundle, video: Path, tracker: Path) -> None:
    published = Bundle(bundle.path, msgspec.structs.replace(bundle.manifest, events="published", events_constants={}))
    with Pipeline(published, str(video), str(tracker), machine=MachineOptions(pace="fast"), offset_ms=0.0) as pipeline:
        assert "columns 33 to 39" in next(pipeline).notes[1]


def test_live_sources_are_not_replayed(bundle: Bundle, video: Path) -> None:
    with pytest.raises(ConfigurationError, match="the tracker is live"):
        Pipeline(bundle, str(video), LiveTracker(), machine=MachineOptions(pace="fast")).open()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MachineOptions(pace="slow"), "real or fast"),  # type: ignore[arg-type]
        (lambda: WindowOptions(arrival_allowance_ms=-1.0), "0 to 1000 ms"),
        (lambda: FaceOptions(detect_every=0), "n-th"),
    ],
    ids=["pace", "allowance", "detection"],
)
def test_options_that_make_no_sense(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_missing_camera_is_one_error(bundle: Bundle, tracker: Path) -> None:
    pipeline = Pipeline(bundle, "nowhere.avi", str(tracker))
    with pytest.raises(CameraError, match=r"nowhere\.avi"):
        pipeline.open()
    with pytest.raises(ConfigurationError, match="before it is opened"):
        pipeline.summary()


def test_live_run(bundle: Bundle) -> None:
    pictures = [scene(100 + n, 90) for n in range(60)]
    began_s = time.monotonic()
    with Pipeline(bundle, LiveCamera(pictures), LiveTracker()) as pipeline:
        results = list(itertools.islice(pipeline, 11))
    skipped = [each.dropped.get("late steps", 0) for each in results]  # by a busy machine
    origin_ns = results[0].end_ns - (1 + skipped[0]) * HOP_NS
    for number, (each, late) in enumerate(zip(results, skipped, strict=True), 1):
        assert each.end_ns == origin_ns + (number + late) * HOP_NS
        due = State.FILLING if number + late < 8 else State.OK
        assert each.state is due or each.dropped or each.state is State.STALE  # a busy machine starves its sensors
    busy = any(each.dropped or each.state is State.STALE for each in results)
    assert results[-1].state is State.OK or busy
    ages = [(each.face_age_ms, each.sample_age_ms) for each in results]
    assert statistics.median(face for face, _ in ages if face is not None) <= (1000 if busy else 200)
    assert statistics.median(sample for _, sample in ages if sample is not None) < (1000 if busy else 100)
    summary = pipeline.summary()
    assert summary.stages["total"].count == 11
    assert summary.rss_mb is not None
    assert summary.rss_mb < 4000
    assert 11 * 0.3 <= summary.seconds <= time.monotonic() - began_s


def test_files_at_real_pace_give_the_replays_numbers(
    bundle: Bundle, video: Path, tracker: Path, replayed: list[Result]
) -> None:
    pipeline = Pipeline(bundle, str(video), str(tracker), offset_ms=0.0)
    results = list(itertools.takewhile(lambda each: not each.dropped, pipeline))  # a busy machine may lose frames
    pipeline.close()
    start_ns = results[0].end_ns - HOP_NS if results else 0
    for live, fast in zip(results, replayed, strict=False):
        assert live.end_ns - start_ns == fast.end_ns
        assert live.state is fast.state
        np.testing.assert_allclose(numbers(live), numbers(fast), atol=1e-5)
    assert len(results) in (0, 20) or pipeline.summary().dropped


def test_a_silent_camera_makes_results_stale(bundle: Bundle) -> None:
    with Pipeline(bundle, LiveCamera([scene(100, 90)], silent_s=0.5), LiveTracker()) as pipeline:
        results = list(itertools.islice(pipeline, 7))
    assert results[0].state is State.FILLING
    assert results[-1].state is State.STALE
    assert re.match(r"nothing from the camera for [1-9]\.\d", results[-1].notes[-1])


def test_stop_ends_the_iteration(bundle: Bundle) -> None:
    pipeline = Pipeline(bundle, LiveCamera([scene(100, 90)]), LiveTracker())
    count = 0
    for _ in pipeline:
        count += 1
        pipeline.stop()
    assert 1 <= count <= 3  # what waited already is given
    assert pipeline.summary().states == {"filling": count}


def test_a_camera_that_fails_ends_the_run_with_its_error(bundle: Bundle) -> None:
    class Failing(LiveCamera):
        def __next__(self) -> Frame:
            if self._index > 20:
                raise CameraError("test camera was pulled out")
            return super().__next__()

    pipeline = Pipeline(bundle, Failing([scene(100, 90)]), LiveTracker())
    with pytest.raises(CameraError, match="pulled out"):
        list(pipeline)
    assert pipeline.summary().frames <= 21  # the last ones may still have been waiting


def live_runner(stepper: Stepper, core: PipelineCore) -> LiveRunner:
    bell = Bell()
    feed = Intake(core, LiveCamera([scene(100, 90)]), LiveTracker(), bell=bell, say=print)
    return LiveRunner(stepper, [feed], bell, print)


def test_late_steps_are_skipped_and_counted(session: Session) -> None:
    class Slow(Stepper):
        def step(self, cores: Sequence[PipelineCore], end_ns: int, due_ns: int | None = None) -> list[Result]:
            time.sleep(2.4 * HOP_NS / 1e9)
            return super().step(cores, end_ns, due_ns)

    runner = live_runner(Slow(session), PipelineCore(session, RATE_HZ))
    runner.start(monotonic_ns())
    results = list(itertools.islice(runner.results(), 4))
    assert runner.close()
    steps = [round((b.end_ns - a.end_ns) / HOP_NS) for a, b in itertools.pairwise(results)]
    assert all(each >= 2 for each in steps)
    assert results[-1].dropped["late steps"] == sum(each - 1 for each in steps)
    assert min(each.stages_ms["total"] for each in results[2:]) < 5 * HOP_NS / 1e6  # lateness does not pile up
    assert min(each.sample_age_ms or 0.0 for each in results[1:]) < 100  # nor does evidence age


def test_results_that_nobody_takes_are_dropped_and_counted(bundle: Bundle) -> None:
    quick = WindowSpec(length_ns=800_000_000, hops_per_slot=1)
    with Session(Bundle(bundle.path, msgspec.structs.replace(bundle.manifest, window=quick))) as session:
        core = PipelineCore(session, RATE_HZ)
        runner = live_runner(Stepper(session), core)
        now_ns = monotonic_ns()
        runner.start(now_ns)
        deadline = time.monotonic() + 60
        while core.latencies["total"].count < 20:
            assert time.monotonic() < deadline, f"only {core.latencies['total'].count} steps"
            time.sleep(0.05)
        runner.stop()
        results = list(runner.results())
        runner.close()
    assert len(results) <= 17  # one may be taken while the last one comes
    assert results[-1].end_ns > now_ns + 18 * quick.hop_ns
    assert core.drops()["results"] == core.latencies["total"].count - len(results) >= 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_run_with_its_summary(bundle: Bundle, video: Path, tracker: Path, number: signal.Signals) -> None:
    code = (
        "from emer_edge.runtime.pipeline import Pipeline\n"
        "from emer_edge.runtime.play import play\n"
        f"p = Pipeline({str(bundle.path)!r}, {str(video)!r}, {str(tracker)!r}, offset_ms=0)\n"
        "play(p, ['json:', 'summary:'])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert first["state"] == "filling"
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert "step latency" in err
    assert all(json.loads(line)["state"] == "filling" for line in out.splitlines())


def test_nominal_rates_of_the_test_files(video: Path, tracker: Path) -> None:
    assert open_camera(str(video), "fast").fps == pytest.approx(FPS)
    assert open_tracker(str(tracker), FAST).rate_hz == pytest.approx(RATE_HZ, rel=0.01)
