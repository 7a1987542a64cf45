"""Tables and plots for people: one offline HTML file, CSV, LaTeX, the terminal."""

from __future__ import annotations

from pathlib import Path

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.whole_file import whole_file

__all__ = ["write_whole"]


def write_whole(path: str | Path, content: str | bytes) -> Path:
    """Write text (UTF-8, as it is) or bytes so that the file is there whole or not at all; return the path.

    Raises:
        ConfigurationError: the folder can't be written to.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as unfinished:
            unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise ConfigurationError(f"can't write {target}: {error.strerror}; choose another folder") from None
    return target
