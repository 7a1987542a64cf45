from __future__ import annotations

import io
import math
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import page_inputs
import pytest
from page_inputs import result_of
from rich.console import Console
from runtime_inputs import LiveTracker

from emer_edge.bundle import Bundle
from emer_edge.core.results import Result, State
from emer_edge.core.session_facts import FromBaseline, Marker
from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.runtime.cameras import open_camera
from emer_edge.runtime.clock import ClockReport
from emer_edge.runtime.options import MachineOptions
from emer_edge.runtime.outputs import Host
from emer_edge.runtime.outputs.live_rows import Shown
from emer_edge.runtime.outputs.live_view import LiveView, render
from emer_edge.runtime.outputs.sensor_health import SensorHealth, camera_health, tracker_health
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.play import play

OK = replace(page_inputs.OK, end_ns=60_000_000_000, notes=(*page_inputs.OK.notes, "another note"))
SENSORS = (
    SensorHealth("camera", 29.9, 30.0, None, 0, 2, "capture"),
    SensorHealth("tracker", 119.6, 120.0, None, 1, 3, "device ±0.4 ms +21 ppm"),
)
SIZES = [(80, 24), (120, 40), (200, 60), (60, 16), (40, 10), (20, 5)]


def shown(bundle: Bundle, result: Result = OK, sensors: Sequence[SensorHealth] = SENSORS) -> Shown:
    latencies: dict[str, LatencyRecorder] = {}
    past = [result_of(number, 0.5 + 0.4 * math.sin(number / 20)) for number in range(1, 200)]
    for each in (*past, result):
        ages_ms = {"face age": each.face_age_ms, "sample age": each.sample_age_ms}
        for name, value_ms in (each.stages_ms | ages_ms).items():
            if value_ms is not None and name not in ("detect", "align"):
                latencies.setdefault(name, LatencyRecorder()).record(round(value_ms * 1e6))
    return Shown(bundle.manifest, result, (*past, result), latencies, sensors)


def text_of(what: Shown, width: int = 120, height: int = 60) -> str:
    console = Console(width=width, height=height, file=io.StringIO(), record=True, force_terminal=True)
    console.print(render(what.manifest, {None: what}, {}, size=(width, height)))
    return console.export_text()


def test_it_shows_both_sides_and_the_gap(bundle: Bundle) -> None:
    text = text_of(shown(bundle))
    for each in (
        "felt (ER)",
        "shown (FER)",
        "70 %",
        "0.42",
        "larger than 37 of 40 clips",
        "differ: 81%",
        "valence -0.50",
        "arousal +0.10",
    ):
        assert each in text
    for each in ("8/8", "31/32", "12.0 ms", "4.0 s", "dropped: 2 camera", "demo weights", "another note"):
        assert each in text
    assert "leaves 3 columns empty: gaze direction and pupil diameter left" in text


def test_it_shows_the_last_minute_of_valence_and_arousal(bundle: Bundle) -> None:
    lines = text_of(shown(bundle)).splitlines()
    at = next(number for number, line in enumerate(lines) if "valence  felt +0.25  shown +0.25" in line)
    assert "arousal  felt +0.25  shown +0.25" in lines[at]
    drawn = "".join(lines[at + 1 : at + 7])
    assert sum("\u2800" < each <= "\u28ff" for each in drawn) > 60
    assert lines[at + 1].count("+1") == lines[at + 6].count("-1") == 2
    assert lines[at + 4].count(" 0 ") == 2
    assert "▔▔▔" in lines[at + 4]
    assert lines[at + 7].count("-60 s") == lines[at + 7].count("now") == 2
    assert lines[at + 7].count("━ felt ━ shown ━ both") == 2


def test_it_shows_latencies_beside_the_whole_runs_percentiles(bundle: Bundle) -> None:
    rows = {line[2:6].strip(): line[6:-2].split() for line in text_of(shown(bundle)).splitlines()}
    assert rows["ms"] == ["total", "encode", "face", "age", "gaze", "age"]
    assert rows["last"] == ["4.2", "3.1", "12.0", "4.0", "s"]
    assert rows["p50"][:2] == ["104", "3.1"]  # totals are 5 to 203 ms
    assert float(rows["p99"][0]) == pytest.approx(201, rel=0.011)


@pytest.mark.parametrize(("width", "height"), SIZES, ids=lambda each: str(each))
@pytest.mark.parametrize("state", list(State), ids=lambda each: each.value)
def test_it_fits_any_terminal(bundle: Bundle, width: int, height: int, state: State) -> None:
    lines = text_of(shown(bundle, replace(OK, state=state)), width, height).rstrip("\n").split("\n")
    assert len(lines) < height  # a full one would scroll
    assert {len(line) for line in lines} == {width}


@pytest.mark.parametrize(
    ("size", "there", "gone"),
    [
        ((80, 24), ("happiness", "intensity", "0.42", "valence", "29.9/30", "p99", "total"), ("positive", "another")),
        ((120, 40), ("happiness", "positive", "felt minus shown", "p99", "another note"), ()),
        ((60, 16), ("felt (ER)", "0.42", "29.9/30", "total"), ("intensity", "positive", "demo")),
    ],
    ids=["80x24", "120x40", "60x16"],
)
def test_the_least_important_goes_first(
    bundle: Bundle, size: tuple[int, int], there: tuple[str, ...], gone: tuple[str, ...]
) -> None:
    text = text_of(shown(bundle), *size)
    assert [each for each in there if each not in text] == []
    assert [each for each in gone if each in text] == []
    assert "emotion inference is running" in text


