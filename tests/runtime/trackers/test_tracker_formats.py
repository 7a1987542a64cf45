"""Every serial format, device side to driver: found by its first bytes, and what is sent comes back."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from urllib.parse import urlencode

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emer_edge.core.errors import ConfigurationError, TrackerError
from emer_edge.core.samples import Display, EyeReading, TrackerSample
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.trackers import TrackerOptions, open_tracker
from emer_edge.runtime.trackers.formats import FormatFinder, stream_formats
from emer_edge.runtime.trackers.formats.iscan import IscanEncoder
from emer_edge.runtime.trackers.formats.iviewx import start_commands
from emer_edge.runtime.trackers.formats.opengaze import CAMERA
from emer_edge.tools.simulate import SimulatedTracker, TrackerSimulator, simulated_samples

DISPLAY = Display()
HERE = f"camera={','.join(f'{number:g}' for number in CAMERA.origin_mm)},{CAMERA.tilt_degrees:g}"
NAN = math.nan

# What each format resolves: gaze in px, pupil and position in mm, device time in ns; None: it does not carry it.
RESOLUTION = {
    "emer": (1e-3, 1e-6, 1e-3, 1_000),
    "csv": (1e-3, 1e-6, 1e-3, 1_000),
    "opengaze": (0.01, 1e-5, 0.02, 10_000),
    "iviewx": (0.005 + 1e-9, None, None, 1_000_000),
    "iscan": (0.501, None, None, None),
}


@lru_cache
def synthetic(count: int) -> list[TrackerSample]:
    return list(islice(simulated_samples(seed=2), count))


def encoded(name: str, samples: list[TrackerSample]) -> bytes:
    encoder = stream_formats()[name].encoder(DISPLAY, 120.0)
    encoder.receive(start_commands())
    return b"".join(map(encoder.encode, samples))


def assert_equal(name: str, sent: TrackerSample, read: TrackerSample) -> None:
    gaze_px, pupil_mm, position_mm, time_ns = RESOLUTION[name]
    if time_ns is None:
        assert read.device_ns is None
    else:
        assert abs((read.device_ns or 0) - (sent.device_ns or 0)) <= time_ns
    for before, after in ((sent.left, read.left), (sent.right, read.right)):
        assert after.valid == before.valid
        if before.valid:
            assert after.gaze_px == pytest.approx(before.gaze_px, abs=gaze_px)
        if pupil_mm is None:
            assert math.isnan(after.pupil_mm)
        else:
            assert after.pupil_mm == pytest.approx(before.pupil_mm, abs=pupil_mm, nan_ok=True)
        if position_mm is None:
            assert math.isnan(after.position_mm[0])
        elif not math.isnan(before.pupil_mm):
            assert after.position_mm == pytest.approx(before.position_mm, abs=position_mm, nan_ok=True)


def decoder_of(name: str):
    return stream_formats()[name].decoder(
        {"camera": HERE.removeprefix("camera=")} if name == "opengaze" else {}, DISPLAY
    )


def as_one_eye(sample: TrackerSample) -> TrackerSample:
    """What a tracker with a single gaze point can know of a sample."""
    seen = [eye.gaze_px for eye in (sample.left, sample.right) if eye.valid]
    if not seen:
        return TrackerSample(None, 0, 0, EyeReading(), EyeReading())
    mean = (sum(point[0] for point in seen) / len(seen), sum(point[1] for point in seen) / len(seen))
    eye = EyeReading(gaze_px=mean, valid=True)
    return TrackerSample(None, 0, 0, eye, eye)


@pytest.mark.parametrize("name", stream_formats())
def test_what_is_sent_comes_back_within_the_resolution(name: str) -> None:
    sent = synthetic(600)
    assert any(not sample.left.valid for sample in sent)
    read = decoder_of(name).feed(encoded(name, sent) + (encoded(name, sent[:1])), 0)[: len(sent)]
    assert len(read) == len(sent)
    for before, after in zip(sent, read, strict=True):
        assert_equal(name, as_one_eye(before) if name == "iscan" else before, after)


pixels = st.tuples(st.floats(-1900, 3800), st.floats(-1000, 2100)).filter(lambda point: max(map(abs, point)) > 1)
eyes = st.builds(
    EyeReading,
    gaze_px=pixels,
    position_mm=st.tuples(st.floats(-900, 900), st.floats(-900, 900), st.floats(200, 1500)),
    pupil_mm=st.floats(1.01, 9.9),
    valid=st.just(True),
)
blank = st.just(EyeReading())


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(set(stream_formats()) - {"iscan"})), st.integers(0, 2**40), eyes | blank, eyes | blank)
def test_any_sample_comes_back(name: str, time_us: int, left: EyeReading, right: EyeReading) -> None:
    sent = TrackerSample(time_us * 1000, 0, 0, left, right)
    (read,) = decoder_of(name).feed(encoded(name, [sent]), 0)
    assert_equal(name, sent, read)


@pytest.mark.parametrize("items", [2, 3])
def test_both_iscan_frames_are_found(items: int) -> None:
    encoder = IscanEncoder(DISPLAY, items=items)
    data = b"".join(map(encoder.encode, synthetic(40)))
    match = FormatFinder(DISPLAY).feed(data, 0)
    assert match is not None
    assert match[0].name == "iscan"
    assert len(match[2]) == 40


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(stream_formats())), st.integers(0, 400), st.integers(1, 200))
def test_a_format_is_found_wherever_its_stream_is_joined(name: str, joined: int, size: int) -> None:
    data = encoded(name, synthetic(260))[joined:]
    finder = FormatFinder(DISPLAY)
    match = None
    for at in range(0, len(data), size):
        match = finder.feed(data[at : at + size], at)
        if match:
            break
    assert match is not None
    assert match[0].name == name


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=10))
def test_noise_is_no_format(pieces: list[bytes]) -> None:
    finder = FormatFinder(DISPLAY)
    assert all(finder.feed(piece, 0) is None for piece in pieces)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"format": "iscan", "n": "4"}, "n of 2 or 3 integers"),
        ({"n": "3"}, "n= belongs to format=iscan; name the format too"),
        ({"format": "emer", "camera": "1,2,3"}, "camera= belongs to format=opengaze, not to format=emer"),
        ({"format": "opengaze", "axes": "right-up"}, "it needs camera= too"),
        ({"format": "opengaze", "camera": "1,2,3", "axes": "up"}, "one of right-up"),
        ({"format": "iviewx", "time": "s"}, "counts in ms or us"),
        ({"format": "iviewx", "width": "1280"}, "give both"),
        ({"format": "iscan", "width": "0", "height": "nan"}, "give both"),
        ({"format": "morse"}, "known are emer, csv, opengaze, iviewx, iscan"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_parameters_that_make_no_sense_are_named(parameters: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        open_tracker(f"/dev/null?{urlencode(parameters)}")


@contextmanager
def playing(name: str, **settings) -> Iterator[TrackerSimulator]:
    stop = threading.Event()
    with TrackerSimulator(SimulatedTracker(name, **settings)) as simulator:
        thread = threading.Thread(target=simulator.play, args=(None, stop), daemon=True)
        thread.start()
        try:
            yield simulator
        finally:
            stop.set()
            thread.join()


@pytest.mark.parametrize("name", ["opengaze", "iviewx", "iscan"])
def test_a_port_is_read_in_every_format(name: str) -> None:
    said: list[str] = []
    with playing(name) as simulator, open_tracker(simulator.path, TrackerOptions(say=said.append)) as tracker:
        assert name in tracker.description
        assert tracker.rate_hz == pytest.approx(120.0, rel=0.1 if name == "iscan" else 0.01)
        assert tracker.clock == ("arrival" if name == "iscan" else "device")
        assert "Pupil diameter left [mm]" in tracker.missing_columns or name == "opengaze"
        assert "Eye position left Z [DACS mm]" in tracker.missing_columns
        samples = list(islice(tracker, 120))
        assert tracker.dropped == {}
    stamps = [sample.stamp_ns for sample in samples]
    assert np.all(np.diff(stamps) > 0)
    assert any(sample.left.valid for sample in samples)


def test_a_place_of_the_camera_fills_eye_positions() -> None:
    with playing("opengaze") as simulator, open_tracker(f"{simulator.path}?format=opengaze&{HERE}") as tracker:
        assert tracker.missing_columns == ()
        depths = [sample.left.position_mm[2] for sample in islice(tracker, 120) if sample.left.valid]
    assert 450 < min(depths) <= max(depths) < 850


def test_an_iview_x_is_asked_again_after_it_comes_back(tmp_path) -> None:
    said: list[str] = []
    port = tmp_path / "port"
    with playing("iviewx", link=port) as simulator:
        assert simulator.path == f"serial://{port}?format=iviewx"
        with open_tracker(simulator.path, TrackerOptions(say=said.append)) as tracker:
            before = list(islice(tracker, 30))[-1]
            simulator.transport.plug()
            plugged_ns = monotonic_ns()
            after = next(sample for sample in tracker if sample.arrival_ns > plugged_ns + 100_000_000)
            assert after.stamp_ns > before.stamp_ns
    assert any("is back after" in sentence for sentence in said)


def test_a_port_that_waits_to_be_asked_is_explained() -> None:
    with (
        TrackerSimulator(SimulatedTracker("iviewx")) as simulator,
        pytest.raises(TrackerError, match=r"some stream only on request in their format: .*format=iviewx"),
    ):
        open_tracker(simulator.path.partition("?")[0], TrackerOptions(wait_s=0.3))
