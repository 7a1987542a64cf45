"""A whole run: a pipeline, its outputs, and a clean end on Ctrl-C and SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING

from emer_edge.runtime.pipeline.pipeline import Pipeline
from emer_edge.runtime.pipeline.summary import Summary

if TYPE_CHECKING:
    from emer_edge.runtime.outputs import Output

__all__ = ["play", "stopping_on_signals"]


@contextmanager
def stopping_on_signals(pipeline: Pipeline) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into `pipeline.stop()`; a second one of the same kind acts as it did before.

    Outside the main thread, where Python allows no handlers, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: FrameType | None) -> None:
        pipeline.stop()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def play(pipeline: Pipeline, outputs: Sequence[Output], seconds: float | None = None) -> Summary:
    """Run a pipeline to its end and give every output every result.

    The run ends when a file does, after `seconds`, when a signal asks for it, or when an output's reader has gone.

    Args:
        pipeline: not opened yet.
        outputs: take results in this order; ended in this order too, whatever happened.
        seconds: host time after which the run ends; None means never.

    Raises:
        EmerEdgeError: what could not be opened, or a source that failed; the outputs have ended by then.
    """
    summary: Summary | None = None
    begun: list[Output] = []
    with stopping_on_signals(pipeline):
        try:
            pipeline.open()
            deadline_s = None if seconds is None else monotonic() + seconds
            for each in outputs:
                begun.append(each)
                each.begin()
            for result in pipeline:
                read = [each.result(result) for each in outputs]
                if not all(read) or (deadline_s is not None and monotonic() >= deadline_s):
                    break
        finally:
            pipeline.close()
            if pipeline.opened:
                summary = pipeline.summary()
            for each in begun:
                each.end(summary)
    assert summary is not None
    return summary
