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
        typer.Option(help="Remove this participant's saved sessions, recordings, or both, and nothing else."),
    ] = None,
    sessions: Annotated[Path | None, typer.Option(help="Folder of `run --save`.")] = None,
    recordings: Annotated[Path | None, typer.Option(help="Folder of `run --record`.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Name the participant's sessions and recordings, and remove nothing.")
    ] = False,
) -> None:
    """Remove your cache of data sets, or all saved sessions and recordings of one person.

    The cache holds eye sheets as read, face embeddings and calibration ranges, which are computed again when needed.
    One person's data: emer-edge purge --participant p017 --sessions FOLDER --recordings FOLDER. Both are searched, with
    the folders below, for what is the person's by its content, whatever it is called; while a run writes there, nothing
    is removed.
    """
    from emer_edge.core.errors import ConfigurationError, DataError
    from emer_edge.data.cache import cache_folder, purge_cache
    from emer_edge.data.sessions import find_sessions, remove_sessions
    from emer_edge.runtime.engines.tensorrt.plan_cache import engine_folder, purge_engines
    from emer_edge.runtime.recording.keep import find_recordings, remove_recordings

    if participant is not None or sessions is not None or recordings is not None or dry_run:
        if participant is None or (sessions is None and recordings is None):
            raise ConfigurationError(
                "to remove one person's data, pass --participant ID and their folders: --sessions FOLDER, "
                "--recordings FOLDER"
            )
        found = {"sessions": find_sessions(sessions, participant)} if sessions is not None else {}
        if recordings is not None:
            found["recordings"] = find_recordings(recordings, participant)
        if not any(found.values()):
            places = " and ".join(str(place) for place in (sessions, recordings) if place is not None)
            raise DataError(f"{places}: no {' or '.join(found)} of participant {participant}; nothing was removed")
        for kind, paths in found.items():
            for path in paths if dry_run else ():
                say(f"would remove {path}")
            left = () if dry_run else remove_sessions(paths) if kind == "sessions" else remove_recordings(paths)
            say(f"{'found' if dry_run else 'removed'} {len(paths)} {kind} of {participant}")
            for other in left:
                say(f"kept: {other}, which emer-edge did not write")
        return
    say(f"removed {purge_cache()} files from {cache_folder()}")
    if engines:
        say(f"removed {purge_engines()} files from {engine_folder()}")
