from __future__ import annotations

import contextlib
import math
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.errors import ConfigurationError, DataError, TrackerError
from emer_edge.core.samples import Display
from emer_edge.runtime.address import parse_address
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.trackers import TrackerOptions, open_tracker

DISPLAY = Display(1000, 500, 500.0, 250.0)
FAST = TrackerOptions(display=DISPLAY, pace="fast")


def export(path, first_ms: float = 5.0, rows: int = 10, step_ms: float = 8.0, drop: str = ""):
    """A Tobii Pro Lab export whose gaze, in px, says which row it is; the third row is a blink."""
    names = [key for key in COLUMN_KEYS if key != drop]
    text = ["\t".join(["Recording timestamp [ms]", "Sensor", *names])]
    for number in range(rows):
        cells = dict.fromkeys(names, "")
        if number != 2:
            for side in ("left", "right"):
                cells[f"Gaze point {side} X [DACS px]"] = f"{number}"
                cells[f"Gaze point {side} Y [DACS px]"] = "100"
                cells[f"Gaze point {side} X [DACS mm]"] = f"{number / 2}"
                cells[f"Gaze point {side} Y [DACS mm]"] = "50"
                for axis, value in zip("XYZ", (10, 20, 600), strict=True):
                    cells[f"Eye position {side} {axis} [DACS mm]"] = f"{value}"
            cells["Pupil diameter left [mm]"] = "3.5"
        word = "Invalid" if number == 2 else "Valid"
        cells |= {"Validity left": word, "Validity right": word}
        text.append("\t".join([f"{first_ms + number * step_ms}", "Eye Tracker", *cells.values()]))
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return str(path)


def test_an_export_is_replayed_sample_by_sample(tmp_path) -> None:
    source = export(tmp_path / "tracker.tsv")
    with open_tracker(source, FAST) as tracker:
        assert (tracker.live, tracker.clock, tracker.synchronised) == (False, "media", False)
        assert tracker.rate_hz == pytest.approx(125.0)
        assert tracker.missing_columns == ()
        samples = list(tracker)
    assert [sample.stamp_ns for sample in samples] == [5_000_000 + i * 8_000_000 for i in range(10)]
    assert all(sample.arrival_ns == sample.stamp_ns for sample in samples)
    assert samples[4].left.gaze_px == (4.0, 100.0)
    assert samples[4].right.gaze_mm == (2.0, 50.0)
    assert samples[4].left.position_mm == (10.0, 20.0, 600.0)
    assert samples[4].left.pupil_mm == 3.5
    assert math.isnan(samples[4].right.pupil_mm)
    assert [sample.left.valid for sample in samples] == [i != 2 for i in range(10)]


def test_an_offset_makes_a_pair_synchronised(tmp_path) -> None:
    source = export(tmp_path / "tracker.tsv", first_ms=3_600_000.0)
    options = TrackerOptions(pace="fast", start_ns=1_000, offset_ms=-3_600_000.0)
    tracker = open_tracker(source, options)
    assert tracker.synchronised
    assert next(tracker).stamp_ns == 1_000
    tracker = open_tracker(source, options)
    tracker.start(2_000)
    assert next(tracker).stamp_ns == 2_000


def test_a_clock_that_starts_late_is_put_at_the_start_and_said(tmp_path) -> None:
    said: list[str] = []
    tracker = open_tracker(
        export(tmp_path / "tracker.tsv", first_ms=3_600_000.0), TrackerOptions(pace="fast", say=said.append)
    )
    assert not tracker.synchronised
    assert next(tracker).stamp_ns == 0
    assert "starts at 3600.0 s" in said[0]


def test_real_pace_yields_samples_when_they_are_due(tmp_path) -> None:
    start_ns = monotonic_ns() + 30_000_000
    options = TrackerOptions(pace="real", start_ns=start_ns)
    late_ms = [
        (monotonic_ns() - sample.stamp_ns) * 1e-6
        for sample in open_tracker(export(tmp_path / "t.tsv", rows=40), options)
    ]
    assert len(late_ms) == 40
    assert min(late_ms) >= 0.0
    assert min(late_ms[-10:]) < 30.0  # a busy machine delays some; a pace that is too slow delays the last ones most


