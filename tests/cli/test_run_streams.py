from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from emer_edge.runtime.recording.mcap_reader import read_head

Run = Callable[..., Any]
WHOLE = "[[stream]]\nname = 'a'\ntracker = 'x'\ncamera = '0'\n"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two seconds without a face, and somebody who looks at one point; the exported bundle's hop is half a second."""
    writer = cv2.VideoWriter(str(tmp_path / "face.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
    for _ in range(60):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    rows = [f"{round(at * 1e6 / 120)},0.5,0.5,1" for at in range(240)]
    (tmp_path / "eyes.csv").write_text("\n".join(["time_us,left_x,left_y,left_valid", *rows]) + "\n")
    return tmp_path


def table(folder: Path, name: str, *more: str) -> str:
    lines = ("[[stream]]", f'name = "{name}"', f'camera = "{folder}/face.avi"', f'tracker = "{folder}/eyes.csv"', *more)
    return "\n".join(lines) + "\n"


def written(folder: Path, *parts: str) -> Path:
    path = folder / "streams.toml"
    path.write_text("\n".join(parts))
    return path


def test_a_run_of_two_streams(emer_edge: Run, recording: Path, bundle: Path) -> None:
    top = f'bundle = "{bundle}"\njson = true\nmarkers = ["none"]\noffset-ms = 0\n'
    path = written(recording, top, table(recording, "left"), table(recording, "right", 'subject = "right"'))
    outcome = emer_edge("run", "--config", path)
    assert outcome.code == 0, outcome.err
    lines = [json.loads(each) for each in outcome.out.splitlines()]
    ends = {name: [each["end_ns"] for each in lines if each["stream"] == name] for name in ("left", "right")}
    assert len(ends["left"]) >= 2
    hop_ns = ends["left"][1] - ends["left"][0]
    later = {right - left for left, right in zip(ends["left"], ends["right"], strict=False)}
    assert later == {hop_ns // 2}  # steps of several people are spread over a hop
    assert "unsynchronised" not in outcome.err  # offset-ms holds for both
    assert "step latency" in outcome.err


def test_the_example_of_tables_can_be_uncommented(emer_edge: Run, recording: Path, bundle: Path) -> None:
    example = Path(__file__).parents[2] / "deploy" / "run.toml"
    lines = [each.removeprefix("#").strip() for each in example.read_text().splitlines() if each.startswith("#   ")]
    text = "\n".join(lines)
    assert text.count("[[stream]]") == text.count("participant") == text.count("consent-id") == 2
    text = re.sub(r'camera = ".*"', f'camera = "{recording}/face.avi"', text)
    text = re.sub(r'tracker = ".*"', f'tracker = "{recording}/eyes.csv"', text)
    top = f'bundle = "{bundle}"\nrecord = "{recording}"\nrecord-video = true\nsave = "{recording}/people"\n'
    outcome = emer_edge("run", "--config", written(recording, top, text), "--check")
    assert outcome.code == 0, outcome.err


def test_check_looks_at_every_stream(emer_edge: Run, recording: Path, bundle: Path) -> None:
    good = written(recording, f'bundle = "{bundle}"', table(recording, "left"), table(recording, "right"))
    outcome = emer_edge("run", "--config", good, "--check")
    assert outcome.code == 0, outcome.err
    assert "2 streams are in order" in outcome.err
    bad = table(recording, "right").replace("eyes.csv", "none.csv")
    worse = table(recording, "third").replace("face.avi", "none.avi")
    outcome = emer_edge("run", bundle, "--config", written(recording, table(recording, "left"), bad, worse), "--check")
    assert outcome.code == 2
    words = " ".join(outcome.err.split())
    assert re.search(r"stream right: .*none\.csv", words)
    assert re.search(r"stream third: .*none\.avi", words)
    assert "stream left" not in words


def test_two_streams_can_not_read_one_device(emer_edge: Run, recording: Path, bundle: Path) -> None:
    tables = [table(recording, name).replace(f"{recording}/face.avi", "synthetic://") for name in ("one", "two")]
    outcome = emer_edge("run", bundle, "--config", written(recording, *tables), "--check")
    assert outcome.code == 2
    assert "two streams read synthetic://" in outcome.err


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[stream]\nname = 'a'", "streams are tables, each under its own [[stream]]"),
        ("stream = 3", "streams are tables, each under its own [[stream]]"),
        ("stream = []", "streams are tables, each under its own [[stream]]"),
        ("[[stream]]\ncamera = '0'\ntracker = 'x'", "[[stream]] 1: name is missing"),
        ("[[stream]]\nname = 'a'", "[[stream]] 1 (a): camera is missing"),
        ("camera = '0'\n[[stream]]\nname = 'a'\ntracker = 'x'\ncamera = '0'", "camera belongs into every [[stream]]"),
        ("[[stream]]\nname = 'a'\ntracker = 'x'\ncamera = 0.5", "1 (a): camera is a text in quotes, not 0.5"),
        (WHOLE + "ofset-ms = 3", "ofset-ms is no option of a stream (did you"),
        (WHOLE + "json = true", "json is no option of a stream; it may hold"),
        (WHOLE + "subject = 'tall'", "subject is one of largest, center"),
        (WHOLE + "detect-every = 0", "detect-every is at least 1, not 0"),
        ("[[stream]]\nname = 'a b'\ntracker = 'x'\ncamera = '0'", "a stream can't be called 'a b'"),
        (2 * WHOLE, "two streams are called a"),
        (WHOLE + "display = 'wide'", "stream a: "),
    ],
    ids=[
        "one table",
        "a number",
        "no table",
        "no name",
        "no sources",
        "a camera for all",
        "a number as camera",
        "a misspelt key",
        "a key for all",
        "an unknown choice",
        "out of range",
        "a bad name",
        "one name twice",
        "a bad display",
    ],
)
def test_tables_that_are_wrong(emer_edge: Run, tmp_path: Path, bundle: Path, text: str, named: str) -> None:
    outcome = emer_edge("run", bundle, "--config", written(tmp_path, text), "--check")
    assert outcome.code == 2
    assert named in " ".join(outcome.err.split())
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--camera", "1"), "--camera is one person's"),
        (("--tracker", "x"), "--tracker is one person's"),
        (("--save", "here", "--participant", "p1"), "--participant is one person's, and this run reads several"),
        (
            ("--save", "here"),
            "--save needs a participant of every person: add participant to the [[stream]] left, right",
        ),
        (("--consent-id", "form-1"), "--consent-id is one person's, and this run reads several"),
        (("--record", ".", "--record-video"), "--record-video needs a consent-id of every person"),
        (("--record", "visit.mcap"), "several streams are recorded in one file each: name a folder"),
        (("--session", "first"), "stream left: --participant and --session name what is saved"),
        (("--retention-days", "3"), "--retention-days belong to a recording"),
        (("--mqtt", "mqtt:/"), "can't read the broker"),
        (("--metrics", "nine"), "can't read the address of --metrics"),
        (("--lsl-out", 98 * "x"), "stream left: an LSL stream's name is 1 to 100"),
        (("--serve", "0.0.0.0:0"), "token"),
    ],
    ids=[
        "camera",
        "tracker",
        "one participant",
        "no participants",
        "one consent",
        "no consent",
        "one file",
        "a session of none",
        "keeping nothing",
        "broker",
        "metrics",
        "a long name",
        "no token",
    ],
)
def test_what_does_not_go_with_streams(
    emer_edge: Run, recording: Path, bundle: Path, arguments: tuple[str, ...], named: str
) -> None:
    path = written(recording, table(recording, "left"), table(recording, "right"))
    outcome = emer_edge("run", bundle, "--config", path, "--check", *arguments)
    assert outcome.code == 2
    assert named in " ".join(outcome.err.split())


