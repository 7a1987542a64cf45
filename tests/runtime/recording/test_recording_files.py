from __future__ import annotations

import csv
import logging
import os
import re
import stat
import sys
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import pyxdf
from mcap.reader import SeekingReader
from msgspec import structs
from recording_inputs import Kept, check_schema, conforms, recorded
from runtime_inputs import write_tracker, write_video

import emer_edge.core.packages
from emer_edge.bundle import Bundle
from emer_edge.core.errors import ConfigurationError, DataError, MissingExtraError, OutputExistsError, TrackerError
from emer_edge.core.results import Result
from emer_edge.runtime.cameras import open_camera
from emer_edge.runtime.options import MachineOptions, Source
from emer_edge.runtime.outputs import Host, Output, Request, check_outputs
from emer_edge.runtime.outputs.page.on_request import OnRequest
from emer_edge.runtime.outputs.recorder import Recorder
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.play import play
from emer_edge.runtime.recording.convert import convert
from emer_edge.runtime.recording.keep import (
    RecordOptions,
    expire,
    find_recordings,
    is_folder,
    own_recordings,
    record_target,
    recording_path,
    remove_recordings,
)
from emer_edge.runtime.recording.mcap_reader import Recorded, read_head, read_messages
from emer_edge.runtime.recording.mcap_writer import RecordingWriter
from emer_edge.runtime.trackers import open_tracker

TOPICS = ("/samples", "/frames", "/camera", "/results", "/markers")


