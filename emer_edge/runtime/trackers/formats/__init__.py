"""The formats of byte streams, by name, and how an unknown one is identified.

A new format is one file here and one line in `FORMATS`; other packages add theirs by entry points of the group
`emer_edge.trackers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.packages import with_plugins
from emer_edge.core.samples import Display, TrackerSample
from emer_edge.runtime.drivers import Kind
from emer_edge.runtime.trackers.codec import Decoder, Parameters, StreamFormat
from emer_edge.runtime.trackers.formats.csv_lines import CSV
from emer_edge.runtime.trackers.formats.emer import EMER
from emer_edge.runtime.trackers.formats.iscan import ISCAN
from emer_edge.runtime.trackers.formats.iviewx import IVIEWX
from emer_edge.runtime.trackers.formats.opengaze import OPENGAZE

__all__ = ["FORMATS", "FormatFinder", "stream_format", "stream_formats"]

FORMATS: Final = (EMER, CSV, OPENGAZE, IVIEWX, ISCAN)


def stream_formats() -> dict[str, StreamFormat]:
    """Name -> format: built-in ones, and those of other packages."""
    return with_plugins("emer_edge.trackers", FORMATS, StreamFormat, beside=(Kind,))


def stream_format(parameters: Parameters) -> StreamFormat | None:
    """Return the format that a source's parameters name; None where it has to be identified.

    Raises:
        ConfigurationError: no such format, or a parameter that belongs to another.
    """
    known = stream_formats()
    name = parameters.get("format", "csv" if "columns" in parameters else None)
    if name is not None and name not in known:
        raise ConfigurationError(f"no tracker format is called {name!r}; known are {', '.join(known)}")
    for candidate in known.values():
        wrong = next((key for key in candidate.parameters if key in parameters), None)
        if wrong is not None and (name is None or wrong not in known[name].parameters):
            belongs = " or ".join(f"format={other.name}" for other in known.values() if wrong in other.parameters)
            raise ConfigurationError(
                f"{wrong}= belongs to {belongs}" + (f", not to format={name}" if name else "; name the format too")
            )
    return None if name is None else known[name]


class FormatFinder:
    """Identifies the format of a stream from its bytes, wherever in it they begin.

    Every format decodes them; the first with samples wins. One without check sum has to decode several samples in a
    row, with nothing between them left over.
    """

    def __init__(self, display: Display) -> None:
        self._candidates = [
            _Candidate(known, decoder)
            for known in stream_formats().values()
            for decoder in (known.candidates(display) if known.candidates else (known.decoder({}, display),))
        ]

    def feed(self, data: bytes, arrival_ns: int) -> tuple[StreamFormat, Decoder, list[TrackerSample]] | None:
        """Take the next bytes; return the format, its decoder and its samples so far, once they are known."""
        for candidate in self._candidates:
            if candidate.feed(data, arrival_ns):
                return candidate.format, candidate.decoder, candidate.samples
        return None


@dataclass
class _Candidate:
    format: StreamFormat
    decoder: Decoder

    def __post_init__(self) -> None:
        self.samples: list[TrackerSample] = []
        self._garbage = 0

    def feed(self, data: bytes, arrival_ns: int) -> bool:
        pieces = (data,) if self.format.evidence == 1 else (data[at : at + 1] for at in range(len(data)))
        for piece in pieces:  # byte by byte, so that damage is seen between the samples it separates
            self.samples += self.decoder.feed(piece, arrival_ns)
            if self.decoder.counters.garbage > self._garbage:
                self._garbage = self.decoder.counters.garbage
                self.samples.clear()
        return len(self.samples) >= self.format.evidence
