from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from emer_edge.core.errors import ConfigurationError, DataError
from emer_edge.core.results import Result, State
from emer_edge.core.samples import Display
from emer_edge.core.session_facts import Baseline, Marker, PupilBaseline, TargetMeasure, Validation
from emer_edge.core.whole_file import claim
from emer_edge.data.sessions import (
    MARKERS_FILE,
    RESULTS_FILE,
    SESSION_FILE,
    SessionHead,
    check_id,
    expire_sessions,
    find_sessions,
    open_session,
    remove_sessions,
    session_place,
)

TARGET = TargetMeasure(960.0, 540.0, 970.0, 540.0, 10.0, 2.7, 0.25, 0.1, 0.2, 118, 120)
HEAD = SessionHead(
    schema=1,
    participant="p1",
    session="s1",
    state="running",
    started="2026-01-01T00:00:00.000Z",
    started_ns=5,
    version="0.1.0",
    bundle="demo",
    manifest_sha256="0" * 64,
    research_only=True,
    camera="0",
    tracker="/dev/ttyUSB0",
    display=Display(),
    baseline=Baseline(
        30.0, 1, 2, 3, {"fer-7": {"joy": 1.0}, "fer-valence": 1.0}, 0.5, {"left": PupilBaseline(3, 0, 9)}
    ),
    validation=Validation((TARGET,), 10.0, 2.7, 0.25, 0.1, 0.2, 0.02, 650.0, False, "terminal"),
)
RESULTS = [Result(hop, State.FILLING, markers=(Marker("go", hop),)) for hop in range(3)]


def write_session(folder: Path, **changed: str) -> Path:
    folder.mkdir(parents=True)
    (folder / SESSION_FILE).write_bytes(msgspec.json.encode(msgspec.structs.replace(HEAD, **changed)))
    (folder / RESULTS_FILE).write_text("".join(json.dumps(result.to_dict()) + "\n" for result in RESULTS))
    (folder / MARKERS_FILE).write_bytes(b"".join(msgspec.json.encode(result.markers[0]) + b"\n" for result in RESULTS))
    return folder


def test_a_session_reads_back(tmp_path: Path) -> None:
    saved = open_session(write_session(tmp_path / "s1"))
    assert saved.head == HEAD
    assert list(saved.results) == [result.to_dict() for result in RESULTS]
    assert saved.markers == tuple(result.markers[0] for result in RESULTS)
    assert saved.cut == 0


def test_lines_that_a_broken_run_left_unfinished_are_left_out(tmp_path: Path) -> None:
    folder = write_session(tmp_path / "s1")
    content = (folder / RESULTS_FILE).read_bytes()
    for length in range(len(content) - 1, content.rindex(b"\n", 0, -1) + 1, -7):
        (folder / RESULTS_FILE).write_bytes(content[:length])
        saved = open_session(folder)
        assert (len(saved.results), saved.cut) == (2, 1)
    (folder / RESULTS_FILE).unlink()
    assert open_session(folder).results == ()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (SESSION_FILE, b"{", "not a session's description"),
        (SESSION_FILE, b'{"schema": 2}', "upgrade emer-edge"),
        (SESSION_FILE, b'{"schema": 1}', "not a session's description"),
        (RESULTS_FILE, b'{"a": 1}\nnot json\n{}\n', r"results\.jsonl, line 2"),
        (MARKERS_FILE, b'{"label": 3, "stamp_ns": 1}\n', r"markers\.jsonl, line 1"),
    ],
    ids=["cut head", "newer", "incomplete", "bad result", "bad marker"],
)
def test_a_session_that_cant_be_read_is_one_error(tmp_path: Path, file: str, content: bytes, message: str) -> None:
    folder = write_session(tmp_path / "s1")
    (folder / file).write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_session(folder)


def test_no_session_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no session"):
        open_session(tmp_path)


@pytest.mark.parametrize("good", ["p1", "P-017_b.2", "7", "a" * 64])
def test_ids(good: str) -> None:
    assert check_id("participant", good) == good


@pytest.mark.parametrize(
    "bad", ["", ".", "..", "../p1", "a/b", "/etc", "a\\b", "-p", ".hidden", "a b", "p\n", "p\x00", "é", "a" * 65]
)
def test_ids_that_could_name_another_place_are_refused(bad: str, tmp_path: Path) -> None:
    for participant, session in ((bad, "s1"), ("p1", bad)):
        with pytest.raises(ConfigurationError, match="pseudonym"):
            session_place(tmp_path, participant, session)
    with pytest.raises(ConfigurationError, match="pseudonym"):
        find_sessions(tmp_path, bad)


def test_purging_removes_one_person_and_nobody_else(tmp_path: Path) -> None:
    for each in ("p1/s1", "p1/s2", "moved/and/renamed"):
        write_session(tmp_path / each)
    write_session(tmp_path / "p10" / "s1", participant="p10")
    write_session(tmp_path / "p1" / "s3")
    (tmp_path / "p1" / "s3" / SESSION_FILE).write_bytes(b"{")  # broken off: the folder says whose it is
    found = find_sessions(tmp_path, "p1")
    assert sorted(str(each.relative_to(tmp_path)) for each in found) == ["moved/and/renamed", "p1/s1", "p1/s2", "p1/s3"]
    assert remove_sessions(tmp_path, found) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["moved", "p10"]
    assert open_session(tmp_path / "p10" / "s1").head.participant == "p10"


