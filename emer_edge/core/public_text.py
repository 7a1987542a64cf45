"""Texts as they may be shown, kept and sent: without secrets, and without characters that steer a terminal or hide."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote

_LONGEST, _SHORTEST = 200, 4  # a shorter secret is in too many words to be taken out of all
_LOGIN: Final = re.compile(r"(?:(?<=://)|(?<![^\s'\"(=,/])[^\s:@/'\"(=,]+:(?!//))[^ \t\n]*@")  # to the word's last @
_WORDS: Final = (
    r"pass\w*|pwd|pw|token|secret|credentials?|auth(?!or\b)\w*|(?:api|access|private)?[_-]?key|sig(?:nature)?"
)
_VALUE: Final = r"\s*=\s*(?:\(\w+\)\s*)?(?:'[^']*'|(?:\\.|\"(?:\\.|[^\"\\])*\"|[^\s&])+)"  # of a query, of GStreamer
_NAMED: Final = re.compile(rf"(?i)((?<![a-z])(?:[a-z]+[_-])*(?:{_WORDS}|user(?:name|-id)?|usr|login)){_VALUE}")
_PLACE: Final = re.compile(rf"(?i)(\blocation){_VALUE}")
_ONE: Final = re.compile(
    r"(?<![\w.,:/#-])1 (more |usable |other |unusable )?"
    r"(clip|row|frame|window|file|crop|figure|participant|sample|recording|session|line|time|layer|head|part|map|bundle|"
    r"sheet|visitor|stream|video|column|face|result|marker|film|fold|reader|hash|step|image|second|note|showing)(e?s)\b"
    r"( are| were| have)?"
)
_SINGULAR: Final = {" are": " is", " were": " was", " have": " has", None: ""}
_values: Final[dict[str, str]] = {}  # a secret, as it may be met -> what is shown for it


def hide(value: str, shown: str) -> None:
    """Have `public` put `shown` where this secret is met, as it is or percent-encoded."""
    if len(value) >= _SHORTEST:
        _values.update(dict.fromkeys((value, quote(value, safe="")), shown))


def holds_secret(text: str) -> bool:
    """Whether there is a login, a value of a telling name, or a secret to `hide`."""
    return any(value in text for value in _values) or bool(_LOGIN.search(text) or _NAMED.search(text))


def printable(text: str) -> str:
    r"""The text with a blank for what can't be seen: controls, escapes, marks of direction; its lines stay lines.

    Bytes of a path that are no UTF-8 (surrogateescape) are written as `\xfc`.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def one_line(text: str) -> str:
    """What a device, a server or a person calls something: printable, with single blanks, not too long."""
    return " ".join(printable(text).split())[:_LONGEST].rstrip()


def one_is_singular(text: str) -> str:
    """The text with `1 clip is` for `1 clips are`, so that sentences need not know their numbers."""

    def singular(found: re.Match[str]) -> str:
        more, noun, _, verb = found.groups()
        return f"1 {more or ''}{noun}{_SINGULAR[verb]}"

    return _ONE.sub(singular, text) if "1 " in text else text


def public(text: str) -> str:
    """The text, printable and without secrets.

    These are what `hide` was told; what stands before the last @ of an address (`://user:p@ss@host`); the values of
    names such as `password=`, `token=`, `key=`, `auth=`, `user-id=` and `user-pw=`; and of GStreamer's `location=`.
    """
    for value, shown in _values.items():
        text = text.replace(value, shown)
    text = _LOGIN.sub("***@", text) if "@" in text else text
    return printable(_PLACE.sub(r"\1=***", _NAMED.sub(r"\1=***", text)) if "=" in text else text)


def _shown(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character if character.isprintable() or character == "\n" else " "
