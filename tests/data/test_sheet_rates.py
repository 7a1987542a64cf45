"""The clocks of sheets without times: by their event durations, else as somebody says, else spread over the window."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from emer_folders import eye_rows, write_frames, write_text
from typer.testing import CliRunner

from emer_edge.cli.app import app
from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.progress import silent
from emer_edge.core.window import NANOSECONDS, WindowSpec
from emer_edge.data.dataset import Clip, EmerDataset
from emer_edge.data.overview import clocks_of, overview
from emer_edge.data.sheets import EyeTrack, read_sheet
from emer_edge.data.synth.eyes import generate
from emer_edge.data.windows import PreparedClip
from emer_edge.export.export_options import ExportOptions
from emer_edge.export.sources import open_slices, open_sources
from emer_edge.signals.time_units import rate_of_events_hz

SPEC = WindowSpec()


def events(rate_hz: float, seconds: float = 12.0, seed: int = 0, less: int = 0) -> np.ndarray:
    """(n, 3) types, whole milliseconds and indices of an export; durations leave `less` periods out."""
    rng, rows = np.random.default_rng(seed), []
    for number in range(1, 1000):
        count = max(2, round(float(rng.uniform(0.06, 0.5)) * rate_hz))
        rows += [[1 + number % 2, round((count - less) * 1000 / rate_hz), (number + 1) // 2]] * count
    return np.array(rows[37 : 37 + round(seconds * rate_hz)], float)


def sheet(folder: Path, seconds: float, rate_hz: float, name: str = "1_film_happy") -> Path:
    rows = np.nan_to_num(generate("happiness", seconds=max(seconds, 1.0) * rate_hz / 120).cells)
    told = events(rate_hz, seconds)
    rows = rows[: len(told)]
    rows[:, 32:35] = told[: len(rows)]
    cells = [
        [*("" if value == 0 else value for value in row[:14]), "Valid", "Valid", *row[16:]] for row in rows.tolist()
    ]
    return write_text(folder / f"{name}.tsv", [COLUMN_KEYS, *cells])


@pytest.mark.parametrize("rate_hz", [30, 60, 90, 120, 250, 600, 1200])
@pytest.mark.parametrize("less", [0, 1])
def test_event_durations_tell_the_rate(rate_hz: int, less: int) -> None:
    """Whether an export counts an event's last period or not."""
    assert rate_of_events_hz(events(rate_hz, 24, less=less)) == rate_hz
    cut = np.delete(events(rate_hz, 24, less=less), slice(200, 230), axis=0)  # lost rows
    assert rate_of_events_hz(cut) == rate_hz


def test_a_rate_that_is_no_usual_one_is_told_too() -> None:
    assert rate_of_events_hz(events(73, 60)) == pytest.approx(73, rel=0.02)


@pytest.mark.parametrize("case", ["blank", "zero", "random", "few", "one event", "none"])
def test_durations_that_tell_nothing(case: str) -> None:
    table = {
        "blank": np.full((600, 3), np.nan),
        "zero": np.zeros((600, 3)),
        "random": np.random.default_rng(0).uniform(1, 900, (600, 3)),
        "few": events(120)[:60],
        "one event": np.tile([1.0, 5000.0, 1.0], (600, 1)),
        "none": np.zeros((0, 3)),
    }[case]
    assert rate_of_events_hz(table) == 0


@pytest.mark.case(
    "an untimed sheet of 24 s at 60 Hz", source="EMER's sheets hold no times", before="squeezed into 12 s"
)
def test_a_sheet_gets_the_period_of_its_own_events(tmp_path: Path) -> None:
    track = read_sheet(sheet(tmp_path, 24, 60))
    assert (track.timed, track.told_hz) == (False, 60.0)
    clocked = track.clocked(0.0)
    assert (clocked.timed, clocked.clock) == (True, "60 rows a second, told by event durations")
    assert clocked.times_ns[-1] == 24 * NANOSECONDS
    assert read_sheet(tmp_path / "1_film_happy.tsv").told_hz == 60.0  # from the cache
    assert track.clocked(120.0).clock == clocked.clock  # the sheet knows better than whoever says a rate


