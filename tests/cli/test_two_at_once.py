"""Two commands that write to one output at the same time: one wins, the other says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from emer_edge.data.synth import write_recording

_MAIN = [sys.executable, "-c", "from emer_edge.cli import main; main()"]


@pytest.mark.case(
    "two commands to one output at once, and a file of others beside it",
    before="an export removed a folder that had appeared at its output, exit 0",
)
def test_one_of_two_commands_wins_and_the_other_says_so(tmp_path: Path) -> None:
    output = tmp_path / "visit"
    (tmp_path / "notes.txt").write_text("my only copy")
    commands = [
        [*_MAIN, "simulate", "recording", str(output), "--seconds", "2", "--seed", str(seed)] for seed in (1, 2)
    ]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in commands]
    said = [process.communicate(timeout=300)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 2], said
    loser = said[codes.index(2)].splitlines()
    (error,) = (line for line in loser if line.startswith("emer-edge: "))
    assert str(output) in error
    alone = write_recording(tmp_path / "alone", 2.0, seed=1 + codes.index(0))
    made = {path.name: path.read_bytes() for path in output.iterdir()}
    assert made == {path.name: path.read_bytes() for path in alone.iterdir()}, "the winner's, whole"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "notes.txt", "visit"]
