"""The LSL driver on real outlets, in an LSL session of their own (tests/conftest.py)."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

import numpy as np
import pytest
from lsl_streams import Outlet, unique

from emer_edge.core.errors import ConfigurationError, MissingExtraError, TrackerError
from emer_edge.core.samples import TrackerSample
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.trackers import TrackerOptions, open_tracker
from emer_edge.tools.simulate import SimulatedTracker, TrackerSimulator, simulated_samples

pylsl = pytest.importorskip("pylsl", reason="pylsl (extra lsl) is not installed")


@contextmanager
def pushing(made: Outlet, values: list[float], stamp: Callable[[float], float] = float) -> Iterator[None]:
    """Push a sample every 10 ms, stamped with what `stamp` makes of when it was due by the LSL clock, in s."""
    stopped = threading.Event()

    def push() -> None:
        due_s = pylsl.local_clock()
        while not stopped.wait(max(0.0, due_s - pylsl.local_clock())):
            made.push(values, stamp(due_s))
            due_s += 0.01

    thread = threading.Thread(target=push, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


@contextmanager
def playing() -> Iterator[TrackerSimulator]:
    stop = threading.Event()
    with TrackerSimulator(SimulatedTracker("lsl", seed=2)) as simulator:
        thread = threading.Thread(target=simulator.play, args=(None, stop), daemon=True)
        thread.start()
        try:
            yield simulator
        finally:
            stop.set()
            thread.join()


def test_what_an_outlet_sends_comes_back() -> None:
    sent = list(islice(simulated_samples(seed=2), 1200))
    with playing() as simulator, open_tracker(simulator.path) as tracker:
        assert tracker.rate_hz == 120.0
        assert (tracker.live, tracker.clock, tracker.connected) == (True, "device", True)
        assert tracker.missing_columns == ()
        read = list(islice(tracker, 240))
        assert tracker.dropped == {}
        assert tracker.mapper.report.link == "two-way"
        assert tracker.mapper.report.uncertainty_ms < 5.0
    valid = next(at for at, sample in enumerate(read) if sample.left.valid)
    first = next(at for at, sample in enumerate(sent) if sample.left.valid and same_left(sample, read[valid])) - valid
    for before, after in zip(sent[first:], read, strict=False):
        assert after.left.valid == before.left.valid
        assert not before.left.valid or same_left(before, after)
        assert after.right.pupil_mm == pytest.approx(before.right.pupil_mm, nan_ok=True)
        assert after.left.position_mm == pytest.approx(before.left.position_mm, nan_ok=True)
        assert after.left.direction == pytest.approx(before.left.direction, nan_ok=True, abs=1e-5)


def same_left(sent: TrackerSample, read: TrackerSample) -> bool:
    return read.left.gaze_px == pytest.approx(sent.left.gaze_px, abs=1e-6) and read.left.pupil_mm == pytest.approx(
        sent.left.pupil_mm, nan_ok=True
    )


def test_stamps_are_host_time_to_a_millisecond(outlet) -> None:
    made = outlet(unique("steady"))
    with pushing(made, [0.5, 0.5]), open_tracker(f"lsl://{made.name}") as tracker:
        samples = list(islice(tracker, 100))
    stamps = np.array([sample.stamp_ns for sample in samples])
    # On one machine the LSL clock and the host's differ by a constant.
    ahead_ns = max(round(pylsl.local_clock() * 1e9) - monotonic_ns() for _ in range(50))  # the reading without a break
    lsl_ns = np.array([sample.device_ns for sample in samples]) - ahead_ns
    assert np.abs(stamps - lsl_ns).max() < 1e6
    assert np.all(np.diff(stamps) > 0)


def test_the_type_is_matched_in_any_case_and_units_count(outlet) -> None:
    made = outlet(unique("GazepointEyeTracker"), "gaze", "left_x left_y right_x right_y", "screencoords")
    with pushing(made, [960.0, 540.0, float("nan"), float("nan")]), open_tracker("lsl://") as tracker:
        assert made.name in tracker.description
        assert tracker.rate_hz == 100.0
        assert "Pupil diameter left [mm]" in tracker.missing_columns
        sample = next(tracker)
    assert sample.left.gaze_px == pytest.approx((960.0, 540.0))
    assert (sample.left.valid, sample.right.valid) == (True, False)


def test_a_stream_without_rate_is_measured(outlet) -> None:
    made = outlet(unique("irregular"), rate_hz=0.0)
    with pushing(made, [0.5, 0.5]), open_tracker(f"lsl://{made.name}") as tracker:
        assert tracker.rate_hz == pytest.approx(100, abs=0.1)


other_clocks = pytest.mark.parametrize("ahead_s", [5e3, -1e7], ids=["ahead", "behind, so that stamps are negative"])


@other_clocks
def test_an_outlet_that_stamps_with_its_own_clock_is_noticed(outlet, ahead_s: float) -> None:
    made = outlet(unique("connector"))
    said: list[str] = []
    with (
        pushing(made, [0.5, 0.5], lambda lsl_s: lsl_s + ahead_s),
        open_tracker(f"lsl://{made.name}", TrackerOptions(say=said.append)) as tracker,
    ):
        samples = list(islice(tracker, 30))
    assert "stamps with a clock of its own" in said[0]
    assert all(-1_000_000 < sample.arrival_ns - sample.stamp_ns < 1_000_000_000 for sample in samples)


@other_clocks
@pytest.mark.parametrize("clock", ["device", "arrival"])
def test_the_clock_can_be_said(outlet, clock: str, ahead_s: float) -> None:
    made = outlet(unique("connector"))
    said: list[str] = []
    with (
        pushing(made, [0.5, 0.5], lambda lsl_s: lsl_s + ahead_s),
        open_tracker(f"lsl://{made.name}?clock={clock}", TrackerOptions(say=said.append)) as tracker,
    ):
        assert tracker.clock == clock
        sample = next(tracker)
        assert tracker.dropped == {}
    assert said == []
    assert (sample.device_ns is not None) == (clock == "device")
    assert -1_000_000 < sample.arrival_ns - sample.stamp_ns < 1_000_000_000


@pytest.mark.parametrize("clock", ["lsl", "device"])
def test_stamps_that_are_no_time_are_counted_and_said_once(outlet, clock: str) -> None:
    made = outlet(unique("broken"))
    said: list[str] = []
    with (
        pushing(made, [0.5, 0.5], lambda lsl_s: math.nan),
        open_tracker(f"lsl://{made.name}?clock={clock}", TrackerOptions(say=said.append)) as tracker,
    ):
        assert tracker.clock == "arrival"
        samples = list(islice(tracker, 20))
        assert tracker.dropped["unstamped"] >= 20
    assert all(sample.device_ns is None and sample.stamp_ns >= sample.arrival_ns for sample in samples)
    assert len(said) == 1
    assert f"{made.name} sends stamps that are no time (nan)" in said[0]


def test_a_stream_that_goes_is_said_and_found_again() -> None:
    said: list[str] = []
    with playing() as simulator, open_tracker(simulator.path, TrackerOptions(say=said.append)) as tracker:
        before = list(islice(tracker, 20))[-1]
        simulator.transport.unplug()
        deadline = time.monotonic() + 10
        while not said and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "lost the tracker on LSL stream" in said[0]
        assert not tracker.connected
        counted = tracker.counters.samples
        lost_ns = monotonic_ns()
        simulator.transport.plug()
        after = next(sample for sample in tracker if sample.arrival_ns > lost_ns)
        assert after.stamp_ns > before.stamp_ns
        assert any("is back after" in sentence for sentence in said)
        assert tracker.dropped["disconnects"] == 1
        assert tracker.counters.samples > counted >= 20  # what became of samples stays counted


def test_streams_that_will_not_do_are_refused(outlet) -> None:
    with pytest.raises(
        TrackerError, match=r"no LSL stream named nobody was found for 0\.3 s; streams on the network: none"
    ):
        open_tracker("lsl://nobody", TrackerOptions(wait_s=0.3))
    text = outlet(unique("text"), text=True)
    with pytest.raises(TrackerError, match="sends text, not numbers"):
        open_tracker(f"lsl://{text.name}")
    heart = outlet(unique("heart"), "ECG", "lead_one lead_two")
    with pytest.raises(TrackerError, match=r"no channel that names a gaze point \(lead_one, lead_two\)"):
        open_tracker(f"lsl://{heart.name}")
    second = outlet(unique("second"), "GAZE")
    several = f"several LSL streams match; name one: lsl://{second.name}, lsl://{text.name}"
    with pytest.raises(TrackerError, match=several):
        open_tracker("lsl://")
    with pytest.raises(TrackerError, match=r"has sent nothing for 0\.5 s"):
        open_tracker(f"lsl://{second.name}", TrackerOptions(wait_s=0.5))


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigurationError, match="clock is one of lsl, device, arrival"):
        open_tracker("lsl://x?clock=sun")
    with pytest.raises(ConfigurationError, match="both kinds of quotes"):
        open_tracker("lsl://%22'")


def test_without_pylsl_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pylsl", None)
    with pytest.raises(MissingExtraError, match=r"\.\[lsl\]"):
        open_tracker("lsl://")


def test_without_liblsl_the_variable_is_named(tmp_path) -> None:
    (tmp_path / "pylsl.py").write_text("raise RuntimeError('LSL binary library file was not found.')\n")
    code = (
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
        "from emer_edge.core.errors import TrackerError\nfrom emer_edge.runtime.trackers import open_tracker\n"
        "try:\n    open_tracker('lsl://')\nexcept TrackerError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "point PYLSL_LIB at its liblsl.so" in done.stdout


@pytest.mark.parametrize(
    ("configured", "said"), [(False, ""), (True, "INFO")], ids=["as it comes", "by the user's own file"]
)
def test_liblsl_chatters_only_where_somebody_has_asked_it_to(configured, said, tmp_path) -> None:
    if configured:
        (tmp_path / "lsl_api.cfg").write_text("[log]\nlevel = 0\n")
    environment = {key: value for key, value in os.environ.items() if key != "LSLAPICFG"} | {"HOME": str(tmp_path)}
    code = "from emer_edge.runtime.trackers.lsl import import_pylsl; import_pylsl().resolve_streams(0.05)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert said in done.stderr
    assert bool(said) == bool(done.stderr)


@pytest.mark.case(
    "an LSL outlet whose clock leaves LSL's while it streams", before="looked at in the first batch alone"
)
def test_a_clock_of_its_own_is_noticed_whenever_it_begins(outlet) -> None:
    made = outlet(unique("connector"))
    said: list[str] = []
    began_s = pylsl.local_clock()
    with (
        pushing(made, [0.5, 0.5], lambda lsl_s: lsl_s + (5e3 if lsl_s > began_s + 3 else 0.0)),
        open_tracker(f"lsl://{made.name}", TrackerOptions(say=said.append)) as tracker,
    ):
        for _ in tracker:
            if said or pylsl.local_clock() > began_s + 30:
                break
    assert "stamps with a clock of its own" in said[0]


def test_a_head_mounted_trackers_gaze_is_refused(outlet) -> None:
    made = outlet(unique("glasses"), labels="norm_pos_x norm_pos_y")
    with (
        pushing(made, [0.5, 0.5]),
        pytest.raises(TrackerError, match=r"world camera \(norm_pos_x, norm_pos_y\), not on the display"),
    ):
        open_tracker(f"lsl://{made.name}")