def test_it_counts_down_and_says_why_there_is_no_emotion(bundle: Bundle) -> None:
    assert "9.5 s left" in text_of(Shown(bundle.manifest, Result(0, State.FILLING, filling_s=9.5)))
    text = text_of(Shown(bundle.manifest, Result(0, State.NO_FACE)))
    assert "the face is missing" in text
    assert "%" not in text
    assert "a sensor is silent" in text_of(Shown(bundle.manifest, Result(0, State.STALE)))


def test_sensors_that_are_lost_and_slow_are_seen(bundle: Bundle) -> None:
    bad = (
        SensorHealth("camera", 0.0, 30.0, "lost", 2, 14, "capture"),
        SensorHealth("tracker", 80, 120, None, 0, 0, "x"),
    )
    console = Console(width=120, height=40, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(render(bundle.manifest, {None: shown(bundle, sensors=bad)}, {}, size=(120, 40)))
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert re.search(r"\x1b\[1;31m *lost", drawn)
    assert re.search(r"\x1b\[33m *80.0/120", drawn)


def test_the_health_of_sensors(video: Path) -> None:
    camera, tracker = open_camera(str(video)), LiveTracker()
    assert camera_health(camera, 29.0) == SensorHealth("camera", 29.0, 30.0, None, 0, 0, "media")
    assert camera_health(camera, 0.0).trouble == "silent"
    assert tracker_health(tracker, None).trouble is None
    report = ClockReport("two-way", 21.0, 0.1, 2, 0.41)
    known = type("Known", (LiveTracker,), {"clock_report": report, "connected": False})()
    health = tracker_health(known, 3.0)
    assert (health.trouble, health.clock) == ("lost", f"{known.clock} ±0.41 ms +21 ppm 2 resets")


def test_baseline_and_markers_are_shown(bundle: Bundle) -> None:
    beside = FromBaseline({"er-valence": 0.5}, None, {}, {"left": 0.25})
    marked = replace(OK, markers=(Marker("film starts", 1),), crosses=("a", "b", "c", "d"), from_baseline=beside)
    text = text_of(shown(bundle, marked))
    assert "marker: film starts   this window crosses: 1 more and b, c, d" in text
    assert "from baseline: er-valence +0.50, pupil left +0.25 mm" in text


def test_it_leaves_the_terminal_as_it_was(bundle: Bundle) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=110)
    view = LiveView(None, Host(Pipeline(bundle), console=console))
    view.begin()
    assert view.result(OK)
    view.end(None)
    assert "\x1b[?25h" in screen.getvalue()


def test_without_a_terminal_a_line_tells_each_state(bundle: Bundle) -> None:
    screen = io.StringIO()
    view = LiveView(None, Host(Pipeline(bundle), console=Console(file=screen)))
    view.begin()
    for state in (State.FILLING, State.FILLING, State.OK, State.OK, State.STALE):
        view.result(Result(12_000_000_000, state, filling_s=3.0))
    view.end(None)
    assert screen.getvalue().splitlines() == [
        "filling the first window: 3.0 s left",
        "ok: the last 12.0 s",
        "no emotion: a sensor is silent",
    ]


def test_a_run_shows_its_sensors(bundle: Bundle, video: Path, tracker: Path) -> None:
    screen = io.StringIO()
    pipeline = Pipeline(bundle, str(video), str(tracker), machine=MachineOptions(pace="fast"), offset_ms=0.0)
    console = Console(file=screen, force_terminal=True, width=120, height=50)
    play(pipeline, [LiveView(None, Host(pipeline, console=console))])
    assert re.search(r"/30 .*media", re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()))


DRAWN = """
import sys
from emer_edge.runtime.options import MachineOptions
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.play import play
pipeline = Pipeline(sys.argv[1], sys.argv[2], sys.argv[3], machine=MachineOptions(pace="fast"), offset_ms=0)
play(pipeline, ["live:"])
"""


def test_in_a_real_terminal_it_never_scrolls(bundle: Bundle, video: Path, tracker: Path) -> None:
    ours, theirs = pty.openpty()
    arguments = [sys.executable, "-c", DRAWN, str(bundle.path), str(video), str(tracker)]
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    seen = b""
    with subprocess.Popen(arguments, stderr=theirs, env=environment) as process:
        os.close(theirs)
        while select.select([ours], [], [], 60)[0]:
            try:
                seen += os.read(ours, 65536)
            except OSError:  # the terminal has closed
                break
    os.close(ours)
    assert process.returncode == 0
    text = re.sub(r"\x1b\[\?25[lh]", "", seen.decode())
    pictures = [each for each in text.split("\x1b[2K") if "emer-edge" in each]
    assert len(pictures) >= 20
    assert max(each.count("\n") for each in pictures) < 24
