"""Files and folders that are there whole or not at all: made under a name of their own, then given theirs.

The temporary name begins with a dot and lies in the same folder, hence on the same disk, where a rename is one step.
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
    """Make a file: write to the empty one that this gives; it takes the place of `path` unless something fails.

    Args:
        path: the file.
        private: for this user alone, mode 0600.

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
    """Write a file for this user alone, see `whole_file`; folders that it needs are made with mode 0700."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with whole_file(path, private=True) as unfinished:
        unfinished.write_bytes(content)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Make a folder: fill the empty one that this gives; it takes the place of `path` unless something fails.

    One that is left empty is removed, and what lies at `path` stays.

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
    """Rename a folder to `path` beside it; what lies there is removed, or stays where it is if the disk refuses."""
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
