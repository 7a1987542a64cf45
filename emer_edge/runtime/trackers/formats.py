"""The formats a byte stream can have, by name, and how the one at hand is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from emer_edge.errors import ConfigurationError
from emer_edge.runtime.trackers.base import Decoder
from emer_edge.runtime.trackers.csv_lines import CsvDecoder
from emer_edge.runtime.trackers.emer import EmerDecoder
from emer_edge.runtime.trackers.gazepoint import CameraPlace
from emer_edge.runtime.trackers.iscan import ITEMS, IscanDecoder
from emer_edge.runtime.trackers.iviewx import STOP, IviewxDecoder, start_commands
from emer_edge.runtime.trackers.opengaze_text import OpenGazeDecoder
from emer_edge.spec.samples import Display, TrackerSample

__all__ = ["FORMATS", "FormatFinder", "StreamFormat", "camera_place", "stream_format"]

Parameters = Mapping[str, str]

_LARGEST: Final = 100_000.0
_FRAMES: Final = 8  # of a format without check sum, one after the other, before it is believed


@dataclass(frozen=True)
class StreamFormat:
    """One format.

    Attributes:
        name: what users call it.
        parameters: parameters of a source that belong to it.
        make: makes a decoder for a display.
        candidates: makes the decoders to try when a format has to be found.
        evidence: samples in a row that prove it.
        greeting: what the tracker has to be sent before it streams.
        farewell: what ends its stream.
    """

    name: str
    parameters: tuple[str, ...]
    make: Callable[[Parameters, Display], Decoder]
    candidates: Callable[[Display], tuple[Decoder, ...]]
    evidence: int = 1
    greeting: Callable[[Parameters], bytes] = lambda parameters: b""
    farewell: bytes = b""


def _emer(parameters: Parameters, display: Display) -> Decoder:
    return EmerDecoder(display)


def _csv(parameters: Parameters, display: Display) -> Decoder:
    return CsvDecoder(display, parameters.get("columns"))


def _opengaze(parameters: Parameters, display: Display) -> Decoder:
    return OpenGazeDecoder(display, camera_place(parameters))


def _iviewx(parameters: Parameters, display: Display) -> Decoder:
    return IviewxDecoder(display, _iviewx_time(parameters), _area(parameters))


def _iscan(parameters: Parameters, display: Display) -> Decoder:
    text = parameters.get("n", "2")
    if text not in (str(each) for each in ITEMS):
        raise ConfigurationError(f"n={text}: an iscan frame has n of {' or '.join(map(str, ITEMS))} integers")
    return IscanDecoder(display, int(text), _area(parameters))


FORMATS: Final[dict[str, StreamFormat]] = {
    each.name: each
    for each in (
        StreamFormat("emer", (), _emer, lambda display: (EmerDecoder(display),)),
        StreamFormat("csv", ("columns",), _csv, lambda display: (CsvDecoder(display),)),
        StreamFormat("opengaze", ("camera", "axes"), _opengaze, lambda display: (OpenGazeDecoder(display),)),
        StreamFormat(
            "iviewx",
            ("time", "width", "height"),
            _iviewx,
            lambda display: (IviewxDecoder(display),),
            greeting=lambda parameters: start_commands(_iviewx_time(parameters)),
            farewell=STOP,
        ),
        StreamFormat(
            "iscan",
            ("n", "width", "height"),
            _iscan,
            lambda display: tuple(IscanDecoder(display, items) for items in ITEMS),
            evidence=_FRAMES,
        ),
    )
}


def stream_format(parameters: Parameters) -> StreamFormat | None:
    """Return the format that a source's parameters name, None where it has to be found.

    Raises:
        ConfigurationError: no such format, or a parameter that belongs to another.
    """
    name = parameters.get("format", "csv" if "columns" in parameters else None)
    if name is not None and name not in FORMATS:
        raise ConfigurationError(f"no tracker format is called {name!r}; known are {', '.join(FORMATS)}")
    for each in FORMATS.values():
        wrong = next((key for key in each.parameters if key in parameters), None)
        if wrong is not None and (name is None or wrong not in FORMATS[name].parameters):
            belongs = " or ".join(f"format={other.name}" for other in FORMATS.values() if wrong in other.parameters)
            raise ConfigurationError(
                f"{wrong}= belongs to {belongs}" + (f", not to format={name}" if name else "; name the format too")
            )
    return None if name is None else FORMATS[name]


class FormatFinder:
    """Finds the format of a stream from its bytes, wherever in it they begin.

    Every format decodes them; the first to understand wins. One without check sum has to understand several samples in
    a row, with nothing between them left over.

    Args:
        display: the display that gaze refers to.
    """

    def __init__(self, display: Display) -> None:
        self._candidates = [
            _Candidate(each, decoder) for each in FORMATS.values() for decoder in each.candidates(display)
        ]

    def feed(self, data: bytes, arrival_ns: int) -> tuple[StreamFormat, Decoder, list[TrackerSample]] | None:
        """Take the next bytes; return the format, its decoder and its samples so far, once they are known."""
        for each in self._candidates:
            if each.feed(data, arrival_ns):
                return each.format, each.decoder, each.samples
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


def camera_place(parameters: Parameters) -> CameraPlace | None:
    """Read `camera=` and `axes=` of a source; None without; ConfigurationError on anything else."""
    if "camera" not in parameters:
        if "axes" in parameters:
            raise ConfigurationError("axes= says how the tracker's camera frame lies; it needs camera= too")
        return None
    return CameraPlace.parse(parameters["camera"], parameters.get("axes", "right-up"))


def _iviewx_time(parameters: Parameters) -> str:
    time = parameters.get("time", "ms")
    if time not in ("ms", "us"):
        raise ConfigurationError(f"time={time}: an iviewx tracker counts in ms or us")
    return time


def _area(parameters: Parameters) -> tuple[float, float] | None:
    """Read `width=` and `height=`, both or neither."""
    if "width" not in parameters and "height" not in parameters:
        return None
    sizes = []
    for name in ("width", "height"):
        try:
            size = float(parameters.get(name, ""))
        except ValueError:
            size = 0.0
        if not 0 < size <= _LARGEST:
            raise ConfigurationError(
                "width= and height= are the tracker's numbers at the display's right and bottom edge: give both"
            )
        sizes.append(size)
    return sizes[0], sizes[1]
