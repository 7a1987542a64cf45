"""JPEGs that are not decoded: where they begin and end, how large their images are, and a stream of them cut apart.

Markers are those of ITU-T T.81 (1992), annex B: segments tell their length, and behind a start of scan (SOS) a byte FF
is data only before 00 and before a restart marker.
"""

from __future__ import annotations

from typing import Final, NamedTuple

BEGIN: Final = b"\xff\xd8\xff"
"""Start of image, and the first byte of the next marker."""

_END: Final = b"\xff\xd9"
_SCAN: Final = 0xDA
_BARE: Final = (0x00, 0x01, *range(0xD0, 0xDA))  # without a length: they belong into no head
_NO_FRAMES: Final = (0xC4, 0xC8, 0xCC)  # of the markers C0 to CF, those that don't tell the size
_MOST_PIXELS: Final = 1 << 26
_MOST_BYTES: Final = 1 << 26


class Layout(NamedTuple):
    """A JPEG's size, and the place of its first scan; 0 while its head is cut short. Equal scans are equal images."""

    height: int = 0
    width: int = 0
    scan: int = 0


def layout_of(data: bytes | bytearray) -> Layout | None:
    """Read the head of a JPEG; None where it is none."""
    at, height, width = len(BEGIN) - 1, 0, 0
    while at + 4 <= len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at] != 0xFF:
            return None
        if marker == 0xFF:  # fill bytes
            at += 1
            continue
        if marker in _BARE or length < 2:
            return None
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAMES:
            height, width = (int.from_bytes(data[at + byte : at + byte + 2], "big") for byte in (5, 7))
        at += 2 + length
        if marker == _SCAN:
            if not 0 < height * width <= _MOST_PIXELS:
                return None
            return Layout(height, width, at) if at <= len(data) else Layout()
    return Layout()


def whole(data: bytes) -> Layout | None:
    """The layout of a JPEG that has begin, size and end; None for anything else. What follows its end is let be."""
    layout = layout_of(data) if data.startswith(BEGIN) else None
    return layout if layout is not None and layout.scan and data.rfind(_END) >= layout.scan else None


class Splitter:
    """Cuts a stream of bytes into its JPEGs.

    Attributes:
        damaged: images that had no end of their own.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._searched = 0
        self.damaged = 0

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """The JPEGs that `data` completes."""
        self._rest += data
        images: list[bytes] = []
        while True:
            begin = self._rest.find(BEGIN)
            if begin < 0:
                del self._rest[: max(0, len(self._rest) - len(BEGIN) + 1)]
                return images
            if begin:
                self._drop(begin)
            layout = layout_of(self._rest)
            if layout is None:
                self._damage(len(BEGIN))
                continue
            since = max(layout.scan, self._searched)
            end = self._rest.find(_END, since) if layout.scan else -1
            other = self._rest.find(BEGIN, since, end if end >= 0 else len(self._rest)) if layout.scan else -1
            if other >= 0:  # another image begins: this one was cut short
                self._damage(other)
            elif end >= 0:
                images.append(bytes(self._rest[: end + len(_END)]))
                self._drop(end + len(_END))
            elif len(self._rest) > _MOST_BYTES:
                self._damage(len(self._rest))
            else:
                self._searched = max(0, len(self._rest) - len(BEGIN) + 1) if layout.scan else 0
                return images

    def _drop(self, until: int) -> None:
        del self._rest[:until]
        self._searched = 0

    def _damage(self, until: int) -> None:
        self._drop(until)
        self.damaged += 1
