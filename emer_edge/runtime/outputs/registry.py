"""Which outputs there are. A new one is one module and one line in `OUTPUTS`, or an entry point of another package."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final, Literal

from rich.console import Console

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.packages import require, with_plugins
from emer_edge.runtime.encoding import Encoder
from emer_edge.runtime.options import Source
from emer_edge.runtime.outputs.base import Host, Output
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.say import Say, say_to_log


@dataclass(frozen=True)
class OutputDriver:
    """One kind of output.

    Attributes:
        name: short name.
        form: its addresses, for people; each begins with one of `schemes` and a colon, or ends as `suffix` says.
        help: what it does, in some words.
        output: `module:Class` of the `Output`, loaded when it is asked for.
        scope: whether the whole run has one, or every stream its own.
        schemes: what its addresses begin with.
        suffix: of files that are taken for it without a scheme; empty: none are.
        flag: of the command line, which stands for the same.
        packages: what it needs, and the extra that brings them.
        extra: as above.
    """

    name: str
    form: str
    help: str
    output: str
    scope: Literal["run", "stream"] = "run"
    schemes: tuple[str, ...] = ()
    suffix: str = ""
    flag: str = ""
    packages: tuple[str, ...] = ()
    extra: str = ""

    def load(self) -> type[Output]:
        """Its class; raise MissingExtraError where a package is missing, which the message names with its extra."""
        if self.packages:
            require(self.flag or self.form, self.packages, self.extra)
        module, _, name = self.output.partition(":")
        made: type[Output] = getattr(import_module(module), name)
        return made


_HERE: Final = __name__.rpartition(".")[0]
OUTPUTS: Final = (
    OutputDriver("session", "session:FOLDER?participant=ID", "a participant's results and markers",
                 f"{_HERE}.session_folder:SessionFolder", scope="stream", schemes=("session",), flag="--save"),
    OutputDriver("record", "FILE.mcap", "samples, results, markers, and with consent images; can be played back",
                 f"{_HERE}.recorder:Recorder", scope="stream", schemes=("mcap",), suffix=".mcap", flag="--record",
                 packages=("mcap",), extra="mcap"),
    OutputDriver("mqtt", "mqtt://HOST/TOPIC", "results to an MQTT broker", f"{_HERE}.mqtt:Mqtt",
                 schemes=("mqtt", "mqtts"), flag="--mqtt", packages=("paho",), extra="mqtt"),
    OutputDriver("metrics", "metrics://127.0.0.1:9108", "latencies, states and losses for Prometheus",
                 f"{_HERE}.prometheus:Metrics", schemes=("metrics",), flag="--metrics",
                 packages=("prometheus_client",), extra="metrics"),
    OutputDriver("lsl", "lsl://NAME", "results as a stream of the Lab Streaming Layer",
                 f"{_HERE}.lsl_results:LslResults", scope="stream", schemes=("lsl",), flag="--lsl-out",
                 packages=("pylsl",), extra="lsl"),
    OutputDriver("page", "http://127.0.0.1:8080", "a web page", f"{_HERE}.page.output:Page", schemes=("http",),
                 flag="--serve"),
    OutputDriver("json", "json:", "a result a line on stdout", f"{_HERE}.json_lines:JsonLines", schemes=("json",),
                 flag="--json"),
    OutputDriver("live", "live:", "the view in the terminal", f"{_HERE}.live_view:LiveView", schemes=("live",)),
    OutputDriver("summary", "summary:", "the table at the end", f"{_HERE}.summary_table:SummaryTable",
                 schemes=("summary",)),
)  # fmt: skip
"""In the order in which they take results, and end: the table at the end tells what the others have lost."""


@dataclass(frozen=True)
class Request:
    """An output that was asked for.

    Attributes:
        name: of its driver.
        options: as its class's `parse` gives them.
    """

    name: str
    options: Any = None


def drivers() -> dict[str, OutputDriver]:
    """Name -> driver: our own and those of other packages; the table at the end is the last."""
    found = with_plugins("emer_edge.outputs", OUTPUTS, OutputDriver)
    found["summary"] = found.pop("summary")
    return found


def requested(address: str) -> Request:
    """Read an address.

    Raises:
        ConfigurationError: no output has such addresses, or it can't be read.
        MissingExtraError: its output needs a package that is not installed.
    """
    scheme = address.partition(":")[0] if ":" in address else ""
    for name, driver in drivers().items():
        if scheme in driver.schemes or (
            driver.suffix and not scheme and address.partition("?")[0].endswith(driver.suffix)
        ):
            return Request(name, driver.load().parse(address))
    known = {each: driver.form for driver in drivers().values() for each in driver.schemes}
    close = get_close_matches(scheme, known, 1)
    meant = f"did you mean {known[close[0]]}?" if close else f"outputs are {', '.join(dict.fromkeys(known.values()))}"
    raise ConfigurationError(f"no output is called {_without_secret(address)!r}; {meant}")


def check_outputs(requests: Sequence[Request | str], sources: Sequence[Source]) -> None:
    """Look at what a run was asked to put out, without making anything.

    Args:
        requests: what was asked for, or addresses.
        sources: the people that the run reads.

    Raises:
        MissingExtraError: an output needs a package that is not installed; the message names the extra.
        ConfigurationError: an address that can't be read, or an output that can't be had.
    """
    _settled(requests, sources)


def open_outputs(
    pipeline: Pipeline, requests: Sequence[Request | str], *, say: Say = say_to_log, console: Console | None = None
) -> list[Output]:
    """Make the outputs that a run was asked for.

    Args:
        pipeline: not opened yet.
        requests: what was asked for, or addresses.
        say: told what outputs have to say.
        console: of those that are shown in the terminal; the one that `say` prints to, so that sentences come above the
            view, not into it.

    Raises:
        MissingExtraError: an output needs a package that is not installed; the message names the extra.
        ConfigurationError: what was asked for makes no sense or can't be had, such as a busy port; those that were made
            have ended by then.
    """
    host = Host(pipeline, say=say, encoder=Encoder(say), console=console)
    streams = pipeline.streams
    try:
        for driver, settled in _settled(requests, [each.source for each in streams.values()]):
            names = streams if driver.scope == "stream" else (None,)
            for name, options in zip(names, settled, strict=True):
                _make(driver, options, host, name)
    except BaseException:
        for each in host.outputs:
            with contextlib.suppress(Exception):
                each.end(None)
        host.encoder.close()
        raise
    return host.outputs


def _make(driver: OutputDriver, options: Any, host: Host, name: str | None) -> None:
    """Make an output, and add it to its host's."""
    own = host
    if driver.scope == "stream":
        stream = host.pipeline.streams[name]
        told = host.say if name is None else lambda sentence: host.say(f"{name}: {sentence}")
        own = replace(host, stream=stream, say=told)
    output = driver.load()(options, own)
    output.stream = name
    host.outputs.append(output)  # one by one: those before one that can't be had are ended


def _settled(requests: Sequence[Request | str], sources: Sequence[Source]) -> list[tuple[OutputDriver, Sequence[Any]]]:
    """Driver and options of each output, in the order of the drivers."""
    read = [requested(each) if isinstance(each, str) else each for each in requests]
    order = list(drivers())
    whose = {"stream": sources, "run": sources[:1]}
    settled = []
    for each in sorted(read, key=lambda each: order.index(each.name)):
        driver = drivers()[each.name]
        made = driver.load().settle(each.options, sources)
        settled.append((driver, made[: len(whose[driver.scope])]))
    return settled


def _without_secret(address: str) -> str:
    """An address without what may be a password in it."""
    before, at, after = address.rpartition("@")
    return f"{before.partition('//')[0]}//...@{after}" if at and "//" in before else address
