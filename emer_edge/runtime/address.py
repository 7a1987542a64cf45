"""Addresses of cameras and trackers: a scheme, a path, and parameters after a question mark."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.public_text import public


@dataclass(frozen=True)
class Address:
    """A parsed address of a camera or tracker.

    Attributes:
        text: as written.
        scheme: before `://`, or empty.
        path: path or network address.
        parameters: after the question mark.
    """

    text: str
    scheme: str
    path: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The address for messages and recordings: as written, without secrets."""
        return public(self.text)

    def allow(self, *names: str) -> None:
        """Raise ConfigurationError for a parameter that is not in `names`."""
        unknown = sorted(set(self.parameters) - set(names))
        if unknown:
            known = f"known are {', '.join(names)}" if names else "this kind of source takes none"
            raise ConfigurationError(f"{self.text}: unknown {', '.join(unknown)}; {known}")

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

    def whole_number(self, name: str, most: int) -> int | None:
        """A parameter as a whole number from 0, None where absent; raise ConfigurationError on anything else."""
        number = self.number(name, 0, most)
        if number is not None and number != int(number):
            raise ConfigurationError(f"{self.text}: {name} is a whole number, not {number:g}")
        return None if number is None else int(number)

    def choice(self, name: str, known: Sequence[str]) -> str:
        """A parameter that is one of `known`, the first where absent; raise ConfigurationError on anything else."""
        text = self.parameters.get(name, known[0])
        if text not in known:
            raise ConfigurationError(f"{self.text}: {name} is one of {', '.join(known)}, not {text!r}")
        return text

    def size_px(self) -> tuple[int, int] | None:
        """The parameter `size` as width and height, None where absent; raise ConfigurationError on anything else."""
        text = self.parameters.get("size")
        if text is None:
            return None
        match = re.fullmatch(r"(\d{2,5})x(\d{2,5})", text)
        if match is None or not all(16 <= int(group) <= 16384 for group in match.groups()):
            raise ConfigurationError(f"{self.text}: size is written as 640x480, not {text!r}")
        return int(match[1]), int(match[2])


def parse_address(text: str, *, whole: bool = False) -> Address:
    """Parse an address.

    Args:
        text: `0`, `/dev/video0?size=640x480`, `serial:///dev/ttyUSB0?baud=921600`, `csi://0`, a file or a folder,
            whose name may contain a question mark.
        whole: do not parse what follows the scheme, as of `rtsp://` and `gst://`: all of it is the path.

    Raises:
        ConfigurationError: an address or parameters that can't be read.
    """
    scheme, separator, rest = text.partition("://")
    if separator and whole:
        return Address(text, scheme, rest)
    if not separator:
        path, _, query = text.partition("?")
        if not query or os.path.exists(text):
            return Address(text, "", text if os.path.exists(text) else path)
        try:
            return Address(text, "", path, parse_parameters(text, query))
        except ConfigurationError:
            if path.startswith("/dev/") or path.isdigit() or os.path.exists(path):
                raise
            return Address(text, "", text)
    try:
        parts = urlsplit(text)
    except ValueError:  # whose text may hold a part of a password
        raise ConfigurationError(f"can't read the address {text!r}: its host can't be") from None
    return Address(text, parts.scheme, parts.netloc + parts.path, parse_parameters(text, parts.query))


def parse_parameters(text: str, query: str) -> dict[str, str]:
    """Parse the `name=value&name=value` of an address; raise ConfigurationError on anything else."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise ConfigurationError(f"{text}: parameters are written as name=value, joined by &") from None
    if len(dict(pairs)) < len(pairs):
        raise ConfigurationError(f"{text}: a parameter is given twice")
    return dict(pairs)