def test_every_person_has_a_session_and_a_recording(emer_edge: Run, recording: Path, bundle: Path) -> None:
    top = f'bundle = "{bundle}"\njson = true\nmarkers = ["none"]\noffset-ms = 0\nsession = "first"\n'
    top += f'save = "{recording}/people"\nrecord = "{recording}"\nrecord-video = true\n'
    tables = [
        table(recording, name, f'participant = "{who}"', f'consent-id = "form-{who}"')
        for name, who in (("left", "p1"), ("right", "p2"), ("above", "p2"))
    ]
    outcome = emer_edge("run", "--config", written(recording, top, *tables))
    assert outcome.code == (3 if "lost by record of" in outcome.err else 0), outcome.err  # a busy machine loses frames
    sessions = {
        str(each.parent.relative_to(recording / "people")) for each in recording.glob("people/*/*/session.json")
    }
    assert sessions == {"p1/first", "p2/first-right", "p2/first-above"}
    for stream, place in (("left", "p1/first"), ("right", "p2/first-right")):
        lines = (recording / "people" / place / "results.jsonl").read_text().splitlines()
        assert len(lines) >= 2
        assert {json.loads(each)["stream"] for each in lines} == {stream}
        head = json.loads((recording / "people" / place / "session.json").read_text())
        assert head["summary"]["frames"] > 0
        assert head["summary"]["streams"] == {}
    heads = [read_head(each) for each in recording.glob("*.mcap")]
    assert {(each.stream, each.participant, each.consent_id) for each in heads} == {
        ("left", "p1", "form-p1"),
        ("right", "p2", "form-p2"),
        ("above", "p2", "form-p2"),
    }
    assert {each.stem.rpartition("-")[2] for each in recording.glob("*.mcap")} == {"left", "right", "above"}
    outcome = emer_edge("purge", "--participant", "p2", "--sessions", recording / "people", "--recordings", recording)
    assert outcome.code == 0, outcome.err
    assert [read_head(each).participant for each in recording.glob("*.mcap")] == ["p1"]
