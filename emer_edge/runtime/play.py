"""A whole run: a pipeline, its outputs, a clean end on Ctrl-C and SIGTERM, and reports to systemd."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from time import monotonic
from types import FrameType
from typing import Final

from emer_edge.core.errors import StoppedError
from emer_edge.runtime.markers import MarkerSource
from emer_edge.runtime.outputs import Output, Request, open_outputs
from emer_edge.runtime.outputs.delivery import Outputs
from emer_edge.runtime.pipeline import Pipeline, Summary
from emer_edge.runtime.validation import Presenter

_EVERY_S: Final = 1.0


class Supervisor:
    """The supervisor that started this process, by the protocol of sd_notify(3): one datagram per message.

    Without `NOTIFY_SOCKET` in the environment, so outside of a service of `Type=notify`, nothing is sent.

    Args:
        environment: holds `NOTIFY_SOCKET`, a path, or a name of Linux's abstract sockets after `@`.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self._sent_s: float | None = None

    def ready(self, status: str) -> None:
        """The service has started; `status` is a line for people."""
        self._send(f"READY=1\nSTATUS={' '.join(status.split())}")

    def alive(self) -> None:
        """The service does its work; may be called often, sends once a second."""
        now_s = monotonic()
        if self._sent_s is None or now_s - self._sent_s >= _EVERY_S:
            self._sent_s = now_s
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The service is ending."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as peer:
                peer.setblocking(False)  # a supervisor that does not read must not hold up the run
                peer.sendto(message.encode(), self._address)
        except OSError:
            return  # it hears nothing, and acts on that


@dataclass(frozen=True)
class Validating:
    """The request for a gaze validation.

    Attributes:
        presenter: shows the targets.
        targets_px: display pixels; None: the centre and four towards the corners.
    """

    presenter: Presenter
    targets_px: Sequence[tuple[float, float]] | None = None


@contextmanager
def stopping_on_signals(pipeline: Pipeline) -> Iterator[list[int]]:
    """Turn SIGINT, SIGTERM and SIGHUP into `pipeline.stop()`; yield a list of the signal, SIGHUP as SIGTERM.

    A second SIGINT or SIGTERM acts as it did before. A terminal that closes may send SIGHUP twice, by the kernel and by
    the shell, so it never does more; where it is ignored, as under nohup, it stays so. Outside the main thread, where
    Python allows no handlers, nothing is changed.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    if before[signal.SIGHUP] == signal.SIG_IGN:
        del before[signal.SIGHUP]

    def handle(number: int, frame: FrameType | None) -> None:
        came.append(signal.SIGTERM if number == signal.SIGHUP else number)
        pipeline.stop()
        if number != signal.SIGHUP:
            signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, handle)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_SETTINGS: Final = {-8: 1, -3: 1 << 20}  # malloc.h: M_ARENA_MAX, M_MMAP_THRESHOLD
"""All threads take memory from one heap, and larger pieces from the system: else each keeps what it took at most."""


def _keep_little() -> None:
    with suppress(OSError, AttributeError):  # another C library
        library = ctypes.CDLL(None)
        for parameter, value in _SETTINGS.items():
            library.mallopt(parameter, value)


def play(
    pipeline: Pipeline,
    outputs: Sequence[Output | Request | str],
    seconds: float | None = None,
    *,
    sources: Sequence[MarkerSource] = (),
    validation: Validating | None = None,
) -> Summary:
    """Run a pipeline to its end and deliver every result to every output.

    The run ends with a file, after `seconds`, on a signal, or when an output's reader has gone. An output that fails
    during the run is reported once, gets no more results and is counted in the summary. The supervisor is notified when
    the run has begun, and of every result: none for long means that the run hangs.

    Args:
        pipeline: not opened yet.
        outputs: addresses such as `run.mcap` or `mqtt://host/topic`, or instances of `Output`; they end in any case.
        seconds: host time after which the run ends; None: never.
        sources: of markers; started once the outputs have begun, closed before they end.
        validation: of the gaze, before the run, one person after the other; None: none.

    Raises:
        ConfigurationError, MissingExtraError: an output that is impossible.
        StoppedError: a signal ended the validation, so that there was no run.
        EmerEdgeError: a source could not be opened, or failed; the outputs have ended by then.
    """
    _keep_little()
    requests = [output for output in outputs if not isinstance(output, Output)]
    made = open_outputs(pipeline, requests, say=pipeline.say) if requests else []
    delivered = Outputs(pipeline, [*made, *(output for output in outputs if isinstance(output, Output))])
    summary: Summary | None = None
    started: list[MarkerSource] = []
    supervisor = Supervisor()
    with stopping_on_signals(pipeline) as came:
        try:
            if validation is not None and not pipeline.validate(validation.presenter, validation.targets_px):
                raise StoppedError("the gaze validation was not finished, so there was no run", next(iter(came), 0))
            pipeline.open()
            deadline_s = None if seconds is None else monotonic() + seconds
            delivered.begin()
            for source in sources:
                started.append(source)
                source.start(pipeline.markers)
            supervisor.ready(f"reading {pipeline.described}")
            for result in pipeline:
                supervisor.alive()
                if not delivered.result(result) or (deadline_s is not None and monotonic() >= deadline_s):
                    break
        finally:
            supervisor.stopping()
            for source in started:  # the keyboard restores the terminal before anything else is shown
                source.close()
            pipeline.close()
            if pipeline.opened:
                summary = pipeline.summary()
            summary = delivered.end(summary)
    assert summary is not None
    return replace(summary, signal=next(iter(came), None))
