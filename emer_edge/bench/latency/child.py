"""The process that measures one bundle; `emer_edge.bench.latency.processes` starts it.

It is `python -m emer_edge.bench.latency.child`. It reads one JSON request on stdin and writes JSON lines on stdout:
`{"progress": [label, done, total]}`, and at last `{"figures": ...}` or `{"error": [class, message]}`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Literal

import msgspec

from emer_edge.bench.latency.device import DeviceFigures, measure_parts, measure_stream
from emer_edge.bench.records import Streaming
from emer_edge.errors import EmerEdgeError

__all__ = ["Request"]


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the child shall measure; see `measure_parts` and `measure_stream`."""

    what: Literal["parts", "stream"]
    bundle: str
    engine: str
    threads: int
    repeats: int = 0
    warmup: int = 0
    seconds: float = 0.0
    started_ns: int | None = None


def _main() -> None:
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    # Libraries may print: only messages go to the parent.
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def send(message: dict[str, Any]) -> None:
        channel.write(msgspec.json.encode(message) + b"\n")
        channel.flush()

    def report(label: str, done: int, total: int) -> None:
        send({"progress": [label, done, total]})

    bundle = Path(request.bundle)
    try:
        figures: DeviceFigures | Streaming
        if request.what == "parts":
            counts = (request.repeats, request.warmup, request.started_ns)
            figures = measure_parts(bundle, request.engine, request.threads, *counts, report)
        else:
            figures = measure_stream(bundle, request.engine, request.threads, request.seconds, report)
    except EmerEdgeError as error:
        send({"error": [type(error).__name__, str(error)]})
    else:
        send({"figures": msgspec.to_builtins(figures)})


if __name__ == "__main__":
    _main()
