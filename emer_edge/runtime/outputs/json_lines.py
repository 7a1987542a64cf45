"""One JSON object per line: results on stdout as they come, as of `emer_edge.core.results.Result`."""

from __future__ import annotations

import json
import os
import sys
from typing import TextIO

from emer_edge.core.results import Result
from emer_edge.runtime.outputs.base import Host, Output


class JsonLines(Output):
    """Writes each result at once to a file (`options`), stdout by default."""

    name = "json"

    def __init__(self, options: TextIO | None = None, host: Host | None = None) -> None:
        self._stream = options or sys.stdout

    def result(self, result: Result) -> bool:
        """Write a line; False when the reader has closed the pipe."""
        try:
            self._stream.write(json.dumps(result.to_dict(), allow_nan=False) + "\n")
            self._stream.flush()
        except BrokenPipeError:
            if self._stream is sys.stdout:
                # Python flushes stdout once more at exit, and would complain then.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return False
        return True
