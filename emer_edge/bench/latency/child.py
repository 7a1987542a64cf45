"""The process that measures one bundle; `emer_edge.bench.latency.worker` starts it.

It is `python -m emer_edge.bench.latency.child`. It reads requests (`emer_edge.bench.latency.requests`) as JSON lines on
stdin until that is closed, and writes JSON lines on stdout: `{"progress": [label, done, total]}`, and for each request
at last `{"answer": ...}` or `{"error": [class, message]}`, which ends it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from emer_edge.bench.latency.candidate import Candidate
from emer_edge.bench.latency.requests import Loop, Open, Opened, Request, Rested, Stream, Together
from emer_edge.errors import EmerEdgeError, EngineError

__all__: list[str] = []


class _Child:
    """Answers requests in order."""

    def __init__(self) -> None:
        # Libraries may print: only messages go to the parent.
        self._channel = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        self._candidate: Candidate | None = None

    def send(self, message: dict[str, Any]) -> None:
        self._channel.write(msgspec.json.encode(message) + b"\n")
        self._channel.flush()

    def answer(self, request: Request) -> Any:
        if isinstance(request, Stream):
            from emer_edge.bench.latency.streaming import measure_stream

            return measure_stream(
                Path(request.bundle), request.engine, request.threads, request.seconds, request.streams, self._report
            )
        if isinstance(request, Open):
            self._candidate = Candidate(Path(request.bundle), request.engine, request.threads, request.started_ns)
            found = self._candidate
            return Opened(engine=found.engine, device=found.device, loading=found.loading, first_ms=found.first_ms)
        if self._candidate is None:
            raise EngineError("there is no bundle open to be timed")
        if isinstance(request, Rested):
            return self._candidate.rested(request.steps)
        if isinstance(request, Together):
            return self._candidate.together(request.streams, request.steps)
        return self._candidate.loop(request.part, request.seconds, request.queries, request.seed, self._report)

    def close(self) -> None:
        if self._candidate is not None:
            self._candidate.close()

    def _report(self, label: str, done: int, total: int) -> None:
        self.send({"progress": [label, done, total]})


def _main() -> None:
    child, decoder = _Child(), msgspec.json.Decoder(Open | Loop | Rested | Together | Stream)
    try:
        for line in sys.stdin.buffer:
            child.send({"answer": msgspec.to_builtins(child.answer(decoder.decode(line)))})
    except EmerEdgeError as error:
        child.send({"error": [type(error).__name__, str(error)]})
    finally:
        child.close()


if __name__ == "__main__":
    _main()
