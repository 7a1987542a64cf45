from __future__ import annotations

import io

from rich.console import Console

from emer_edge.bundle import Bundle
from emer_edge.core.results import Result, State
from emer_edge.core.session_facts import Baseline, FromBaseline, Marker, PupilBaseline, TargetMeasure, Validation
from emer_edge.runtime.outputs.live_rows import Shown
from emer_edge.runtime.outputs.live_view import render
from emer_edge.runtime.outputs.summary_table import SummaryTable
from emer_edge.runtime.pipeline import Summary

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
