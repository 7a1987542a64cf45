"""Starting and ending processes of our own: isolated, and gone when we are, however we end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

__all__ = ["end_child", "ending_of", "start_child"]

# Isolated (-I): neither the current folder nor the environment decides what the process imports; our own path does.
_BOOT: Final = (
    "import importlib, json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "importlib.import_module(sys.argv.pop(1)).main()"
)
_ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def start_child(module: str, arguments: Sequence[str], descriptors: Sequence[int]) -> subprocess.Popen[bytes]:
    """Start a process that runs `main()` of a module of ours; raise OSError where the system can't.

    Its life hangs on the standard input that we hold, which the kernel closes with us: it has to end when that does. It
    leads a process group of its own, so that Ctrl-C reaches us alone and `end_child` takes along what it has started.

    Args:
        module: its full name.
        arguments: `sys.argv[1:]` of the process.
        descriptors: those that it inherits beside its standard ones.
    """
    return subprocess.Popen(
        [sys.executable, "-I", "-c", _BOOT, json.dumps(sys.path), module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # drivers chatter; what matters comes another way
        pass_fds=tuple(descriptors),
        start_new_session=True,
        env=_ONE_THREAD | os.environ,
        bufsize=0,
    )


def ending_of(process: subprocess.Popen[bytes]) -> str:
    """How a process that has closed its channels ended, for a sentence."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1.0)
    code = process.poll()
    return f"was killed by {signal.Signals(-code).name}" if code is not None and code < 0 else "ended"


def end_child(process: subprocess.Popen[bytes], channels: Sequence[int], owner: int) -> None:
    """Kill a process with all that it has started, and close the channels to it.

    Args:
        process: from `start_child`.
        channels: descriptors of ours.
        owner: who started it: in a fork of ours nothing is done.
    """
    if os.getpid() != owner:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in the kernel: it goes when the driver lets go
        process.wait(2.0)
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    for each in channels:
        os.close(each)
