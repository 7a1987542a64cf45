from __future__ import annotations

import io

import numpy as np
from rich.console import Console
from runtime_inputs import LiveCamera, LiveTracker

from emer_edge.bundle import Bundle
from emer_edge.runtime.clock import ClockReport
from emer_edge.runtime.outputs.summary_table import SummaryTable
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.pipeline.intake import source_troubles

DARK = [np.zeros((48, 64, 3), np.uint8)]
POOR = ClockReport("one-way", 320.0, 85.0, 2)


class Drifting(LiveTracker):
    """A tracker whose clock is known badly."""

    clock_report = POOR  # type: ignore[assignment]


def test_a_clock_that_is_known_badly_is_a_note_of_the_results() -> None:
    assert source_troubles(LiveCamera(DARK), LiveTracker()) == ()
    notes = source_troubles(LiveCamera(DARK), Drifting())
    assert notes == POOR.notes()
    assert [any(word in each for each in notes) for word in ("2 times", "320 ppm", "85 ms late")] == [True] * 3


def test_the_summary_says_how_well_the_clock_is_known(bundle: Bundle) -> None:
    with Pipeline(bundle, LiveCamera(DARK), Drifting(), say=lambda sentence: None) as pipeline:
        next(pipeline)
    summary = pipeline.summary()
    assert summary.to_dict()["clock"] == {
        "link": "one-way", "drift_ppm": 320.0, "residual_ms": 85.0, "resets": 2, "uncertainty_ms": None,
    }  # fmt: skip
    text = io.StringIO()
    SummaryTable(Console(file=text, width=200)).end(summary)
    assert "its clock drifts by 320 ppm, 85 ms of jitter taken away, 2 resets (one-way)" in text.getvalue()
