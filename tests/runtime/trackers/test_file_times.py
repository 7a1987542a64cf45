"""Times, rates and validity of tracker files: what is wrong is named, and bad rows cost themselves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from emer_edge.core.errors import ConfigurationError, TrackerError
from emer_edge.runtime.pipeline.stream import Stream
from emer_edge.runtime.trackers import TrackerOptions, open_tracker


def write(path: Path, times: list[float], header: str = "time_us,x,y", cells: str = "0.4,0.5") -> str:
    path.write_text("\n".join([header, *(f"{time:.6f},{cells}" for time in times)]) + "\n")
    return str(path)


def opened(source: str, said: list[str], **options):
    return open_tracker(source, TrackerOptions(pace="fast", say=said.append, **options))


@pytest.mark.parametrize(
    ("header", "step", "looks"),
    [
        pytest.param(
            "time_us,x,y",
            8.333,
            "ms",
            marks=pytest.mark.case(
                "a column `time_us` that holds milliseconds",
                before="119,999 Hz believed; run: 'results: none', exit 0",
            ),
        ),
        ("time_s,x,y", 8.333, "ms"),
        ("time_ms,x,y", 8333.3, "us"),
        ("time_ms,x,y", 1 / 120, "s"),
    ],
)
def test_a_unit_that_can_not_be_right_is_named_with_the_one_that_may_be(tmp_path, said, header, step, looks) -> None:
    source = write(tmp_path / "t.csv", [step * number for number in range(600)], header)
    with pytest.raises(TrackerError, match=rf"the times look like {looks}: is `{header.partition(',')[0]}` right\?"):
        opened(source, said)


@pytest.mark.case("a list of fixations given as gaze", before="11 'ok' results")
def test_a_list_of_fixations_is_named(tmp_path, said) -> None:
    source = write(tmp_path / "t.csv", [345_000.0 * number for number in range(60)])
    with pytest.raises(TrackerError, match=r"2\.9 rows a second.*a list of fixations\?"):
        opened(source, said)


@pytest.mark.case(
    "times before an event are negative",
    source="https://github.com/hsogo/psychopy_tobii_controller/issues/2",
    before="every row before 0 counted as garbage",
)
@pytest.mark.parametrize("header", ["time_us,x,y", "TIME,BPOGX,BPOGY"])
def test_negative_times_are_times(tmp_path, said, header: str) -> None:
    scale = 1e6 if header[0] == "t" else 1.0
    source = write(tmp_path / "t.csv", [scale * (number / 60 - 2.0) for number in range(300)], header)
    tracker = opened(source, said, offset_ms=2000.0)
    samples = list(tracker)
    assert len(samples) == 300
    assert samples[0].stamp_ns == 0
    assert tracker.dropped == {}


@pytest.mark.case("every stamp twice, one row an eye", before="rate 0, a ring of 37 rows, `no_gaze` without a reason")
def test_doubled_stamps_are_counted_and_leave_half_the_rows(tmp_path, said) -> None:
    source = write(tmp_path / "t.csv", [16_667.0 * (number // 2) for number in range(600)])
    tracker = opened(source, said)
    assert tracker.rate_hz == pytest.approx(60.0, rel=1e-3)
    assert len(list(tracker)) == 300
    assert tracker.dropped == {"out of order": 300}
    assert "300 of 600 rows repeat a time or are out of order" in said[0]


def test_a_stray_time_costs_its_own_row(tmp_path, said) -> None:
    times = [8_333.0 * number for number in range(600)]
    times[200], times[400] = 9e15, -7e12
    samples = list(opened(write(tmp_path / "t.csv", times), said))
    assert len(samples) == 598
    assert samples[-1].stamp_ns == round(times[-1] * 1e3)


@pytest.mark.case(
    "a clock that falls from 74,701 s to 34 s in one file",
    source="https://github.com/pupil-labs/pupil/issues/1449",
    before="'sample 1201: time runs backwards', in a Gazepoint file and in lines",
)
def test_two_clocks_in_one_file_are_refused(tmp_path, said) -> None:
    times = [74_701 + number / 120 for number in range(1200)] + [34 + number / 120 for number in range(4000)]
    with pytest.raises(TrackerError, match=r"time runs backwards or starts again; does the file hold several"):
        opened(write(tmp_path / "t.csv", times, "time_s,x,y"), said)


@pytest.mark.case(
    "lost eyes written as -1",
    source="https://github.com/xLabsgaze/xlabs-demo/issues/7",
    before="a valid gaze one display to the left and above",
)
@pytest.mark.parametrize(
    ("header", "lost"),
    [("time_us,x,y", "-1,-1"), ("time_us,x_px,y_px", "-1,-1"), ("time_us,x,y", "0,0"), ("time_us,x_px,y_px", "0,0")],
)
def test_the_marks_of_a_lost_eye_are_no_gaze(tmp_path, said, header: str, lost: str) -> None:
    samples = list(opened(write(tmp_path / "t.csv", [8e3 * number for number in range(50)], header, lost), said))
    assert not any(sample.left.valid for sample in samples)


class TestValidity:
    HEADER = "time_us,x,y,valid"

    @pytest.mark.case(
        "a file of a tracker whose validity is 0 for valid and 4 for lost",
        before="4 read as valid, 0 as lost: inverted",
    )
    def test_codes_that_leave_no_eye_valid_are_named_with_what_to_pass(self, tmp_path, said) -> None:
        path = tmp_path / "t.csv"
        path.write_text(
            "\n".join([self.HEADER, *(f"{8000 * number},0.4,0.5,{4 * (number % 5 == 0)}" for number in range(200))])
        )
        with pytest.raises(TrackerError, match=r"no valid eye in 200 rows: validity is coded 0, 4.*valid=0"):
            opened(str(path), said)
        samples = list(opened(f"{path}?valid=0", said))
        assert [sample.left.valid for sample in samples[:6]] == [False, True, True, True, True, False]
        assert said == []

    def test_a_code_beside_0_and_1_is_said(self, tmp_path, said) -> None:
        path = tmp_path / "t.csv"
        rows = [f"{8000 * number},0.4,0.5,{number % 3}" for number in range(200)]
        path.write_text("\n".join([self.HEADER, *rows]))
        assert sum(sample.left.valid for sample in opened(str(path), said)) == 67
        assert "validity is coded 0, 1, 2, and only 1 is taken as valid" in said[0]

    def test_a_confidence_is_a_validity(self, tmp_path, said) -> None:
        path = tmp_path / "t.csv"
        rows = [f"{8000 * number},0.4,0.5,{number % 2 * 0.7 + 0.2:.1f}" for number in range(200)]
        path.write_text("\n".join(["time_us,x,y,confidence", *rows]))
        assert [sample.left.valid for sample in opened(str(path), said)][:4] == [False, True, False, True]
        with pytest.raises(ConfigurationError, match="valid=yes: give the number"):
            opened(f"{path}?valid=yes", said)


def test_lines_that_can_not_be_read_are_shown(tmp_path, said) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"time_us,x,y\n" + b"".join(b"%d,0.4,\x1b[31mhalf\x07\n" % number for number in range(9)))
    with pytest.raises(TrackerError, match=r"9 bad lines, the first: '0,0\.4,\[31mhalf'"):
        opened(str(path), said)


@pytest.mark.case("a tracker file whose clock is the epoch, with --offset-ms 0", before="'results: none', exit 0")
@pytest.mark.parametrize("pace", ["fast", "real"])
def test_times_that_do_not_meet_are_refused(bundle, session, video, tmp_path, said, pace: str) -> None:
    from emer_edge.runtime.options import MachineOptions, Source

    source = write(tmp_path / "t.csv", [1.7e9 + number / 60 for number in range(600)], "time_s,x,y")
    stream = Stream(bundle, Source(str(video), source, offset_ms=0.0), MachineOptions(pace=pace), said.append)
    says = r"the tracker's times \(1700000000\.0 to 1700000010\.0 s\) do not meet the video's \(0\.0 to 6\.0 s\)"
    try:
        with pytest.raises(ConfigurationError, match=says):
            stream.open_core(session, session.detector)
    finally:
        stream.close_sources()
