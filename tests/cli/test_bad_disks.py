"""Commands on disks that refuse: one clear error, exit 2, and nothing half-written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
COMMANDS = ("synth", "simulate", "predict", "report", "prepare", "convert", "train", "export", "bench")
DISKS = ("full", "full of names", "read-only", "limited", "a file", "vanishing")
_LOST = {"a file": 2, "full": 3, "limited": 3}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def answers(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount disks")
    work = tmp_path_factory.mktemp("disks")
    mounted = subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", str(work)], check=False)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    command = [sys.executable, str(HERE / "bad_disks.py"), str(exported), str(work)]
    done = subprocess.run(["unshare", "--mount", *command], stdout=subprocess.PIPE, text=True, check=True)
    lines = map(json.loads, done.stdout.splitlines())
    return {f"{line['command']} {line['disk']}": line for line in lines}


@pytest.mark.case(
    "an output on a disk that is full, read-only, limited or gone",
    source="https://github.com/opencv/opencv/issues/25969",
    before="synth: a traceback of XlsxWriter; simulate recording: half a video, exit 0",
)
@pytest.mark.parametrize(
    ("command", "disk"),
    [(command, disk) for command in COMMANDS for disk in DISKS if (command, disk) != ("bench", "vanishing")],
)  # a bench makes its folder when it writes there, and again where it is gone between two files
def test_a_disk_that_refuses_is_one_error_and_leaves_nothing(
    answers: dict[str, dict[str, Any]], command: str, disk: str
) -> None:
    answer = answers[f"{command} {disk}"]
    assert answer["crash"] == ""
    assert answer["code"] == 2, answer["said"]
    (error,) = (line for line in answer["said"].splitlines() if line.startswith("emer-edge: "))
    assert "write" in error
    assert ".emer-edge-new" not in error
    unfinished = ["x.pt.resume"] if command == "train" else []  # whole, so that the same command goes on from it
    assert answer["left"] in ([], unfinished)


@pytest.mark.case("a run that keeps what its disk refuses, from the start or while it lasts")
@pytest.mark.parametrize(
    ("command", "disk", "code"),
    [("run --save", "read-only", 2), ("run --record", "read-only", 2)]
    + [(f"run --{output}", disk, code) for output in ("save", "record") for disk, code in _LOST.items()],
)
def test_a_run_says_that_what_was_to_be_kept_is_lost(
    answers: dict[str, dict[str, Any]], command: str, disk: str, code: int
) -> None:
    answer = answers[f"{command} {disk}"]
    assert answer["crash"] == ""
    assert answer["code"] == code, answer["said"]
