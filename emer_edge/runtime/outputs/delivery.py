"""Delivery of a run's items to its outputs.

An output with a queue has a thread of its own. The queue is bounded: when the output can't keep up, the oldest items
are dropped and counted. A fast replay waits instead, so that nothing is lost. When an output fails, that is said once
and it gets nothing more; the run goes on.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from emer_edge.core.errors import EmerEdgeError
from emer_edge.core.results import Result
from emer_edge.runtime.outputs.base import Output
from emer_edge.runtime.pipeline import Pipeline, Summary
from emer_edge.runtime.say import Say

_END_S: Final = 10.0  # to take what waits at the end of a run
_KINDS: Final = ("frame", "sample", "result", "marker")


class Delivery:
    """Delivers items to one output.

    Args:
        output: takes them.
        say: called once when it fails.
        wait: whether `put` waits for room instead of dropping items, as in a fast replay.

    Attributes:
        output: as above.
        title: its name, and that of its stream.
    """

    def __init__(self, output: Output, say: Say, wait: bool = False) -> None:
        self.output, self._say, self._wait = output, say, wait and output.awaited
        self.title = output.name if output.stream is None else f"{output.name} of {output.stream}"
        self._limits = output.queued
        self._parts: dict[str | None, Output] = {}
        self._changed = threading.Condition()
        self._items: deque[tuple[str, Callable[[], Any]]] = deque()
        self._waiting = dict.fromkeys(self._limits, 0)
        self._lost: dict[str, int] = {}
        output.lost = self._lost
        self._failed: set[int] = set()
        self._began = self._ending = False
        self._workers: Sequence[threading.Thread] = ()
        self._summary: Summary | None = None
        self._thread = threading.Thread(target=self._run, name=f"emer-edge {output.name}", daemon=True)

    def begin(self) -> None:
        """Begin, and start the thread; raise EmerEdgeError where the output can't start."""
        self.output.begin()
        self._began = True
        self._workers = [worker for worker in self.output.workers if worker.is_alive()]
        if self._limits:
            self._thread.start()

    def takes(self, kind: str, stream: str | None) -> bool:
        """Whether the output does anything with such items of a stream."""
        own = self.output.stream in (None, stream)
        return own and getattr(type(self._part(stream)), kind) is not getattr(Output, kind)

    def queues(self, kind: str) -> bool:
        """Whether such items go through the queue."""
        return kind in self._limits

    def put(self, kind: str, stream: str | None, *item: Any) -> bool:
        """Deliver an item, or queue it; never raises. Items before `begin` wait in the queue.

        Returns:
            False when nobody reads this output any more.
        """
        part = self._part(stream)
        self._watch_workers()
        work = partial(getattr(part, kind), *item)
        if kind not in self._limits:
            return self._guarded(part, kind, work) is not False
        with self._changed:
            if self._wait and self._thread.is_alive():
                self._changed.wait_for(
                    lambda: self._waiting[kind] < self._limits[kind] or id(part) in self._failed or self._ending
                )
            self._items.append((kind, partial(self._guarded, part, kind, work)))
            self._waiting[kind] += 1
            if self._waiting[kind] > self._limits[kind]:
                self._drop_oldest(kind)
            self._changed.notify_all()
        return True

    def end(self, summary: Summary | None) -> None:
        """Let the output take the queue, for 10 s at most, and end it; without a summary where it never began."""
        self._watch_workers()
        with self._changed:
            self._ending = self.output.ending = True
            self._summary = summary if self._began else None
            self._changed.notify_all()
        if not self._thread.is_alive():
            self._finish()
            return
        self._thread.join(_END_S)
        if self._thread.is_alive():
            with self._changed:
                left = len(self._items)
                self._items.clear()
            self._lost["unsent at the end"] = left
            self._say(f"{self.title}: {left} items could not be written within {_END_S:g} s of the run's end")

    def losses(self) -> dict[str, int]:
        """Losses so far: name -> count, those above zero."""
        return {name: count for name, count in self._lost.items() if count} | self.output.losses()

    def _part(self, stream: str | None) -> Output:
        if stream not in self._parts:
            self._parts[stream] = self.output.part(stream)
        return self._parts[stream]

    def _drop_oldest(self, kind: str) -> None:
        oldest = next(at for at, item in enumerate(self._items) if item[0] == kind)
        del self._items[oldest]
        self._waiting[kind] -= 1
        self._lose(kind)

    def _lose(self, kind: str) -> None:
        with self._changed:
            self._lost[f"{kind}s"] = self._lost.get(f"{kind}s", 0) + 1

    def _has_failed(self, part: Output) -> bool:
        return id(part) in self._failed or id(self.output) in self._failed

    def _watch_workers(self) -> None:
        dead = [worker.name for worker in self._workers if not worker.is_alive()]
        if dead and not self._ending:
            self._workers = ()
            self._fail(self.output, EmerEdgeError(f"its thread {dead[0]} has died"))

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._ending)
                if not self._items:
                    break
                kind, work = self._items.popleft()
                self._waiting[kind] -= 1
                self._changed.notify_all()
            work()
        self._finish()

    def _finish(self) -> None:
        try:
            self.output.end(self._summary)
        except Exception as error:  # the others must end, too
            self._fail(self.output, error)

    def _guarded(self, part: Output, kind: str, work: Callable[[], Any]) -> Any:
        """Do the work, or count the item as lost where the output or its part fails, or failed before."""
        try:
            if not self._has_failed(part):
                return work()
        except BaseException as error:  # whatever it is, the run and this thread must go on
            if not isinstance(error, Exception) and threading.current_thread() is not self._thread:
                raise  # Ctrl-C
            self._fail(part, error)
        self._lose(kind)
        return None

    def _fail(self, part: Output, error: BaseException) -> None:
        """Report the failure once, and deliver nothing more."""
        with self._changed:
            first = id(part) not in self._failed
            self._failed.add(id(part))
            self._lost["failed"] = 1
            if part is self.output:
                for kind, _ in self._items:
                    self._lose(kind)
                self._items.clear()
                self._waiting = dict.fromkeys(self._limits, 0)
            self._changed.notify_all()
        if first:
            why = str(error) if isinstance(error, EmerEdgeError | OSError) else repr(error)
            self._say(f"the output {self.title} failed and gets nothing more; the run goes on: {why}")


