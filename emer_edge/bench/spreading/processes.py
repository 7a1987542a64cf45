"""Several processes of this machine, each with the bundle open and one thread."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final, TypeVar

from emer_edge.bench.spreading.base import AHEAD, CHUNK, Failure, Opening, answers_of, chunks_of
from emer_edge.data.images import import_cv2
from emer_edge.errors import ConfigurationError, EmerEdgeError, WorkerError
from emer_edge.runtime.session import Session

__all__ = ["InProcesses"]

Item = TypeVar("Item")
Found = TypeVar("Found")

_READY: Final = "ready"
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_GRACE_S: Final = 5.0


class InProcesses:
    """Work dealt to processes, a few items at a time (see `emer_edge.bench.spreading.base.Spread`).

    Processes are started by the first work and end with `close`, with this process, or with the first error.

    Args:
        opening: the bundle that each opens.
        count: processes, at least 1.

    Raises:
        ConfigurationError: no processes.
    """

    notes = ()

    def __init__(self, opening: Opening, count: int) -> None:
        if count < 1:
            raise ConfigurationError(f"workers are at least 1, not {count}")
        self._opening = opening
        self._count = count
        self._workers: list[_Worker] = []

    def map_ordered(self, work: Callable[[Session, Item], Found], items: Sequence[Item]) -> Iterator[Found]:
        """See `Spread`; what is dealt and not yet taken is never more than `AHEAD` chunks a worker."""
        chunks = chunks_of(items)
        while len(self._workers) < min(self._count, len(chunks)):
            self._workers.append(_Worker(self._opening, self._count))
        done = False
        try:
            yield from self._dealt(work, chunks, len(items))
            done = True
        finally:
            if not done:  # an error, Ctrl-C, or answers that nobody wants any more
                self.close()

    def close(self) -> None:
        """End all processes at once, whatever they do; may be called twice."""
        workers, self._workers = self._workers, []
        for each in workers:
            each.end()
        for each in workers:
            each.join()

    def _dealt(
        self, work: Callable[[Session, Item], Found], chunks: Sequence[Sequence[Item]], total: int
    ) -> Iterator[Found]:
        early: dict[int, list[Found]] = {}
        dealt = 0
        for given in range(len(chunks)):
            while given not in early:
                for each in self._workers:
                    if each.idle and dealt < min(len(chunks), given + AHEAD * self._count):
                        each.deal(work, dealt, chunks[dealt], total)
                        dealt += 1
                for each in _readable(self._workers):
                    answer = each.answer()
                    if answer is not None:
                        number, found = answer
                        early[number] = found
            yield from early.pop(given)

    def __enter__(self) -> InProcesses:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Worker:
    """One process, as the process that deals sees it."""

    def __init__(self, opening: Opening, count: int) -> None:
        context = get_context("spawn")  # a fork of a process with threads (an inference engine's, say) can hang
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs, opening), daemon=True)
        with _inherited():
            self.process.start()
        theirs.close()  # else its end would not be noticed
        self._count = count
        self._doing: str | None = "it started"
        self._number = -1

    @property
    def idle(self) -> bool:
        """Whether it waits for work."""
        return self._doing is None

    def deal(self, work: Callable[..., Any], number: int, items: Sequence[Any], total: int) -> None:
        """Send it a chunk."""
        first = number * CHUNK
        self._doing = f"it worked on items {first + 1} to {first + len(items)} of {total}"
        self._number = number
        try:
            self.connection.send((work, items))
        except OSError:
            raise self._lost() from None

    def answer(self) -> tuple[int, list[Any]] | None:
        """Number and answers of its chunk; None when it has but become ready."""
        try:
            found = self.connection.recv() if self.connection.poll() else None
        except (EOFError, OSError):
            found = None
        if found is None:
            raise self._lost()
        if isinstance(found, Failure):
            raise found.raised()
        self._doing = None
        return None if found == _READY else (self._number, found)

    def end(self) -> None:
        """Stop it now."""
        with suppress(OSError, ValueError):
            self.process.kill()
        self.connection.close()

    def join(self) -> None:
        """Wait until it is gone."""
        self.process.join(_GRACE_S)

    def _lost(self) -> WorkerError:
        self.process.join(_GRACE_S)
        code = self.process.exitcode
        fewer = "pass --workers 1 to work in this process" if self._count < 3 else f"try --workers {self._count // 2}"
        told = f"worker process {self.process.pid} ended with code {code} while {self._doing or 'it waited'}"
        advice = f"what it said stands above; {fewer}"
        if code is not None and code < 0:
            with suppress(ValueError):
                name = signal.Signals(-code).name
                told = f"worker process {self.process.pid} was ended by {name} while {self._doing or 'it waited'}"
            if -code == signal.SIGKILL:
                advice = f"the kernel does so when memory runs out; {fewer}"
        elif self._doing == "it started":
            advice += ", and start a script's own code under if __name__ == '__main__'"
        return WorkerError(f"{told}; {advice}")


def _readable(workers: Sequence[_Worker]) -> list[_Worker]:
    """Those that have answered, or ended."""
    ready = set(map(id, wait([each.connection for each in workers] + [each.process.sentinel for each in workers])))
    return [
        each for each in workers if id(each.connection) in ready or not each.process.is_alive()
    ]  # a sentinel is a number: asking the process tells the same


@contextmanager
def _inherited() -> Iterator[None]:
    """What a process that is started here inherits: one thread for every library, and no ear for Ctrl-C.

    Ctrl-C reaches all processes of a terminal; only the one that deals has anything to say about it.
    """
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(_ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _serve(connection: Connection, opening: Opening) -> None:
    """A worker's life: open the bundle, answer chunks, end when nobody is there any more."""
    with suppress(EOFError, OSError):
        try:
            import_cv2().setNumThreads(1)
            session = opening.open()
        except EmerEdgeError as error:
            connection.send(Failure.of(error))
            return
        with session:
            connection.send(_READY)
            while True:
                work, items = connection.recv()
                connection.send(answers_of(session, work, items))
