"""The formats a byte stream can have, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from emer_edge.errors import ConfigurationError
from emer_edge.runtime.trackers.base import Decoder
from emer_edge.runtime.trackers.csv_lines import CsvDecoder
from emer_edge.runtime.trackers.emer import EmerDecoder
from emer_edge.spec.samples import Display

__all__ = ["FORMATS", "make_decoder"]

FORMATS: Final[dict[str, Callable[[Display], Decoder]]] = {"emer": EmerDecoder, "csv": CsvDecoder}


def make_decoder(name: str, display: Display, columns: str | None = None) -> Decoder:
    """Return a fresh decoder.

    Args:
        name: a key of `FORMATS`.
        display: the display that gaze refers to.
        columns: for `csv` only, the header of a tracker that sends none.

    Raises:
        ConfigurationError: no such format, or `columns` for another than csv.
    """
    if name not in FORMATS:
        raise ConfigurationError(f"no tracker format is called {name!r}; known are {', '.join(FORMATS)}")
    if columns is None:
        return FORMATS[name](display)
    if name != "csv":
        raise ConfigurationError(f"columns= belongs to format=csv, not to format={name}")
    return CsvDecoder(display, columns)
