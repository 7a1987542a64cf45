from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
from runtime_inputs import RATE_HZ, TEMPLATE, WINDOW, sample

from emer_edge.bundle import Manifest
from emer_edge.core.errors import BundleError
from emer_edge.core.results import State
from emer_edge.core.samples import EyeReading, Frame, TrackerSample
from emer_edge.runtime.evidence import Evidence, HopWindow
from emer_edge.runtime.pipeline.replay import Replay
from emer_edge.runtime.session import Session

MS = 1_000_000
DARK = np.zeros((48, 64, 3), np.uint8)
PERIODS = (round(1e9 / 30), round(1e9 / RATE_HZ))


@pytest.fixture
def evidence(session: Session) -> Evidence:
    return Evidence(session.bundle.manifest, session.detector, RATE_HZ)


def frames(count: int) -> Iterator[Frame]:
    for index in range(count):
        stamp_ns = round(index * 1e9 / 30)
        yield Frame(index, DARK, stamp_ns, stamp_ns, "media")


def samples(count: int, delay_ns: int = 0, from_ns: int = 0) -> Iterator[TrackerSample]:
    for index in range(count):
        stamp_ns = from_ns + round(index * 1e9 / RATE_HZ)
        yield TrackerSample(None, stamp_ns, stamp_ns + delay_ns, sample(0).left, sample(0).right)


def windows(evidence: Evidence, some_frames: Iterator[Frame], some_samples: Iterator[TrackerSample]) -> list[HopWindow]:
    replay = Replay(evidence, some_frames, some_samples, periods_ns=PERIODS)
    return [evidence.cut(end_ns) for end_ns in replay.steps(replay.begins_ns or 0)]


def test_lattice_of_two_streams_of_equal_length(evidence: Evidence) -> None:
    cut = windows(evidence, frames(90), samples(360))
    assert [each.end_ns for each in cut] == [300 * MS * hop for hop in range(1, 11)]
    assert [each.state for each in cut] == [State.FILLING] * 7 + [State.NO_FACE] * 3
    assert cut[0].filling_s == pytest.approx(2.1)
    assert cut[-1].eye.covered.all()
    assert cut[-1].face_age_ms is None
    assert cut[-1].sample_age_ms is not None
    assert 0 <= cut[-1].sample_age_ms < 9


def test_lattice_starts_with_the_later_and_ends_with_the_shorter_stream(evidence: Evidence) -> None:
    cut = windows(evidence, frames(90), samples(120, from_ns=700 * MS))
    assert evidence.origin_ns == 700 * MS
    assert [each.end_ns for each in cut] == [1000 * MS, 1300 * MS, 1600 * MS]


def test_an_empty_stream_gives_no_window(evidence: Evidence) -> None:
    assert windows(evidence, frames(30), samples(0)) == []


@pytest.mark.parametrize(("delay_ms", "age_ms"), [(0, 0.0), (49, 0.0), (58, 8.333)], ids=str)
def test_what_arrives_after_the_allowance_is_not_used(evidence: Evidence, delay_ms: int, age_ms: float) -> None:
    first = windows(evidence, frames(60), samples(240, delay_ms * MS))[0]
    assert first.sample_age_ms == pytest.approx(age_ms, abs=0.01)


def test_a_silent_source_is_named(evidence: Evidence) -> None:
    cut = windows(evidence, frames(200), (each for each in samples(800) if not 2.5e9 < each.stamp_ns < 4.6e9))
    stale = [each for each in cut if each.state is State.STALE]
    assert [each.end_ns for each in stale] == [3600 * MS, 3900 * MS, 4200 * MS, 4500 * MS]
    assert all("nothing from the tracker for 1." in each.notes[0] or "2." in each.notes[0] for each in stale)


def test_columns_that_nobody_fills_are_named(evidence: Evidence) -> None:
    bare = EyeReading(gaze_px=(100.0, 100.0), valid=True)
    evidence.on_samples([TrackerSample(None, 1, 1, EyeReading(), EyeReading())])
    assert evidence.cut(300 * MS).degraded == ()  # nobody has looked yet
    evidence.on_samples([TrackerSample(None, 2 * MS, 2 * MS, bare, bare)])
    named = evidence.cut(600 * MS).degraded
    assert "Pupil diameter left [mm]" in named
    assert "Gaze point X [DACS px]" not in named
    evidence.on_samples([sample(3 * MS)])
    assert evidence.cut(900 * MS).degraded == ()


def test_what_a_tracker_does_not_fill_is_said_once_and_soon(session: Session) -> None:
    said: list[str] = []
    evidence = Evidence(session.bundle.manifest, session.detector, RATE_HZ, say=said.append)
    bare = EyeReading(gaze_px=(100.0, 100.0), position_mm=(230.0, 110.0, 620.0), valid=True)
    for number in range(round(3 * RATE_HZ)):
        stamp_ns = round(number / RATE_HZ * 1e9)
        evidence.on_samples([TrackerSample(None, stamp_ns, stamp_ns, bare, bare)])
        if number % 36 == 0 and number:
            evidence.cut(stamp_ns)
    assert said == ["the tracker does not fill 2 of the 39 eye columns: pupil diameter; they stay 0"]


def test_a_bundle_of_other_columns_is_refused(session: Session) -> None:
    manifest: Manifest = session.bundle.manifest
    swapped = (manifest.eye_columns[1], manifest.eye_columns[0], *manifest.eye_columns[2:])
    other = msgspec.structs.replace(manifest, eye_columns=swapped)
    with pytest.raises(BundleError, match=r"Gaze point Y \[DACS px\], Gaze point X"):
        Evidence(other, session.detector, RATE_HZ)


def test_the_window_and_template_are_the_bundles(session: Session) -> None:
    assert session.bundle.manifest.window == WINDOW
    assert session.bundle.manifest.face.template_px == TEMPLATE
