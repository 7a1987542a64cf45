"""Outputs of a run of several streams: those that each stream has one of, and hear of it alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

from emer_edge.runtime.outputs.base import Helped, Losing, Output
from emer_edge.runtime.pipeline import Pipeline, Stream, Summary
from emer_edge.runtime.say import Say
from emer_edge.spec.results import Result

__all__ = ["OfStream", "Run", "say_of", "streams_of"]

Run: TypeAlias = Pipeline
"""What outputs are made for."""


def streams_of(run: Run) -> Mapping[str | None, Stream]:
    """Name -> stream; of a run of one stream, that one under None."""
    return run.streams


def say_of(say: Say, stream: str) -> Say:
    """Say sentences that begin with the stream they are about."""
    return lambda sentence: say(f"{stream}: {sentence}")


class OfStream:
    """Gives an output the results of one stream, and at the end that stream's summary.

    Each fails by itself: the other streams' outputs go on.

    Args:
        output: of one stream.
        stream: whose.

    Attributes:
        name: the output's and the stream's.
        kind: the output's name.
        stream: as above.
    """

    def __init__(self, output: Output, stream: str) -> None:
        self._output = output
        self.kind = str(getattr(output, "name", type(output).__name__))
        self.name, self.stream = f"{self.kind} of {stream}", stream

    @property
    def output(self) -> Output:
        """The output itself."""
        return self._output

    @property
    def helper_pid(self) -> int | None:
        """See `Helped`."""
        return self._output.helper_pid if isinstance(self._output, Helped) else None

    def lost(self) -> dict[str, int]:
        """See `Losing`."""
        return self._output.lost() if isinstance(self._output, Losing) else {}

    def begin(self) -> None:
        """Begin."""
        self._output.begin()

    def result(self, result: Result) -> bool:
        """Hand on a result of this stream, none of another."""
        return self._output.result(result) if result.stream == self.stream else True

    def end(self, summary: Summary | None) -> None:
        """End with the stream's summary and the process's memory."""
        own = None if summary is None else summary.streams.get(self.stream)
        if own is not None and summary is not None:
            own = replace(
                own,
                rss_mb=summary.rss_mb,
                peak_rss_mb=summary.peak_rss_mb,
                capture_rss_mb=summary.capture_rss_mb,
                encoder_rss_mb=summary.encoder_rss_mb,
            )
        self._output.end(own)
