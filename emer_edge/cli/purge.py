"""`emer-edge purge`: remove what was kept of data sets, and engines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emer_edge.cli.progress import say

__all__ = ["purge"]


def purge(
    engines: Annotated[
        bool, typer.Option("--engines", help="Remove the TensorRT engines too; the next run builds them again.")
    ] = False,
    participant: Annotated[
        str | None,
        typer.Option(help="Remove this participant's saved sessions, and nothing else.", show_default=False),
    ] = None,
    sessions: Annotated[
        Path | None, typer.Option(help="Where run --save put the sessions.", show_default=False)
    ] = None,
) -> None:
    """Remove everything kept of data sets: eye sheets as read, and face embeddings. Or one person's saved sessions."""
    from emer_edge.data.cache import cache_folder, purge_cache
    from emer_edge.data.sessions import purge_participant
    from emer_edge.errors import ConfigurationError
    from emer_edge.runtime.engines.tensorrt.cache import engine_folder, purge_engines

    if participant is not None or sessions is not None:
        if participant is None or sessions is None:
            raise ConfigurationError("saved sessions are removed by --participant ID and --sessions FOLDER together")
        removed, left = purge_participant(sessions, participant)
        say(f"removed {len(removed)} sessions of {participant} from {sessions}")
        for each in left:
            say(f"left: {each}, which is no session")
        return
    say(f"removed {purge_cache()} files from {cache_folder()}")
    if engines:
        say(f"removed {purge_engines()} files from {engine_folder()}")
