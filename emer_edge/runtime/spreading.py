"""The same work on many items: in this process, in several of this machine, or by another executor.

All executors are of `concurrent.futures`, and one code path. Work is a function of the session and the item alone, its
results are picklable and come in the order of the items, and never more than a few of them wait to be taken: figures
are the same to the last digit whoever works, and a data set larger than memory streams through.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as NoAnswerError
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, Final, TypeVar

from emer_edge.bundle import load_bundle
from emer_edge.core.errors import BundleError, WorkerError
from emer_edge.core.leaving import end_with_parent
from emer_edge.core.secrets import seen_by_children
from emer_edge.runtime.session import Session

Item = TypeVar("Item")
Answer = TypeVar("Answer")

AHEAD: Final = 4
"""Items per worker that are dealt, or answered and not yet taken."""

_BEGIN_S: Final = 120.0  # to start all workers
_PATIENCE_S: Final = 20.0
_SIGNALS: Final = {number.value: number.name for number in signal.Signals}
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Opening:
    """How a worker opens the bundle that this process has open.

    Attributes:
        bundle: its folder, absolute.
        manifest_sha256: of its manifest, which holds the hash of every file.
        engine: that computes here; `auto` only where several do.
        parts: part of the networks and its file, so that nothing is chosen differently elsewhere.
    """

    bundle: Path
    manifest_sha256: str
    engine: str
    parts: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, session: Session) -> Opening:
        """From an open session."""
        bundle = session.bundle
        engines = {session.parts[role].engine for role in session.networks}
        engine = session.engine_name if len(engines) == 1 else "auto"
        return cls(bundle.path.resolve(), bundle.manifest_sha256, engine, tuple(session.networks.items()))

    def open(self) -> Session:
        """Open it with one thread, after every file has been checked.

        Raises:
            BundleError: there is no bundle, a broken one, or another one.
            EngineError: the engine is not there.
        """
        bundle = load_bundle(self.bundle)
        if bundle.manifest_sha256 != self.manifest_sha256:
            raise BundleError(f"{self.bundle} is another bundle than the one that is measured; copy that one here")
        return Session(bundle, self.engine, threads=1, parts=dict(self.parts) or None)


_held: dict[Opening, Session] = {}
"""The bundle that this process has open for others: one at a time."""
using = threading.Lock()
"""Held by whoever works with that bundle."""


def held_session(opening: Opening) -> Session:
    """The session of a bundle, opened by the first work on it; the caller holds `using`."""
    if opening not in _held:
        _close_held()
        _held[opening] = opening.open()
    return _held[opening]


def _close_held() -> None:
    while _held:
        _held.popitem()[1].close()


def forget() -> None:
    """Close the bundle that this process has open for others."""
    with using:
        _close_held()


def answer(opening: Opening, work: Callable[[Session, Item], Answer], item: Item) -> Answer:
    """The work on an item; a session is not shared by two threads at once."""
    with using:
        return work(held_session(opening), item)


def begin(all_here: Barrier) -> None:
    """Let this process end with the one that started it, however that ends, and wait until all workers are here.

    An idle worker would keep its executor from starting the next one at once. One that is started later, while another
    dies, makes Python 3.11's executor fail ("dictionary changed size during iteration").
    """
    end_with_parent()
    all_here.wait(_BEGIN_S)


class Spread:
    """Work on items, one after the other, in this process.

    Attributes:
        session: what the work is done with.
        notes: what a reader of the figures has to know of how they were computed.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, session: Session) -> None:
        self.session = session

    def map_ordered(self, work: Callable[[Session, Item], Answer], items: Sequence[Item]) -> Iterator[Answer]:
        """Give the result of the work on each item, in the order of the items.

        Args:
            work: a function of a module, or a `partial` of one; it depends on the session and the item alone.
            items: picklable.

        Raises:
            EmerEdgeError: the work raised it.
            WorkerError: a worker ended, or differs from this machine.
        """
        return (work(self.session, item) for item in items)

    def close(self) -> None:
        """End what was started for the work; may be called twice."""


def spread_over(session: Session, workers: int) -> AbstractContextManager[Spread]:
    """Spread work over so many processes, which end with the context; 0 and 1 work in this one."""
    return closing(_InProcesses(session, workers) if workers > 1 else Spread(session))


