"""Which driver opens which tracker source. A new driver is one module and one line in `TRACKERS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from emer_edge.errors import TrackerError
from emer_edge.runtime.cameras.base import check_pace
from emer_edge.runtime.trackers.base import Tracker, TrackerOptions
from emer_edge.runtime.trackers.file import is_file, open_file
from emer_edge.runtime.trackers.serial_port import is_serial, open_serial
from emer_edge.runtime.trackers.source import TrackerSource, parse_source

__all__ = ["TRACKERS", "TrackerDriver", "open_tracker"]


@dataclass(frozen=True)
class TrackerDriver:
    """One way to get samples.

    Attributes:
        name: short name.
        example: a source that it opens, for messages.
        claims: whether this driver is the one for a source.
        open: opens a source.
    """

    name: str
    example: str
    claims: Callable[[TrackerSource], bool]
    open: Callable[[TrackerSource, TrackerOptions], Tracker]


TRACKERS: Final = (
    TrackerDriver("serial", "/dev/ttyUSB0 or serial:///dev/ttyUSB0?baud=921600&format=emer", is_serial, open_serial),
    TrackerDriver("file", "tracker.tsv, tracker.xlsx or tracker.csv", is_file, open_file),
)


def open_tracker(source: str, options: TrackerOptions | None = None) -> Tracker:
    """Open an eye tracker.

    Args:
        source: a serial port (`/dev/ttyUSB0`, `serial:///dev/ttyUSB0?baud=921600&format=emer`; the format is found from
            the first bytes unless given, `baud` is 115200), or a file: a Tobii Pro Lab export (TSV, XLSX) or CSV lines.
        options: display, pace, times; None: `TrackerOptions()`.

    Raises:
        TrackerError: it does not exist, is in use, may not be opened, is silent, or speaks no known format.
        DataError: a file that holds no usable recording.
        ConfigurationError: parameters that make no sense.
    """
    options = options or TrackerOptions()
    check_pace(options.pace)
    parsed = parse_source(source)
    for driver in TRACKERS:
        if driver.claims(parsed):
            return driver.open(parsed, options)
    known = "; ".join(f"{each.name}: {each.example}" for each in TRACKERS)
    raise TrackerError(f"no tracker driver knows {source!r}; sources look like {known}")
