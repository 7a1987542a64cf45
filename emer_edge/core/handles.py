"""Folders searched by open handles, so that no link, and nobody who swaps one in meanwhile, leads elsewhere."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from emer_edge.core.errors import DataError

# Not there, a link, unreadable, and what disks without locks answer.
_NOT_WRITTEN: Final = {errno.ENOENT, errno.ELOOP, errno.EACCES, errno.ENOLCK, errno.EBADF, errno.EINVAL, errno.ENOTSUP}


def held_folders(root: Path) -> Iterator[tuple[Path, list[str], list[str], int]]:
    """Folders in one and below it, the innermost first: path, names of folders and of files, and an open handle.

    Links below `root` are listed and not followed; a handle is good until the next folder is asked for. DataError where
    there is no such folder, or one can't be searched: what is in it would be left without a word.
    """

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # gone meanwhile
            raise DataError(f"can't search {root / str(error.filename)}: {error.strerror}; nothing was removed there")

    try:
        top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise DataError(f"{root} is no folder that can be searched: {error.strerror}") from error
    try:
        for place, folders, files, handle in os.fwalk(".", topdown=False, onerror=refuse, dir_fd=top):
            yield root / place, folders, files, handle
    except RecursionError:
        raise DataError(f"can't search {root}: its folders are nested too deep; nothing was removed there") from None
    finally:
        os.close(top)


@contextmanager
def opened_in(folder: int, name: str) -> Iterator[int]:
    """Open a file of an open folder for reading, not through a link; OSError where it can't be opened."""
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def unwritten(folder: int, name: str, path: Path) -> Iterator[None]:
    """Hold the lock of a file of an open folder, `path` for people; DataError where a run is writing it."""
    with ExitStack() as stack:
        try:
            fcntl.flock(stack.enter_context(opened_in(folder, name)), fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"a run is writing {path}: end it first; that was not removed") from None
        except OSError as error:
            if error.errno not in _NOT_WRITTEN:
                raise
        yield