def test_else_the_rate_has_to_be_said(tmp_path: Path) -> None:
    track = read_sheet(write_text(tmp_path / "a.tsv", [COLUMN_KEYS, *eye_rows(240)]))
    assert (track.told_hz, track.clocked(0.0)) == (0.0, track)
    said = track.clocked(60.0)
    assert said.clock == "60 rows a second, as --sheet-rate says"
    assert (said.timed, said.times_ns[-1]) == (True, 4 * NANOSECONDS)
    timed = replace(track, timed=True, clock="ms, as the header says")
    assert timed.clocked(60.0) is timed


def test_the_synthetic_sets_sheets_keep_their_times() -> None:
    """They hold 120 rows a second, over just a window."""
    cells = generate("fear").cells
    track = EyeTrack(cells.astype(np.float32), np.zeros(len(cells), np.int64), np.ones(len(cells), bool), timed=False)
    told = replace(track, told_hz=rate_of_events_hz(cells[:, 32:35])).clocked(0.0)
    assert told.clock == "120 rows a second, told by event durations"
    np.testing.assert_array_equal(told.times_ns, track.times_in(SPEC.length_ns))


def test_a_clip_longer_than_the_window_is_read_as_windows(tmp_path: Path) -> None:
    write_frames(tmp_path / "1_film_happy", 96, size=4)
    clip = Clip("1_film_happy", "1", "film", "happiness", 1, tmp_path / "1_film_happy", sheet(tmp_path, 24, 60), {})
    prepared = PreparedClip(clip, SPEC)
    assert prepared.end_ns == 24 * NANOSECONDS
    assert prepared.window().frames.min() >= 48  # the last one
    rng, first = np.random.default_rng(0), []
    for _ in range(40):
        drawn = prepared.draw(rng)
        assert drawn.covered_face.all()
        assert np.ptp(drawn.frames) <= 48
        first.append(int(drawn.frames[0]))
    assert min(first) < 6
    assert max(first) > 42
    assert len(prepared.live()) == 31  # from the hop on that covers enough


@pytest.fixture(scope="module")
def unclocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of 240 rows that tell nothing, one of them of 270."""
    root = tmp_path_factory.mktemp("untimed") / "EMER"
    (root / "eye").mkdir(parents=True)
    names = [f"{person}_film_{word}" for person in range(1, 6) for word in ("happy", "sad")]
    for at, name in enumerate(names):
        write_frames(root / "face" / f"set{at // 2 + 1}" / name, 8)
        write_text(root / "eye" / f"{name}.tsv", [COLUMN_KEYS, *eye_rows(270 if at == 3 else 240, at)])
    write_text(root / "new_label.tsv", [("ID", "ER_Emotion"), *([name, name.split("_")[-1]] for name in names)])
    return root


def test_the_table_says_what_was_used_and_that_row_counts_differ(unclocked: Path) -> None:
    spread = EmerDataset.open(unclocked)
    assert clocks_of(spread.checks.values()) == {"none": 10}
    guesses = overview(spread)["guesses"]
    assert "10 clips without times are spread evenly over the window; --sheet-rate says their rows a second" in guesses
    assert "sheets without times hold 240 to 270 (median 240) rows: their clips, or their rates, differ" in guesses
    said = EmerDataset.open(unclocked, sheet_rate_hz=20.0)
    assert overview(said)["clocks"] == "20 rows a second, as --sheet-rate says: 10"
    assert "spread" not in overview(said)["guesses"]
    assert said.fingerprint != spread.fingerprint
    assert {clip.eye().clock for clip in said.clips} == {"20 rows a second, as --sheet-rate says"}
    options = ExportOptions(unclocked / "x.emer", "fp32", data=said)
    with open_slices(open_sources(ExportOptions(unclocked / "x.emer", "fp32")), options, silent) as slices:
        assert slices is not None
        assert slices.overview["clocks"] == "20 rows a second, as --sheet-rate says: 10"


@pytest.mark.parametrize(
    ("rate", "code", "said"), [("20", 0, "as --sheet-rate says: 10"), ("3", 2, "--sheet-rate"), ("120", 2, "slots")]
)
def test_the_command_line_takes_a_plausible_rate(unclocked: Path, rate: str, code: int, said: str) -> None:
    """At 120 rows a second 240 rows are 2 s, which cover too little of a window."""
    done = CliRunner().invoke(app, ["info", str(unclocked), "--sheet-rate", rate])
    assert (done.exit_code != 0) == (code != 0)
    assert said in f"{done.output}{done.exception}"
