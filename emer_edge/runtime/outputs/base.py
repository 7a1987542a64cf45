"""What every output of a run is: a class that overrides what it wants to hear of.

`emer_edge.runtime.outputs.delivery` does the rest for all of them: queues, threads, failures, losses, whose items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import unquote

from rich.console import Console

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.results import Result
from emer_edge.core.samples import Frame, TrackerSample
from emer_edge.core.session_facts import Marker
from emer_edge.runtime.address import parse_parameters
from emer_edge.runtime.encoding import Encoder
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
        stream: the one whose output it is; None: the whole run's.
        say: told in a sentence what the person who watches should know.
        encoder: makes the images of all outputs; its process starts when one is needed.
        console: of those outputs that are shown in the terminal; stderr by default.
        outputs: all of the run, filled as they are made.
    """

    pipeline: Pipeline
    stream: Stream | None = None
    say: Say = say_to_log
    encoder: Encoder = field(default_factory=Encoder)
    console: Console | None = None
    outputs: list[Output] = field(default_factory=list)

    @property
    def own(self) -> Stream:
        """The stream whose output it is; of a run of one person, that one."""
        return self.stream or next(iter(self.pipeline.streams.values()))


class Output:
    """Takes what a run gives; here every method does nothing.

    One instance hears of one stream where the registry says so, else of all of a run.

    Args:
        options: from `parse`, or of a flag.
        host: the run.

    Attributes:
        name: for messages, the summary and the metrics.
        queued: kind (`frame`, `sample`, `result`, `marker`) -> most items of it that wait. These go through a queue to
            a thread of the output's own, as they happen; where it can't keep up, the oldest go and are counted. `end`
            is called there, too. Others are given at once: frames and samples in the thread that takes the steps, where
            nothing may take long, and results in the caller's.
        awaited: whether a fast replay waits for its queue, so that nothing is lost.
        stream: whose items it takes; None: all.
        ending: the run has ended; what can't be given away now never will be.
        lost: what was dropped of what it should have taken: name -> count.
    """

    name: ClassVar[str] = "output"
    queued: Mapping[str, int] = _NOTHING
    awaited: ClassVar[bool] = True
    stream: str | None = None
    ending: bool = False
    lost: Mapping[str, int] = _NOTHING

    def __init__(self, options: Any, host: Host) -> None:
        pass

    @classmethod
    def parse(cls, address: str) -> Any:
        """The options of an address; raise ConfigurationError where it can't be read."""
        if target_of(address)[0]:
            raise ConfigurationError(f"{address}: nothing stands behind the colon")

    @classmethod
    def settle(cls, options: Any, sources: Sequence[Source]) -> Sequence[Any]:
        """Look at what was asked for, without making anything.

        Args:
            options: what was asked for.
            sources: the people that the run reads.

        Returns:
            The options of each output: one for each person, or, of an output of the whole run, one.

        Raises:
            ConfigurationError: it can't be had.
        """
        return [options] * len(sources)

    @property
    def helper_pid(self) -> int | None:
        """Number of a process that does a part of the work, None while there is none; outputs may share one."""
        return None

    def part(self, stream: str | None) -> Output:
        """What takes the items of a stream: this output, or a part of it where streams are kept apart."""
        return self

    def begin(self) -> None:
        """Called once, before the first result; raises EmerEdgeError where the output can't be had."""

    def frame(self, frame: Frame, look: Look | None, taken_ns: int) -> None:
        """A camera frame was taken.

        Args:
            frame: its image must not be changed.
            look: what was seen in it; None where it was not looked at.
            taken_ns: its arrival, or, where a step was taken before it that should have seen it, a moment after that
                step was due: played with these times, a recording gives each step what it had.
        """

    def sample(self, sample: TrackerSample, taken_ns: int) -> None:
        """A tracker sample was taken; `taken_ns` as for frames."""

    def result(self, result: Result) -> bool:
        """A step has given a result; return False when nobody reads this output any more."""
        return True

    def marker(self, marker: Marker) -> None:
        """A marker was set; called in the thread that it comes from, unless it is queued."""

    def end(self, summary: Summary | None) -> None:
        """Called once at the end, after a failure too; None when the run never started."""

    def losses(self) -> dict[str, int]:
        """What the output itself has lost so far: name -> count, those above zero."""
        return {}


def target_of(address: str, *, path: bool = False) -> tuple[str, dict[str, str]]:
    """Take `scheme:TARGET?name=value` or `scheme://TARGET?name=value` apart.

    Args:
        address: as it was written; without a scheme all of it is the target.
        path: whether the target is a path, which is taken as it is written.

    Returns:
        The target, and the parameters behind the question mark.

    Raises:
        ConfigurationError: parameters that can't be read.
    """
    whole, _, query = address.partition("?")
    scheme, colon, rest = whole.partition(":")
    target = rest if colon and scheme.isalpha() else whole
    return (target if path else unquote(target.removeprefix("//"))), parse_parameters(address, query)


def blamed(source: Source, error: Exception | str) -> ConfigurationError:
    """An error that names the stream that it is about, where that has a name."""
    return ConfigurationError(str(error) if source.name is None else f"stream {source.name}: {error}")