def test_close_ends_the_iteration(tmp_path) -> None:
    tracker = open_tracker(export(tmp_path / "tracker.tsv"), FAST)
    next(tracker)
    tracker.close()
    tracker.close()
    assert list(tracker) == []


def test_lines_are_replayed_too(tmp_path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("time_ms,x,y\n0,0.25,0.5\n10,0.5,0.5\nwhat,1\n20,,\n")
    said: list[str] = []
    tracker = open_tracker(str(path), TrackerOptions(display=DISPLAY, pace="fast", say=said.append))
    assert tracker.rate_hz == pytest.approx(100.0)
    assert "Pupil diameter left [mm]" in tracker.missing_columns
    samples = list(tracker)
    assert [sample.stamp_ns for sample in samples] == [0, 10_000_000, 20_000_000]
    assert [sample.left.valid for sample in samples] == [True, True, False]
    assert samples[1].right.gaze_px == (500.0, 250.0)
    assert tracker.dropped == {"garbage": 1}
    assert "1 lines can't be read" in said[0]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("x,y\n0.1,0.2\n", "has no times"),
        ("time_ms,x,y\n", "no sample that can be read"),
        ("time_ms,x,y\n" + 2 * "".join(f"{10 * n},0.1,0.2\n" for n in range(300)), "several recordings"),
    ],
)
def test_lines_that_are_no_recording_are_refused(tmp_path, content: str, says: str) -> None:
    (tmp_path / "mine.csv").write_text(content)
    with pytest.raises(TrackerError, match=says):
        open_tracker(str(tmp_path / "mine.csv"), FAST)


LINES = "time_us,x,y,pupil_mm\n0,0.25,0.5,3.5\n8333,0.5,0.5,\n16667,0.75,0.5,3.5\n"
GAZEPOINT = "CNT,TIME(2024/03/01 10:11:12.345),BPOGX,BPOGY,LPMM,USER\n0,0.0,0.25,0.5,3.5,a\n1,0.008333,0.5,0.5,NaN,b\n"


@pytest.mark.case("tracker files with ; and decimal commas", before="'no sample that can be read (399 bad lines)'")
@pytest.mark.case("tracker files in UTF-16, with sep=; or blank lines first, or with CR", before="'has no time column'")
@pytest.mark.parametrize("text", [LINES, GAZEPOINT], ids=["lines", "gazepoint"])
@pytest.mark.parametrize(
    ("separator", "comma", "before", "encoding", "ends"),
    [
        (",", ".", "", "utf-8", "\n"),
        (";", ",", "", "utf-8-sig", "\r\n"),
        (",", ".", "", "utf-16", "\n"),
        (";", ",", "sep=;\n", "cp1252", "\n"),
        ("\t", ",", "\n\n", "utf-16-le", "\r"),
    ],
    ids=["plain", "decimal-commas", "utf-16", "sep-line", "blank-first"],
)
def test_the_text_of_a_tracker_file_may_come_from_any_program(
    tmp_path, text: str, separator: str, comma: str, before: str, encoding: str, ends: str
) -> None:
    lines = before + text.translate({ord(","): separator, ord("."): comma})
    (tmp_path / "gaze.csv").write_bytes(lines.replace("\n", ends).encode(encoding))
    with open_tracker(str(tmp_path / "gaze.csv"), FAST) as tracker:
        read = list(tracker)
    assert [sample.left.gaze_px[0] for sample in read[:2]] == pytest.approx([250.0, 500.0])
    assert [sample.stamp_ns for sample in read[:2]] == [0, 8_333_000]
    assert read[0].left.pupil_mm == 3.5
    assert math.isnan(read[1].left.pupil_mm)


