"""Standard streams that may fail or be closed at any time, and texts that can be written anywhere."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from typing import Any, TextIO

import msgspec

from emer_edge.core.public_text import printable


def open_standard_streams() -> None:
    """Open those of the three standard streams that are closed, so that no other file takes their numbers.

    Paths that are no UTF-8 are printed to stdout as the bytes that they are.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False))
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="surrogateescape")


def silence(stream: TextIO) -> None:
    """Send what a stream that can't be written holds, and will be given, nowhere: Python writes again at its exit."""
    with contextlib.suppress(OSError, ValueError):  # a stream without a number, or a closed one
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


class Unfailing:
    r"""A standard stream for people, looked up at every use: once it can't be written, it is silenced.

    Args:
        name: `stdout` or `stderr`.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def write(self, text: str) -> int:
        """Write a text, or nothing; return its length."""
        stream = getattr(sys, self._name)
        try:
            stream.write(text)
        except (OSError, ValueError):  # no space, a terminal that has gone, a reader that has gone, a closed stream
            silence(stream)
        return len(text)

    def flush(self) -> None:
        """Pass on what waits, or drop it."""
        stream = getattr(sys, self._name)
        try:
            stream.flush()
        except (OSError, ValueError):
            silence(stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(sys, self._name), name)


def command(*words: object) -> str:
    """A command of emer-edge that runs in a shell as it is printed, whatever is in its paths."""
    return " ".join(("emer-edge", *(_quoted(str(word)) for word in words)))


def _quoted(word: str) -> str:
    if word == printable(word):
        return shlex.quote(word)
    return "$'" + "".join(f"\\x{byte:02x}" for byte in word.encode("utf-8", "surrogateescape")) + "'"


def to_json(document: Any) -> bytes:
    """JSON of anything that msgspec encodes; texts are made legible where they must be."""
    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError:
        return msgspec.json.encode(all_printable(msgspec.to_builtins(document)))


def all_printable(value: Any) -> Any:
    """Plain values, every text in them `printable`."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {all_printable(key): all_printable(item) for key, item in value.items()}
    return [all_printable(item) for item in value] if isinstance(value, list | tuple) else value
