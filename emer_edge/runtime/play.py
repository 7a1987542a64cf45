"""A whole run: a pipeline, its outputs, and a clean end on Ctrl-C and SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import monotonic
from types import FrameType

from emer_edge.runtime.markers import MarkerSource
from emer_edge.runtime.outputs import Output, Request, open_outputs
from emer_edge.runtime.outputs.delivery import Outputs
from emer_edge.runtime.pipeline import Pipeline, Summary
from emer_edge.runtime.supervisor import Supervisor
from emer_edge.runtime.validation import Presenter


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
    outputs: Sequence[Output | Request | str],
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
        outputs: addresses such as `run.mcap` or `mqtt://host/topic` (see `emer_edge.runtime.outputs`), or outputs of
            one's own; they end whatever happens.
        seconds: host time after which the run ends; None means never.
        sources: of markers; started once the outputs have begun, closed before they end.
        validation: of the gaze, before the run, one person after the other; None: none.

    Raises:
        ConfigurationError, MissingExtraError: an output that can't be had.
        KeyboardInterrupt: a signal ended the validation, so that there was no run.
        EmerEdgeError: what could not be opened, or a source that failed; the outputs have ended by then.
    """
    asked = [each for each in outputs if not isinstance(each, Output)]
    made = open_outputs(pipeline, asked, say=pipeline.say) if asked else []
    delivered = Outputs(pipeline, [*made, *(each for each in outputs if isinstance(each, Output))])
    summary: Summary | None = None
    started: list[MarkerSource] = []
    supervisor = Supervisor()
    with stopping_on_signals(pipeline):
        try:
            if validation is not None and not pipeline.validate(validation.presenter, validation.targets_px):
                raise KeyboardInterrupt
            pipeline.open()
            deadline_s = None if seconds is None else monotonic() + seconds
            delivered.begin()
            for source in sources:
                started.append(source)
                source.start(pipeline.markers)
            supervisor.ready(f"reading {pipeline.told}")
            for result in pipeline:
                supervisor.alive()
                if not delivered.result(result) or (deadline_s is not None and monotonic() >= deadline_s):
                    break
        finally:
            supervisor.stopping()
            for source in started:  # the keyboard gives the terminal back before anything else is shown
                source.close()
            pipeline.close()
            if pipeline.opened:
                summary = replace(pipeline.summary(), encoder_rss_mb=delivered.helpers_mb())
            summary = delivered.end(summary)
    assert summary is not None
    return summary
