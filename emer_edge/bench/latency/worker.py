"""Measuring in a fresh process, so that imports, loading and memory are those of the bundle alone."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from time import monotonic_ns
from types import TracebackType
from typing import TypeVar

import msgspec

from emer_edge import errors
from emer_edge.bench.latency.loop import Turn
from emer_edge.bench.latency.requests import Open, Opened, Request, Stream
from emer_edge.bench.records import Streaming
from emer_edge.errors import EmerEdgeError, EngineError
from emer_edge.spec.progress import Progress, silent

__all__ = ["Worker", "stream_in_worker"]

_Answer = TypeVar("_Answer")


class Worker:
    """A process that times one bundle.

    Args:
        bundle: its folder.
        engine: `onnxruntime`, `tensorrt`, or `auto`.
        threads: intra-op threads of CPU engines.
    """

    def __init__(self, bundle: Path, engine: str, threads: int) -> None:
        self.bundle, self.engine, self.threads = bundle, engine, threads
        limits = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
        self._started_ns = monotonic_ns()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "emer_edge.bench.latency.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **limits},
        )

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def open(self) -> Opened:
        """Open the bundle there.

        Raises:
            BundleError, EngineError, MissingExtraError: as `Candidate`; EngineError too when the process has died.
        """
        request = Open(bundle=str(self.bundle), engine=self.engine, threads=self.threads, started_ns=self._started_ns)
        return self.ask(request, Opened)

    def turn(self, request: Request, progress: Progress = silent) -> Turn:
        """Have something timed there; raise EngineError when the process has died."""
        return self.ask(request, Turn, progress)

    def ask(self, request: Request, kind: type[_Answer], progress: Progress = silent) -> _Answer:
        """Ask for something and wait for the answer; its errors come back as they are."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has died: its return code says so below
            self._process.stdin.write(msgspec.json.encode(request) + b"\n")
            self._process.stdin.flush()
        for line in self._process.stdout:
            message = msgspec.json.decode(line)
            if "progress" in message:
                progress(*message["progress"])
            elif "error" in message:
                raise _error(*message["error"])
            else:
                return msgspec.convert(message["answer"], kind)
        raise EngineError(
            f"the process that measured {self.bundle} ended with code {self._process.wait()} and no figures; "
            "was it killed for memory? Try fewer threads, or one bundle at a time"
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.__exit__(kind, error, trace)  # closes the pipes and waits


def stream_in_worker(
    bundle: Path, engine: str, threads: int, seconds: float, streams: int = 1, progress: Progress = silent
) -> Streaming:
    """`measure_stream` in a fresh process; errors come back as they are."""
    with Worker(bundle, engine, threads) as worker:
        request = Stream(bundle=str(bundle), engine=engine, threads=threads, seconds=seconds, streams=streams)
        return worker.ask(request, Streaming, progress)


def _error(name: str, text: str) -> EmerEdgeError:
    kind = getattr(errors, name, EmerEdgeError)
    error: EmerEdgeError = kind.__new__(kind)  # some take other arguments than their message
    error.args = (text,)
    return error
