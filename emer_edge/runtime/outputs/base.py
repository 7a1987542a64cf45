"""The base class of every output of a run: an output overrides the methods for what it takes.

`emer_edge.runtime.outputs.delivery` does the rest for all of them: queues, threads, failures, losses, streams.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Thread
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import unquote

from rich.console import Console

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.results import Result
from emer_edge.core.samples import Frame, TrackerSample
from emer_edge.core.session_facts import Marker
from emer_edge.runtime.address import parse_parameters
from emer_edge.runtime.faces.looks import Look
from emer_edge.runtime.options import Source
from emer_edge.runtime.pipeline import Pipeline, Stream, Summary
from emer_edge.runtime.say import Say, say_to_log

_NOTHING: Mapping[str, int] = MappingProxyType({})


@dataclass
class Host:
    """The run that an output is made for.

    Attributes:
        pipeline: not opened yet.
        stream: the only one that the output takes; None: all of the run.
        say: gets sentences for the person who watches.
        console: of outputs in the terminal; stderr by default.
        outputs: all of the run, filled as they are made.
    """

    pipeline: Pipeline
    stream: Stream | None = None
    say: Say = say_to_log
    console: Console | None = None
    outputs: list[Output] = field(default_factory=list)

    @property
    def own(self) -> Stream:
        """The output's stream, or the first of the run."""
        return self.stream or next(iter(self.pipeline.streams.values()))


class Output:
    """Takes what a run gives; here every method does nothing.

    One instance takes one stream where the registry says so, else all of a run.

    Args:
        options: from `parse`, or of a flag.
        host: the run.

    Attributes:
        name: for messages, the summary and the metrics.
        queued: kind (`frame`, `sample`, `result`, `marker`) -> most items of it that wait. These go through a queue to
            a thread of the output's own; where it can't keep up, the oldest are dropped and counted. `end` is called
            there, too. Other kinds are delivered at once: frames and samples in the thread that takes the steps, where
            nothing may take long, results in the caller's.
        awaited: whether a fast replay waits for its queue, so that nothing is lost.
        keeps: whether what it takes is to be kept: a run that loses some of it exits with 3.
        once: whether what it keeps counts as a person's data: refused where files start over, which would repeat it.
        only_shown: whether it shows results to who sits here, and does no more: alone it keeps no run going.
        stream: the stream that it takes; None: all.
        ending: the run has ended; what can't be sent now never will be.
        lost: items that were dropped before they reached it: name -> count.
    """

    name: ClassVar[str] = "output"
    queued: Mapping[str, int] = _NOTHING
    awaited: ClassVar[bool] = True
    keeps: bool = False
    once: ClassVar[bool] = False
    only_shown: ClassVar[bool] = False
    stream: str | None = None
    ending: bool = False
    lost: Mapping[str, int] = _NOTHING

    def __init__(self, options: Any, host: Host) -> None:
        pass

    @classmethod
    def parse(cls, address: str) -> Any:
        """The options of an address; raise ConfigurationError where it can't be read."""
        if target_of(address)[0]:
            raise ConfigurationError(f"{address}: nothing may follow the colon")

    @classmethod
    def settle(cls, options: Any, sources: Sequence[Source]) -> Sequence[Any]:
        """Check the options, without making anything.

        Args:
            options: from `parse`, or of a flag.
            sources: the people that the run reads.

        Returns:
            The options of one output per person, or, where it takes the whole run, of one.

        Raises:
            ConfigurationError: there can be no such output.
        """
        return [options] * len(sources)

    @property
    def workers(self) -> Sequence[Thread]:
        """Threads, by default those among its attributes; where one ends during the run, the output has failed."""
        return [value for value in vars(self).values() if isinstance(value, Thread)]

    def part(self, stream: str | None) -> Output:
        """The output that takes the items of a stream: this one, or a part of it where streams are kept apart."""
        return self

    def begin(self) -> None:
        """Called once, before the first result; raises EmerEdgeError where the output can't start."""

    def frame(self, frame: Frame, look: Look | None, taken_ns: int) -> None:
        """A camera frame was taken.

        Args:
            frame: its image must not be changed.
            look: what was detected in it; None where there was no detection.
            taken_ns: its arrival, or, where a step was taken before it that should have seen it, a moment after that
                step was due: replayed with these times, a recording gives each step the same items.
        """

    def sample(self, sample: TrackerSample, taken_ns: int) -> None:
        """A tracker sample was taken; `taken_ns` as for frames."""

    def result(self, result: Result) -> bool:
        """A step gave a result; return False when nobody reads this output any more, which ends the run."""
        return True

    def marker(self, marker: Marker) -> None:
        """A marker was set; called in the thread that set it, unless it is queued."""

    def end(self, summary: Summary | None) -> None:
        """Called once at the end, after a failure too; None when the run never started."""

    def losses(self) -> dict[str, int]:
        """What the output itself has lost so far: name -> count, those above zero."""
        return {}


def target_of(address: str, *, path: bool = False) -> tuple[str, dict[str, str]]:
    """Split `scheme:TARGET?name=value` or `scheme://TARGET?name=value` into its target and its parameters.

    Args:
        address: as it was written; without a scheme all of it is the target.
        path: whether the target is a path, which is not unquoted.

    Raises:
        ConfigurationError: parameters that can't be read.
    """
    whole, _, query = address.partition("?")
    scheme, colon, rest = whole.partition(":")
    target = rest if colon and scheme.isalpha() else whole
    return (target if path else unquote(target.removeprefix("//"))), parse_parameters(address, query)


def retention_of(parameters: dict[str, str]) -> float | None:
    """Take `retention-days` out of an address's parameters; ValueError where that is no number."""
    days = parameters.pop("retention-days", None)
    return None if days is None else float(days)


def blamed(source: Source, error: Exception | str) -> ConfigurationError:
    """An error with the name of its stream, where that has one."""
    return ConfigurationError(str(error) if source.name is None else f"stream {source.name}: {error}")


def free_port(host: str, port: int, family: socket.AddressFamily) -> int | None:
    """A free port among the 99 above one that is taken; None where there is none."""
    for other in range(port + 1, min(port + 100, 65536)):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((host, other))
            except OSError:
                continue
        return other
    return None
