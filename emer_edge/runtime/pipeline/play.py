"""A whole run: a pipeline, its outputs, and a clean end on Ctrl-C and SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING

from emer_edge.errors import EmerEdgeError
from emer_edge.runtime.pipeline.pipeline import Pipeline
from emer_edge.runtime.pipeline.summary import Summary, resident_mb
from emer_edge.runtime.supervisor import Supervisor
from emer_edge.runtime.validation import Presenter
from emer_edge.spec.results import Result

if TYPE_CHECKING:
    from emer_edge.runtime.markers import MarkerSource
    from emer_edge.runtime.outputs import Output

__all__ = ["Validating", "play", "stopping_on_signals"]


@dataclass(frozen=True)
class Validating:
    """A gaze validation to be.

    Attributes:
        presenter: shows the targets.
        targets_px: display pixels; None: the centre and four towards the corners.
    """

    presenter: Presenter
    targets_px: Sequence[tuple[float, float]] | None = None


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


def play(
    pipeline: Pipeline,
    outputs: Sequence[Output],
    seconds: float | None = None,
    *,
    sources: Sequence[MarkerSource] = (),
    validation: Validating | None = None,
) -> Summary:
    """Run a pipeline to its end and give every output every result.

    The run ends when a file does, after `seconds`, when a signal asks for it, or when an output's reader has gone. An
    output that fails once the run has begun is said once, gets no more results and is counted in the summary. A
    supervisor hears when the run has begun, and of every result: none for long means that the run hangs.

    Args:
        pipeline: not opened yet.
        outputs: take results in this order; ended in this order too, whatever happened.
        seconds: host time after which the run ends; None means never.
        sources: of markers; started once the outputs have begun, closed before they end.
        validation: of the gaze, before the run, one person after the other; None: none.

    Raises:
        KeyboardInterrupt: a signal ended the validation, so that there was no run.
        EmerEdgeError: what could not be opened, or a source that failed; the outputs have ended by then.
    """
    summary: Summary | None = None
    begun: list[Output] = []
    failed: dict[int, str] = {}
    started: list[MarkerSource] = []
    supervisor = Supervisor()
    with stopping_on_signals(pipeline):
        try:
            if validation is not None and not pipeline.validate(validation.presenter, validation.targets_px):
                raise KeyboardInterrupt
            pipeline.open()
            deadline_s = None if seconds is None else monotonic() + seconds
            for each in outputs:
                begun.append(each)
                each.begin()
            for source in sources:
                started.append(source)
                source.start(pipeline.markers)
            supervisor.ready(f"reading {pipeline.told}")
            for result in pipeline:
                supervisor.alive()
                read = [_give(each, result, failed, pipeline) for each in outputs]
                if not all(read) or (deadline_s is not None and monotonic() >= deadline_s):
                    break
        finally:
            supervisor.stopping()
            for source in started:  # the keyboard gives the terminal back before anything else is shown
                source.close()
            pipeline.close()
            if pipeline.opened:
                summary = replace(pipeline.summary(), encoder_rss_mb=_helpers_mb(begun))
            for each in begun:
                summary = None if summary is None else replace(summary, outputs=_losses(begun, failed))
                _end(each, summary, failed, pipeline)
    assert summary is not None
    return summary


def _give(output: Output, result: Result, failed: dict[int, str], pipeline: Pipeline) -> bool:
    """Give an output a result; false when nobody reads it any more."""
    if id(output) in failed:
        return True
    try:
        return output.result(result)
    except Exception as error:  # whatever it is, the run must go on
        _fail(output, error, failed, pipeline)
        return True


def _end(output: Output, summary: Summary | None, failed: dict[int, str], pipeline: Pipeline) -> None:
    try:
        output.end(summary)
    except Exception as error:  # the others must end, too
        _fail(output, error, failed, pipeline)


def _fail(output: Output, error: Exception, failed: dict[int, str], pipeline: Pipeline) -> None:
    name = _name(output)
    if id(output) not in failed:
        why = str(error) if isinstance(error, (EmerEdgeError, OSError)) else repr(error)
        pipeline.say(f"the output {name} failed and is left out; the run goes on: {why}")
    failed[id(output)] = name


def _name(output: Output) -> str:
    return str(getattr(output, "name", type(output).__name__))


def _helpers_mb(outputs: Sequence[Output]) -> float | None:
    """Resident memory of the processes that help the outputs, None without any."""
    pids = {pid for each in outputs if (pid := getattr(each, "helper_pid", None)) is not None}
    found = [mb for pid in pids if (mb := resident_mb(pid)[0]) is not None]
    return sum(found) if found else None


def _losses(outputs: Sequence[Output], failed: dict[int, str]) -> dict[str, dict[str, int]]:
    losses: dict[str, dict[str, int]] = {}
    for each in outputs:
        lost = getattr(each, "lost", None)
        counts: dict[str, int] = {} if lost is None else lost()
        if id(each) in failed:
            counts = counts | {"failed": 1}
        if counts:
            losses[_name(each)] = counts
    return losses
