from __future__ import annotations

import json
import math
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emer_edge.core.errors import ConfigurationError, TrackerError
from emer_edge.core.samples import Display
from emer_edge.runtime.trackers import TrackerOptions, open_tracker
from emer_edge.runtime.trackers.formats.opengaze import record_fields
from emer_edge.tools.simulate import recorded_samples, simulated_samples

DISPLAY = Display()
FAST = TrackerOptions(pace="fast", offset_ms=0.0)
QUIET = TrackerOptions(pace="fast", offset_ms=0.0, say=lambda sentence: None)
STARTED = "TIME(2023/05/04 10:11:12.345)"


def export(path, count: int = 60, separator: str = ",", names: dict[str, str] | None = None, extra: str = "") -> str:
    """A file as Gazepoint Analysis writes it, of synthetic eyes."""
    names = {"TIME": STARTED, "TIME_TICK": "TIMETICK(f=10000000)"} if names is None else names
    lines = []
    for number, sample in zip(range(count), simulated_samples(rate_hz=60.0, seed=2), strict=False):
        groups = record_fields(sample, number, DISPLAY)
        fields = {name: text for group in groups.values() for name, text in group.items()}
        if not lines:
            header = ["MEDIA_ID", "MEDIA_NAME", *(names.get(name, name) for name in fields), "AOI"]
            lines.append(separator.join(name for name in header if name))
        cells = ["0", '"a film"', *(text for name, text in fields.items() if names.get(name, name)), ""]
        lines.append(separator.join([*cells]) + separator)
    path.write_text("\ufeff" + "\r\n".join(lines) + f"\r\n{extra}", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("separator", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
def test_a_gazepoint_file_is_replayed(tmp_path, separator: str) -> None:
    said: list[str] = []
    options = TrackerOptions(pace="fast", offset_ms=0.0, say=said.append)
    with open_tracker(export(tmp_path / "user_all_gaze.csv", separator=separator), options) as tracker:
        assert (tracker.live, tracker.clock) == (False, "media")
        assert tracker.rate_hz == pytest.approx(60.0, rel=0.01)
        assert "Eye position left Z [DACS mm]" in tracker.missing_columns
        assert "Pupil diameter left [mm]" not in tracker.missing_columns
        read = list(tracker)
        assert tracker.dropped == {}
    assert "place is unknown" in said[0]
    sent = [sample for _, sample in zip(range(60), simulated_samples(rate_hz=60.0, seed=2), strict=False)]
    assert len(read) == 60
    for before, after in zip(sent, read, strict=True):
        assert after.stamp_ns == pytest.approx(before.stamp_ns, abs=10_000)
        assert after.left.valid == before.left.valid
        if before.left.valid:
            assert after.left.gaze_px == pytest.approx(before.left.gaze_px, abs=0.02)
        assert after.right.pupil_mm == pytest.approx(before.right.pupil_mm, abs=1e-4, nan_ok=True)


def test_a_camera_whose_place_is_known_gives_eye_positions(tmp_path) -> None:
    path = export(tmp_path / "all_gaze.csv")
    with open_tracker(f"{path}?camera=263,320,20,25", FAST) as tracker:
        assert tracker.missing_columns == ()
        read = list(tracker)
    sent = [sample for _, sample in zip(range(60), simulated_samples(rate_hz=60.0, seed=2), strict=False)]
    for before, after in zip(sent, read, strict=True):
        assert after.right.position_mm == pytest.approx(before.right.position_mm, abs=0.05, nan_ok=True)


@pytest.mark.parametrize(
    ("name", "query", "says"),
    [
        ("all_gaze.csv", "?camera=here", "is not a place"),
        ("all_gaze.csv", "?rate=60", "unknown rate; known are camera, axes"),
        ("lines.csv", "?camera=263,320,20", "is no Gazepoint CSV"),
    ],
)
def test_mistaken_parameters_are_named(tmp_path, name: str, query: str, says: str) -> None:
    export(tmp_path / "all_gaze.csv")
    (tmp_path / "lines.csv").write_text("time_us,x,y\n0,0.5,0.5\n8333,0.5,0.5\n")
    with pytest.raises(ConfigurationError, match=says):
        open_tracker(str(tmp_path / name) + query, FAST)


def test_a_name_may_hold_a_question_mark(tmp_path) -> None:
    with open_tracker(export(tmp_path / "gaze.csv?camera=1,2,3.csv"), QUIET) as tracker:
        assert "Eye position left Z [DACS mm]" in tracker.missing_columns


def test_ticks_stand_in_for_a_missing_time(tmp_path) -> None:
    names = {"TIME": "", "TIME_TICK": "TIMETICK(f=10000000)"}
    read = list(open_tracker(export(tmp_path / "ticks.csv", names=names), FAST))
    assert read[-1].stamp_ns == pytest.approx(59e9 / 60, abs=1000)


def test_lines_that_can_not_be_read_are_counted_and_said(tmp_path) -> None:
    said: list[str] = []
    options = TrackerOptions(pace="fast", offset_ms=0.0, say=said.append)
    path = export(tmp_path / "hurt.csv", extra="1,2,3\r\n\r\n")
    with open_tracker(path, options) as tracker:
        assert len(list(tracker)) == 60
        assert tracker.dropped == {"garbage": 1}
    assert any("1 lines can't be read" in sentence for sentence in said)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("BPOGX,BPOGY\n0.1,0.2\n", "has no TIME column"),
        ("TIMETICK,BPOGX,BPOGY\n1,0.1,0.2\n", "has no TIME column"),
        ("TIME,BPOGX,BPOGY\n", "no record that can be read"),
        ("TIME,BPOGX,BPOGY\nx,y,z\n", "no record that can be read"),
        ("TIME,BPOGX,BPOGY\n" + 2 * "".join(f"{n / 60},0.1,0.2\n" for n in range(300)), "several recordings"),
    ],
)
def test_files_that_are_no_recording_are_refused(tmp_path, content: str, says: str) -> None:
    (tmp_path / "gaze.csv").write_text(content)
    with pytest.raises(TrackerError, match=says):
        open_tracker(str(tmp_path / "gaze.csv"), FAST)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=60) | st.sampled_from([b"1,0.5,0.5\n", b'"', b",", b"\n", b"\r"]), max_size=20))
