from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from itertools import islice

import numpy as np
import pytest

from emer_edge.errors import ConfigurationError
from emer_edge.runtime.simulate import TrackerSimulator, simulate_tracker, simulated_samples
from emer_edge.runtime.trackers import open_tracker


def test_same_seed_same_samples_and_steady_times() -> None:
    one, two, other = (list(islice(simulated_samples(seed=seed), 240)) for seed in (3, 3, 4))
    assert repr(one) == repr(two) != repr(other)
    assert [each.device_ns for each in one] == [round(i * 1e9 / 120) for i in range(240)]
    assert sum(each.left.valid for each in one) > 120


def test_another_rate_keeps_the_eyes_at_their_speed() -> None:
    slow = list(islice(simulated_samples(rate_hz=60.0), 100))
    fast = list(islice(simulated_samples(rate_hz=120.0), 200))
    assert [repr(each.left) for each in slow] == [repr(each.left) for each in fast[::2]]


def test_the_eyes_repeat_and_the_clock_does_not() -> None:
    times = [each.device_ns for each in islice(simulated_samples(rate_hz=1.0), 200)]
    assert times == [i * 1_000_000_000 for i in range(200)]


def test_the_path_is_told_before_the_first_sample() -> None:
    opened: dict[str, object] = {}
    stop = threading.Event()

    def listen(path: str) -> None:
        assert os.path.exists(path)

        def read() -> None:
            with open_tracker(path) as tracker:
                opened["first"] = next(tracker)
                opened["rate"] = tracker.rate_hz
            stop.set()

        threading.Thread(target=read, daemon=True).start()

    played = simulate_tracker(seconds=10, on_path=listen, stop=stop)
    assert opened["rate"] == pytest.approx(120.0, rel=0.01)
    assert played.sent > 40


def test_samples_leave_when_they_are_due_and_nobody_has_to_listen() -> None:
    with TrackerSimulator(rate_hz=500.0) as simulator:
        began = time.monotonic()
        played = simulator.play(seconds=2.0)
        assert time.monotonic() - began == pytest.approx(2.0, abs=0.4)
    assert played.sent + played.dropped == 1000
    assert played.dropped > 0


def test_arrivals_follow_the_device_clock() -> None:
    with TrackerSimulator() as simulator:
        stop = threading.Event()
        thread = threading.Thread(target=simulator.play, args=(None, stop))
        thread.start()
        with open_tracker(simulator.path) as tracker:
            samples = list(islice(tracker, 180))
        stop.set()
        thread.join()
    late_ms = np.array([each.arrival_ns - (each.device_ns or 0) for each in samples]) * 1e-6
    assert np.percentile(late_ms - late_ms.min(), 50) < 20.0


def test_the_path_stands_alone_on_the_first_line_of_output() -> None:
    code = "from emer_edge.runtime.simulate import simulate_tracker; simulate_tracker(seconds=0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [done.stdout.strip()]
    assert done.stdout.startswith("/dev/")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"format": "morse"}, "known are emer, csv, opengaze, iviewx, iscan, opengaze-tcp, lsl"),
        ({"format": "lsl", "port": 1}, "port belongs to opengaze-tcp"),
        ({"source": "x.csv", "rate_hz": 60.0}, "at its own rate"),
        ({"rate_hz": 0.0}, "up to 2000 Hz"),
        ({"rate_hz": math.nan}, "up to 2000 Hz"),
        ({"seconds": -1.0}, "can't be played"),
    ],
    ids=["format", "port", "source", "rate", "nan", "seconds"],
)
def test_what_cannot_be_played_is_refused(settings: dict, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        simulate_tracker(**settings, on_path=lambda path: None)
