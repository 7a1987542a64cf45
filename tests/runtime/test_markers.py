"""Markers: dealt out to results, and taken from a terminal's keys, a pipe's lines and a real LSL stream."""

from __future__ import annotations

import os
import pty
import termios
import threading
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest
from lsl_streams import Outlet, unique
from runtime_inputs import RATE_HZ, WINDOW, LiveCamera, LiveTracker, scene, write_tracker, write_video

from emer_edge.bundle import Bundle
from emer_edge.core.errors import ConfigurationError, MissingExtraError
from emer_edge.core.public_text import one_line
from emer_edge.core.session_facts import Marker
from emer_edge.data.sessions import open_session
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.markers import MarkerLog, marker_sources
from emer_edge.runtime.markers.lsl_markers import LslMarkers, OffsetKeeper
from emer_edge.runtime.markers.stdin import Keyboard, Lines, keys_pressed
from emer_edge.runtime.options import MachineOptions
from emer_edge.runtime.pipeline import Pipeline, PipelineCore
from emer_edge.runtime.pipeline.core import Stepper
from emer_edge.runtime.play import play
from emer_edge.runtime.recording.mcap_reader import read_messages
from emer_edge.runtime.recording.messages import MARKERS
from emer_edge.runtime.session import Session

HOP_NS = WINDOW.hop_ns


def wait_for(what: Callable[[], bool], seconds: float = 8.0) -> bool:
    deadline = time.monotonic() + seconds
    while not what() and time.monotonic() < deadline:
        time.sleep(0.01)
    return what()


class Told(list[Marker]):
    """A log and what it has told."""

    def __init__(self) -> None:
        super().__init__()
        self.log = MarkerLog()
        self.log.listen(self.append)


def test_each_marker_is_in_one_result_and_crosses_every_window_it_lies_inside() -> None:
    log = MarkerLog()
    log.add("late", stamp_ns=45)
    log.add("early", stamp_ns=15)
    log.add("on the edge", stamp_ns=20)
    dealt = {end: log.take(end, 30) for end in (10, 20, 50, 60)}
    log.add("of the past", stamp_ns=41)
    dealt |= {end: log.take(end, 30) for end in (70, 75, 80)}
    new = {end: [each.label for each in markers] for end, (markers, _) in dealt.items()}
    crosses = {end: list(labels) for end, (_, labels) in dealt.items()}
    assert new == {10: [], 20: ["early", "on the edge"], 50: ["late"], 60: [], 70: ["of the past"], 75: [], 80: []}
    # A window ending at a marker holds nothing of after it, one beginning at it nothing of before it.
    assert crosses == {
        10: [],
        20: ["early"],
        50: ["late"],
        60: ["late"],
        70: ["of the past", "late"],
        75: [],
        80: [],
    }
    assert log.count == 4


@pytest.mark.case(
    "markers of a replay, given before it begins", before="in its results, but in no session and no recording"
)
def test_markers_that_were_set_before_a_run_are_kept(bundle: Bundle, tmp_path: Path) -> None:
    video, tracker = write_video(tmp_path / "face.avi", 3.0), write_tracker(tmp_path / "eyes.csv", 3.0)
    fast = MachineOptions(pace="fast")
    pipeline = Pipeline(bundle, str(video), str(tracker), offset_ms=0.0, participant="p1", machine=fast)
    pipeline.mark("film starts", stamp_ns=1_000_000_000)
    play(pipeline, [f"session:{tmp_path / 'kept'}?session=s1", str(tmp_path / "run.mcap")])
    assert [marker.label for marker in open_session(tmp_path / "kept/p1/s1").markers] == ["film starts"]
    (recorded,) = read_messages(tmp_path / "run.mcap", {MARKERS})
    assert "film starts" in str(recorded.decode())


def test_a_flood_costs_the_oldest_and_is_counted(session: Session) -> None:
    log = MarkerLog()
    core = PipelineCore(session, RATE_HZ, markers=log)
    for number in range(1200):
        log.add(f"m{number}", stamp_ns=number)
    (result,) = Stepper(session).step([core], HOP_NS)
    assert [each.label for each in result.markers] == [f"m{number}" for number in range(200, 1200)]
    assert result.dropped["markers"] == 200


@pytest.mark.parametrize(
    ("text", "label"),
    [("  stimulus\t3\r\n", "stimulus 3"), ("\x1b[31mred\x07", "[31mred"), ("é 笑", "é 笑"), ("a" * 999, "a" * 200)],
    ids=["white space", "escape", "unicode", "long"],
)
def test_labels_are_made_printable(text: str, label: str) -> None:
    assert one_line(text) == label
    assert MarkerLog().add(text).label == label


def test_an_empty_label_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs a label"):
        MarkerLog().add(" \x07 ")


