"""A Tobii Pro Lab export through the live path gives its own columns 1 to 32 back (docs/eye-columns.md)."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emer_edge.core.columns import COLUMN_KEYS, EYE_COLUMNS, VALIDITY, EyeColumn
from emer_edge.core.samples import MISSING_2, MISSING_3, Display, EyeReading, StimulusRect, TrackerSample
from emer_edge.data.synth.eyes import SyntheticEyes, generate
from emer_edge.runtime.trackers import open_tracker
from emer_edge.runtime.trackers.base import TrackerOptions
from emer_edge.signals.rows import raw_rows

DISPLAY = Display()
WHOLE = StimulusRect.whole(DISPLAY)

EXACT = 1e-9
TOLERANCES = {  # columns: with all that the export holds, and derived from gaze in pixels and positions alone
    ("Gaze point", "DACS px"): (0.5, 0.5),  # the mean of two eyes, each a whole pixel
    ("Gaze point left", "DACS px"): (EXACT, EXACT),
    ("Gaze point right", "DACS px"): (EXACT, EXACT),
    ("Gaze direction", ""): (EXACT, 4e-4),
    ("Pupil diameter", "mm"): (EXACT, EXACT),
    ("Validity", ""): (EXACT, EXACT),
    ("Eye position", "DACS mm"): (EXACT, EXACT),
    ("Gaze point", "DACS mm"): (EXACT, 0.15),  # half a pixel is 0.14 mm
    ("Gaze point", "MCS norm"): (5.2e-4, 5.2e-4),  # half a pixel of 1080, and four decimals
}


def tolerance(column: EyeColumn, derived: bool) -> float:
    """That of the longest name that the column's begins with."""
    names = [name for name, unit in TOLERANCES if unit == column.unit and column.name.startswith(name)]
    return TOLERANCES[max(names, key=len), column.unit][derived]


@pytest.fixture(scope="module")
def eyes() -> SyntheticEyes:
    return generate("surprise", participant=4, film=3, seconds=20.0, seed=5)


@pytest.fixture(scope="module")
def samples(eyes: SyntheticEyes, tmp_path_factory: pytest.TempPathFactory) -> list[TrackerSample]:
    path: Path = tmp_path_factory.mktemp("export") / "tracker.tsv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(("Recording timestamp [μs]", "Sensor", *COLUMN_KEYS))
        for time_ns, row in zip(eyes.times_ns.tolist(), eyes.cells.tolist(), strict=True):
            words = ["" if cell != cell else f"{cell:g}" if abs(cell) < 1e5 else str(cell) for cell in row]
            words[VALIDITY] = ["Valid" if cell else "Invalid" for cell in row[VALIDITY]]
            writer.writerow((time_ns // 1000, "Eye Tracker", *words))
    with open_tracker(str(path), TrackerOptions(pace="fast", offset_ms=0.0)) as tracker:
        return list(tracker)


def bare(eye: EyeReading) -> EyeReading:
    return replace(eye, gaze_mm=MISSING_2, direction=MISSING_3)


def as_sent(sample: TrackerSample) -> TrackerSample:
    return replace(sample, left=bare(sample.left), right=bare(sample.right))


def test_every_row_arrives_at_its_time(eyes: SyntheticEyes, samples: list[TrackerSample]) -> None:
    assert [sample.stamp_ns // 1000 for sample in samples] == (eyes.times_ns // 1000).tolist()


@pytest.mark.parametrize("column", EYE_COLUMNS[:32], ids=[column.key for column in EYE_COLUMNS[:32]])
@pytest.mark.parametrize("derived", [False, True], ids=["whole", "derived"])
def test_columns_1_to_32_come_back(
    column: EyeColumn, derived: bool, eyes: SyntheticEyes, samples: list[TrackerSample]
) -> None:
    sent = [as_sent(sample) for sample in samples] if derived else samples
    live = raw_rows(sent, DISPLAY, WHOLE)[:, column.number - 1]
    sheet = eyes.cells[:, column.number - 1]
    np.testing.assert_array_equal(np.isnan(live), np.isnan(sheet))
    assert np.nanmax(np.abs(live - sheet)) <= tolerance(column, derived)
    assert np.isfinite(sheet).mean() > 0.8
