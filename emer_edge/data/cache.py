"""The cache of data sets: outside their folders, readable by its user alone, and removable.

Faces and gaze are biometric, and EMER's agreement forbids copies that outlive their use: `purge_cache` removes all.

An entry's name or stamp holds `contents_of` everything that was read for it, so a changed input is never answered.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from platformdirs import user_cache_path

from emer_edge.core.whole_file import write_private

_AT_ONCE: Final = 1 << 20  # bytes; a video may be larger than the memory
SETTLED_NS: Final = 3_000_000_000
"""Two writes within one tick of a disk's clock, 2 s at most, may leave the same times."""


def cache_folder() -> Path:
    """The folder of everything derived from data sets; it need not exist."""
    return user_cache_path("emer-edge") / "data"


def entry_path(kind: str, source: Path, suffix: str) -> Path:
    """The only entry of one kind for a source file, so a stale one is replaced."""
    digest = hashlib.sha256(str(source.resolve()).encode()).hexdigest()
    return cache_folder() / kind / f"{digest[:40]}{suffix}"


def contents_of(paths: Sequence[Path]) -> str:
    """SHA-256 over the contents of files in order, hexadecimal; a file that can't be read counts by the reason.

    That of several files is remembered as long as their inodes, sizes and times stay as they are: the time of the last
    change (ctime) can't be set, so that an edit which keeps size and mtime is seen too. Files that were written in the
    last 3 s are read again.
    """
    begun_ns, statuses = time.time_ns(), []
    with suppress(OSError):
        statuses = [os.stat(path) for path in paths]
    seen = [(each.st_ino, each.st_size, each.st_mtime_ns, each.st_ctime_ns) for each in statuses]
    settled = len(paths) > 1 and len(seen) == len(paths)
    settled = settled and max(max(times[2:]) for times in seen) < begun_ns - SETTLED_NS
    named = hashlib.sha256("\x00".join(map(os.path.abspath, paths)).encode(errors="surrogateescape")).hexdigest()
    entry = cache_folder() / "contents" / named[:40]
    stamp = hashlib.sha256(repr(seen).encode()).hexdigest()
    if settled:
        with suppress(OSError, ValueError):
            kept, digest = entry.read_text().split()
            if kept == stamp:
                return digest
    total = hashlib.sha256()
    for path in paths:
        digest_of_one = hashlib.sha256()
        try:
            with path.open("rb") as file:
                while content := file.read(_AT_ONCE):
                    digest_of_one.update(content)
        except OSError as error:
            digest_of_one, settled = hashlib.sha256(f"{error.errno}".encode()), False
        total.update(digest_of_one.digest())
    if settled:
        with suppress(OSError):
            write_private(entry, f"{stamp} {total.hexdigest()}".encode())
    return total.hexdigest()


def purge_cache() -> int:
    """Remove everything derived from data sets; return the number of files removed.

    Raises:
        OSError: a file can't be removed.
    """
    files = [path for path in cache_folder().rglob("*") if path.is_symlink() or not path.is_dir()]
    if cache_folder().exists():
        shutil.rmtree(cache_folder())
    return len(files)
