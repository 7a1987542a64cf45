"""A library that crashes when the process ends, as ONNX Runtime does on some boards; here libc aborts at exit."""

from __future__ import annotations

import subprocess
import sys

import pytest

START = """\
import ctypes, logging, sys
from emer_edge.core.leaving import Leaving
libc = ctypes.CDLL(None)
with Leaving(lambda: {crashes}):
    import atexit
    atexit.register(print, "last words")
    libc.__cxa_atexit(libc.abort, None, None)
    logging.basicConfig(stream=sys.stderr)
    print("result", end="")
    {end}
"""
ENDS = {"pass": 0, "sys.exit(0)": 0, "sys.exit(3)": 3, "sys.exit()": 0, "sys.exit('no')": 1, "raise ValueError": 1}


def run(end: str, crashes: bool = True) -> subprocess.CompletedProcess[str]:
    code = START.format(end=end, crashes=crashes)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.case(
    "JetPack 6 with onnxruntime 1.23.2, which aborts when the process ends",
    source="https://github.com/microsoft/onnxruntime/issues/28301",
    before="exit code 134 after a good run",
)
@pytest.mark.parametrize("end", ENDS)
def test_the_exit_code_survives_a_crash_at_the_end(end: str) -> None:
    done = run(end)
    assert done.returncode == ENDS[end], done.stderr
    assert done.stdout == "resultlast words\n"  # flushed, and after what others had to do at the end
    assert ("Traceback" in done.stderr) == (end == "raise ValueError")


def test_without_that_it_would_not() -> None:
    assert run("sys.exit(0)", crashes=False).returncode == -6


CLI = """\
import ctypes, platform, sys
import emer_edge.runtime.engines.onnxruntime_engine as engine
from emer_edge.cli import main
libc = ctypes.CDLL(None)
libc.__cxa_atexit(libc.abort, None, None)
platform.machine = lambda: "aarch64"
engine.version = lambda _: "1.23.2"
sys.argv = ["emer-edge", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize(("arguments", "code"), [(("--version",), 0), (("run", "no.emer", "--check"), 2)])
def test_the_command_line_leaves_with_its_own_code(arguments: tuple[str, ...], code: int) -> None:
    done = subprocess.run([sys.executable, "-c", CLI, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, "emer-edge" in done.stdout + done.stderr) == (code, True)
