"""What is kept of a data set between runs: outside its folder, readable by its user alone, and removable.

Faces and gaze are biometric, and EMER's agreement forbids copies that outlive their use: `purge_cache` removes all.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """Where everything derived from data sets is kept; it need not exist."""
    return user_cache_path("emer-edge") / "data"


def entry_path(kind: str, source: Path, suffix: str) -> Path:
    """Name the entry of one kind that belongs to a source file; one entry a source, so a stale one is replaced."""
    digest = hashlib.sha256(str(source.resolve()).encode()).hexdigest()
    return cache_folder() / kind / f"{digest[:40]}{suffix}"


def purge_cache() -> int:
    """Remove everything derived from data sets; return the number of files removed.

    Raises:
        OSError: a file can't be removed.
    """
    removed = 0
    for folder, folders, files in os.walk(cache_folder(), topdown=False):
        for name in files:
            os.unlink(os.path.join(folder, name))
            removed += 1
        for name in folders:
            os.rmdir(os.path.join(folder, name))
    return removed
