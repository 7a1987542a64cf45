"""Runs without an eye tracker, with one that is lost, and of faces unlike those of training."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from runtime_inputs import WINDOW, LiveTracker, write_tracker

from emer_edge.bundle import Bundle
from emer_edge.bundle.reading_records import GapRecord, WithoutEyesRecord
from emer_edge.core.errors import BundleError, ConfigurationError
from emer_edge.core.results import UNLIKE, Result, State
from emer_edge.runtime.options import MachineOptions, Source
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.play import play
from emer_edge.runtime.session import Session
from emer_edge.runtime.trackers.base import NoTracker

FAST = MachineOptions(pace="fast")


def losing(bundle: Bundle, points: float | None) -> Bundle:
    record = None
    if points is not None:
        record = WithoutEyesRecord(clips=30, before={}, after={}, lost_points=points, worst="fer-7/uar")
    return Bundle(bundle.path, msgspec.structs.replace(bundle.manifest, without_eyes=record))


@pytest.fixture(scope="module")
def readable(bundle: Bundle) -> Bundle:
    return losing(bundle, 0.4)


def views(result: Result) -> set[str]:
    return {name.partition("-")[0] for name in result.heads}


@pytest.mark.case("a run without --tracker", source="seen", before="opened /dev/ttyUSB0")
def test_without_a_tracker_the_face_alone_is_read(readable: Bundle, video: Path, said: list[str]) -> None:
    with Pipeline(readable, str(video), machine=FAST, say=said.append) as pipeline:
        results = list(pipeline)
    assert [each.state for each in results] == [State.FILLING] * 7 + [State.NO_GAZE] * 13
    assert all(views(each) == {"fer"} for each in results[7:])
    reason = "there is no eye tracker"
    for each in results[7:]:
        assert each.gap is None
        assert each.absent == {"er": reason, "gap": reason}
        assert reason in each.notes
        assert each.end_ns - each.begin_ns == WINDOW.length_ns
    assert not any(each.degraded or each.absent for each in results[:7])
    assert sum("no eye tracker" in sentence for sentence in said) == 1
    with Pipeline(readable, str(video), "none", machine=FAST) as pipeline:
        assert [each.heads for each in pipeline] == [each.heads for each in results]


@pytest.mark.parametrize(
    ("points", "figure"), [(3.75, "loses 3.8 points of fer-7/uar"), (None, "does not say what FER loses")]
)
def test_a_bundle_that_needs_eyes_is_refused_at_the_start(
    bundle: Bundle, video: Path, points: float | None, figure: str
) -> None:
    refused = losing(bundle, points)
    for source in (Source(str(video)), Source(str(video), NoTracker())):
        with pytest.raises(ConfigurationError, match=figure):
            Pipeline(refused, sources=[source], machine=FAST).open()
    with pytest.raises(ConfigurationError, match=f"stream left: .*{figure}.*--tracker"):
        Pipeline(refused, sources=[Source(str(video), name="left")], machine=FAST).check()


@pytest.mark.parametrize(
    ("lost", "why"), [((2.5, 3.4), "the eyes are missing"), ((2.5, 4.5), "nothing from the tracker for")], ids=str
)
def test_a_tracker_that_is_lost_leaves_the_face(
    readable: Bundle, video: Path, tmp_path: Path, lost: tuple[float, float], why: str
) -> None:
    tracker = write_tracker(tmp_path / "gaze.csv", 6.0, lost)
    results = list(Pipeline(readable, str(video), str(tracker), machine=FAST, offset_ms=0.0))
    alone = [each for each in results if each.state is State.NO_GAZE]
    assert any(why in each.absent["gap"] for each in alone)
    assert all(views(each) == {"fer"} and each.absent["er"] == each.absent["gap"] for each in alone)
    assert all(each.gap is not None for each in results if each.state is State.OK)
    assert State.STALE not in {each.state for each in results}
    needs_eyes = list(Pipeline(losing(readable, 2.0), str(video), str(tracker), machine=FAST, offset_ms=0.0))
    without = [each for each in needs_eyes if each.state is State.NO_GAZE]
    assert all(not each.heads and "loses 2.0 points" in each.absent["fer"] for each in without)


def test_a_run_without_a_tracker_is_recorded_and_played_back(readable: Bundle, video: Path, tmp_path: Path) -> None:
    pytest.importorskip("mcap")
    path = tmp_path / "alone.mcap"
    requests = [f"{path}?images=jpeg&consent-id=c1"]
    pipeline = Pipeline(readable, sources=[Source(str(video))], machine=FAST)
    kept: list[Result] = []
    pipeline.streams[None].listen(lambda kind, *items: kept.append(items[0]) if kind == "result" else None)
    play(pipeline, requests)
    for tracker in (str(path), None):
        with Pipeline(readable, str(path), tracker, machine=FAST) as replayed:
            again = list(replayed)
        assert [(each.state, each.absent) for each in again] == [(each.state, each.absent) for each in kept]
        for one, two in zip(kept, again, strict=True):
            assert one.heads == {name: pytest.approx(value, abs=1e-5) for name, value in two.heads.items()}


def test_a_strange_face_is_said_and_its_gap_compared_with_nothing(
    bundle: Bundle, video: Path, tracker: Path, said: list[str]
) -> None:
    guard = msgspec.structs.replace(bundle.manifest.guard, limits={"cpu/face_encoder": 1e-6})
    strict = Bundle(bundle.path, msgspec.structs.replace(bundle.manifest, guard=guard))
    with Pipeline(strict, str(video), str(tracker), machine=FAST, offset_ms=0.0, say=said.append) as pipeline:
        results = list(pipeline)
    for each in results[7:]:
        assert each.unlike
        assert UNLIKE in each.notes
        assert each.gap.larger_than is each.gap.p_differ is None
        assert each.gap.distance > 0
        assert each.absent == {"larger_than": UNLIKE, "p_differ": UNLIKE}
    assert sum(sentence.startswith(UNLIKE) for sentence in said) == 1
    assert not any(each.unlike for each in results[:7])


@pytest.mark.parametrize("limits", [{}, {"cpu/face_encoder": 0.0}, {"tensorrt/face_encoder": 1.0}], ids=str)
def test_a_guard_that_does_not_cover_the_encoder_is_refused(bundle: Bundle, limits: dict[str, float]) -> None:
    guard = msgspec.structs.replace(bundle.manifest.guard, limits=limits)
    with pytest.raises(BundleError, match="does not cover cpu/face_encoder"):
        Session(Bundle(bundle.path, msgspec.structs.replace(bundle.manifest, guard=guard)))


def test_what_a_bundle_does_not_know_is_said_and_not_invented(bundle: Bundle, video: Path, tracker: Path) -> None:
    manifest = msgspec.structs.replace(bundle.manifest, schema=2, guard=None, gap=None, gap_quantiles=(0.1,) * 101)
    older = Bundle(bundle.path, manifest)
    with Pipeline(older, str(video), str(tracker), machine=FAST, offset_ms=0.0) as pipeline:
        result = list(pipeline)[-1]
    assert result.face_distance is None
    assert any("no face guard" in note for note in result.notes)
    assert result.gap.larger_than is result.gap.p_differ is None
    assert "older version" in result.absent["larger_than"]
    few = GapRecord(clips=24, agreeing=(0.2,) * 24, absent={"p_differ": "the labels of 0 differ"})
    partly = Bundle(bundle.path, msgspec.structs.replace(bundle.manifest, gap=few))
    with Pipeline(partly, str(video), str(tracker), machine=FAST, offset_ms=0.0) as pipeline:
        result = list(pipeline)[-1]
    assert result.gap.larger_than == (24 if result.gap.distance > 0.2 else 0, 24)
    assert result.absent == {"p_differ": "the labels of 0 differ"}


def test_a_live_run_goes_on_when_the_tracker_falls_silent(readable: Bundle, video: Path) -> None:
    source = Source(str(video), LiveTracker(silent_s=0.0))
    results: list[Result] = []
    with Pipeline(readable, sources=[source]) as pipeline:
        for result in pipeline:
            results.append(result)
            if result.heads:
                break
    assert results[-1].state is State.NO_GAZE
    assert "nothing from the tracker" in results[-1].absent["er"]
    assert np.isfinite(list(results[-1].heads["fer-7"].values())).all()
