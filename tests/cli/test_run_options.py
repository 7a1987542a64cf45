"""Options of a run: durations, points, recordings, sessions, and combinations that are refused."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import pyxdf

from emer_edge.cli.parsing import duration_s, points
from emer_edge.core.errors import ConfigurationError
from emer_edge.data.sessions import RESULTS_FILE


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30.0), ("2min", 120.0), ("1.5 min", 90.0), (" 500ms ", 0.5), ("45", 45.0), ("0.1h", 360.0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-3s", "0s", "1e3s", "30 seconds", "nan", "2min30s", "1,5min"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ConfigurationError, match="30s or 2min"):
        duration_s(text)


def test_points() -> None:
    assert points("960,540; 1.5,-2;") == ((960.0, 540.0), (1.5, -2.0))


@pytest.mark.parametrize("text", ["", ";", "960", "1,2,3", "a,b", "inf,0"])
def test_points_that_are_none(text: str) -> None:
    with pytest.raises(ConfigurationError, match="x,y;x,y"):
        points(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--participant", "p1"], "--save FOLDER"),
        (["--save", "sessions"], "--participant"),
        (["--save", "sessions", "--participant", "../p1"], "pseudonym"),
        (["--markers", "mouse"], "mouse"),
        (["--markers", "lines", "--pace", "fast"], "--pace real"),
        (["--validation-targets", "960"], "x,y;x,y"),
        (["--validate", "--validation-by", "window"], "--validation-by terminal"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_session_options_that_make_no_sense(
    emer_edge: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    done = emer_edge("run", "none.emer", *options)
    assert done.code == 2
    assert message in done.err
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_purging_a_participant(emer_edge: Callable[..., Any], tmp_path: Path) -> None:
    for each in ("p1/s1", "p2/s1"):
        (tmp_path / each).mkdir(parents=True)
        (tmp_path / each / RESULTS_FILE).write_text("{}\n")
    assert emer_edge("purge", "--participant", "p1").code == 2
    done = emer_edge("purge", "--participant", "p1", "--sessions", tmp_path)
    assert done.code == 0
    assert "removed 1 session of p1" in done.err
    assert [each.name for each in tmp_path.iterdir()] == ["p2"]
    again = emer_edge("purge", "--participant", "p1", "--sessions", tmp_path, "--recordings", tmp_path)
    assert (again.code, "no sessions or recordings of participant p1; nothing was removed" in again.err) == (2, True)
    both = emer_edge("purge", "--participant", "p2", "--sessions", tmp_path, "--recordings", tmp_path, "--dry-run")
    assert both.code == 0
    assert f"would remove {tmp_path / 'p2' / 's1'}" in both.err
    assert "found 1 session of p2" in both.err
    assert "found 0 recordings of p2" in both.err
    assert (tmp_path / "p2" / "s1" / RESULTS_FILE).exists()


Run = Callable[..., Any]


def sources_of(visit: Path) -> tuple[object, ...]:
    files = ("--camera", visit / "video.avi", "--tracker", visit / "eyes.csv")
    return (*files, "--pace", "fast", "--offset-ms", 0, "--json")


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds without anybody."""
    folder = tmp_path_factory.mktemp("visit")
    writer = cv2.VideoWriter(str(folder / "video.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
    for _ in range(90):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    samples = "\n".join(f"{number * 10_000},0.5,0.5,1" for number in range(300))
    (folder / "eyes.csv").write_text(f"time_us,left_x,left_y,left_valid\n{samples}\n")
    return folder


def test_record_play_convert_and_purge(emer_edge: Run, bundle: Path, visit: Path, tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    filmed = ("--record-video", "--consent-id", "form 17", "--participant", "p017", "--retention-days", 30)
    done = emer_edge("run", bundle, *sources_of(visit), "--record", f"{folder}/", *filmed)
    assert done.code == 0, done.err
    (recording,) = folder.iterdir()
    assert f"recorded {recording}: " in done.err
    again = emer_edge("run", bundle, "--camera", recording, "--tracker", recording, "--pace", "fast", "--json")
    assert again.code == 0, again.err
    assert len(again.out.splitlines()) == len(done.out.splitlines()) == 6
    for name in ("out.csv", "out.xdf"):
        converted = emer_edge("convert", recording, tmp_path / name)
        assert converted.code == 0, converted.err
        assert "6 results" in converted.err
    with (tmp_path / "out.csv").open(newline="") as file:
        assert {each["state"] for each in csv.DictReader(file)} == {"filling"}
    assert len(pyxdf.load_xdf(str(tmp_path / "out.xdf"))[0]) == 4
    assert emer_edge("purge", "--participant", "p017").code == 2
    purged = emer_edge("purge", "--participant", "p017", "--recordings", folder)
    assert purged.code == 0, purged.err
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--record", "x.mcap", "--record-video"), "--consent-id"),
        (("--record-video",), "add --record FILE.mcap"),
        (("--record", "/nowhere/x.mcap"), "make it first"),
        (("--mqtt", "http://host"), "write mqtt://host:1883/topic"),
        (("--metrics", "here"), "write --metrics :9108"),
        (("--lsl-out", ""), "an LSL stream's name"),
    ],
)
@pytest.mark.parametrize("check", [(), ("--check",)], ids=["run", "check"])
def test_outputs_that_can_not_be_had_are_one_message(
    emer_edge: Run,
    bundle: Path,
    visit: Path,
    tmp_path: Path,
    flags: tuple[str, ...],
    named: str,
    check: tuple[str, ...],
) -> None:
    done = emer_edge("run", bundle, *sources_of(visit), *flags, *check)
    assert done.code == 2
    assert named in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_secrets_come_from_a_private_file_and_a_missing_one_is_named(
    emer_edge: Callable[..., Any], bundle: Path, tracker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_USER", "before")
    monkeypatch.delenv("LAB_NONE", raising=False)
    path = tmp_path / "lab.env"
    path.write_text("LAB_USER=S3CRET\n")
    run = ["run", bundle, "--check", "--secrets", path, "--tracker", tracker, "--camera"]
    path.chmod(0o644)
    assert (emer_edge(*run, "0").code, "chmod 600" in emer_edge(*run, "0").err) == (2, True)
    path.chmod(0o600)
    done = emer_edge(*run, "http://${LAB_USER}@host/x")
    assert (done.code, "in order" in done.err, "S3CRET" in done.err) == (0, True, False)
    done = emer_edge(*run, "http://${LAB_NONE}@host/x")
    assert (done.code, "${LAB_NONE} is not set" in done.err) == (2, True)


@pytest.mark.case("a full disk under --save and --record at once", before="counted as one failure, whatever was lost")
def test_a_run_that_loses_what_it_was_to_keep_exits_with_3(
    bundle: Path, video: Path, tracker: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "emer_edge", "run", bundle, "--camera", video, "--tracker", tracker]
    command += ["--offset-ms", "0", "--pace", "fast", "--save", tmp_path / "s", "--participant", "p1"]
    command += ["--record", tmp_path / "r.mcap"]
    limited = [
        "bash",
        "-c",
        'ulimit -f 4; exec "$@"',
        "-",
        *map(str, command),
    ]  # KiB a file: a full disk for this process
    done = subprocess.run(limited, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 3, done.stderr
    for name in ("session", "record"):
        lost = [line for line in done.stderr.splitlines() if line.startswith(f"lost by {name}: ")]
        assert lost, done.stderr
        (line,) = lost
        assert "1 failed" in line
        assert name == "record" or re.search(r"\d+ results", line), "a recording's last chunk fails at its end"


@pytest.mark.case("a run without --tracker", source="seen", before="no serial port /dev/ttyUSB0")
@pytest.mark.parametrize("options", [[], ["--tracker", "none"], ["--check"]], ids=str)
def test_a_bundle_that_needs_eyes_is_refused_without_a_tracker(
    emer_edge: Callable[..., Any], bundle: Path, video: Path, options: list[str]
) -> None:
    done = emer_edge("run", bundle, "--camera", video, "--pace", "fast", *options)
    assert done.code == 2
    assert "does not say what FER loses without eyes" in done.err
    assert "name one with --tracker" in done.err
    assert done.out == ""
