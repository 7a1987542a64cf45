"""`emer-edge purge`: remove what was kept of data sets, and engines."""

from __future__ import annotations

from typing import Annotated

import typer

from emer_edge.cli.progress import say

__all__ = ["purge"]


def purge(
    engines: Annotated[
        bool, typer.Option("--engines", help="Remove the TensorRT engines too; the next run builds them again.")
    ] = False,
) -> None:
    """Remove everything kept of data sets: eye sheets as read, and face embeddings."""
    from emer_edge.data.cache import cache_folder, purge_cache
    from emer_edge.runtime.engines.tensorrt.cache import engine_folder, purge_engines

    say(f"removed {purge_cache()} files from {cache_folder()}")
    if engines:
        say(f"removed {purge_engines()} files from {engine_folder()}")
