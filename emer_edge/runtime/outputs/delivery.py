"""Giving a run's items to its outputs, whatever these do.

An output with a queue has a thread of its own. The queue is bounded: when the output can't keep up, the oldest items
go and are counted. A fast replay waits instead, so that nothing is lost. An output that fails is said once and gets
nothing more; the run goes on.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from emer_edge.core.errors import EmerEdgeError
from emer_edge.core.results import Result
from emer_edge.runtime.outputs.base import Output
from emer_edge.runtime.pipeline import Pipeline, Summary
from emer_edge.runtime.pipeline.summary import resident_mb
from emer_edge.runtime.say import Say

_END_S: Final = 10.0  # to take what waits at the end of a run
_KINDS: Final = ("frame", "sample", "result", "marker")


class Delivery:
    """Gives one output its items.

    Args:
        output: takes them.
        say: told once when it fails.
        wait: whether `put` waits for room instead of dropping, as a fast replay wants it.

    Attributes:
        output: as above.
        title: its name, and whose it is.
    """

    def __init__(self, output: Output, say: Say, wait: bool = False) -> None:
        self.output, self._say, self._wait = output, say, wait and output.awaited
        self.title = output.name if output.stream is None else f"{output.name} of {output.stream}"
        self._limits = dict(output.queued)
        self._changed = threading.Condition()
        self._items: deque[tuple[str, Callable[[], Any]]] = deque()
        self._waiting = dict.fromkeys(self._limits, 0)
        self._lost: dict[str, int] = {}
        output.lost = self._lost
        self._failed: set[int] = set()
        self._began = self._ending = False
        self._summary: Summary | None = None
        self._thread = threading.Thread(target=self._run, name=f"emer-edge {output.name}", daemon=True)

    def begin(self) -> None:
        """Begin, and start the thread; raise EmerEdgeError where the output can't be had."""
        self.output.begin()
        self._began = True
        if self._limits:
            self._thread.start()

    def takes(self, kind: str, stream: str | None) -> bool:
        """Whether the output does anything with such items of a stream."""
        mine = self.output.stream in (None, stream)
        return mine and getattr(type(self.output.part(stream)), kind) is not getattr(Output, kind)

    def queues(self, kind: str) -> bool:
        """Whether such items go through the queue."""
        return kind in self._limits

    def put(self, kind: str, stream: str | None, *item: Any) -> bool:
        """Give an item, or queue it; never raises. Items before `begin` wait in the queue.

        Returns:
            False when nobody reads this output any more.
        """
        part = self.output.part(stream)
        work = partial(getattr(part, kind), *item)
        if kind not in self._limits:
            return self._guarded(part, work) is not False
        with self._changed:
            if id(part) in self._failed:
                return True
            if self._wait and self._thread.is_alive():
                self._changed.wait_for(
                    lambda: self._waiting[kind] < self._limits[kind] or id(part) in self._failed or self._ending
                )
            self._items.append((kind, partial(self._guarded, part, work)))
            self._waiting[kind] += 1
            if self._waiting[kind] > self._limits[kind]:
                self._drop_oldest(kind)
            self._changed.notify_all()
        return True

    def end(self, summary: Summary | None) -> None:
        """Let the output take what waits, for 10 s at most, and finish; without a summary where it never began."""
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
            self._count("unsent at the end", left)
            self._say(f"{self.title}: {left} items could not be written within {_END_S:g} s of the run's end")

    def losses(self) -> dict[str, int]:
        """What was lost so far: name -> count, those above zero."""
        return dict(self._lost) | self.output.losses()

    def _count(self, what: str, count: int) -> None:
        if count:
            self._lost[what] = self._lost.get(what, 0) + count

    def _drop_oldest(self, kind: str) -> None:
        at = next(at for at, (each, _) in enumerate(self._items) if each == kind)
        del self._items[at]
        self._waiting[kind] -= 1
        self._count(f"{kind}s", 1)

    def _next(self) -> Callable[[], Any] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._ending)
            if not self._items:
                return None
            kind, work = self._items.popleft()
            self._waiting[kind] -= 1
            self._changed.notify_all()
            return work

    def _run(self) -> None:
        while (work := self._next()) is not None:
            work()
        self._finish()

    def _finish(self) -> None:
        try:
            self.output.end(self._summary)
        except Exception as error:  # the others must end, too
            self._fail(self.output, error)

    def _guarded(self, part: Output, work: Callable[[], Any]) -> Any:
        """Do something, unless it failed before."""
        if id(part) in self._failed or id(self.output) in self._failed:
            return None
        try:
            return work()
        except Exception as error:  # whatever it is, the run must go on
            self._fail(part, error)
            return None

    def _fail(self, part: Output, error: Exception) -> None:
        """Say and remember that it failed."""
        with self._changed:
            first = id(part) not in self._failed
            self._failed.add(id(part))
            self._lost["failed"] = 1
            if part is self.output:
                self._items.clear()
                self._waiting = dict.fromkeys(self._limits, 0)
            self._changed.notify_all()
        if first:
            why = str(error) if isinstance(error, EmerEdgeError | OSError) else repr(error)
            self._say(f"the output {self.title} failed and is left out; the run goes on: {why}")


