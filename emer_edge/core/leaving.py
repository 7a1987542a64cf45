"""The end of a process: its exit code survives a library that crashes in it, and no worker survives its parent."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable


def end_with_parent() -> None:
    """Let this worker process end with the one that started it, however that ends."""
    from multiprocessing import parent_process

    def wait() -> None:
        if (parent := parent_process()) is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


class Leaving:
    """A context around all that a process does: how that ends becomes the exit code, whatever crashes later.

    It is to be entered before anything else registers with `atexit`, so that its own end comes last.

    Args:
        crashes: whether a library may crash when it is taken down; asked at the end.
    """

    def __init__(self, crashes: Callable[[], bool]) -> None:
        self._crashes = crashes
        self._code = 1  # of an exception that nobody catches

    def __enter__(self) -> None:
        atexit.register(self._leave)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self._code = 0
        elif isinstance(error, SystemExit):
            self._code = error.code if isinstance(error.code, int) else int(error.code is not None)

    def _leave(self) -> None:
        """Leave before libraries are taken down; threads have been joined and the others' `atexit` is done."""
        if not self._crashes():
            return
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(self._code)
