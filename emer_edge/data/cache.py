"""The cache of data sets: outside their folders, readable by its user alone, and removable.

Faces and gaze are biometric, and EMER's agreement forbids copies that outlive their use: `purge_cache` removes all.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """The folder of everything derived from data sets; it need not exist."""
    return user_cache_path("emer-edge") / "data"


def entry_path(kind: str, source: Path, suffix: str) -> Path:
    """The only entry of one kind for a source file, so a stale one is replaced."""
    digest = hashlib.sha256(str(source.resolve()).encode()).hexdigest()
    return cache_folder() / kind / f"{digest[:40]}{suffix}"


def purge_cache() -> int:
    """Remove everything derived from data sets; return the number of files removed.

    Raises:
        OSError: a file can't be removed.
    """
    files = [path for path in cache_folder().rglob("*") if path.is_symlink() or not path.is_dir()]
    if cache_folder().exists():
        shutil.rmtree(cache_folder())
    return len(files)
