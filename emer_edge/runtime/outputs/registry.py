"""Which outputs there are, and which of them a run was asked for. A new one is one module and one line in `OUTPUTS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from rich.console import Console

from emer_edge.data.sessions import SessionPlace
from emer_edge.errors import ConfigurationError
from emer_edge.extras import require
from emer_edge.runtime.encoding import Encoder
from emer_edge.runtime.outputs.base import Output
from emer_edge.runtime.outputs.json_lines import JsonLines
from emer_edge.runtime.outputs.live_streams import LiveStreams
from emer_edge.runtime.outputs.live_view import LiveView
from emer_edge.runtime.outputs.lsl import LslResults, check_name
from emer_edge.runtime.outputs.metrics import Metrics, parse_address
from emer_edge.runtime.outputs.mqtt import Mqtt, parse_broker
from emer_edge.runtime.outputs.of_stream import OfStream, Run, say_of, streams_of
from emer_edge.runtime.outputs.page import page_address
from emer_edge.runtime.outputs.recorder import record
from emer_edge.runtime.outputs.session_folder import SessionFolder
from emer_edge.runtime.outputs.summary_table import SummaryTable
from emer_edge.runtime.pipeline import Stream
from emer_edge.runtime.recording.keep import RecordOptions, recording_path
from emer_edge.runtime.recording.mcap_writer import check_writable
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
        streams: of a run of several streams: stream -> its own `session`, `record` and `lsl`.
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
    streams: Mapping[str, Wanted] = field(default_factory=dict)


@dataclass(frozen=True)
class OutputDriver:
    """One kind of output: each stream has one, or all streams of a run share one.

    Attributes:
        name: short name.
        of_stream: makes a stream's, or None where it was not asked for; told the run's encoder, which outputs share.
        of_run: makes that of the whole run.
    """

    name: str
    of_stream: Callable[[Stream, Wanted, Say, Encoder], Output | None] | None = None
    of_run: Callable[[Run, Wanted, Say, Encoder], Output | None] | None = None


def _session(stream: Stream, wanted: Wanted, say: Say, encoder: Encoder) -> Output | None:
    return None if wanted.session is None else SessionFolder(stream, wanted.session, say)


def _record(stream: Stream, wanted: Wanted, say: Say, encoder: Encoder) -> Output | None:
    return None if wanted.record is None else record(stream, wanted.record, say, encoder)


def _mqtt(run: Run, wanted: Wanted, say: Say, encoder: Encoder) -> Output | None:
    if wanted.mqtt is None:
        return None
    return Mqtt(parse_broker(wanted.mqtt), say, streams=[each for each in streams_of(run) if each is not None])


def _metrics(run: Run, wanted: Wanted, say: Say, encoder: Encoder) -> Output | None:
    return None if wanted.metrics is None else Metrics(run, wanted.metrics)


def _lsl(stream: Stream, wanted: Wanted, say: Say, encoder: Encoder) -> Output | None:
    return None if wanted.lsl is None else LslResults(stream, wanted.lsl)


def _page(run: Run, wanted: Wanted, say: Say, encoder: Encoder) -> Output | None:
    if wanted.serve is None:
        return None
    from emer_edge.runtime.outputs.page.output import serve_page

    return serve_page(run, wanted.serve, wanted.serve_token, say, encoder)


def _view(run: Run, wanted: Wanted, say: Say, encoder: Encoder) -> Output | None:
    if not wanted.live:
        return None
    if None in run.streams:
        return LiveView(run.bundle.manifest, wanted.console, run.streams[None])
    return LiveStreams(run, wanted.console)


def _json(run: Run, wanted: Wanted, say: Say, encoder: Encoder) -> Output | None:
    return JsonLines() if wanted.json else None


def _summary(run: Run, wanted: Wanted, say: Say, encoder: Encoder) -> Output | None:
    return SummaryTable(wanted.console) if wanted.summary else None


OUTPUTS: Final = (
    OutputDriver("session", of_stream=_session),
    OutputDriver("record", of_stream=_record),
    OutputDriver("mqtt", of_run=_mqtt),
    OutputDriver("metrics", of_run=_metrics),
    OutputDriver("lsl", of_stream=_lsl),
    OutputDriver("page", of_run=_page),
    OutputDriver("json", of_run=_json),
    OutputDriver("live", of_run=_view),
    OutputDriver("summary", of_run=_summary),
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
    for name, each in wanted.streams.items():
        try:
            check_outputs(each)
        except ConfigurationError as error:
            raise ConfigurationError(f"stream {name}: {error}") from None


def open_outputs(run: Run, wanted: Wanted, say: Say = say_to_log) -> list[Output]:
    """Make the outputs that a run was asked for.

    Args:
        run: a pipeline, or several streams; not opened yet.
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
            for output in _opened(driver, run, wanted, say, encoder):
                made.append(output)  # one by one: those before one that can't be had are ended
    except BaseException:
        for each in made:
            each.end(None)
        encoder.close()
        raise
    for each in made:
        if isinstance(each, Metrics):
            each.outputs = made
    return made


def _opened(driver: OutputDriver, run: Run, wanted: Wanted, say: Say, encoder: Encoder) -> Iterator[Output]:
    """Make the outputs of one kind."""
    if driver.of_run is not None and (output := driver.of_run(run, wanted, say, encoder)) is not None:
        yield output
    if driver.of_stream is None:
        return
    for name, stream in streams_of(run).items():
        asked, told = (wanted, say) if name is None else (wanted.streams.get(name, Wanted()), say_of(say, name))
        output = driver.of_stream(stream, asked, told, encoder)
        if output is not None:
            yield output if name is None else OfStream(output, name)