def test_a_tracker_file_may_be_a_workbook(tmp_path) -> None:
    import xlsxwriter

    with xlsxwriter.Workbook(str(tmp_path / "gaze.xlsx"), {"strings_to_numbers": True}) as made:
        sheet = made.add_worksheet()
        for at, line in enumerate(LINES.splitlines()):
            sheet.write_row(at, 0, line.split(","))
    with open_tracker(str(tmp_path / "gaze.xlsx"), FAST) as tracker:
        assert [sample.left.gaze_px[0] for sample in tracker] == [250.0, 500.0, 750.0]


@pytest.mark.case('thousands between quotation marks in a tracker file: "1,008.333" ms', before="garbage, left out")
def test_thousands_in_a_tracker_file(tmp_path) -> None:
    (tmp_path / "gaze.csv").write_text('time_ms,x,y\n"999.5",0.1,0.2\n"1,008.333",0.25,0.5\n')
    with open_tracker(str(tmp_path / "gaze.csv"), FAST) as tracker:
        assert [sample.device_ns for sample in tracker] == [999_500_000, 1_008_333_000]


def test_files_that_cannot_be_read_are_refused(tmp_path) -> None:
    with pytest.raises(TrackerError, match="there is no tracker file"):
        open_tracker(str(tmp_path / "gone.tsv"), FAST)
    with pytest.raises(TrackerError, match="is a folder"):
        open_tracker(str(tmp_path), FAST)
    (tmp_path / "noise.tsv").write_bytes(bytes(range(256)))
    with pytest.raises(DataError):
        open_tracker(str(tmp_path / "noise.tsv"), FAST)
    with pytest.raises(DataError, match="Pupil diameter left"):
        open_tracker(export(tmp_path / "short.tsv", drop="Pupil diameter left [mm]"), FAST)


def test_a_long_wait_is_cut_short_by_close(tmp_path) -> None:
    options = TrackerOptions(start_ns=monotonic_ns() + 60_000_000_000)
    tracker = open_tracker(export(tmp_path / "tracker.tsv"), options)
    threading.Timer(0.2, tracker.close).start()
    began = time.monotonic()
    assert list(tracker) == []
    assert time.monotonic() - began < 5.0


@pytest.mark.parametrize(
    ("text", "scheme", "path", "parameters"),
    [
        ("/dev/ttyUSB0", "", "/dev/ttyUSB0", {}),
        ("/dev/ttyACM0?format=csv", "", "/dev/ttyACM0", {"format": "csv"}),
        (
            "serial:///dev/ttyUSB0?baud=921600&format=emer",
            "serial",
            "/dev/ttyUSB0",
            {"baud": "921600", "format": "emer"},
        ),
        ("what? a name.tsv", "", "what? a name.tsv", {}),
        ("lab://host:4242/x", "lab", "host:4242/x", {}),
    ],
)
def test_sources_are_taken_apart(text: str, scheme: str, path: str, parameters: dict[str, str]) -> None:
    source = parse_address(text)
    assert (source.scheme, source.path, dict(source.parameters)) == (scheme, path, parameters)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("serial://dev/ttyUSB0", "three slashes"),
        ("serial://", "three slashes"),
        ("serial://[", "can't read the address"),
        ("/dev/null?baud", "name=value"),
        ("/dev/null?baud=1&baud=2", "given twice"),
        ("/dev/null?speed=9600", "unknown speed; known are baud, format, rate, columns, valid, camera"),
        ("/dev/null?baud=fast", "baud is a number from 50 to"),
        ("/dev/null?rate=nan", "rate is a number"),
        ("/dev/null?format=iscan3", "known are emer, csv"),
        ("/dev/null?format=emer&columns=x,y", "belongs to format=csv"),
    ],
)
def test_mistakes_are_named(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        open_tracker(text)


def test_an_unknown_scheme_lists_the_drivers() -> None:
    with pytest.raises(TrackerError, match=r"no tracker driver knows 'lab://host'.*serial: /dev/ttyUSB0.*file:"):
        open_tracker("lab://host")


def test_an_unknown_pace_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="real or fast"):
        open_tracker("x.tsv", TrackerOptions(pace="slow"))


@settings(deadline=None)
@given(st.text(max_size=60) | st.text("/:?&=#[]@%serialdev", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigurationError):
        parse_address(text)