class Marking(Output):
    """Sets a marker when the run begins."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def begin(self) -> None:
        self._pipeline.mark("end", 2_500_000_000)


MARKED = ['stimulus, "one"', "ü", "end"]  # the first two before the run begins


@pytest.fixture(scope="module")
def run(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Result]]:
    """Three seconds with markers."""
    folder = tmp_path_factory.mktemp("run")
    video, tracker = write_video(folder / "v.avi", 3.0, hidden=(0.5, 1.0)), write_tracker(folder / "t.csv", 3.0)
    pipeline = Pipeline(bundle, str(video), str(tracker), machine=MachineOptions(pace="fast"), offset_ms=0.0)
    pipeline.mark(MARKED[0], 1_000_000_000)
    pipeline.mark(MARKED[1], 2_000_000_000)
    path = folder / "run.mcap"
    options = RecordOptions(path, "jpeg", "form 17", "p017", session="first")
    kept = Kept()
    play(pipeline, [Recorder(options, Host(pipeline, say=lambda sentence: None)), Marking(pipeline), kept])
    return path, kept.results


def test_every_message_is_as_its_schema_says(run: tuple[Path, list[Result]]) -> None:
    from mcap.reader import make_reader

    counts = dict.fromkeys(TOPICS, 0)
    with run[0].open("rb") as file:
        reader = make_reader(file)
        assert {each.topic for each in reader.get_summary().channels.values()} == set(TOPICS)  # type: ignore[union-attr]
        for schema, channel, message in reader.iter_messages():
            assert channel.message_encoding == "json"
            assert schema is not None
            assert schema.encoding == "jsonschema"
            rules = msgspec.json.decode(schema.data)
            if not counts[channel.topic]:
                check_schema(rules)
            counts[channel.topic] += 1
            conforms(msgspec.json.decode(message.data), rules, channel.topic)
            assert abs(message.log_time * 1e-9 - time.time()) < 3600  # Unix time, as Foxglove shows it
            if channel.topic == "/camera":
                assert schema.name == "foxglove.CompressedImage"
                image = msgspec.json.decode(message.data)
                assert image["timestamp"]["sec"] * 10**9 + image["timestamp"]["nsec"] == message.publish_time
                assert image["format"] == "jpeg"
    assert counts["/markers"] == 3
    assert counts["/frames"] == counts["/camera"] == 90
    assert counts["/results"] == len(run[1])


def test_csv_of_results(run: tuple[Path, list[Result]], tmp_path: Path) -> None:
    path, results = run
    counts = convert(path, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert not [name for name in rows[0] if " " in name]
    assert {(row["participant"], row["session"]) for row in rows} == {("p017", "first")}
    assert counts == {"results": len(results)} == {"results": len(rows)}
    assert stat.S_IMODE((tmp_path / "out.csv").stat().st_mode) == 0o600
    for row, result in zip(rows, results, strict=True):
        assert float(row["time_s"]) == pytest.approx(result.end_ns * 1e-9)
        assert row["state"] == result.state.value
        assert [float(row[f"er-7_{name}"]) for name in result.heads.get("er-7", {})] == list(  # type: ignore[union-attr]
            result.heads.get("er-7", {}).values()  # type: ignore[union-attr]
        )
        assert row["er-valence"] == ("" if not result.heads else repr(result.heads["er-valence"]))
    marked = [row["markers"] for row in rows if row["markers"]]
    assert marked == MARKED
    assert float(rows[0]["unix_s"]) == pytest.approx(time.time(), abs=3600)


@pytest.mark.parametrize(("rows", "count"), [("samples", 360), ("frames", 90), ("markers", 3)])
def test_csv_of_other_rows(run: tuple[Path, list[Result]], tmp_path: Path, rows: Any, count: int) -> None:
    assert convert(run[0], tmp_path / "out.csv", rows)[rows] <= count
    with (tmp_path / "out.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert count - 20 <= len(read) <= count
    if rows == "samples":
        samples = [each.decode() for each in read_messages(run[0], {"/samples"})]
        assert [float(each["left_pupil_mm"]) for each in read] == [each.left.pupil_mm for each in samples]
        assert {each["left_valid"] for each in read} == {"1"}
    if rows == "frames":
        assert "no face" in {each["missed"] for each in read}
        assert any(float(each["face_right_px"] or 0) > float(each["face_left_px"] or 0) for each in read)
    if rows == "markers":
        assert [(each["label"], each["source"]) for each in read] == [(label, "program") for label in MARKED]


@pytest.mark.case("a converted file in pyxdf, as it reads by default", before="'Segments and clock-segments differ'",
                  source="https://github.com/xdf-modules/pyxdf/issues/137")  # fmt: skip
def test_xdf_is_read_by_others(
    run: tuple[Path, list[Result]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, results = run
    counts = convert(path, tmp_path / "out.xdf")
    with caplog.at_level(logging.INFO):
        streams, header = pyxdf.load_xdf(str(tmp_path / "out.xdf"), synchronize_clocks=False, dejitter_timestamps=False)
        pyxdf.load_xdf(str(tmp_path / "out.xdf"))
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == []
    assert {each["info"]["desc"][0]["participant"][0] for each in streams} == {"p017"}
    by_name = {each["info"]["name"][0]: each for each in streams}
    assert header["info"]["version"] == ["1.0"]
    assert {name: len(each["time_stamps"]) for name, each in by_name.items()} == counts
    of_results = by_name["results"]
    assert of_results["time_stamps"].tolist() == pytest.approx([each.end_ns * 1e-9 for each in results])
    labels = [each["label"][0] for each in of_results["info"]["desc"][0]["channels"][0]["channel"]]
    column = of_results["time_series"][:, labels.index("er-valence")]
    expected = [each.heads.get("er-valence", np.nan) for each in results]
    np.testing.assert_array_equal(column, expected)
    samples = [each.decode() for each in read_messages(path, {"/samples"})]
    gaze = by_name["samples"]
    assert gaze["info"]["nominal_srate"] == ["120"]
    names = [each["label"][0] for each in gaze["info"]["desc"][0]["channels"][0]["channel"]]
    at = names.index("right_gaze_y_px")
    assert gaze["time_series"][:, at].tolist() == [each.right.gaze_y_px for each in samples]
    assert by_name["markers"]["time_series"] == [[label] for label in MARKED]
    assert by_name["markers"]["time_stamps"].tolist() == [1.0, 2.0, 2.5]


def test_xdf_of_a_tracker_that_was_away_and_of_empty_streams(
    bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video, tracker = write_video(tmp_path / "v.avi", 6.0), write_tracker(tmp_path / "t.csv", 6.0)
    header, *lines = tracker.read_text().splitlines()
    away = [line for line in lines if not 0.5e6 < float(line.split(",")[0]) < 5.4e6]
    assert 0 < len(away) < len(lines) - 500
    tracker.write_text("\n".join([header, *away]) + "\n")
    source = Source(str(video), str(tracker), offset_ms=0.0)
    pipeline = Pipeline(bundle, sources=[source], machine=MachineOptions(pace="fast"))
    play(pipeline, [str(tmp_path / "r.mcap")])
    counts = convert(tmp_path / "r.mcap", tmp_path / "out.xdf")
    caplog.clear()  # of what the run said of its tracker
    streams, _ = pyxdf.load_xdf(str(tmp_path / "out.xdf"))
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == []
    assert {each["info"]["name"][0]: len(each["time_stamps"]) for each in streams} == counts
    assert counts["markers"] == 0


def test_outputs_are_whole_or_not_there(run: tuple[Path, list[Result]], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"FILE\.csv or FILE\.xdf"):
        convert(run[0], tmp_path / "out.txt")
    with pytest.raises(DataError, match="can't open"):
        convert(tmp_path / "none.mcap", tmp_path / "out.csv")
    with pytest.raises(DataError, match="can't write"):
        convert(run[0], run[0] / "in a file" / "out.csv")
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(OutputExistsError):
        convert(run[0], tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "mine"
    convert(run[0], tmp_path / "out.csv", force=True)
    assert [each.name for each in tmp_path.iterdir()] == ["out.csv"]


def begun(recording: Path, when: datetime) -> None:
    """Write another beginning into a recording; what its file system says of it stays."""
    content = recording.read_bytes()
    started = re.search(rb'"started":"([^"]+)"', content)
    assert started is not None
    changed = when.isoformat(timespec="milliseconds").encode()
    assert len(changed) == len(started[1])
    recording.write_bytes(content.replace(started[1], changed, 1))


@pytest.fixture
def kept(run: tuple[Path, list[Result]], tmp_path: Path) -> Path:
    """A folder with a recording, an old one, one that was broken off, and files of others."""
    content = run[0].read_bytes()
    for name in ("new.mcap", "old.mcap"):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "broken.mcap").write_bytes(content[: len(content) // 2])
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "theirs.mcap").write_bytes(b"\x89MCAP0\r\n and something else")
    (tmp_path / "link.mcap").symlink_to(run[0])
    for name in ("old.mcap", "broken.mcap"):
        begun(tmp_path / name, datetime.now(timezone.utc) - timedelta(days=8))
    return tmp_path


def names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


def test_old_recordings_are_deleted_and_nothing_else(kept: Path) -> None:
    said: list[str] = []
    assert {each.name for each, _ in own_recordings(kept)} == {"new.mcap", "old.mcap", "broken.mcap"}
    assert expire(kept, 30, said.append) == []
    assert said == []
    assert {each.name for each in expire(kept, 7, said.append)} == {"old.mcap", "broken.mcap"}
    assert names(kept) == {"new.mcap", "notes.txt", "theirs.mcap", "link.mcap"}
    assert "deleted 2 recordings" in said[0]


@pytest.mark.case("recordings of a board whose clock was, or is, wrong", before="deleted by the time of the file",
                  source="https://github.com/LibreELEC/LibreELEC.tv/pull/5648")  # fmt: skip
@pytest.mark.parametrize(
    ("shift", "named"), [(timedelta(days=400), "but .* was begun on"), (timedelta(days=-20_000), "1 of unknown age")]
)
def test_a_clock_that_cant_be_right_deletes_nothing(kept: Path, shift: timedelta, named: str) -> None:
    begun(kept / "new.mcap", datetime.now(timezone.utc) + shift)
    said: list[str] = []
    removed = expire(kept, 7, said.append)
    assert re.search(named, said[0])
    assert {each.name for each in removed} == (set() if shift > timedelta() else {"old.mcap", "broken.mcap"})


def test_nothing_is_removed_while_a_run_writes_it(kept: Path, run: tuple[Path, list[Result]]) -> None:
    head = read_head(run[0])
    writer = RecordingWriter(kept / "live.mcap", head)
    try:
        begun_long_ago = structs.replace(head, started="2025-06-01T00:00:00+00:00")
        long_ago = RecordingWriter(kept / "old-and-live.mcap", begun_long_ago)
        assert kept / "old-and-live.mcap" not in expire(kept, 7, lambda sentence: None)
        long_ago.close()
        with pytest.raises(DataError, match=r"a run is writing .*live\.mcap: end it first"):
            find_recordings(kept, "p017")
    finally:
        writer.close()
    assert kept / "live.mcap" in find_recordings(kept, "p017")


@pytest.mark.case("a recording becomes a link while a person is erased", before="by path", source="")
def test_a_recording_that_is_swapped_for_a_link_leads_nowhere(kept: Path, run: tuple[Path, list[Result]]) -> None:
    os.mkfifo(kept / "pipe.mcap")
    (kept / "inner").mkdir()
    (kept / "new.mcap").rename(kept / "inner" / "new.mcap")
    found = find_recordings(kept, "p017")
    (kept / "inner").rename(kept / "away")
    (kept / "inner").symlink_to(run[0].parent)
    (kept / "old.mcap").unlink()
    (kept / "old.mcap").symlink_to(run[0])
    remove_recordings(kept, found)
    assert run[0].exists()
    assert names(kept) == {"notes.txt", "theirs.mcap", "link.mcap", "pipe.mcap", "inner", "away"}


def test_a_name_says_whether_it_is_a_file_or_a_folder(tmp_path: Path) -> None:
    assert not is_folder(record_target("visit.mcap"))
    assert is_folder(record_target(f"{tmp_path}/new/"))
    assert is_folder(record_target(str(tmp_path)))
    for other in ("visit.avi", "visit", "visit.mcap.gz"):
        with pytest.raises(ConfigurationError, match=r"ends with \.mcap"):
            record_target(str(tmp_path / other))


def test_others_agree_that_recordings_are_whole(run: tuple[Path, list[Result]]) -> None:
    """Checksums, index and statistics, by the reader of MCAP's authors, which ours does not use."""
    with run[0].open("rb") as file:
        reader = SeekingReader(file, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None
        assert summary.statistics is not None
        counts = Counter(channel.id for _, channel, _ in reader.iter_messages())
        assert counts == summary.statistics.channel_message_counts
        assert summary.statistics.chunk_count == len(summary.chunk_indexes) > 0
        assert [each.name for each in reader.iter_metadata()] == ["emer-edge"]


def test_a_run_deletes_old_ones_before_it_records(bundle: Bundle, kept: Path) -> None:
    Recorder(RecordOptions(kept / "run.mcap", retention_days=7.0), Host(Pipeline(bundle)))
    assert names(kept) == {"new.mcap", "notes.txt", "theirs.mcap", "link.mcap"}
    begun(kept / "new.mcap", datetime.now(timezone.utc) - timedelta(days=8))
    OnRequest(RecordOptions(kept, retention_days=7.0), Host(Pipeline(bundle)))
    assert names(kept) == {"notes.txt", "theirs.mcap", "link.mcap"}
    assert recording_path(kept).parent == kept
    assert recording_path(kept).suffix == ".mcap"


def test_a_participants_recordings_are_deleted(kept: Path, run: tuple[Path, list[Result]]) -> None:
    (kept / "deeper").mkdir()
    (kept / "new.mcap").rename(kept / "deeper" / "new.bak")  # known by its content
    assert find_recordings(kept, "p018") == []
    with pytest.raises(ConfigurationError, match="participant ID"):
        find_recordings(kept, "../p017")
    with pytest.raises(DataError, match="is no folder"):
        find_recordings(kept / "none", "p017")
    found = find_recordings(kept, "p017")
    assert {each.name for each in found} == {"new.bak", "old.mcap", "broken.mcap"}
    remove_recordings(kept, found)
    (kept / "deeper").rmdir()
    assert names(kept) == {"notes.txt", "theirs.mcap", "link.mcap"}
    assert run[0].exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (RecordOptions(Path("x.mcap"), "jpeg"), "only with their consent"),
        (RecordOptions(Path("x.mcap"), consent_id="x"), "add --record-video"),
        (RecordOptions(Path("x.mcap"), "jpeg", "a\nb"), "printable"),
        (RecordOptions(Path("x.mcap"), retention_days=0.0), "kept for"),
        (RecordOptions(Path("x.mcap"), participant="Jane Doe"), "pseudonym"),
    ],
)
def test_wishes_that_make_no_sense(options: RecordOptions, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        check_outputs([Request("record", options)], [Source()])


def test_a_newer_schema_is_refused(bundle: Bundle, run: tuple[Path, list[Result]], tmp_path: Path) -> None:
    newer = tmp_path / "newer.mcap"
    content = run[0].read_bytes()
    at = content.index(b"schema") + len(b"schema") + 4
    assert content[at : at + 1] == b"1"
    newer.write_bytes(content[:at] + b"9" + content[at + 1 :])
    with pytest.raises(DataError, match="reads up to 1; upgrade"):
        read_head(newer)


def test_messages_of_another_kind_are_refused() -> None:
    with pytest.raises(DataError, match="message 3 of /samples can't be read"):
        Recorded("/samples", 3, b'{"stamp_ns": "now"}').decode()


def test_an_interrupted_start_leaves_no_file(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "never.mcap"
    with pytest.raises(TrackerError):
        recorded(Pipeline(bundle, str(tmp_path / "none.avi"), str(tmp_path / "none.csv"), offset_ms=0.0), path)
    assert not path.exists()


def test_without_the_extra_it_is_named(
    run: tuple[Path, list[Result]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = emer_edge.core.packages.find_spec
    monkeypatch.setattr(emer_edge.core.packages, "find_spec", lambda name: None if name == "mcap" else found(name))
    for name in ("mcap", "mcap.records", "mcap.stream_reader", "mcap.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    for use in (
        lambda: open_camera(str(run[0])),
        lambda: open_tracker(str(run[0])),
        lambda: convert(run[0], tmp_path / "out.csv"),
        lambda: find_recordings(tmp_path, "p017"),
        lambda: list(read_messages(run[0], {"/results"})),
    ):
        with pytest.raises(MissingExtraError, match=r"\.\[mcap\]"):
            use()
