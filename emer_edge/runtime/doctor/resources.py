"""Memory, swap, disk, and the cache."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from platformdirs import user_cache_path

from emer_edge.runtime.board.files import read_text
from emer_edge.runtime.doctor.finding import Finding, Level
from emer_edge.runtime.engines.tensorrt.memory import ADVISED_MB, read_memory

__all__ = ["look_at_resources"]

_RUN_MB: Final = 500  # a run takes under 300 MB, and the system needs some, too
_DISK_MB: Final = (200, 2000)  # less than the first is a problem, less than the second a warning
_SWAP: Final = (
    "sudo fallocate -l 4G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && sudo swapon /swapfile"
)


def look_at_resources(root: Path = Path("/"), builds: bool = False, cache: Path | None = None) -> Iterator[Finding]:
    """Findings about memory, swap, free disk and the cache.

    Args:
        root: holds `proc`.
        builds: whether engines are built here, which takes much more memory than running them.
        cache: this project's cache folder; by default the user's.
    """
    yield from _memory(root, builds)
    yield from _disk(cache or user_cache_path("emer-edge"))


def _memory(root: Path, builds: bool) -> Iterator[Finding]:
    memory = read_memory(root / "proc/meminfo")
    if memory is None:
        yield Finding("memory", "ok", "n/a (/proc/meminfo can't be read)")
        return
    told = f"{memory.available_mb} MB free"
    level: Level = "warning" if memory.available_mb < _RUN_MB else "ok"
    yield Finding("memory", level, told, "" if level == "ok" else "stop other programs: ps aux --sort=-rss | head")
    swaps = (read_text(root / "proc/swaps") or "").splitlines()[1:]
    told = f"{memory.swap_mb} MB free" if swaps else "none"
    compressed = bool(swaps) and all("zram" in each.split()[0] for each in swaps)
    if compressed:
        told += ", all of it zram: compressed memory, which helps a build little"
    if builds and memory.available_mb + (0 if compressed else memory.swap_mb) < ADVISED_MB:
        yield Finding("swap", "warning", f"{told}; building engines can take {ADVISED_MB} MB", _SWAP)
    else:
        yield Finding("swap", "ok", told)


def _disk(cache: Path) -> Iterator[Finding]:
    folder = cache
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Finding(
            "cache",
            "problem",
            f"this user may not write {folder}, so every start builds engines anew",
            f"sudo chown -R $USER {folder}, or set XDG_CACHE_HOME to a folder of your own",
        )
    else:
        size_mb = sum(each.stat().st_size for each in cache.rglob("*") if each.is_file()) / 1e6
        yield Finding("cache", "ok", f"{cache}: {size_mb:.0f} MB")
    free_mb = shutil.disk_usage(folder).free / 1e6
    few, some = _DISK_MB
    level: Level = "problem" if free_mb < few else "warning" if free_mb < some else "ok"
    mend = "" if level == "ok" else f"sudo apt clean; du -xh {folder} | sort -h | tail shows what is large"
    yield Finding("disk", level, f"{free_mb / 1000:.1f} GB free where the cache is", mend)
