from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace

from result_inputs import OK
from rich.console import Console

from emer_edge.bundle import Bundle
from emer_edge.metrics.latency import summarise
from emer_edge.runtime.outputs import open_outputs
from emer_edge.runtime.outputs.json_lines import JsonLines
from emer_edge.runtime.outputs.live_view import LiveView
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
        "hop deadline to result",
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
