"""The tracker drivers. A new driver is one module and one line in `TRACKERS`.

Other packages add drivers (`TrackerDriver`) and formats of byte streams (`StreamFormat`) by entry points of the group
`emer_edge.trackers`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from emer_edge.core.errors import TrackerError
from emer_edge.core.packages import with_plugins
from emer_edge.runtime.address import Address
from emer_edge.runtime.cameras.base import check_pace
from emer_edge.runtime.drivers import Kind, find_driver
from emer_edge.runtime.trackers.base import NO_TRACKER, Tracker, TrackerDriver, TrackerOptions
from emer_edge.runtime.trackers.files import RECORDED, TRACKER_FILE
from emer_edge.runtime.trackers.formats import stream_formats
from emer_edge.runtime.trackers.live_tracker import RATE_RANGE_HZ
from emer_edge.runtime.trackers.lsl import LSL
from emer_edge.runtime.trackers.opengaze_tcp import OPENGAZE_TCP
from emer_edge.runtime.trackers.serial_port import SERIAL
from emer_edge.runtime.trackers.tobii import TOBII
from emer_edge.runtime.trackers.xdf import XDF

TRACKERS: Final = (NO_TRACKER, SERIAL, OPENGAZE_TCP, LSL, TOBII, RECORDED, XDF, TRACKER_FILE)
"""In the order in which their `claims` are called."""


def trackers() -> dict[str, TrackerDriver]:
    """Name -> driver: built-in ones, and those of other packages."""
    return with_plugins("emer_edge.trackers", TRACKERS, TrackerDriver, beside=(Kind,))


def open_tracker(source: str, options: TrackerOptions | None = None) -> Tracker:
    """Open an eye tracker.

    Args:
        source: an address that one of `trackers()` knows: a serial port, `opengaze://host:4242`, `lsl://name`,
            `tobii://address`, a recording of a run, or a file: a Tobii Pro Lab export (TSV, XLSX), a Gazepoint CSV,
            CSV lines, or a recording's folder.
        options: display, pace, times; None: `TrackerOptions()`.

    Raises:
        TrackerError: it does not exist, is in use, may not be opened, is silent, or speaks no known format.
        DataError: a file that holds no usable recording.
        ConfigurationError: parameters that make no sense.
        MissingExtraError: the source needs a library that is not installed; the message names the extra.
    """
    driver, address, options = _driver(source, options)
    return driver.open(address, options)


def check_tracker(source: str, options: TrackerOptions | None = None) -> bool:
    """Raise what `open_tracker` would, without connecting; return whether the tracker is live.

    A recording is read; no port is opened.
    """
    driver, address, options = _driver(source, options)
    driver.check(address, options)
    return driver.live


def _driver(source: str, options: TrackerOptions | None) -> tuple[TrackerDriver, Address, TrackerOptions]:
    options = options or TrackerOptions()
    check_pace(options.pace)
    known = trackers()
    of_formats = {name: text for kind in stream_formats().values() for name, text in kind.parameters.items()}
    known["serial"] = replace(SERIAL, parameters={**SERIAL.parameters, **of_formats})
    driver, address = find_driver(known.values(), source, "tracker", TrackerError)
    if "rate" in driver.parameters:
        address.number("rate", *RATE_RANGE_HZ)
    return driver, address, options
