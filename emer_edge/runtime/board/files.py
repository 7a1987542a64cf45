"""Small files of the kernel, read without raising: a node may go, be root's alone, or answer with an error."""

from __future__ import annotations

from pathlib import Path

__all__ = ["read_number", "read_text"]


def read_text(path: Path) -> str | None:
    """The text without white space and NULs around it, None where it can't be read or is empty."""
    try:
        return path.read_text(errors="replace").strip("\0 \t\n") or None
    except OSError:
        return None


def read_number(path: Path) -> int | None:
    """The whole number in a file, None where there is none."""
    text = read_text(path)
    try:
        return None if text is None else int(text)
    except ValueError:
        return None
