"""One JSON object per line: results on stdout as they come, as of `emer_edge.core.results.Result`."""

from __future__ import annotations

import json
import sys
from typing import TextIO

from emer_edge.core.results import Result
from emer_edge.core.standard_streams import silence
from emer_edge.runtime.outputs.base import Host, Output


class JsonLines(Output):
    """Writes each result at once to a file (`options`), stdout by default."""

    name = "json"
    keeps = True

    def __init__(self, options: TextIO | None = None, host: Host | None = None) -> None:
        self._stream, self._host = options or sys.stdout, host
        self._unread = 0

    def result(self, result: Result) -> bool:
        """Write a line.

        Returns:
            False when the reader has closed the pipe, and no other output does more than show results here.

        Raises:
            OSError: there is no space, or no terminal any more.
        """
        if self._unread:
            self._unread += 1
            return True
        try:
            self._stream.write(json.dumps(result.to_dict(), allow_nan=False) + "\n")
            self._stream.flush()
        except OSError as error:
            if self._stream is sys.stdout:
                silence(sys.stdout)
            if not isinstance(error, BrokenPipeError):
                raise
            if self._host is None or all(other is self or other.only_shown for other in self._host.outputs):
                return False
            self._unread, self.keeps = 1, False  # nobody wants to keep them
            self._host.say("nobody reads stdout any more; the run goes on for its other outputs")
        return True

    def losses(self) -> dict[str, int]:
        """Results that nobody read."""
        return {"unread results": self._unread} if self._unread else {}
