"""A signal ends a command as Ctrl-C does: with its exit code, and nothing unfinished left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.mark.case("SIGTERM while a command writes", source="", before="killed at once; .NAME.XXXXXXXX stayed for good")
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)],
    ids=["Ctrl-C", "SIGTERM", "SIGHUP"],
)
def test_a_signal_ends_a_command_and_leaves_nothing(tmp_path: Path, number: signal.Signals, code: int) -> None:
    command = [sys.executable, "-m", "emer_edge", "simulate", "recording", "visit", "--seconds", "600"]
    started = subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, _usual(number)),
    )
    with started:
        while not os.listdir(tmp_path) and started.poll() is None:
            time.sleep(0.05)
        started.send_signal(number)
        assert started.wait() == code
        assert started.stderr is not None
        assert "Traceback" not in started.stderr.read()
    assert os.listdir(tmp_path) == []


@pytest.mark.case("a signal that comes inside a library that swallows exceptions", source="", before="went on for ever")
def test_an_exit_that_is_swallowed_comes_again(tmp_path: Path) -> None:
    code = (
        "import os, shutil, signal, sys\n"
        "from emer_edge.cli import main\n"
        "real = os.mkdir\n"
        "def swallowing(*given, **named):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        sum(range(1000))\n"
        "    except BaseException:\n"
        "        os.mkdir = real\n"
        "    return real(*given, **named)\n"
        "os.mkdir = swallowing\n"
        "main()\n"
    )
    command = [sys.executable, "-c", code, "simulate", "recording", "visit", "--seconds", "600"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 143
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == []


def _usual(number: signal.Signals) -> object:
    """What a terminal's commands start with, whatever the tests were started with."""
    return signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
