"""Serial trackers that send what they should not: wrong units, bursts, lists of fixations, garbage."""

from __future__ import annotations

import contextlib
import os
import pty
import threading
import time
import tty
from collections.abc import Callable, Iterator

import pytest

from emer_edge.core.errors import TrackerError
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.trackers import TrackerOptions, open_tracker


@pytest.fixture
def sending() -> Iterator[Callable[..., str]]:
    """Starts a tracker that sends `text(n, elapsed_s)` at a rate; returns its port."""
    stopped, threads, ends = threading.Event(), [], []

    def start(text: Callable[[int, float], str], rate_hz: float = 100.0) -> str:
        master, slave = pty.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        ends.extend((master, slave))

        def play() -> None:
            began_s, number = time.monotonic(), 0
            while not stopped.wait(max(0.0, began_s + number / rate_hz - time.monotonic())):
                with contextlib.suppress(BlockingIOError):
                    os.write(master, text(number, time.monotonic() - began_s).encode("latin-1"))
                number += 1

        threads.append(threading.Thread(target=play, daemon=True))
        threads[-1].start()
        return os.ttyname(slave)

    yield start
    stopped.set()
    for thread in threads:
        thread.join()
    for end in ends:
        os.close(end)


def test_a_wrong_unit_is_said_and_the_run_goes_on_by_arrival(sending, said) -> None:
    port = sending(lambda n, s: ("time_us,x,y\r\n" if n % 50 == 0 else "") + f"{s * 1e3:.3f},0.4,0.5\r\n")
    with open_tracker(port, TrackerOptions(say=said.append, wait_s=10.0)) as tracker:
        assert 20 < tracker.rate_hz < 500
        began = time.monotonic()
        sample = next(sample for sample in tracker if said or time.monotonic() > began + 20)
        assert "the times look like milliseconds: is `time_us` right?" in said[0]
        samples = [next(tracker) for _ in range(20)]
        assert tracker.clock == "arrival"
        assert tracker.troubles == (said[0],)
        assert all(later.stamp_ns <= later.arrival_ns + 1000 for later in (sample, *samples))
        assert monotonic_ns() - samples[-1].stamp_ns < 5_000_000_000


def test_a_list_of_fixations_is_refused(sending) -> None:
    port = sending(lambda n, s: f"time_us,x,y\r\n{s * 1e6:.0f},0.4,0.5\r\n", 2.9)
    with pytest.raises(TrackerError, match=r"rows a second, too few for an eye tracker .*list of fixations\?"):
        open_tracker(port, TrackerOptions(wait_s=10.0))


@pytest.mark.case("a tracker that sends what can't be read", before="'nothing has come from the tracker'")
def test_garbage_in_a_run_is_said_with_an_example(sending, said) -> None:
    def text(number: int, seconds: float) -> str:
        head = "time_us,x,y\r\n" if seconds < 2 and number % 10 == 0 else ""
        return head + f"{seconds * 1e6:.0f}," + ("0.4,0.5\r\n" if seconds < 2 else "eyes\x1b[2J,lost\r\n")

    with open_tracker(sending(text), TrackerOptions(say=said.append, wait_s=10.0)) as tracker:
        reader = threading.Thread(target=lambda: list(tracker), daemon=True)
        reader.start()
        deadline = time.monotonic() + 30
        while not said and time.monotonic() < deadline:
            time.sleep(0.05)
        troubles = tracker.troubles
    reader.join(30)
    assert not reader.is_alive()
    assert "has sent nothing that can be read for 2 s" in said[0]
    assert "eyes[2J,lost'" in said[0]
    assert "has sent nothing for" not in said[0]
    assert troubles == (said[0],)


def test_the_first_line_of_an_unknown_format_is_shown(sending) -> None:
    port = sending(lambda n, s: f"\x07EYE {n} 0.4 0.5\r\n")
    with pytest.raises(TrackerError, match=r"they begin 'EYE \d+ 0\.4 0\.5'"):
        open_tracker(port, TrackerOptions(wait_s=1.0))
