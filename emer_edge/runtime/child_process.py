"""Child processes: isolated, and ended with their parent, however it ends; and the programs that they start.

A program may hold what a daemon lends it. Killed in the midst of it, a client of NVIDIA's Argus leaves that daemon
stuck until it is restarted. So programs end gently, by SIGINT, SIGTERM and at last SIGKILL, each with time to act.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from emer_edge.core.secrets import seen_by_children
from emer_edge.runtime.capture.image_ring import make_ring

_CODE: Final = (
    "import importlib, json, os, sys; given = json.loads(open(0, 'rb', 0, closefd=False).readline()); "
    "sys.path[:], sys.argv[1:] = given['path'], given['arguments']; os.environ.update(given['secrets']); "
    "importlib.import_module(given['module']).main()"
)
_GENTLY: Final = ((signal.SIGINT, 3.0), (signal.SIGTERM, 0.5), (signal.SIGKILL, 2.0))  # signal, s to act upon it
_POLL_S: Final = 0.02
BOOT: Final = (sys.executable, "-I", "-c", _CODE)
"""A process for a `booted` line; isolated: it imports from that line's path, not the current folder or environment."""

_ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def booted(module: str, *arguments: str, names: Mapping[str, str] = {}) -> bytes:
    """The line that has a `BOOT` run `main()` of a module, with `sys.argv[1:]` and secrets for `secrets.filled`.

    It goes through a pipe, as every user can read command lines.
    """
    given = {"path": sys.path, "module": module, "arguments": arguments, "secrets": dict(names)}
    return json.dumps(given).encode() + b"\n"


class ChildProcess:
    """A process that runs `main()` of a module of this package, with a pipe from it and memory shared with it.

    Its arguments are the descriptors of the pipe and of the memory, then those given. It has to end when its standard
    input does, which the kernel closes with the parent. It leads a process group of its own, so that Ctrl-C reaches
    the parent alone and `close` also ends what it has started.

    Args:
        module: its full name.
        arguments: `sys.argv[3:]` of the process.
        memory: name of the shared memory.
        names: of secrets, and these.
        end_s: how long it may take to end by itself, once its standard input has ended, until it is killed; a process
            that starts programs needs `GENTLE_S`.

    Raises:
        OSError: the system can't start it.

    Attributes:
        pipe: descriptor of the parent's end of the pipe.
        memory: descriptor of the shared memory (see `emer_edge.runtime.capture.image_ring`).
        stdin: descriptor of the process's standard input.
        pid: its process number.
    """

    def __init__(
        self, module: str, *arguments: str, memory: str, names: Mapping[str, str] = {}, end_s: float = 0.5
    ) -> None:
        self.memory = make_ring(memory)
        self.pipe, theirs = os.pipe()
        try:
            self._process = subprocess.Popen(
                BOOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # drivers print much; errors come through the pipe
                pass_fds=(theirs, self.memory),
                start_new_session=True,
                env=_ONE_THREAD | seen_by_children(),
                bufsize=0,
            )
        except OSError:
            os.close(self.memory)
            os.close(self.pipe)
            raise
        finally:
            os.close(theirs)
        assert self._process.stdin is not None
        self.pid, self.stdin = self._process.pid, self._process.stdin.fileno()
        channels = (self.pipe, self.memory)
        with contextlib.suppress(BrokenPipeError):  # it has died: its records say so
            os.write(self.stdin, booted(module, str(theirs), str(self.memory), *arguments, names=names))
        self._end = weakref.finalize(self, _end, self._process, channels, end_s, owner=os.getpid())

    def ending(self) -> str:
        """How it ended, once it has closed its channels, for a sentence."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        code = self._process.poll()
        return f"was killed by {signal.Signals(-code).name}" if code is not None and code < 0 else "ended"

    def close(self) -> None:
        """Have it end with all that it has started, and close the channels to it; may be called twice."""
        self._end()


def _end(process: subprocess.Popen[bytes], channels: tuple[int, ...], end_s: float, *, owner: int) -> None:
    """End a process that `owner` has started; a fork of the owner does nothing."""
    if os.getpid() != owner:
        return
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(end_s)
    if process.poll() is not None:  # what it has left behind, where it crashed
        _end_gently(lambda number: os.killpg(process.pid, number), lambda: _is_group(process.pid))
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in the kernel: it goes when the driver lets go
            process.wait(2.0)
    for channel in channels:
        os.close(channel)


def _is_group(number: int) -> bool:
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _end_gently(send: Callable[[int], None], lives: Callable[[], bool]) -> None:
    for number, wait_s in _GENTLY:
        if not lives():
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            send(number)
        deadline_s = time.monotonic() + wait_s
        while lives() and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)


GENTLE_S: Final = sum(wait_s for _, wait_s in _GENTLY[:-1]) + 0.5
"""How long a process may take that ends its programs first, in seconds."""

_programs: Final[list[subprocess.Popen[Any]]] = []
_ending: Final = threading.Lock()


def start_program(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start a program that `end_programs` ends; it sees a broken pipe as an error, not as a signal that kills it.

    Args:
        command: the program and its arguments.
        options: of `subprocess.Popen`.

    Raises:
        OSError: the system can't start it.
    """
    program = subprocess.Popen(command, restore_signals=False, **options)
    _programs.append(program)
    return program


def end_program(program: subprocess.Popen[Any]) -> None:
    """End a program gently, and wait for it; whoever comes second waits, too, as a second SIGINT would kill it."""
    with _ending:
        _end_gently(program.send_signal, lambda: program.poll() is None)


def end_programs() -> None:
    """End all programs that this process has started gently; from any thread."""
    for program in tuple(_programs):
        end_program(program)
