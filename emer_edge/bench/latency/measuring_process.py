"""Measuring in a fresh process, so that imports, loading and memory are those of the bundle alone.

`Worker` starts `python -m emer_edge.bench.latency.measuring_process`, which reads requests as JSON lines on stdin until
that is closed, and writes JSON lines on stdout: `{"progress": [label, done, total]}`, and for each request at last
`{"answer": ...}` or `{"error": [class, message]}`, which ends it.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic_ns
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

import msgspec

from emer_edge.bench.latency.closed_loop import Turn
from emer_edge.bench.latency.timed_bundle import Candidate, measure_stream
from emer_edge.bench.options import LatencyOptions
from emer_edge.bench.records.latency_records import FirstResult, Loading, Streaming
from emer_edge.core import errors
from emer_edge.core.errors import EmerEdgeError, EngineError
from emer_edge.core.progress import Progress, silent


class _Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    pass


class Open(_Request, frozen=True, kw_only=True):
    """Open a bundle; see `Candidate`. The answer is `Opened`."""

    bundle: str
    engine: str
    threads: int
    started_ns: int


class Loop(_Request, frozen=True, kw_only=True):
    """Do a part in a closed loop; see `closed_loop`. The answer is a `Turn`."""

    part: str
    seconds: float = 0.0
    queries: int = 0
    seed: int = 0


class Rested(_Request, frozen=True, kw_only=True):
    """Do live steps after pauses. The answer is a `Turn`."""

    steps: int


class Together(_Request, frozen=True, kw_only=True):
    """Do live steps of several people. The answer is a `Turn`."""

    streams: int
    steps: int


class Stream(_Request, frozen=True, kw_only=True):
    """Run the live pipeline; see `measure_stream`. The answer is a `Streaming`."""

    bundle: str
    engine: str
    threads: int
    seconds: float
    streams: int = 1


Request: TypeAlias = Open | Loop | Rested | Together | Stream


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle is open; the fields are those of `Candidate`."""

    engine: str
    device: str
    loading: Loading
    first_ms: float


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
        import subprocess  # the process that is started imports this file too, and what it imports counts

        self._process = subprocess.Popen(
            [sys.executable, "-m", "emer_edge.bench.latency.measuring_process"],
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


def stream_in_worker(bundle: Path, options: LatencyOptions, streams: int = 1, progress: Progress = silent) -> Streaming:
    """`measure_stream` in a fresh process; errors come back as they are."""
    with Worker(bundle, options.engine, options.threads) as worker:
        request = Stream(
            bundle=str(bundle),
            engine=options.engine,
            threads=options.threads,
            seconds=options.stream_s,
            streams=streams,
        )
        return worker.ask(request, Streaming, progress)


def _error(name: str, text: str) -> EmerEdgeError:
    kind: type[EmerEdgeError] = getattr(errors, name, EmerEdgeError)
    return kind.__new__(kind, text)  # some take other arguments than their message


def first_results(
    bundles: Sequence[Path], start: Callable[[Path], float], times: int, progress: Progress = silent
) -> list[FirstResult]:
    """Start each bundle so often cold and so often warm, in turns.

    Args:
        bundles: folders.
        start: starts a process that gives one result of a bundle, and ends; ms from its start to the result.
        times: of each kind.
        progress: told after each start.
    """
    cold: list[list[float]] = [[] for _ in bundles]
    warm: list[list[float]] = [[] for _ in bundles]
    reasons = [""] * len(bundles)
    for turn in range(times):
        for number, bundle in enumerate(bundles):
            progress("starting", turn * len(bundles) + number, times * len(bundles))
            reasons[number] = reasons[number] or drop_from_cache(bundle)
            if not reasons[number]:
                cold[number].append(start(bundle))
            elif not turn:
                start(bundle)  # or the first warm start might be a cold one
            warm[number].append(start(bundle))
    progress("starting", times * len(bundles), times * len(bundles))
    return [
        FirstResult(cold_ms=() if reason else tuple(one), warm_ms=tuple(other), reason=reason)
        for one, other, reason in zip(cold, warm, reasons, strict=True)
    ]


def drop_from_cache(folder: Path) -> str:
    """Ask the kernel to forget a folder's files (posix_fadvise, DONTNEED) and look whether it did.

    Returns:
        Why they may still be in it; empty where they are not.
    """
    if not hasattr(os, "posix_fadvise"):
        return "this system has no posix_fadvise to drop files from the page cache with"
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        try:
            file = os.open(path, os.O_RDONLY)
        except OSError as error:
            return f"{path.name} can't be opened: {error.strerror}"
        try:
            with contextlib.suppress(OSError):
                os.fsync(file)  # what is not yet on the disk can't be dropped
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            kept = _kept(file)
        finally:
            os.close(file)
        if kept is None:
            return f"nobody tells whether {path.name} is in the page cache"
        if kept:
            return f"{path.name} stays in the page cache"
    return ""


def _kept(file: int) -> bool | None:
    """Whether a page of a file is in the page cache, by mincore(2), which reads none; None where it can't be asked."""
    size = os.fstat(file).st_size
    if not size:
        return False
    pages = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
    try:
        with mmap.mmap(file, size, access=mmap.ACCESS_COPY) as mapped:
            start = ctypes.c_char.from_buffer(mapped)
            failed = ctypes.CDLL(None).mincore(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(size), pages)
            del start  # or the mapping could not be closed
    except (OSError, AttributeError):
        return None
    return None if failed else any(page & 1 for page in pages)


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
            return measure_stream(
                Path(request.bundle),
                request.engine,
                request.threads,
                seconds=request.seconds,
                streams=request.streams,
                progress=self._report,
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
        return self._candidate.loop(
            request.part, seconds=request.seconds, queries=request.queries, seed=request.seed, progress=self._report
        )

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
