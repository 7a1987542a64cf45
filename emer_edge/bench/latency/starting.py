"""From starting a process to its first result, with the bundle's files in the page cache and out of it."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from emer_edge.bench.records import FirstResult
from emer_edge.spec.progress import Progress, silent

__all__ = ["drop_from_cache", "first_results"]


def first_results(
    bundles: Sequence[Path], start: Callable[[Path], float], times: int, progress: Progress = silent
) -> list[FirstResult]:
    """Start each bundle so often cold and so often warm, in turns.

    Args:
        bundles: folders.
        start: starts a process that gives one result of a bundle, and ends; ms from its start to the result.
        times: of each kind.
        progress: told after each start.
    """
    cold: list[list[float]] = [[] for _ in bundles]
    warm: list[list[float]] = [[] for _ in bundles]
    reasons = [""] * len(bundles)
    for turn in range(times):
        for number, bundle in enumerate(bundles):
            progress("starting", turn * len(bundles) + number, times * len(bundles))
            reasons[number] = reasons[number] or drop_from_cache(bundle)
            if not reasons[number]:
                cold[number].append(start(bundle))
            elif not turn:
                start(bundle)  # or the first warm start might be a cold one
            warm[number].append(start(bundle))
    progress("starting", times * len(bundles), times * len(bundles))
    return [
        FirstResult(cold_ms=() if reason else tuple(one), warm_ms=tuple(other), reason=reason)
        for one, other, reason in zip(cold, warm, reasons, strict=True)
    ]


def drop_from_cache(folder: Path) -> str:
    """Ask the kernel to forget a folder's files (posix_fadvise, DONTNEED) and look whether it did.

    Returns:
        Why they may still be in it; empty where they are not.
    """
    if not hasattr(os, "posix_fadvise"):
        return "this system has no posix_fadvise to drop files from the page cache with"
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        try:
            file = os.open(path, os.O_RDONLY)
        except OSError as error:
            return f"{path.name} can't be opened: {error.strerror}"
        try:
            with contextlib.suppress(OSError):
                os.fsync(file)  # what is not yet on the disk can't be dropped
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            kept = _kept(file)
        finally:
            os.close(file)
        if kept is None:
            return f"nobody tells whether {path.name} is in the page cache"
        if kept:
            return f"{path.name} stays in the page cache"
    return ""


def _kept(file: int) -> bool | None:
    """Whether a page of a file is in the page cache, by mincore(2), which reads none; None where it can't be asked."""
    size = os.fstat(file).st_size
    if not size:
        return False
    pages = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
    try:
        with mmap.mmap(file, size, access=mmap.ACCESS_COPY) as mapped:
            start = ctypes.c_char.from_buffer(mapped)
            failed = ctypes.CDLL(None).mincore(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(size), pages)
            del start  # or the mapping could not be closed
    except (OSError, AttributeError):
        return None
    return None if failed else any(page & 1 for page in pages)
