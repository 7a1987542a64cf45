"""A file that a long benchmark writes as it goes: one JSON object per line, on disk before the next one.

A killed process leaves all but the line it was writing, and what it left can be judged.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["Journal", "read_journal"]


class Journal:
    """Written by any thread.

    Args:
        path: made anew.

    Attributes:
        path: of the file.
        entries: all that was written, in order.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def write(self, what: str, **more: Any) -> None:
        """Add an entry of a kind."""
        entry = {"what": what, **more}
        line = json.dumps(entry, separators=(",", ":")) + "\n"
        with self._lock:
            os.write(self._file, line.encode())
            self.entries.append(entry)

    def close(self) -> None:
        """Have it on the disk."""
        os.fsync(self._file)
        os.close(self._file)


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Read what was written; a last line that was cut off is left out."""
    return list(_parsed(path.read_text().splitlines()))


def _parsed(lines: Iterable[str]) -> Iterable[dict[str, Any]]:
    for line in lines:
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            return
