"""Measuring in a fresh process, so that imports, loading and memory are those of the bundle alone.

`Worker` starts `python -m emer_edge.bench.latency.measuring_process`, which reads calls as JSON lines on stdin until
that is closed, for example `{"open": {...}}`, and writes JSON lines on stdout: `{"progress": [label, done, total]}` and
at the end of each call, `{"answer": ...}` or `{"error": [class, message]}`, which ends it.
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
from typing import Any, TypeVar

import msgspec

from emer_edge.bench.latency.closed_loop import Turn
from emer_edge.bench.latency.timed_bundle import Candidate, Opened, measure_stream
from emer_edge.bench.records.latency_records import FirstResult, Streaming
from emer_edge.core import errors
from emer_edge.core.errors import EmerEdgeError, EngineError
from emer_edge.core.progress import Progress, silent
from emer_edge.core.secrets import seen_by_children

_Answer = TypeVar("_Answer")


class Worker:
    """A process that times one bundle, with the engine and the intra-op threads that a `Candidate` takes."""

    def __init__(self, bundle: Path, engine: str, threads: int) -> None:
        self._arguments: dict[str, Any] = {"bundle": str(bundle), "engine": engine, "threads": threads}
        limits = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
        self._started_ns = monotonic_ns()
        import subprocess  # the process that is started imports this file too, and what it imports counts

        self._process = subprocess.Popen(
            [sys.executable, "-m", "emer_edge.bench.latency.measuring_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**seen_by_children(), **limits},
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
        return self._call(Opened, "open", started_ns=self._started_ns, **self._arguments)

    def turn(self, work: str, progress: Progress = silent, **arguments: Any) -> Turn:
        """Call `loop`, `rested` or `together` of the open `Candidate`; raise EngineError when the process has died."""
        return self._call(Turn, work, progress, **arguments)

    def stream(self, seconds: float, streams: int = 1, progress: Progress = silent) -> Streaming:
        """Call `measure_stream`; errors come back as they are."""
        return self._call(Streaming, "stream", progress, seconds=seconds, streams=streams, **self._arguments)

    def _call(self, kind: type[_Answer], name: str, progress: Progress = silent, **arguments: Any) -> _Answer:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has died: its return code says so below
            self._process.stdin.write(msgspec.json.encode({name: arguments}) + b"\n")
            self._process.stdin.flush()
        for line in self._process.stdout:
            message = msgspec.json.decode(line)
            if "progress" in message:
                progress(*message["progress"])
            elif "error" in message:
                name, text = message["error"]
                error: type[EmerEdgeError] = getattr(errors, name, EmerEdgeError)
                raise error.__new__(error, text)  # some take other arguments than their message
            else:
                return msgspec.convert(message["answer"], kind)
        raise EngineError(
            f"the process that measured {self._arguments['bundle']} ended with code {self._process.wait()} and no "
            "figures; was it killed for memory? Try fewer threads, or one bundle at a time"
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


def first_results(
    bundles: Sequence[Path], start: Callable[[Path], float], times: int, progress: Progress = silent
) -> list[FirstResult]:
    """Start each bundle so often cold and so often warm, in turns.

    `start` starts a process that gives one result of a bundle, and ends; it returns ms from its start to the result.
    """
    cold: list[list[float]] = [[] for _ in bundles]
    warm: list[list[float]] = [[] for _ in bundles]
    reasons = [""] * len(bundles)
    for turn in range(times):
        for number, bundle in enumerate(bundles):
            progress("starting cold and warm", turn * len(bundles) + number, times * len(bundles))
            reasons[number] = reasons[number] or drop_from_cache(bundle)
            if not reasons[number]:
                cold[number].append(start(bundle))
            elif not turn:
                start(bundle)  # or the first warm start might be a cold one
            warm[number].append(start(bundle))
    progress("starting cold and warm", times * len(bundles), times * len(bundles))
    return [
        FirstResult(cold_ms=() if reason else tuple(one), warm_ms=tuple(other), reason=reason)
        for one, other, reason in zip(cold, warm, reasons, strict=True)
    ]


def drop_from_cache(folder: Path) -> str:
    """Ask the kernel to forget a folder's files (posix_fadvise, DONTNEED) and check that it did.

    Returns:
        Why they may still be in it; empty where they are not.
    """
    if not hasattr(os, "posix_fadvise"):
        return "this system has no posix_fadvise to drop files from the page cache with"
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
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
            return f"this system does not report whether {path.name} is in the page cache"
        if kept:
            return f"{path.name} stays in the page cache"
    return ""


def _kept(file: int) -> bool | None:
    """Whether a page of a file is in the page cache, by mincore(2), which reads none; None where that fails."""
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
    """Answers calls in order."""

    def __init__(self) -> None:
        # Libraries may print: only messages go to the parent.
        self._channel = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        self._candidate: Candidate | None = None

    def send(self, message: dict[str, Any]) -> None:
        self._channel.write(msgspec.json.encode(message) + b"\n")
        self._channel.flush()

    def answer(self, name: str, arguments: dict[str, Any]) -> Any:
        if name == "stream":
            return measure_stream(**arguments, progress=self._report)
        if name == "open":
            self._candidate = Candidate(**arguments)
            return self._candidate.opened
        if self._candidate is None:
            raise EngineError("there is no bundle open to be timed")
        if name == "loop":
            return self._candidate.loop(**arguments, progress=self._report)
        return getattr(self._candidate, name)(**arguments)

    def close(self) -> None:
        if self._candidate is not None:
            self._candidate.close()

    def _report(self, label: str, done: int, total: int) -> None:
        self.send({"progress": [label, done, total]})


def _main() -> None:
    child = _Child()
    try:
        for line in sys.stdin.buffer:
            for name, arguments in msgspec.json.decode(line).items():
                child.send({"answer": child.answer(name, arguments)})
    except EmerEdgeError as error:
        child.send({"error": [type(error).__name__, str(error)]})
    finally:
        child.close()


if __name__ == "__main__":
    _main()