class ByExecutor(Spread):
    """Work dealt to an executor; the first work starts it."""

    patience_s = _PATIENCE_S
    start: Callable[[int], Executor]
    """The executor, for so many items."""
    workers: Callable[[], int]
    """How many work, at least 1."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.opening = Opening.of(session)
        self.executor: Executor | None = None

    def map_ordered(self, work: Callable[[Session, Item], Answer], items: Sequence[Item]) -> Iterator[Answer]:
        """As in `Spread`."""
        waiting: deque[Future[Answer]] = deque()
        try:
            for item in items:
                self.executor = self.executor or self.start(len(items))
                while len(waiting) >= AHEAD * self.workers():
                    yield self._taken(waiting.popleft())
                waiting.append(self.executor.submit(answer, self.opening, work, item))
            while waiting:
                yield self._taken(waiting.popleft())
        except Exception as error:
            raised = self.to_raise(error)
            if raised is error:
                raise
            raise raised from None
        finally:
            for future in waiting:
                future.cancel()

    def _taken(self, future: Future[Answer]) -> Answer:
        while True:
            try:
                return future.result(self.patience_s / 4)
            except NoAnswerError:
                if future.done():
                    raise
                self.look_around()

    def look_around(self) -> None:
        """Raise WorkerError if nobody is left who could answer."""

    def to_raise(self, error: Exception) -> Exception:
        """The error of the work itself, or why there is no answer and what to do."""
        return WorkerError("memory ran out in a worker; use fewer of them") if isinstance(error, MemoryError) else error


class _InProcesses(ByExecutor):
    """Processes of this machine, each with one thread."""

    def __init__(self, session: Session, count: int) -> None:
        super().__init__(session)
        self._count = count
        self._children: list[Any] = []

    def start(self, items: int) -> Executor:
        """Start all of them now, so that each inherits what `_inherited` says."""
        self._count = min(self._count, items)
        # A fork of a process with threads (an inference engine's, say) can hang.
        context = multiprocessing.get_context("spawn")
        executor = ProcessPoolExecutor(self._count, context, begin, (context.Barrier(self._count),))
        before, self._children = set(multiprocessing.active_children()), []
        with _inherited():
            for _ in range(self._count + 1):  # the last starts none: it has the executor watch the one started before
                executor.submit(os.getpid)
                started = [child for child in multiprocessing.active_children() if child not in before]
                before.update(started)  # one that dies now is not listed again
                self._children += started
        return executor

    def workers(self) -> int:
        return self._count

    def close(self) -> None:
        """End all processes at once, whatever they do."""
        executor, self.executor = self.executor, None
        for child in self._children:
            with suppress(ValueError):  # it is gone, and closed
                child.kill()
        if executor is not None:
            executor.shutdown(cancel_futures=True)

    def to_raise(self, error: Exception) -> Exception:
        if not isinstance(error, BrokenExecutor):
            return super().to_raise(error)
        if self.executor is not None:
            self.executor.shutdown()  # after which every exit code is known
        # One ended by itself; the executor terminated the others.
        ended = sorted(self._children, key=lambda child: child.exitcode in (None, 0, -signal.SIGTERM))[0]
        fewer = "pass --workers 1 to work in this process" if self._count < 3 else f"try --workers {self._count // 2}"
        if ended.exitcode is None or ended.exitcode >= 0:
            return WorkerError(
                f"worker process {ended.pid} ended with code {ended.exitcode}; its message is above; {fewer}, and "
                "start a script's own code under if __name__ == '__main__'"
            )
        message = f"worker process {ended.pid} was ended by {_SIGNALS.get(-ended.exitcode, -ended.exitcode)}"
        if ended.exitcode == -signal.SIGKILL:
            return WorkerError(f"{message}; the kernel does so when memory runs out; {fewer}")
        return WorkerError(f"{message}; its message is above; {fewer}")


@contextmanager
def _inherited() -> Iterator[None]:
    """What a process that is started here inherits: no secrets, one thread for every library, and Ctrl-C blocked.

    Ctrl-C reaches all processes of a terminal; only the one that deals answers it.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    before, seen = dict(os.environ), seen_by_children() | _ONE_THREAD
    os.environ.clear()
    os.environ.update(seen)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
