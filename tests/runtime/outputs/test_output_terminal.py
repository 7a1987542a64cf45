"""JSON lines, the plots of the terminal, and the table at the end."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from page_inputs import OK
from rich.console import Console

from emer_edge.bundle import Bundle
from emer_edge.core.results import Result, State
from emer_edge.core.session_facts import Baseline, FromBaseline, Marker, PupilBaseline, TargetMeasure, Validation
from emer_edge.metrics.latency import summarise
from emer_edge.runtime.outputs import open_outputs
from emer_edge.runtime.outputs.drawing import axis, bar, decades_of, duration, histogram, trace
from emer_edge.runtime.outputs.json_lines import JsonLines
from emer_edge.runtime.outputs.live_rows import Shown
from emer_edge.runtime.outputs.live_view import LiveView, render
from emer_edge.runtime.outputs.summary_table import SummaryTable
from emer_edge.runtime.pipeline import Pipeline, Summary

SUMMARY = Summary(
    seconds=60.0,
    engine="onnxruntime (CPU, 1 thread)",
    frames=1800,
    samples=7200,
    detections=360,
    faces=359,
    states={"filling": 23, "ok": 97},
    stages={"total": summarise([4_000_000, 5_000_000])},
    ages={"face age": summarise([12_000_000])},
    end_to_end=summarise([66_000_000, 67_000_000]),
    dropped={"late steps": 1},
    rss_mb=151.0,
    peak_rss_mb=160.0,
    notes=("unsynchronised: a test",),
    histograms={"total": [(13, 1), (14, 1)], "face age": [(22, 1)]},
)


def test_json_lines_are_whole_results() -> None:
    stream = io.StringIO()
    lines = JsonLines(stream)
    assert lines.result(OK)
    assert lines.result(OK)
    first, second = stream.getvalue().splitlines()
    assert first == second
    assert json.loads(first) == OK.to_dict()


def test_a_reader_that_has_gone_is_told() -> None:
    read, write = os.pipe()
    os.close(read)
    stream = os.fdopen(write, "w")
    assert JsonLines(stream).result(OK) is False
    with contextlib.suppress(BrokenPipeError):
        stream.close()


def test_sentences_come_above_the_live_view_and_not_into_it(bundle: Bundle) -> None:
    screen = io.StringIO()
    console = Console(width=110, file=screen, force_terminal=True)
    view, table = open_outputs(Pipeline(bundle), ["live:", "summary:"], console=console)
    view.begin()
    console.print("lost the tracker")
    view.end(SUMMARY)
    table.end(SUMMARY)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "\nlost the tracker\n" in shown.replace("\r", "\n")
    assert "60.0 s on onnxruntime" in shown


def test_the_summary_breaks_no_line_and_keeps_brackets() -> None:
    screen = io.StringIO()
    note = "Pupil diameter left [mm]: no value in any row, trained on 2.65..4.65 (and 1 more column), all the while"
    SummaryTable(Console(width=80, file=screen)).end(replace(SUMMARY, tracker="lab [red] tracker", notes=(note,)))
    lines = screen.getvalue().splitlines()
    assert f"note: {note}" in lines
    assert "tracker: lab [red] tracker" in lines


def test_summary_table() -> None:
    console = Console(width=110, file=io.StringIO(), record=True)
    table = SummaryTable(console)
    table.begin()
    assert table.result(OK)
    table.end(SUMMARY)
    text = console.export_text()
    for each in (
        "step latency",
        "end-to-end latency",
        "age of newest face",
        "23 filling, 97 ok",
        "1 late steps",
        "151 MB",
        "a test",
    ):
        assert each in text
    assert "█" in text
    told = json.loads(json.dumps(SUMMARY.to_dict(), allow_nan=False))
    assert told["stages"]["total"]["bins"] == [[13, 1], [14, 1]]
    assert "histograms" not in told


def test_outputs_are_made_as_asked(bundle: Bundle) -> None:
    pipeline = Pipeline(bundle)
    made = open_outputs(pipeline, ["summary:", "json:"])
    assert [type(each) for each in made] == [JsonLines, SummaryTable]
    assert [type(each) for each in open_outputs(pipeline, ["live:"])] == [LiveView]
    assert open_outputs(pipeline, []) == []


def test_a_run_without_a_page_loads_no_server() -> None:
    code = "import sys, emer_edge.runtime.outputs; sys.exit('http.server' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


TARGET = TargetMeasure(960.0, 540.0, 970.0, 540.0, 10.0, 2.7, 0.25, 0.1, 0.2, 118, 120)


def test_the_live_view_shows_markers_and_the_distance_from_the_baseline(bundle: Bundle) -> None:
    result = Result(
        9,
        State.OK,
        markers=(Marker("key a", 8),),
        crosses=("one", "two", "three", "four", "key a"),
        from_baseline=FromBaseline({"fer-valence": -0.25}, None, {"left": 3.5}, {"left": 0.4}),
    )
    console = Console(width=110, file=io.StringIO(), record=True)
    console.print(render(bundle.manifest, {None: Shown(bundle.manifest, result)}, {}, size=(110, 60)))
    text = console.export_text()
    assert "marker: key a" in text
    assert "this window crosses: 2 more and three, four, key a" in text
    assert "from baseline: fer-valence -0.25, pupil left +0.40 mm" in text


def test_the_summary_shows_baseline_and_validation() -> None:
    baseline = Baseline(
        30.0,
        0,
        1,
        37,
        {"fer-7": {"happiness": 0.7, "sadness": 0.3}, "fer-valence": 0.25},
        0.31,
        {"left": PupilBaseline(3.1, 0.1, 3600)},
    )
    summary = Summary(
        seconds=60.0,
        engine="onnxruntime (CPU, 1 thread)",
        frames=1,
        samples=1,
        detections=1,
        faces=1,
        states={},
        stages={},
        ages={},
        dropped={},
        rss_mb=None,
        peak_rss_mb=None,
        notes=(),
        markers=3,
        baseline=baseline,
        validation=Validation((TARGET,), 10.0, 2.7, 0.25, 0.1, 0.2, 0.02, 650.0, False, "terminal"),
    )
    console = Console(width=160, file=io.StringIO(), record=True)
    SummaryTable(console).end(summary)
    text = console.export_text()
    for each in (
        "markers: 3",
        "accuracy 0.25 degrees (10 px, 2.7 mm, 650 mm assumed); precision 0.10 RMS, 0.20 SD degrees; data loss 2%",
        "baseline, 30.0 s of valid data: pupil left 3.10 mm (MAD 0.10, 3600 samples)",
        "mean of 37 windows: fer-7 happiness 70%, fer-valence +0.25, gap 0.31",
    ):
        assert each in text
    assert summary.to_dict()["baseline"]["pupils"]["left"]["median_mm"] == 3.1


@pytest.mark.parametrize(
    ("value_ms", "words"),
    [
        (0.004, "0.00"),
        (0.12, "0.12"),
        (8.71, "8.7"),
        (99.6, "100"),
        (998.0, "998"),
        (1240.0, "1.2 s"),
        (45_000.0, "45 s"),
    ],
)
def test_durations_in_six_characters(value_ms: float, words: str) -> None:
    assert duration(value_ms) == words


def test_the_axis_spans_whole_decades() -> None:
    assert decades_of([]) == (0, 1)
    assert decades_of([[(0, 3)]]) == (-1, 0)  # up to 1 ms
    assert decades_of([[(1, 3)], [(41, 1)]]) == (0, 3)
    assert decades_of([[(-60, 3), (5, 1)]]) == (-2, 1)  # what is 0 ms old
    assert histogram([(-60, 3), (5, 1)], (-2, 1), 9) == "█     ▃  "
    assert axis((-1, 4), 25) == "0.1  1    10   100  1 s  "
    assert axis((-1, 4), 10) == "0.1 10    "  # as many as there is room for


def test_one_slow_step_shows_beside_many() -> None:
    drawn = histogram([(10, 10_000), (50, 1)], (0, 3), 30)
    assert len(drawn) == 30
    assert (drawn[4], drawn[24]) == ("█", "▁")
    assert drawn.replace(" ", "") == "█▁"
    assert histogram([], (0, 1), 5) == "     "


def test_bars_are_clamped() -> None:
    assert [bar(share, 4, "cyan").plain for share in (-1.0, 0.5, 2.0)] == ["····", "██··", "████"]


def test_a_trace_rises_from_corner_to_corner() -> None:
    lines = trace({"cyan": [(0.0, -1.0), (60.0, 1.0)]}, (0.0, 60.0), (-1.0, 1.0), (4, 2))
    assert [line.plain for line in lines] == ["⠀⠀⡠⠊", "⡠⠊▔▔"]  # 0 is where the second row begins


def test_a_trace_breaks_where_nothing_is_known() -> None:
    line = trace(
        {"cyan": [(0.0, 0.0), (10.0, 0.0), (20.0, None), (30.0, None), (60.0, 0.0)]}, (0.0, 60.0), (-1, 1), (30, 1)
    )[0]
    assert [cell != "─" for cell in line.plain] == [at < 6 or at == 29 for at in range(30)]


def test_lines_that_cross_are_white_there() -> None:
    both = {"cyan": [(0.0, -1.0), (9.0, 1.0)], "yellow": [(0.0, 1.0), (9.0, -1.0)]}
    styles = {str(span.style) for line in trace(both, (0.0, 9.0), (-1.0, 1.0), (9, 3)) for span in line.spans}
    assert {"cyan", "yellow", "bold white"} <= styles
