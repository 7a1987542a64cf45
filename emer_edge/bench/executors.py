"""The same work on many clips: in this process, in several of this machine, or on the workers of a Dask cluster.

The last two are executors of `concurrent.futures`, and one code path. Work is a function of the session and the item
alone, its results are picklable and come in the order of the items, and never more than a few of them wait to be taken:
figures are the same to the last digit whoever works, and a data set larger than memory streams through.

What travels to a cluster is listed in docs/bench-accuracy.md: names, labels and paths of clips one way, numbers the
other; images stay where they are, which is why every machine has the data set under the same path.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as NoAnswerError
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, Final, TypeVar

from emer_edge.bench.bench_options import WorkerOptions
from emer_edge.bench.worker_side import Machine, Opening, answers, begin, differences, forget, look, marked
from emer_edge.core.errors import WorkerError
from emer_edge.core.secrets import seen_by_children
from emer_edge.data.dataset import Clip
from emer_edge.runtime.session import Session

Item = TypeVar("Item")
Answer = TypeVar("Answer")

CHUNK: Final = 2
"""Items dealt at a time: a clip takes about a second, so a message costs nothing, and the last ones end together."""
AHEAD: Final = 2
"""Chunks per worker that are dealt, or answered and not yet taken."""

_PATIENCE_S: Final = 20.0
_SIGNALS: Final = {number.value: number.name for number in signal.Signals}
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


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


@contextmanager
def spread_over(
    session: Session, clips: Sequence[Clip], options: WorkerOptions, patience_s: float = _PATIENCE_S
) -> Iterator[Spread]:
    """Spread work on clips by the bundle of a session; what the work started ends with the context.

    Args:
        session: of the bundle.
        clips: that are worked on; every machine of a cluster must have the same.
        options: who works.
        patience_s: how long a cluster may be without a scheduler that answers, or without workers.
    """
    spread = Spread(session)
    if options.scheduler is not None:
        spread = _OnCluster(session, clips, options.scheduler, patience_s)
    elif options.workers > 1:
        spread = _InProcesses(session, options.workers)
    try:
        yield spread
    finally:
        spread.close()


class _ByExecutor(Spread):
    """Work dealt to an executor, a few items at a time; the first work starts it."""

    patience_s = _PATIENCE_S
    start: Callable[[int], Executor]
    """The executor, for so many chunks of work."""
    workers: Callable[[], int]
    """How many work, at least 1."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.opening = Opening.of(session)
        self.executor: Executor | None = None

    def map_ordered(self, work: Callable[[Session, Item], Answer], items: Sequence[Item]) -> Iterator[Answer]:
        chunks = [items[at : at + CHUNK] for at in range(0, len(items), CHUNK)]
        waiting: deque[Future[list[Answer]]] = deque()
        try:
            for chunk in chunks:
                self.executor = self.executor or self.start(len(chunks))
                while len(waiting) >= AHEAD * self.workers():
                    yield from self._taken(waiting.popleft())
                waiting.append(self.executor.submit(answers, self.opening, work, chunk))
            while waiting:
                yield from self._taken(waiting.popleft())
        except Exception as error:
            raised = self.to_raise(error)
            if raised is error:
                raise
            raise raised from None
        finally:
            for future in waiting:
                future.cancel()

    def _taken(self, future: Future[list[Answer]]) -> list[Answer]:
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


class _InProcesses(_ByExecutor):
    """Processes of this machine, each with one thread."""

    def __init__(self, session: Session, count: int) -> None:
        super().__init__(session)
        self._count = count
        self._children: list[Any] = []

    def start(self, chunks: int) -> Executor:
        """Start all of them now, so that each inherits what `_inherited` says."""
        self._count = min(self._count, chunks)
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


class _OnCluster(_ByExecutor):
    """The workers of a running Dask cluster (https://distributed.dask.org), by its own executor.

    Before anything is dealt, every worker checks that it has the same version, bundle and clips, and an engine; workers
    that come later check the bundle themselves. One that is lost is replaced by the others.
    """

    def __init__(self, session: Session, clips: Sequence[Clip], address: str, patience_s: float) -> None:
        super().__init__(session)
        self.patience_s = patience_s
        self._address = address
        self._clips = clips
        self._client: Any = None
        self._alone_since: float | None = None

    def start(self, chunks: int) -> Executor:
        from distributed import Client

        for name in ("distributed", "distributed.client", "distributed.core", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # their messages are given below, once
        try:
            self._client = Client(self._address, timeout=self.patience_s, set_as_default=False)
        except (OSError, ValueError, TimeoutError, asyncio.TimeoutError) as error:
            raise WorkerError(
                f"no Dask scheduler answers at {self._address} ({_first_line(error)}); start one with: dask scheduler, "
                "and on each machine: dask worker tcp://HOST:8786 --nthreads 1 --nworkers auto"
            ) from None
        with suppress(TimeoutError, asyncio.TimeoutError):
            self._client.wait_for_workers(1, timeout=self.patience_s)
        addresses = list(self._threads())
        if not addresses:
            raise WorkerError(
                f"the Dask scheduler at {self._address} has no workers; start them on each machine: "
                f"dask worker {self._address} --nthreads 1 --nworkers auto"
            )
        looks = {
            address: self._client.get_executor(workers=[address], allow_other_workers=False, pure=False).submit(
                look, self.opening, marked(self._clips)
            )
            for address in addresses
        }
        machines = {address: future.exception() or future.result() for address, future in looks.items()}
        self.notes = differences(Machine.here(), machines)
        executor: Executor = self._client.get_executor(pure=False)
        return executor

    def workers(self) -> int:
        return max(sum(self._threads().values()), 1)

    def _threads(self) -> dict[str, int]:
        """Address of each worker -> its threads."""
        try:
            threads: dict[str, int] = dict(self._client.nthreads())
        except Exception as error:
            raise self._lost(error) from None
        return threads

    def look_around(self) -> None:
        now = monotonic()
        self._alone_since = None if self._threads() else self._alone_since or now
        if self._alone_since is not None and now - self._alone_since > self.patience_s:
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # else it reports every abandoned wait
            raise WorkerError(
                f"the last worker of the Dask scheduler at {self._address} has gone; start workers again, and this "
                "command"
            )

    def to_raise(self, error: Exception) -> Exception:
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            return WorkerError(
                f"the same clips ended one Dask worker after the other, the last at {error.last_worker.address}; most "
                "likely memory ran out there: start fewer workers a machine"
            )
        return self._lost(error) if isinstance(error, (CancelledError, OSError)) else super().to_raise(error)

    def _lost(self, error: Exception) -> WorkerError:
        self.executor = None  # no call to a lost scheduler ever returns
        return WorkerError(
            f"the Dask scheduler at {self._address} was lost ({_first_line(error)}); start it again, and this command"
        )

    def close(self) -> None:
        """Free the workers' sessions and disconnect; the cluster goes on."""
        client, self._client = self._client, None
        if client is None:
            return
        if self.executor is not None:
            with suppress(Exception):
                client.run(forget, wait=False)
        client.close(timeout=self.patience_s / 4)


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


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
