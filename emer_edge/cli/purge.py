"""`emer-edge purge`: remove what was kept of data sets."""

from __future__ import annotations

from emer_edge.cli.progress import say

__all__ = ["purge"]


def purge() -> None:
    """Remove everything kept of data sets: eye sheets as read, face embeddings, and calibration counts."""
    from emer_edge.data.cache import cache_folder, purge_cache

    say(f"removed {purge_cache()} files from {cache_folder()}")
