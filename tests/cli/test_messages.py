"""What every command says, and to whom: --verbose, --quiet, --log-file; names that commands choose themselves."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.progress import Progress
from test_printed_commands import commands

from emer_edge.cli.console import _Time
from emer_edge.cli.export import _named
from emer_edge.cli.shared_options import bundle_among
from emer_edge.core.errors import ConfigurationError


def test_every_command_has_the_options() -> None:
    for name, command in commands():
        flags = {flag for option in command.params for flag in option.opts}
        assert {"--verbose", "--quiet", "--log-file"} <= flags, name


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("run", "[BUNDLE]"),
        ("bench", "[BUNDLE]..."),
        ("verify", "BUNDLE"),
        ("predict", "[BUNDLE] PATH..."),
        ("prepare", "VIDEOS OUTPUT [BUNDLE]"),
    ],
)
def test_arguments_are_called_alike(emer_edge: Callable[..., Any], command: str, arguments: str) -> None:
    assert f"{command} [OPTIONS] {arguments} " in emer_edge(command, "--help").out


def test_quiet_says_errors_alone(emer_edge: Callable[..., Any], bundle: Path, tmp_path: Path) -> None:
    told = emer_edge("verify", bundle, "--quiet")
    assert (told.code, told.err) == (0, "")
    assert "files as exported" in told.out
    failed = emer_edge("predict", bundle, tmp_path / "nothing", "--quiet")
    assert failed.code == 2
    assert failed.err.startswith("emer-edge: ")
    assert failed.err.count("\n") == 1


def test_verbose_says_when_with_what_and_where(emer_edge: Callable[..., Any], tmp_path: Path) -> None:
    failed = emer_edge("info", tmp_path / "nothing", "--verbose")
    assert failed.code == 2
    lines = failed.err.splitlines()
    assert re.fullmatch(r"\[ *\d+\.\d{3} s\] Python 3\.\d+\.\d+\S*, emer-edge .*numpy \d.*onnxruntime \d.*", lines[0])
    assert "Traceback" in failed.err
    assert "emer-edge: " in lines[-1]


def test_a_log_keeps_everything_private(emer_edge: Callable[..., Any], tmp_path: Path) -> None:
    log = tmp_path / "told.log"
    for _ in range(2):
        assert emer_edge("info", tmp_path / "nothing", "--quiet", "--log-file", log).code == 2
    lines = log.read_text().splitlines()
    assert len(lines) == 2
    assert all(re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 emer-edge: ", line) for line in lines)
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_log_that_cant_be_written_is_refused_before_work(emer_edge: Callable[..., Any], tmp_path: Path) -> None:
    refused = emer_edge("info", tmp_path, "--log-file", tmp_path)
    assert refused.code == 2
    assert "--log-file: can't write" in refused.err


def test_a_log_on_a_full_disk_is_said_once(emer_edge: Callable[..., Any], bundle: Path) -> None:
    told = emer_edge("verify", bundle, "--log-file", "/dev/full", "--verbose")
    assert told.code == 0
    assert told.err.count("the command goes on") == 1


@pytest.mark.case(
    "an OpenCV without FFmpeg", source="Debian's builds may lack it", before="a video 35 times as large, silently"
)
def test_a_library_s_warning_is_said_once_as_all_else_is(tmp_path: Path) -> None:
    log, without = tmp_path / "told.log", {**os.environ, "OPENCV_VIDEOIO_PRIORITY_FFMPEG": "0"}
    simulated = [
        "simulate",
        "recording",
        str(tmp_path / "visit"),
        "--seconds",
        "1",
        "--quiet",
        "--log-file",
        str(log),
    ]
    command = [sys.executable, "-m", "emer_edge", *simulated]
    done = subprocess.run(command, env=without, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert log.read_text().count("writes no MPEG-4: video.avi is Motion JPEG") == 1
    assert b"MJPG" in (tmp_path / "visit" / "video.avi").read_bytes()[:4096]


def test_a_bar_says_how_long_is_left_and_then_how_long_it_took() -> None:
    clock = [0.0]
    bars = Progress(_Time(), get_time=lambda: clock[0])
    task = bars.add_task("clips", total=100)

    def shown(now_s: float, done: int) -> str:
        clock[0] = now_s
        bars.update(task, completed=done)
        return _Time().render(bars.tasks[0]).plain

    assert shown(0.0, 0) == ""
    assert [shown(now_s, done) for now_s, done in ((10.0, 10), (20.0, 20))][-1] == "1:20 left"
    assert shown(95.0, 100) == "1:35"


@pytest.mark.parametrize(
    ("checkpoints", "precision", "name"),
    [
        ((), "int8", "demo-int8.emer"),
        (("runs/emert-fold1.pt",), "fp16,int8", "emert-fold1-fp16-int8.emer"),
        (("er-7=a.pth", "fer-7=b.pth"), "auto", "emert-auto.emer"),
        (("er-7=a.pth", "fer-7=a.pth"), "fp32", "a-fp32.emer"),
    ],
)
def test_bundles_without_a_name_get_one(checkpoints: tuple[str, ...], precision: str, name: str) -> None:
    assert _named(checkpoints, precision) == Path(name)


def test_a_bundle_is_found_among_the_paths(bundle: Path, tmp_path: Path) -> None:
    renamed = bundle.rename(tmp_path / "no suffix")
    assert bundle_among([Path("clips"), renamed]) == (renamed, [Path("clips")])
    assert bundle_among([Path("clips"), Path("visit")]) == (None, [Path("clips"), Path("visit")])
    with pytest.raises(ConfigurationError, match="one bundle at a time"):
        bundle_among([renamed, Path("b.emer"), Path("clips")])
    with pytest.raises(ConfigurationError, match="name a data set or a recording beside"):
        bundle_among([renamed])


def test_info_names_a_file_that_it_does_not_know(emer_edge: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "visit.csv").write_text("a,b")
    told = emer_edge("info", tmp_path / "visit.csv")
    assert told.code == 2
    assert "describes data sets, bundles, sessions, and recordings" in told.err
