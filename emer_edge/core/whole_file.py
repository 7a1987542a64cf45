"""Atomic files and folders: written under a temporary name, then renamed.

The temporary name begins with a dot and is in the same folder, hence on the same disk, where a rename is atomic.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path, private: bool = False) -> Iterator[Path]:
    """Yield an empty file to write to; it replaces `path` unless something fails.

    Args:
        path: the file.
        private: mode 0600, readable by this user alone.

    Raises:
        OSError: the disk refuses.
    """
    unfinished = _beside(path)
    try:
        os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666))
        yield unfinished
        os.replace(unfinished, path)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def write_private(path: Path, content: bytes) -> None:
    """Write a private `whole_file`; folders that it needs are made with mode 0700."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with whole_file(path, private=True) as unfinished:
        unfinished.write_bytes(content)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; it replaces `path` unless something fails or it stays empty.

    Raises:
        OSError: the disk refuses.
    """
    unfinished = _beside(path)
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        if any(unfinished.iterdir()):
            name_folder(unfinished, path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def name_folder(folder: Path, path: Path) -> None:
    """Rename a folder to `path` beside it and remove what was there; keep that if the disk refuses."""
    replaced = _beside(path)
    try:
        if path.exists():
            os.rename(path, replaced)
        os.rename(folder, path)
    except OSError:
        if replaced.exists():
            os.rename(replaced, path)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}")
