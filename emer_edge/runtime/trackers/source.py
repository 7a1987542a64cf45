"""A tracker's source as written by a user, taken apart."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from emer_edge.errors import ConfigurationError
from emer_edge.runtime.address import Address, parse_parameters

__all__ = ["TrackerSource", "parse_source"]


class TrackerSource(Address):
    """A source; its scheme is `serial`, `opengaze` ..., or empty for a path without one."""


def parse_source(text: str) -> TrackerSource:
    """Take a source apart.

    Args:
        text: `/dev/ttyUSB0`, `/dev/ttyACM0?format=csv`, `serial:///dev/ttyUSB0?baud=921600&format=emer`, or a file,
            whose parameters count where it exists: a name may hold a question mark.

    Raises:
        ConfigurationError: an address or parameters that can't be read.
    """
    if "://" not in text:
        path, _, query = text.partition("?")
        if not text.startswith("/dev/") and (os.path.exists(text) or not os.path.exists(path)):
            return TrackerSource(text, "", text)
        return TrackerSource(text, "", path, parse_parameters(text, query))
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise ConfigurationError(f"can't read the address {text!r}: {error}") from None
    if parts.scheme == "serial" and (parts.netloc or not parts.path):
        raise ConfigurationError(f"{text}: a serial port is written with three slashes, as serial:///dev/ttyUSB0")
    return TrackerSource(text, parts.scheme, parts.netloc + parts.path, parse_parameters(text, parts.query))
