"""Starting, hearing and killing a capture process."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import weakref
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.errors import CameraError
from emer_edge.runtime.cameras.records import Record, Records
from emer_edge.runtime.cameras.ring import RingReader, make_ring

__all__ = ["CaptureProcess"]

# Isolated (-I): neither the current folder nor the environment decides what the process imports; our own path does.
_BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from emer_edge.runtime.cameras.child import main; main()"
)
_READ_BYTES: Final = 1 << 16


class CaptureProcess:
    """A capture process and its two channels.

    Its life hangs on the standard input that we hold: it ends when we do, however we end. It leads a process group of
    its own, so that Ctrl-C reaches us alone and `close` takes along what a driver has started.

    Args:
        source: as written by the user.

    Raises:
        CameraError: the system can't start it.

    Attributes:
        over: whether it has closed its end of the pipe.
    """

    def __init__(self, source: str) -> None:
        self._ring = make_ring()
        self._records, theirs = os.pipe()
        self.over = False
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _BOOT, json.dumps(sys.path), source, str(theirs), str(self._ring)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # drivers chatter; what matters comes as a record
                pass_fds=(theirs, self._ring),
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._ring)
            os.close(self._records)
            raise CameraError(f"can't start the capture process for {source}: {error}") from error
        finally:
            os.close(theirs)
        os.set_blocking(self._records, False)
        self._parser = Records()
        self._reader = RingReader(self._ring)
        self._end = weakref.finalize(self, _end, self._process, (self._records, self._ring), os.getpid())

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    def receive(self, wait_s: float, wake: int) -> Sequence[Record]:
        """The records that have come, waiting at most so long for the first, or until `wake` is readable."""
        poll = select.poll()
        poll.register(self._records, select.POLLIN)
        poll.register(wake, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll(max(0.0, 1000 * wait_s))]
        found: list[Record] = []
        while self._records in ready:
            try:
                data = os.read(self._records, _READ_BYTES)
            except BlockingIOError:
                break
            if not data:
                self.over = True
                break
            found += self._parser.feed(data)
        return found

    def image(self, record: Record) -> NDArray[np.uint8] | None:
        """A copy of the image that a record announces, or None where it has been overwritten meanwhile."""
        return self._reader.copy(record.number, record.slot_bytes, record.height, record.width)

    def ending(self) -> str:
        """How it ended, for a sentence."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        code = self._process.poll()
        if code is not None and code < 0:
            return f"its capture process was killed by {signal.Signals(-code).name}"
        return "its capture process ended"

    def close(self) -> None:
        """Kill it with all that it has started, and free the channels; may be called twice."""
        self._end()


def _end(process: subprocess.Popen[bytes], channels: Sequence[int], owner: int) -> None:
    if os.getpid() != owner:  # a fork of ours ends
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in the kernel: it goes when the driver lets go
        process.wait(2.0)
    assert process.stdin is not None
    process.stdin.close()
    for each in channels:
        os.close(each)
