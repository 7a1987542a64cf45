"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.whole_file import whole_file


def write_whole(path: str | Path, content: str | bytes) -> Path:
    """Write text (UTF-8, as it is) or bytes, see `whole_file`; return the path.

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
