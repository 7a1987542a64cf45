"""Tables and plots for people: one offline HTML file, CSV, LaTeX, the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.whole_file import Target, whole_file

__all__ = ["write_all", "write_whole"]


def write_whole(path: str | Path | Target, content: str | bytes) -> Path:
    """Write text (UTF-8, as it is) or bytes so that the file is there whole or not at all; return the path.

    Raises:
        OutputExistsError: a target is no longer as it was found.
        ConfigurationError: the folder can't be written to.
    """
    target = path.path if isinstance(path, Target) else Path(path)
    try:
        with whole_file(path if isinstance(path, Target) else target) as unfinished:
            unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise ConfigurationError(f"can't write {target}: {error.strerror}; choose another folder") from None
    return target


def write_all(pages: Iterable[tuple[Path | Target, str | bytes]]) -> list[Path]:
    """Write files and their contents by `write_whole`, all of them or none; return their paths."""
    written: list[Path] = []
    try:
        written += (write_whole(*page) for page in pages)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return written
