"""A camera's source as written by a user, taken apart."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from emer_edge.errors import ConfigurationError

__all__ = ["CameraSource", "parse_camera"]

_OWN_QUERY = ("csi", "synthetic")  # elsewhere what follows the question mark is the address's own
_WHOLE = ("gst",)  # what follows the scheme is no address at all


@dataclass(frozen=True)
class CameraSource:
    """A source.

    Attributes:
        text: as written.
        scheme: `csi`, `rtsp` ..., or empty for an index or a path.
        path: index, path, sensor number or pipeline; for a network camera the whole address.
        parameters: what follows the question mark.
    """

    text: str
    scheme: str
    path: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The source for messages and recordings: as written, without a password."""
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

    def size_px(self) -> tuple[int, int] | None:
        """The parameter `size` as width and height, None where absent; raise ConfigurationError on anything else."""
        text = self.parameters.get("size")
        if text is None:
            return None
        found = re.fullmatch(r"(\d{2,5})x(\d{2,5})", text)
        if found is None or not all(16 <= int(each) <= 16384 for each in found.groups()):
            raise ConfigurationError(f"{self.text}: size is written as 640x480, not {text!r}")
        return int(found[1]), int(found[2])


def parse_camera(text: str) -> CameraSource:
    """Take a source apart.

    Args:
        text: `0`, `/dev/video0?size=640x480&rate=30&format=mjpeg`, `csi://0`, `rtsp://...`, a file or a folder.

    Raises:
        ConfigurationError: an address or parameters that can't be read.
    """
    if not text:
        raise ConfigurationError("the camera's source is empty; give an index such as 0, a path or an address")
    scheme, separator, rest = text.partition("://")
    if not separator:
        if os.path.exists(text):  # a file's name may hold a question mark
            return CameraSource(text, "", text)
        path, _, query = text.partition("?")
        return CameraSource(text, "", path, _parameters(text, query))
    if scheme in _WHOLE:
        return CameraSource(text, scheme, rest)
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises where it is no number
    except ValueError as error:
        raise ConfigurationError(f"can't read the address {text!r}: {error}") from None
    if parts.scheme in _OWN_QUERY:
        return CameraSource(text, parts.scheme, parts.netloc + parts.path, _parameters(text, parts.query))
    return CameraSource(text, parts.scheme, text)


def _parameters(text: str, query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise ConfigurationError(f"{text}: parameters are written as name=value, joined by &") from None
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ConfigurationError(f"{text}: a parameter is given twice")
    return dict(pairs)
