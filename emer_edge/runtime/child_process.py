"""Child processes: isolated, and ended with their parent, however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import weakref
from typing import Final

from emer_edge.runtime.image_ring import make_ring

_BOOT: Final = (
    "import importlib, json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "importlib.import_module(sys.argv.pop(1)).main()"
)
_ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class ChildProcess:
    """A process that runs `main()` of a module of this package, with a pipe from it and memory shared with it.

    Its arguments are the descriptors of the pipe and of the memory, then those given. It has to end when its standard
    input does, which the kernel closes with the parent. It leads a process group of its own, so that Ctrl-C reaches
    the parent alone and `close` also kills what it has started.

    Args:
        module: its full name.
        arguments: `sys.argv[3:]` of the process.
        memory: name of the shared memory.

    Raises:
        OSError: the system can't start it.

    Attributes:
        pipe: descriptor of the parent's end of the pipe.
        memory: descriptor of the shared memory (see `emer_edge.runtime.image_ring`).
        stdin: descriptor of the process's standard input.
        pid: its process number.
    """

    def __init__(self, module: str, *arguments: str, memory: str) -> None:
        self.memory = make_ring(memory)
        self.pipe, theirs = os.pipe()
        # Isolated (-I): the process imports from this process's path alone, not the current folder or environment.
        command = [sys.executable, "-I", "-c", _BOOT, json.dumps(sys.path), module, str(theirs), str(self.memory)]
        try:
            self._process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # drivers print much; errors come through the pipe
                pass_fds=(theirs, self.memory),
                start_new_session=True,
                env=_ONE_THREAD | os.environ,
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
        self._end = weakref.finalize(self, _end, self._process, (self.pipe, self.memory), os.getpid())

    def ending(self) -> str:
        """How it ended, once it has closed its channels, for a sentence."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        code = self._process.poll()
        return f"was killed by {signal.Signals(-code).name}" if code is not None and code < 0 else "ended"

    def close(self) -> None:
        """Kill it with all that it has started, and close the channels to it; may be called twice."""
        self._end()


def _end(process: subprocess.Popen[bytes], channels: tuple[int, ...], owner: int) -> None:
    """Kill a process that `owner` has started; a fork of the owner does nothing."""
    if os.getpid() != owner:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in the kernel: it goes when the driver lets go
        process.wait(2.0)
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    for channel in channels:
        os.close(channel)
