"""Outputs that may be slow or fail, each behind a queue and a thread of its own.

The queue is bounded: when the output can't keep up, the oldest items go and are counted. A fast replay waits instead,
so that nothing is lost. An output that fails is said once and ended; the run goes on.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from emer_edge.errors import EmerEdgeError
from emer_edge.runtime.pipeline import Summary
from emer_edge.runtime.say import Say
from emer_edge.spec.results import Result

__all__ = ["Background", "Worker"]

_END_S: Final = 10.0  # to write what waits at the end of a run


class Worker(Protocol):
    """What is slow: `begin` runs in the caller's thread, the rest in the output's own.

    Attributes:
        name: for messages and the summary.
    """

    name: str

    def begin(self) -> None:
        """Called before any item; raises EmerEdgeError where the output can't be had."""
        ...

    def take(self, kind: str, item: Any) -> None:
        """Take an item; `kind` is `result`, or what the worker's own taps have put."""
        ...

    def end(self) -> dict[str, int]:
        """Finish; return what was lost: name -> count."""
        ...


class Background:
    """Makes an Output of a worker.

    Args:
        worker: does the work.
        say: told once when it fails.
        limits: kind -> most items of it that wait.
        wait: whether `put` waits for room instead of dropping, as a fast replay wants it.

    Attributes:
        name: the worker's.
    """

    def __init__(self, worker: Worker, say: Say, limits: dict[str, int], wait: bool = False) -> None:
        self.name = worker.name
        self._worker, self._say, self._limits, self._wait = worker, say, limits, wait
        self._changed = threading.Condition()
        self._items: deque[tuple[str, Any]] = deque()
        self._waiting = dict.fromkeys(limits, 0)
        self._dropped = dict.fromkeys(limits, 0)
        self._lost: dict[str, int] = {}
        self._failed = self._ending = self._began = False
        self._thread = threading.Thread(target=self._run, name=f"emer-edge {worker.name}", daemon=True)

    @property
    def helper_pid(self) -> int | None:
        """See `Helped`."""
        pid: int | None = getattr(self._worker, "helper_pid", None)
        return pid

    def begin(self) -> None:
        """Begin, and start the thread; raise EmerEdgeError where the output can't be had."""
        self._worker.begin()
        self._began = True
        self._thread.start()

    def put(self, kind: str, item: Any) -> None:
        """Queue an item; never raises. Items before `begin` wait in the queue."""
        with self._changed:
            if self._failed:
                return
            if self._wait and self._began:
                self._changed.wait_for(lambda: self._waiting[kind] < self._limits[kind] or self._failed or self._ending)
            self._items.append((kind, item))
            self._waiting[kind] += 1
            if self._waiting[kind] > self._limits[kind]:
                self._drop_oldest(kind)
            self._changed.notify_all()

    def result(self, result: Result) -> bool:
        """Queue a result, unless the worker hears of steps by a tap of its own."""
        if "result" in self._limits:
            self.put("result", result)
        return True

    def end(self, summary: Summary | None) -> None:
        """Let the worker take what waits, for 10 s at most, and finish."""
        if not self._began:
            return
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._thread.join(_END_S)
        if self._thread.is_alive():
            with self._changed:
                left = len(self._items)
                self._items.clear()
                self._lost["unsent at the end"] = left
            self._say(f"{self.name}: {left} items could not be written within {_END_S:g} s of the run's end")

    def lost(self) -> dict[str, int]:
        """What was lost so far: name -> count, those above zero."""
        with self._changed:
            counts = {f"{kind}s": count for kind, count in self._dropped.items()} | self._lost
        return {name: count for name, count in counts.items() if count}

    def _drop_oldest(self, kind: str) -> None:
        for at, (each, _) in enumerate(self._items):
            if each == kind:
                del self._items[at]
                break
        self._waiting[kind] -= 1
        self._dropped[kind] += 1

    def _next(self) -> tuple[str, Any] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._ending)
            if not self._items:
                return None
            kind, item = self._items.popleft()
            self._waiting[kind] -= 1
            self._changed.notify_all()
            return kind, item

    def _run(self) -> None:
        while (queued := self._next()) is not None:
            if not self._guarded(lambda each=queued: self._worker.take(*each)):  # type: ignore[misc]
                break
        lost: dict[str, int] = {}
        self._guarded(lambda: lost.update(self._worker.end()))
        with self._changed:
            self._lost |= lost

    def _guarded(self, work: Callable[[], None]) -> bool:
        """Do something; say and remember that it failed, whatever the reason: the run must go on."""
        try:
            work()
        except Exception as error:
            first = not self._failed
            with self._changed:
                self._failed = True
                self._lost["failed"] = 1
                self._items.clear()
                self._changed.notify_all()
            if first:
                why = str(error) if isinstance(error, EmerEdgeError | OSError) else repr(error)
                self._say(f"{self.name} failed and is ended; the run goes on: {why}")
            return False
        return True