@pytest.mark.case("a person is erased while the run goes on", before="the session came back at its end", source="")
def test_nothing_is_removed_while_a_run_writes_it(tmp_path: Path) -> None:
    folder = write_session(tmp_path / "p1" / "s1", started="2025-02-01T00:00:00Z")
    with (folder / RESULTS_FILE).open("ab") as file:
        claim(file.fileno())
        with pytest.raises(DataError, match=r"a run is writing .*results\.jsonl: end it first"):
            find_sessions(tmp_path, "p1")
        assert expire_sessions(tmp_path, 30, lambda sentence: None) == []
    assert find_sessions(tmp_path, "p1") == [folder]
    said: list[str] = []
    assert expire_sessions(tmp_path, 30, said.append) == [folder]
    assert list(tmp_path.iterdir()) == []
    assert said == [f"deleted 1 sessions older than 30 days from {tmp_path}"]


def test_purging_leaves_what_is_no_session(tmp_path: Path) -> None:
    elsewhere = write_session(tmp_path / "elsewhere" / "s9")
    write_session(tmp_path / "all" / "p1" / "s1")
    (tmp_path / "all" / "p1" / "notes.txt").write_text("consent form")
    (tmp_path / "all" / "p1" / "photos").mkdir()
    (tmp_path / "all" / "p1" / "linked").symlink_to(elsewhere)
    (tmp_path / "all" / "p1" / "s1" / "mine.txt").write_text("mine")
    found = find_sessions(tmp_path / "all", "p1")
    left = remove_sessions(tmp_path / "all", found)
    assert [item.name for item in found] == ["s1"]
    assert [item.name for item in left] == ["linked", "notes.txt", "photos", "mine.txt"]
    assert open_session(elsewhere).head == HEAD


def test_purging_follows_no_link_to_other_folders(tmp_path: Path) -> None:
    write_session(tmp_path / "elsewhere" / "s9")
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "p1").symlink_to(tmp_path / "elsewhere")
    assert find_sessions(tmp_path / "all", "p1") == []
    assert open_session(tmp_path / "elsewhere" / "s9").head == HEAD


@pytest.mark.case("a session's folder becomes a link while a person is erased", before="followed", source="")
def test_a_link_that_is_swapped_in_leads_nowhere(tmp_path: Path) -> None:
    elsewhere = write_session(tmp_path / "elsewhere" / "s9")
    folder = write_session(tmp_path / "all" / "p1" / "s1")
    write_session(tmp_path / "all" / "p1" / "s2")
    found = find_sessions(tmp_path / "all", "p1")
    folder.rename(tmp_path / "moved")
    folder.symlink_to(elsewhere)
    assert remove_sessions(tmp_path / "all", found) == [folder]  # said to be left
    assert open_session(elsewhere).head == HEAD
    assert sorted(each.name for each in (tmp_path / "all" / "p1").iterdir()) == ["s1"]


@pytest.mark.parametrize("name", [SESSION_FILE, RESULTS_FILE, MARKERS_FILE])
def test_files_that_are_links_or_pipes_are_removed_and_not_followed(tmp_path: Path, name: str) -> None:
    theirs = tmp_path / "theirs.json"
    theirs.write_text("{}")
    linked, piped = write_session(tmp_path / "all" / "p1" / "s1"), write_session(tmp_path / "all" / "p1" / "s2")
    for folder in (linked, piped):
        (folder / name).unlink()
    (linked / name).symlink_to(theirs)
    os.mkfifo(piped / name)
    found = find_sessions(tmp_path / "all", "p1")
    assert found == [linked, piped]
    assert remove_sessions(tmp_path / "all", found) == []
    assert theirs.read_text() == "{}"
    assert list((tmp_path / "all").iterdir()) == []


def test_a_session_that_a_run_has_taken_meanwhile_is_not_removed(tmp_path: Path) -> None:
    folder = write_session(tmp_path / "p1" / "s1")
    found = find_sessions(tmp_path, "p1")
    with (folder / RESULTS_FILE).open("ab") as file:
        claim(file.fileno())
        with pytest.raises(DataError, match=r"a run is writing .*results\.jsonl: end it first"):
            remove_sessions(tmp_path, found)
    assert open_session(folder).head == HEAD


def test_a_participant_whose_folder_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p1").symlink_to(tmp_path)
    with pytest.raises(ConfigurationError, match="is a link, which purging does not follow"):
        session_place(tmp_path, "p1", "s1")


@pytest.mark.case("a power cut leaves zeros at a file's end", before="could not be read at all", source="")
def test_zeros_at_the_end_are_what_was_cut(tmp_path: Path) -> None:
    folder = write_session(tmp_path / "s1")
    content = (folder / RESULTS_FILE).read_bytes()
    for left, count in ((content, 3), (content[:-20], 2)):
        (folder / RESULTS_FILE).write_bytes(left + bytes(512))
        saved = open_session(folder)
        assert (len(saved.results), saved.cut) == (count, 1)


def test_purging_nowhere_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        find_sessions(tmp_path / "nowhere", "p1")