class Outputs:
    """All outputs of a run.

    Args:
        pipeline: not opened yet; its streams are listened to from now on.
        outputs: take items in this order, and end in it, too.
    """

    def __init__(self, pipeline: Pipeline, outputs: Sequence[Output]) -> None:
        wait = pipeline.machine.pace == "fast"
        self._all = [Delivery(each, pipeline.say, wait) for each in outputs]
        for name, stream in pipeline.streams.items():
            for each in self._all:
                kinds = {kind for kind in _KINDS if each.takes(kind, name)}
                if not each.queues("result"):
                    kinds.discard("result")  # comes by `result`
                listener = partial(_pass_on, each, name, kinds)
                if kinds & {"frame", "sample", "result"}:
                    stream.listen(listener)
                if "marker" in kinds:
                    stream.markers.listen(partial(listener, "marker"))

    def begin(self) -> None:
        """Begin; raise EmerEdgeError where an output can't be had."""
        for each in self._all:
            each.begin()

    def result(self, result: Result) -> bool:
        """Give those that don't queue results a result; False when one of them is not read any more."""
        read = [
            each.put("result", result.stream, result)
            for each in self._all
            if not each.queues("result") and each.takes("result", result.stream)
        ]
        return all(read)

    def end(self, summary: Summary | None) -> Summary | None:
        """End all, each with what all have lost so far; return the summary with all losses."""
        for each in self._all:
            summary = self._with_losses(summary)
            each.end(_own(summary, each.output.stream))
        return self._with_losses(summary)

    def _with_losses(self, summary: Summary | None) -> Summary | None:
        if summary is None:
            return None
        return replace(summary, outputs={each.title: lost for each in self._all if (lost := each.losses())})

    def helpers_mb(self) -> float | None:
        """Resident memory of the processes that help the outputs, None without any."""
        pids = {pid for each in self._all if (pid := each.output.helper_pid) is not None}
        known = [mb for pid in pids if (mb := resident_mb(pid)[0]) is not None]
        return sum(known) if known else None


def _pass_on(delivery: Delivery, stream: str | None, kinds: set[str], kind: str, *item: Any) -> None:
    if kind in kinds:
        delivery.put(kind, stream, *item)


def _own(summary: Summary | None, stream: str | None) -> Summary | None:
    """What an output of one stream is told: that stream's summary, and the process's memory."""
    if summary is None or stream is None:
        return summary
    own: Mapping[str, Summary] = summary.streams
    if stream not in own:
        return None
    return replace(
        own[stream],
        rss_mb=summary.rss_mb,
        peak_rss_mb=summary.peak_rss_mb,
        capture_rss_mb=summary.capture_rss_mb,
        encoder_rss_mb=summary.encoder_rss_mb,
    )
