"""A tracker's source as written by a user, taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from emer_edge.errors import ConfigurationError

__all__ = ["TrackerSource", "parse_source"]


@dataclass(frozen=True)
class TrackerSource:
    """A source.

    Attributes:
        text: as written.
        scheme: `serial`, or empty for a path without one.
        path: path or address.
        parameters: what follows the question mark.
    """

    text: str
    scheme: str
    path: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    def allow(self, *names: str) -> None:
        """Raise ConfigurationError where a parameter is none of `names`."""
        unknown = sorted(set(self.parameters) - set(names))
        if unknown:
            raise ConfigurationError(f"{self.text}: unknown {', '.join(unknown)}; known are {', '.join(names)}")

    def number(self, name: str, low: float, high: float) -> float | None:
        """A parameter as a number in low..high, None where absent; raise ConfigurationError on anything else."""
        text = self.parameters.get(name)
        if text is None:
            return None
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            raise ConfigurationError(f"{self.text}: {name} is a number from {low:g} to {high:g}, not {text!r}")
        return number


def parse_source(text: str) -> TrackerSource:
    """Take a source apart.

    Args:
        text: `/dev/ttyUSB0`, `/dev/ttyACM0?format=csv`, `serial:///dev/ttyUSB0?baud=921600&format=emer`, or a file.

    Raises:
        ConfigurationError: an address or parameters that can't be read.
    """
    if "://" not in text:
        if not text.startswith("/dev/"):
            return TrackerSource(text, "", text)
        path, _, query = text.partition("?")
        return TrackerSource(text, "", path, _parameters(text, query))
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise ConfigurationError(f"can't read the address {text!r}: {error}") from None
    if parts.scheme == "serial" and (parts.netloc or not parts.path):
        raise ConfigurationError(f"{text}: a serial port is written with three slashes, as serial:///dev/ttyUSB0")
    return TrackerSource(text, parts.scheme, parts.netloc + parts.path, _parameters(text, parts.query))


def _parameters(text: str, query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise ConfigurationError(f"{text}: parameters are written as name=value, joined by &") from None
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ConfigurationError(f"{text}: a parameter is given twice")
    return dict(pairs)