class Outputs:
    """All outputs of a run.

    Args:
        pipeline: not opened yet; the outputs listen to its streams from now on.
        outputs: take items, and end, in this order.
    """

    def __init__(self, pipeline: Pipeline, outputs: Sequence[Output]) -> None:
        wait = pipeline.machine.pace == "fast"
        self._all = [Delivery(output, pipeline.say, wait) for output in outputs]
        for name, stream in pipeline.streams.items():
            for delivery in self._all:
                kinds = {kind for kind in _KINDS if delivery.takes(kind, name)}
                if not delivery.queues("result"):
                    kinds.discard("result")  # delivered by `result`
                listener = partial(_pass_on, delivery, name, kinds)
                if kinds & {"frame", "sample", "result"}:
                    stream.listen(listener)
                if "marker" in kinds:
                    stream.markers.listen(partial(listener, "marker"))

    def begin(self) -> None:
        """Begin all; raise EmerEdgeError where an output can't start."""
        for delivery in self._all:
            delivery.begin()

    def result(self, result: Result) -> bool:
        """Deliver a result to the outputs that don't queue results; False when nobody reads one of them any more."""
        read = [
            delivery.put("result", result.stream, result)
            for delivery in self._all
            if not delivery.queues("result") and delivery.takes("result", result.stream)
        ]
        return all(read)

    def end(self, summary: Summary | None) -> Summary | None:
        """End all, each with the losses of all so far; return the summary with all losses."""
        for delivery in self._all:
            summary = self._with_losses(summary)
            delivery.end(_own(summary, delivery.output.stream))
        return self._with_losses(summary)

    def _with_losses(self, summary: Summary | None) -> Summary | None:
        if summary is None:
            return None
        lossy = [delivery for delivery in self._all if delivery.losses()]
        kept = tuple(delivery.title for delivery in lossy if delivery.output.keeps)
        return replace(summary, outputs={each.title: each.losses() for each in lossy}, lost_kept=kept)


def _pass_on(delivery: Delivery, stream: str | None, kinds: set[str], kind: str, *item: Any) -> None:
    if kind in kinds:
        delivery.put(kind, stream, *item)


def _own(summary: Summary | None, stream: str | None) -> Summary | None:
    """The summary for an output of one stream: that stream's own, with the memory of the whole run."""
    if summary is None or stream is None:
        return summary
    if stream not in summary.streams:
        return None
    memory = {name: getattr(summary, name) for name in summary.__slots__ if name.endswith("rss_mb")}
    return replace(summary.streams[stream], **memory)
