"""The registry of outputs. A new one is one module and one line in `OUTPUTS`, or an entry point of another package."""

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
from emer_edge.runtime.options import MachineOptions, Source
from emer_edge.runtime.outputs.base import Host, Output
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.say import Say, say_to_log


@dataclass(frozen=True)
class OutputDriver:
    """One kind of output.

    Attributes:
        name: short name.
        form: its addresses, for people; each begins with one of `schemes` and a colon, or ends with `suffix`.
        help: what it does, in a few words.
        output: `module:Class` of the `Output`, loaded when it is needed.
        scope: one output per run or per stream.
        schemes: of its addresses.
        suffix: of files that are addresses without a scheme; empty: none are.
        flag: of the command line, which stands for the same.
        packages, extra: what it needs, and the extra that brings them.
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
        """Its class; raise MissingExtraError, which names the package and the extra, where a package is missing."""
        if self.packages:
            require(self.flag or self.form, self.packages, self.extra)
        module, _, name = self.output.partition(":")
        output: type[Output] = getattr(import_module(module), name)
        return output


OUTPUTS: Final = (
    OutputDriver("session", "session:FOLDER?participant=ID", "a participant's results and markers",
                 "emer_edge.runtime.outputs.session_folder:SessionFolder", scope="stream", schemes=("session",),
                 flag="--save"),
    OutputDriver("record", "FILE.mcap", "samples, results, markers, and with consent images; can be played back",
                 "emer_edge.runtime.outputs.recorder:Recorder", scope="stream", schemes=("mcap",), suffix=".mcap",
                 flag="--record", packages=("mcap",), extra="mcap"),
    OutputDriver("record on request", "onrequest:FOLDER", "recordings that visitors of the page start and end",
                 "emer_edge.runtime.outputs.page.on_request:OnRequest", scope="stream", schemes=("onrequest",),
                 flag="--serve-record", packages=("mcap",), extra="mcap"),
    OutputDriver("mqtt", "mqtt://HOST/TOPIC", "results to an MQTT broker", "emer_edge.runtime.outputs.mqtt:Mqtt",
                 schemes=("mqtt", "mqtts"), flag="--mqtt", packages=("paho",), extra="mqtt"),
    OutputDriver("metrics", "metrics://127.0.0.1:9108", "latencies, states and losses for Prometheus",
                 "emer_edge.runtime.outputs.prometheus:Metrics", schemes=("metrics",), flag="--metrics",
                 packages=("prometheus_client",), extra="metrics"),
    OutputDriver("lsl", "lsl://NAME", "results as a stream of the Lab Streaming Layer",
                 "emer_edge.runtime.outputs.lsl_results:LslResults", scope="stream", schemes=("lsl",), flag="--lsl-out",
                 packages=("pylsl",), extra="lsl"),
    OutputDriver("page", "http://127.0.0.1:8080", "a web page", "emer_edge.runtime.outputs.page.output:Page",
                 schemes=("http",), flag="--serve"),
    OutputDriver("json", "json:", "one result per line on stdout", "emer_edge.runtime.outputs.json_lines:JsonLines",
                 schemes=("json",), flag="--json"),
    OutputDriver("live", "live:", "the view in the terminal", "emer_edge.runtime.outputs.live_view:LiveView",
                 schemes=("live",)),
    OutputDriver("summary", "summary:", "the table at the end", "emer_edge.runtime.outputs.summary_table:SummaryTable",
                 schemes=("summary",)),
)  # fmt: skip
"""In the order in which they take results, and end: the table at the end reports the losses of the others."""


@dataclass(frozen=True)
class Request:
    """A requested output: the name of its driver, and options as of its class's `parse`."""

    name: str
    options: Any = None


def drivers() -> dict[str, OutputDriver]:
    """Name -> driver: our own and those of other packages; the table at the end is the last."""
    known = with_plugins("emer_edge.outputs", OUTPUTS, OutputDriver)
    known["summary"] = known.pop("summary")
    return known


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
    known = {scheme: driver.form for driver in drivers().values() for scheme in driver.schemes}
    close = get_close_matches(scheme, known, 1)
    meant = f"did you mean {known[close[0]]}?" if close else f"outputs are {', '.join(dict.fromkeys(known.values()))}"
    raise ConfigurationError(f"no output is called {address!r}; {meant}")


def check_outputs(
    requests: Sequence[Request | str], sources: Sequence[Source], machine: MachineOptions = MachineOptions()
) -> None:
    """Check a run's outputs (requests or addresses), without making anything.

    Raises:
        MissingExtraError: an output needs a package that is not installed; the message names the extra.
        ConfigurationError: an address that can't be read, or options that are impossible.
    """
    _settled(requests, sources, machine)


def open_outputs(
    pipeline: Pipeline, requests: Sequence[Request | str], *, say: Say = say_to_log, console: Console | None = None
) -> list[Output]:
    """Make a run's outputs.

    Args:
        pipeline: not opened yet.
        requests: requests or addresses.
        say: gets the sentences of the outputs.
        console: of outputs in the terminal; the one that `say` prints to, so that sentences come above the view.

    Raises:
        MissingExtraError: an output needs a package that is not installed; the message names the extra.
        ConfigurationError: options that make no sense or are impossible, such as a busy port; outputs made so far have
            ended by then.
    """
    host = Host(pipeline, say=say, console=console)
    streams = pipeline.streams
    try:
        sources = [stream.source for stream in streams.values()]
        for driver, settled in _settled(requests, sources, pipeline.machine):
            names = streams if driver.scope == "stream" else (None,)
            for name, options in zip(names, settled, strict=True):
                _make(driver, options, host, name)
    except BaseException:
        for output in host.outputs:
            with contextlib.suppress(Exception):
                output.end(None)
        raise
    return host.outputs


def _make(driver: OutputDriver, options: Any, host: Host, name: str | None) -> None:
    """Make an output, and add it to its host's."""
    own = host
    if driver.scope == "stream":
        say = host.say if name is None else lambda sentence: host.say(f"{name}: {sentence}")
        own = replace(host, stream=host.pipeline.streams[name], say=say)
    output = driver.load()(options, own)
    output.stream = name
    host.outputs.append(output)  # one by one: when one fails, those before it are ended


def _settled(
    requests: Sequence[Request | str], sources: Sequence[Source], machine: MachineOptions
) -> list[tuple[OutputDriver, Sequence[Any]]]:
    """Driver and options of each output, in the order of the drivers."""
    read = [requested(request) if isinstance(request, str) else request for request in requests]
    known = drivers()
    settled = []
    for request in sorted(read, key=lambda request: list(known).index(request.name)):
        driver = known[request.name]
        output = driver.load()
        if machine.loop and output.once:
            raise ConfigurationError(
                f"--loop plays the same data again and again, and nothing of it is kept: leave {driver.flag} out"
            )
        options = output.settle(request.options, sources)
        settled.append((driver, options if driver.scope == "stream" else options[:1]))
    return settled
