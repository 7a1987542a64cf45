"""A fast replay that a test lets go on result by result, so that nothing hangs on how fast the machine is."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from emer_edge.core.results import Result
from emer_edge.runtime.outputs import Output
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.play import play

__all__ = ["PATIENCE_S", "Gate", "held_run"]

PATIENCE_S = 300.0


class Gate(Output):
    """The last output of a run: holds it at a result until more are let through."""

    name = "gate"

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._allowed = self._count = 0

    def result(self, result: Result) -> bool:
        with self._changed:
            self._count += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._count <= self._allowed)
        return True

    def let(self, results: int) -> None:
        """Let the run go on until it has given so many results in all, and wait for these."""
        with self._changed:
            self._allowed = results - 1  # held at the last of them, which the other outputs have got
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._count >= results, PATIENCE_S), f"{self._count} results came"

    def open(self) -> None:
        """Let the run go on to its end."""
        with self._changed:
            self._allowed = 1 << 30
            self._changed.notify_all()


@contextmanager
def held_run(pipeline: Pipeline, outputs: Sequence[Output | str]) -> Iterator[Gate]:
    """A run in a thread of its own, at whose first result it is held; afterwards it has ended."""
    gate = Gate()
    run = threading.Thread(target=play, args=(pipeline, [*outputs, gate]))
    run.start()
    try:
        yield gate
    finally:
        pipeline.stop()
        gate.open()
        run.join()
