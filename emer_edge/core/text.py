"""The text of files that people bring, whatever program wrote it: the one decoder for tables, sidecars, TOML and JSON.

Programs mark UTF-8, UTF-16 and UTF-32 with a byte order mark, or don't; spreadsheets on Windows write the code page of
the machine. UTF-8 is told by its structure, UTF-16 without a mark by where its zero bytes are, GBK by characters that
are common in Chinese; what is left is read as Windows-1252, which is Latin-1 with letters for its control characters.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emer_edge.core.errors import DataError

_MARKS: Final = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),  # before UTF-16, which begins alike
                 (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
_HEAD: Final = 4096
_MOSTLY: Final = 0.4  # of every second byte is zero in UTF-16 of Western text
# frequent Chinese characters, signs and Greek in GBK
_COMMON: Final = re.compile(rb"[\xb0-\xd7\xa1\xa3\xa6][\xa1-\xfe]")
_FOREIGN: Final = re.compile("[\udc80-\udcff]")  # what bytes that are no UTF-8 become


@dataclass(frozen=True)
class Text:
    """A file's text.

    Attributes:
        text: without byte order marks and zero bytes; its lines end with LF, whatever they end with in the file.
        note: what had to be guessed, for a sentence about the file; "" where it is UTF-8 or has a mark.
    """

    text: str
    note: str = ""


def decode_text(content: bytes, path: Path, *, guess: bool = True) -> Text:
    """Decode the bytes of a text file, without a mark by the likeliest encoding; `path` is for messages.

    Raises:
        DataError: it is binary; or it is no UTF-8, has no mark, and `guess` is False.
    """
    decoded = _decoded(content, path)
    if decoded.note and not guess:
        raise DataError(f"{path} {decoded.note.partition(';')[0]}; save it as UTF-8")
    return decoded


def _decoded(content: bytes, path: Path) -> Text:
    for mark, codec in _MARKS:
        if content.startswith(mark):
            try:
                return Text(_clean(content.decode(codec)))
            except UnicodeDecodeError:
                raise DataError(f"{path} begins as {codec.upper()} and is none; export it again, as UTF-8") from None
    content = content.removeprefix(codecs.BOM_UTF8)
    if content.endswith(b"\x00\x00"):  # a block that was reserved and never written
        content = content.rstrip(b"\x00")
    if b"\x00" in content[:_HEAD].partition(b"\n")[0]:  # behind the first line it is damage
        even, odd = (content[start:_HEAD:2].count(0) / len(content[start:_HEAD:2] or b"0") for start in (0, 1))
        codec = "utf-16-le" if odd > _MOSTLY > 4 * even else "utf-16-be" if even > _MOSTLY > 4 * odd else "ascii"
        if codec == "ascii":
            raise DataError(f"{path} is binary, not text; export it as UTF-8 text")
        return Text(_clean(content.decode(codec, "replace")), "has no byte order mark, read as UTF-16")
    text = content.decode("utf-8", "surrogateescape")
    foreign = len(_FOREIGN.findall(text))
    if not foreign:
        return Text(_clean(text))
    if sum(character > "\x7f" for character in text) > 2 * foreign:  # some bytes damaged, or the last character cut
        text = _clean(content.decode("utf-8", "replace"))
        return Text(text, f"has bytes that are no UTF-8 ({foreign}), read as \ufffd")
    common = 2 * len(_COMMON.findall(content)) >= 0.6 * sum(byte > 0x7F for byte in content)
    name, codec = ("GBK", "gb18030") if common else ("Windows-1252 (Latin-1)", "cp1252")
    try:
        text = content.decode(codec)
    except UnicodeDecodeError:  # five bytes have no letter in Windows-1252
        name, text = "Latin-1", content.decode("latin-1")
    return Text(_clean(text), f"is no UTF-8, read as {name}; save it as UTF-8 if its names look wrong")


def _clean(text: str) -> str:
    return text.lstrip("\ufeff").replace("\x00", "").replace("\r\n", "\n").replace("\r", "\n")
