"""Which driver opens which tracker source. A new driver is one module and one line in `TRACKERS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from emer_edge.errors import TrackerError
from emer_edge.runtime.cameras.base import check_pace
from emer_edge.runtime.trackers.base import Tracker, TrackerOptions
from emer_edge.runtime.trackers.file import check_file, is_file, open_file
from emer_edge.runtime.trackers.lsl import check_lsl, is_lsl, open_lsl
from emer_edge.runtime.trackers.mcap import check_recorded, is_recorded, open_recorded
from emer_edge.runtime.trackers.opengaze import check_opengaze, is_opengaze, open_opengaze
from emer_edge.runtime.trackers.serial_port import check_serial, is_serial, open_serial
from emer_edge.runtime.trackers.source import TrackerSource, parse_source
from emer_edge.runtime.trackers.tobii import check_tobii, is_tobii, open_tobii

__all__ = ["TRACKERS", "TrackerDriver", "check_tracker", "open_tracker"]


@dataclass(frozen=True)
class TrackerDriver:
    """One way to get samples.

    Attributes:
        name: short name.
        example: a source that it opens, for messages.
        claims: whether this driver is the one for a source.
        open: opens a source.
        check: raises what `open` would, as far as that can be told without listening to a live tracker.
        live: whether its sources are live.
    """

    name: str
    example: str
    claims: Callable[[TrackerSource], bool]
    open: Callable[[TrackerSource, TrackerOptions], Tracker]
    check: Callable[[TrackerSource, TrackerOptions], None]
    live: bool = True


TRACKERS: Final = (
    TrackerDriver(
        "serial", "/dev/ttyUSB0 or serial:///dev/ttyUSB0?baud=921600&format=emer", is_serial, open_serial, check_serial
    ),
    TrackerDriver("opengaze", "opengaze://localhost:4242", is_opengaze, open_opengaze, check_opengaze),
    TrackerDriver("lsl", "lsl:// or lsl://name", is_lsl, open_lsl, check_lsl),
    TrackerDriver("tobii", "tobii:// or tobii://address", is_tobii, open_tobii, check_tobii),
    TrackerDriver("recording", "run.mcap", is_recorded, open_recorded, check_recorded, False),
    TrackerDriver(
        "file", "tracker.tsv, tracker.xlsx, tracker.csv or a recording's folder", is_file, open_file, check_file, False
    ),
)


def open_tracker(source: str, options: TrackerOptions | None = None) -> Tracker:
    """Open an eye tracker.

    Args:
        source: one of
            - a serial port, `/dev/ttyUSB0` or `serial:///dev/ttyUSB0?baud=921600&format=iscan`; the format (`emer`,
              `csv`, `opengaze`, `iviewx`, `iscan`) is found from the first bytes unless given, `baud` is 115200
            - `opengaze://host:4242`: an Open Gaze server, as Gazepoint Control is one
            - `lsl://` or `lsl://name`: a gaze stream of the Lab Streaming Layer
            - `tobii://` or `tobii://address`: a tracker of the Tobii Pro SDK
            - `run.mcap`: a recording of a run
            - a file: a Tobii Pro Lab export (TSV, XLSX), a Gazepoint CSV, CSV lines, or a recording's folder.
        options: display, pace, times; None: `TrackerOptions()`.

    Raises:
        TrackerError: it does not exist, is in use, may not be opened, is silent, or speaks no known format.
        DataError: a file that holds no usable recording.
        ConfigurationError: parameters that make no sense.
        MissingExtraError: the source needs a library that is not installed; the message names the extra.
    """
    options = options or TrackerOptions()
    check_pace(options.pace)
    parsed = parse_source(source)
    return _driver_for(parsed).open(parsed, options)


def check_tracker(source: str, options: TrackerOptions | None = None) -> bool:
    """Raise what `open_tracker` would, as far as a look tells; say whether the tracker is live.

    A recording is read; no port is opened and nobody is connected to.
    """
    options = options or TrackerOptions()
    check_pace(options.pace)
    parsed = parse_source(source)
    driver = _driver_for(parsed)
    driver.check(parsed, options)
    return driver.live


def _driver_for(source: TrackerSource) -> TrackerDriver:
    for driver in TRACKERS:
        if driver.claims(source):
            return driver
    known = "; ".join(f"{each.name}: {each.example}" for each in TRACKERS)
    raise TrackerError(f"no tracker driver knows {source.text!r}; sources look like {known}")