def test_marks_set_while_a_pipeline_runs_reach_its_results(bundle: Bundle) -> None:
    pipeline = Pipeline(bundle, LiveCamera([scene(100, 90)]), LiveTracker())
    told: list[Marker] = []
    pipeline.markers.listen(told.append)
    results = []
    for result in islice(pipeline, 12):
        results.append(result)
        if len(results) == 3:
            before_ns = monotonic_ns()
            pipeline.mark("stimulus 1")
            after_ns = monotonic_ns()
    pipeline.close()
    (marker,) = told
    assert before_ns <= marker.stamp_ns <= after_ns
    holding = [each for each in results if each.markers]
    assert [each.markers for each in holding] == [(marker,)]
    assert holding[0].end_ns - HOP_NS < marker.stamp_ns <= holding[0].end_ns
    for each in results:
        inside = each.end_ns - WINDOW.length_ns < marker.stamp_ns < each.end_ns
        assert each.crosses == (("stimulus 1",) if inside else ())
    assert sum(bool(each.crosses) for each in results) >= 7
    assert holding[0].to_dict()["markers"][0]["label"] == "stimulus 1"
    assert pipeline.summary().markers == 1


def test_a_fast_replay_has_no_now(bundle: Bundle) -> None:
    pipeline = Pipeline(bundle, "face.avi", "gaze.csv", machine=MachineOptions(pace="fast"))
    with pytest.raises(ConfigurationError, match="stamp_ns"):
        pipeline.mark("a")
    assert pipeline.mark("a", stamp_ns=5).stamp_ns == 5
    with pytest.raises(ConfigurationError, match="--pace real"):
        marker_sources(["lines"], print, "fast")
    assert marker_sources([], print, "fast") == []


@pytest.mark.parametrize(
    ("names", "message"),
    [(["mouse"], "mouse"), (["none", "lines"], "no other source"), (["keys", "lines"], "both"), (["keys"], "terminal")],
    ids=lambda each: "+".join(each) if isinstance(each, list) else "",
)
def test_sources_that_make_no_sense(monkeypatch: pytest.MonkeyPatch, names: list[str], message: str) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        with pytest.raises(ConfigurationError, match=message):
            marker_sources(names, print)
        assert marker_sources([], print) == []
        assert marker_sources(["none"], print) == []


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"a", ["a"]),
        (b"aZ5 ", ["a", "Z", "5", "space"]),
        (b"\n\r\t;\x7f\xc3\xa9", []),
        (b"\x1b[A\x1bOPb", ["b"]),
        (b"\x1b[1;5Cx\x1bay\x1b", ["x", "y"]),
    ],
    ids=["letter", "several", "others", "arrow and F1", "control arrow, alt, escape"],
)
def test_names_of_keys(data: bytes, keys: list[str]) -> None:
    assert keys_pressed(data) == keys


def test_keys_of_a_terminal_set_markers_and_its_mode_comes_back() -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    told, said = Told(), []
    keyboard = Keyboard(slave, said.append)
    keyboard.start(told.log)
    during = termios.tcgetattr(slave)
    assert not during[3] & (termios.ICANON | termios.ECHO)
    assert during[3] & termios.ISIG  # Ctrl-C still ends the run
    pressed_ns = monotonic_ns()
    os.write(master, b"a")
    assert wait_for(lambda: len(told) == 1)
    for _ in range(5):  # held down
        os.write(master, b" ")
        time.sleep(0.03)
    assert wait_for(lambda: len(told) == 2)
    os.write(master, b"7")
    assert wait_for(lambda: len(told) == 3)
    keyboard.close()
    keyboard.close()
    assert [(each.label, each.source) for each in told] == [
        ("key a", "keyboard"),
        ("key space", "keyboard"),
        ("key 7", "keyboard"),
    ]
    assert 0 <= told[0].stamp_ns - pressed_ns < 500_000_000
    assert termios.tcgetattr(slave) == before
    assert said == ["markers: a letter, a digit or the space bar sets one"]
    os.close(slave)
    os.close(master)


def test_a_terminal_that_goes_ends_the_keys_and_not_the_run() -> None:
    master, slave = pty.openpty()
    told = Told()
    keyboard = Keyboard(slave, print)
    keyboard.start(told.log)
    os.close(master)
    keyboard.close()
    os.close(slave)
    assert told == []


def test_lines_of_a_pipe_set_markers() -> None:
    read, write = os.pipe()
    os.write(write, b"before the run\n")
    told, said = Told(), []
    lines = Lines(read, said.append)
    lines.start(told.log)
    os.write(write, b"stimulus 1\n\n  \nstim")
    assert wait_for(lambda: len(told) == 1)
    os.write(write, b"ulus 2\r\n" + b"x" * 10_000 + b"\n\xff\nlast")
    os.close(write)
    assert wait_for(lambda: len(said) == 2)
    lines.close()
    os.close(read)
    assert [each.label for each in told[:2]] == ["stimulus 1", "stimulus 2"]
    assert [each.label for each in told[-2:]] == ["\ufffd", "last"]
    assert all(len(each.label) <= 200 and each.source == "lines" for each in told)
    assert said[0].startswith("markers: skipped 1 lines")
    assert "stdin has ended" in said[1]


