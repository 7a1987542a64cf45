"""What the addresses of cameras and trackers have in common: a scheme, a path, and parameters as in an address."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from emer_edge.core.errors import ConfigurationError


@dataclass(frozen=True)
class Address:
    """An address of a camera or tracker as written by a user, taken apart.

    Attributes:
        text: as written.
        scheme: what stands before `://`, or empty.
        path: path or address.
        parameters: what follows the question mark.
    """

    text: str
    scheme: str
    path: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The address for messages and recordings: as written, without a password."""
        return re.sub(r"(?<=://)[^/@\s]*@", "", self.text)

    def allow(self, *names: str) -> None:
        """Raise ConfigurationError where a parameter is none of `names`."""
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
        found = re.fullmatch(r"(\d{2,5})x(\d{2,5})", text)
        if found is None or not all(16 <= int(each) <= 16384 for each in found.groups()):
            raise ConfigurationError(f"{self.text}: size is written as 640x480, not {text!r}")
        return int(found[1]), int(found[2])


def parse_address(text: str, *, whole: bool = False) -> Address:
    """Take an address apart.

    Args:
        text: `0`, `/dev/video0?size=640x480`, `serial:///dev/ttyUSB0?baud=921600`, `csi://0`, a file or a folder,
            whose name may hold a question mark.
        whole: what follows the scheme is its own affair, as of `rtsp://` and `gst://`: the path is all of it.

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
    except ValueError as error:
        raise ConfigurationError(f"can't read the address {text!r}: {error}") from None
    return Address(text, parts.scheme, parts.netloc + parts.path, parse_parameters(text, parts.query))


def parse_parameters(text: str, query: str) -> dict[str, str]:
    """Take `name=value&name=value` apart, of the address `text`; raise ConfigurationError on anything else."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise ConfigurationError(f"{text}: parameters are written as name=value, joined by &") from None
    if len(dict(pairs)) < len(pairs):
        raise ConfigurationError(f"{text}: a parameter is given twice")
    return dict(pairs)
