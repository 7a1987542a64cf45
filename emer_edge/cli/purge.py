"""`emer-edge purge`: remove cached data, engines, sessions and recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emer_edge.cli.console import say


def purge(
    engines: Annotated[
        bool, typer.Option("--engines", help="Remove the TensorRT engines too; the next run builds them again.")
    ] = False,
    participant: Annotated[
        str | None,
        typer.Option(
            help="Remove this participant's saved sessions, recordings, or both, and nothing else.", show_default=False
        ),
    ] = None,
    sessions: Annotated[Path | None, typer.Option(help="Folder of `run --save`.", show_default=False)] = None,
    recordings: Annotated[Path | None, typer.Option(help="Folder of `run --record`.", show_default=False)] = None,
) -> None:
    """Remove your cache of data sets, or all saved sessions and recordings of one person.

    The cache holds eye sheets as read, face embeddings and calibration ranges, which are computed again when needed.
    One person's data: emer-edge purge --participant p017 --sessions FOLDER --recordings FOLDER.
    """
    from emer_edge.core.errors import ConfigurationError
    from emer_edge.data.cache import cache_folder, purge_cache
    from emer_edge.data.sessions import purge_participant
    from emer_edge.runtime.engines.tensorrt.plan_cache import engine_folder, purge_engines
    from emer_edge.runtime.recording.keep import purge_recordings

    if participant is not None or sessions is not None or recordings is not None:
        if participant is None or (sessions is None and recordings is None):
            raise ConfigurationError(
                "to remove one person's data, pass --participant ID and their folders: --sessions FOLDER, "
                "--recordings FOLDER"
            )
        if recordings is not None:
            deleted = purge_recordings(recordings, participant)
            say(f"removed {len(deleted)} recordings of {participant} from {recordings}")
        if sessions is not None:
            removed, left = purge_participant(sessions, participant)
            say(f"removed {len(removed)} sessions of {participant} from {sessions}")
            for path in left:
                say(f"kept: {path}, which is no session")
        return
    say(f"removed {purge_cache()} files from {cache_folder()}")
    if engines:
        say(f"removed {purge_engines()} files from {engine_folder()}")
