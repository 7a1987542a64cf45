"""Which outputs there are, and which of them a run was asked for. A new one is one module and one line in `OUTPUTS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rich.console import Console

from emer_edge.data.sessions import SessionPlace
from emer_edge.extras import require
from emer_edge.runtime.encoding import Encoder
from emer_edge.runtime.outputs.base import Output
from emer_edge.runtime.outputs.json_lines import JsonLines
from emer_edge.runtime.outputs.live_view import LiveView
from emer_edge.runtime.outputs.lsl import LslResults, check_name
from emer_edge.runtime.outputs.metrics import Metrics, parse_address
from emer_edge.runtime.outputs.mqtt import Mqtt, parse_broker
from emer_edge.runtime.outputs.page import page_address
from emer_edge.runtime.outputs.recorder import record
from emer_edge.runtime.outputs.session_folder import SessionFolder
from emer_edge.runtime.outputs.summary_table import SummaryTable
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.recording.keep import RecordOptions, recording_path
from emer_edge.runtime.recording.writer import check_writable
from emer_edge.runtime.say import Say, say_to_log

__all__ = ["OUTPUTS", "OutputDriver", "Wanted", "check_outputs", "open_outputs"]


@dataclass(frozen=True)
class Wanted:
    """What a run was asked to put out.

    Attributes:
        json: results on stdout.
        live: the view in the terminal.
        summary: the table at the end.
        console: where both go; the one that `say` prints to, so that sentences come above the view, not into it.
        session: where a session is saved.
        record: what is recorded.
        mqtt: a broker (see `parse_broker`).
        metrics: an address (see `emer_edge.runtime.outputs.metrics.parse_address`).
        lsl: name of an LSL stream.
        serve, serve_token: the page's address and its token (see `Page`).
    """

    json: bool = False
    live: bool = False
    summary: bool = False
    console: Console | None = None
    session: SessionPlace | None = None
    record: RecordOptions | None = None
    mqtt: str | None = None
    metrics: str | None = None
    lsl: str | None = None
    serve: str | None = None
    serve_token: str | None = None


@dataclass(frozen=True)
class OutputDriver:
    """One kind of output.

    Attributes:
        name: short name.
        open: makes it, or None where it was not asked for; told the run's encoder, which outputs share.
    """

    name: str
    open: Callable[[Pipeline, Wanted, Say, Encoder], Output | None]


def _session(pipeline: Pipeline, wanted: Wanted, say: Say, encoder: Encoder) -> Output | None:
    return None if wanted.session is None else SessionFolder(pipeline, wanted.session, say)


def _record(pipeline: Pipeline, wanted: Wanted, say: Say, encoder: Encoder) -> Output | None:
    return None if wanted.record is None else record(pipeline, wanted.record, say, encoder)


def _mqtt(pipeline: Pipeline, wanted: Wanted, say: Say, encoder: Encoder) -> Output | None:
    return None if wanted.mqtt is None else Mqtt(parse_broker(wanted.mqtt), say)


def _metrics(pipeline: Pipeline, wanted: Wanted, say: Say, encoder: Encoder) -> Output | None:
    return None if wanted.metrics is None else Metrics(pipeline, wanted.metrics)


def _lsl(pipeline: Pipeline, wanted: Wanted, say: Say, encoder: Encoder) -> Output | None:
    return None if wanted.lsl is None else LslResults(pipeline, wanted.lsl)


def _page(pipeline: Pipeline, wanted: Wanted, say: Say, encoder: Encoder) -> Output | None:
    if wanted.serve is None:
        return None
    from emer_edge.runtime.outputs.page import serve_page  # loads HTTP and TLS

    return serve_page(pipeline, wanted.serve, wanted.serve_token, say, encoder)


def _view(pipeline: Pipeline, wanted: Wanted, say: Say, encoder: Encoder) -> Output | None:
    return LiveView(pipeline.bundle.manifest, wanted.console, pipeline) if wanted.live else None


def _json(pipeline: Pipeline, wanted: Wanted, say: Say, encoder: Encoder) -> Output | None:
    return JsonLines() if wanted.json else None


def _summary(pipeline: Pipeline, wanted: Wanted, say: Say, encoder: Encoder) -> Output | None:
    return SummaryTable(wanted.console) if wanted.summary else None


OUTPUTS: Final = (
    OutputDriver("session", _session),
    OutputDriver("record", _record),
    OutputDriver("mqtt", _mqtt),
    OutputDriver("metrics", _metrics),
    OutputDriver("lsl", _lsl),
    OutputDriver("page", _page),
    OutputDriver("json", _json),
    OutputDriver("live", _view),
    OutputDriver("summary", _summary),
)
"""In the order in which they take results, and end: the table at the end tells what the others have lost."""


def check_outputs(wanted: Wanted) -> None:
    """Look at what a run was asked to put out, without making anything.

    Raises:
        MissingExtraError: an output needs a package that is not installed; the message names the extra.
        ConfigurationError: an address that can't be read, or a recording that can't be made.
    """
    if wanted.record is not None:
        wanted.record.check()
        check_writable(recording_path(wanted.record.path))
    if wanted.mqtt is not None:
        require("--mqtt", ["paho"], "mqtt")
        parse_broker(wanted.mqtt)
    if wanted.metrics is not None:
        require("--metrics", ["prometheus_client"], "metrics")
        parse_address(wanted.metrics)
    if wanted.lsl is not None:
        require("--lsl-out", ["pylsl"], "lsl")
        check_name(wanted.lsl)
    if wanted.serve is not None:
        page_address(wanted.serve, wanted.serve_token)


def open_outputs(pipeline: Pipeline, wanted: Wanted, say: Say = say_to_log) -> list[Output]:
    """Make the outputs that a run was asked for.

    Args:
        pipeline: not opened yet.
        wanted: which.
        say: told what outputs have to say.

    Raises:
        MissingExtraError: an output needs a package that is not installed; the message names the extra.
        ConfigurationError: what was asked for makes no sense or can't be had, such as a busy port; those that were made
            have ended by then.
    """
    made: list[Output] = []
    encoder = Encoder(say)  # one for all; its process starts when images are needed
    try:
        for driver in OUTPUTS:
            output = driver.open(pipeline, wanted, say, encoder)
            if output is not None:
                made.append(output)
    except BaseException:
        for each in made:
            each.end(None)
        encoder.close()
        raise
    for each in made:
        if isinstance(each, Metrics):
            each.outputs = made
    return made
