"""A camera's source as written by a user, taken apart."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from emer_edge.errors import ConfigurationError
from emer_edge.runtime.address import Address, parse_parameters

__all__ = ["CameraSource", "parse_camera"]

_OWN_QUERY = ("csi", "synthetic")  # elsewhere what follows the question mark is the address's own
_WHOLE = ("gst",)  # what follows the scheme is no address at all


@dataclass(frozen=True)
class CameraSource(Address):
    """A source; its path is an index, a path, a sensor number, a pipeline, or the address of a network camera."""

    @property
    def name(self) -> str:
        """The source for messages and recordings: as written, without a password."""
        return re.sub(r"(?<=://)[^/@\s]*@", "", self.text)

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
        return CameraSource(text, "", path, parse_parameters(text, query))
    if scheme in _WHOLE:
        return CameraSource(text, scheme, rest)
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises where it is no number
    except ValueError as error:
        raise ConfigurationError(f"can't read the address {text!r}: {error}") from None
    if parts.scheme in _OWN_QUERY:
        return CameraSource(text, parts.scheme, parts.netloc + parts.path, parse_parameters(text, parts.query))
    return CameraSource(text, parts.scheme, text)