def test_the_measurement_that_errs_least_counts() -> None:
    keeper = OffsetKeeper()
    assert keeper.offset_s(0.0) is None
    keeper.add(100.0, 5.0, 0.004)
    keeper.add(105.0, 5.1, 0.050)  # a slow link: errs by up to 25 ms
    assert keeper.offset_s(106.0) == 5.0
    keeper.add(110.0, 5.002, 0.002)
    assert keeper.offset_s(111.0) == 5.002
    keeper.add(400.0, 5.010, 0.020)  # the older one has drifted by up to 29 ms since
    assert keeper.offset_s(401.0) == 5.010


@pytest.fixture
def markers(outlet):
    """Makes streams of markers, as an experiment's program opens them."""
    return lambda name, kind="Markers": outlet(name, kind, labels="marker", rate_hz=0.0, text=True)


def push(stream: Outlet, label: str | bytes, ago_s: float = 0.0) -> int:
    """Send a marker that was `ago_s` ago; return its host time."""
    while True:
        before_ns, stamp_s, after_ns = monotonic_ns(), stream.pylsl.local_clock() - ago_s, monotonic_ns()
        if after_ns - before_ns < 500_000:  # a busy machine takes breaks
            break
    stream.push([label], stamp_s)  # bytes are sent as they are
    return (before_ns + after_ns) // 2 - round(ago_s * 1e9)


def test_markers_of_an_lsl_stream_have_its_times(markers) -> None:
    told, said, name = Told(), [], unique("stimuli")
    source = LslMarkers(name, said.append)
    source.start(told.log)
    try:
        assert wait_for(lambda: bool(said))  # the experiment's program is started later
        stream = markers(name)
        assert stream.ready()
        assert wait_for(lambda: len(said) == 2)
        sent = {"stimulus 1": push(stream, "stimulus 1"), "half a second ago": push(stream, "half a second ago", 0.5)}
        push(stream, "of another clock", 9_999.0)
        push(stream, b"caf\xe9")
        arrived_ns = monotonic_ns()
        assert wait_for(lambda: len(told) == 4)
    finally:
        source.close()
    for marker, stamp_ns in zip(told, sent.values(), strict=False):
        assert (marker.clock, marker.source) == ("lsl", f"lsl {name}")
        assert abs(marker.stamp_ns - stamp_ns) < 5_000_000
    assert [each.label for each in told] == [*sent, "of another clock", "café"]
    for marker in told[2:]:
        assert marker.clock == "arrival"
        assert abs(marker.stamp_ns - arrived_ns) < 1_000_000_000
    assert said == [f"no LSL marker stream {name} so far; searching for it", f"markers from the LSL stream {name}"]


def test_a_stream_that_ends_and_comes_back_is_followed(markers) -> None:
    told, said, name = Told(), [], unique("trial")
    stream = markers(name, "markers")
    source = LslMarkers("", said.append)
    source.start(told.log)
    try:
        assert stream.ready()
        push(stream, "1")
        assert wait_for(lambda: len(told) == 1)
        stream.close()
        assert wait_for(lambda: any("lost" in each for each in said))
        again = markers(name, "markers")
        assert again.ready()
        push(again, "2")
        assert wait_for(lambda: len(told) == 2)
    finally:
        source.close()
    assert [each.label for each in told] == ["1", "2"]
    assert said[-1] == f"markers from the LSL stream {name}"


def test_several_streams_are_named_and_none_is_guessed(markers) -> None:
    one, two = (markers(unique(name)).name for name in ("one", "two"))
    told, said = Told(), []
    source = LslMarkers("", said.append)
    source.start(told.log)
    try:
        assert wait_for(lambda: bool(said))
    finally:
        source.close()
    assert said == [
        f"several LSL marker streams: no markers until one is left; name one: --markers lsl://{one}, "
        f"--markers lsl://{two}"
    ]


def test_without_pylsl_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pylsl", None)
    with pytest.raises(MissingExtraError, match=r"\.\[lsl\]"):
        marker_sources(["lsl://"], print)


def test_closing_waits_for_the_reader() -> None:
    before = set(threading.enumerate())
    read, write = os.pipe()
    for source in (Lines(read, print), LslMarkers("nobody", lambda sentence: None)):
        source.start(MarkerLog())
        source.close()
    os.close(read)
    os.close(write)
    assert set(threading.enumerate()) <= before