def test_damage_costs_its_lines_only(tmp_path, pieces: list[bytes]) -> None:
    noise = b"".join(pieces)
    (tmp_path / "gaze.csv").write_bytes(b"TIME,BPOGX,BPOGY\n0.5,0.1,0.2\n" + noise + b"\n4e9,0.3,0.4\n")
    with suppress(TrackerError), open_tracker(str(tmp_path / "gaze.csv"), QUIET) as tracker:  # noise can be a late time
        read = list(tracker)
        assert read[0].left.gaze_px == pytest.approx((192.0, 216.0))
        assert read[-1].left.gaze_px == pytest.approx((576.0, 432.0))


def test_a_recordings_folder_is_its_tracker_with_its_offset(tmp_path) -> None:
    export(tmp_path / "gaze.csv")
    (tmp_path / "video.avi").write_bytes(b"")
    described = {"schema": 1, "video": "video.avi", "tracker": "gaze.csv", "offset_ms": 250.0}
    (tmp_path / "recording.json").write_text(json.dumps(described))
    with open_tracker(str(tmp_path), TrackerOptions(pace="fast")) as tracker:
        assert tracker.synchronised
        assert next(tracker).stamp_ns == 250_000_000
    with open_tracker(str(tmp_path), FAST) as tracker:
        assert next(tracker).stamp_ns == 0


def test_a_recording_can_be_simulated(tmp_path) -> None:
    samples, rate_hz = recorded_samples(export(tmp_path / "gaze.csv"))
    read = list(samples)
    assert rate_hz == pytest.approx(60.0, rel=0.01)
    assert (read[0].device_ns, read[0].arrival_ns) == (0, 0)
    assert len(read) == 60
    assert all(math.isnan(sample.left.position_mm[0]) for sample in read)
