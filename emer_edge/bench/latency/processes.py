"""Measuring in a fresh process, so that imports, loading and memory are those of the bundle alone."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from time import monotonic_ns
from typing import TypeVar

import msgspec

from emer_edge import errors
from emer_edge.bench.latency.child import Request
from emer_edge.bench.latency.device import DeviceFigures
from emer_edge.bench.records import Streaming
from emer_edge.errors import EmerEdgeError, EngineError
from emer_edge.spec.progress import Progress, silent

__all__ = ["parts_in_child", "stream_in_child"]

_Figures = TypeVar("_Figures")


def parts_in_child(request: Request, progress: Progress = silent) -> DeviceFigures:
    """`measure_parts` in a fresh process; errors come back as they are."""
    return _in_child(request, DeviceFigures, progress)


def stream_in_child(request: Request, progress: Progress = silent) -> Streaming:
    """`measure_stream` in a fresh process; errors come back as they are."""
    return _in_child(request, Streaming, progress)


def _in_child(request: Request, kind: type[_Figures], progress: Progress) -> _Figures:
    threads = str(request.threads)
    request = msgspec.structs.replace(request, started_ns=monotonic_ns())
    limits = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    with subprocess.Popen(
        [sys.executable, "-m", "emer_edge.bench.latency.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **limits},
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # it died at once: its return code says so below
                child.stdin.write(msgspec.json.encode(request))
                child.stdin.close()
            for line in child.stdout:
                message = msgspec.json.decode(line)
                if "progress" in message:
                    progress(*message["progress"])
                elif "error" in message:
                    name, text = message["error"]
                    raise _error(name, text)
                else:
                    return msgspec.convert(message["figures"], kind)
        except BaseException:
            child.kill()
            raise
    raise EngineError(
        f"the process that measured {request.bundle} ended with code {child.returncode} and no figures; "
        "was it killed for memory? Try fewer threads, or one bundle at a time"
    )


def _error(name: str, text: str) -> EmerEdgeError:
    kind = getattr(errors, name, EmerEdgeError)
    error: EmerEdgeError = kind.__new__(kind)  # some take other arguments than their message
    error.args = (text,)
    return error
