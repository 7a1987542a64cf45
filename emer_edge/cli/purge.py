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
        kinds = {"sessions": (sessions, find_sessions, remove_sessions)}
        kinds["recordings"] = (recordings, find_recordings, remove_recordings)
        found = {kind: (place, find, remove) for kind, (place, find, remove) in kinds.items() if place is not None}
        own = {kind: find(place, participant) for kind, (place, find, _) in found.items()}
        if not any(own.values()):
            searched = " and ".join(str(place) for place, _, _ in found.values())
            raise DataError(f"{searched}: no {' or '.join(own)} of participant {participant}; nothing was removed")
        for kind, (place, find, remove) in found.items():
            for path in own[kind] if dry_run else ():
                say(f"would remove {path}")
            left = () if dry_run else remove(place, own[kind])
            say(f"{'found' if dry_run else 'removed'} {len(own[kind])} {kind} of {participant}")
            for other in left:
                say(f"kept: {other}, which emer-edge did not write, or which is a link")
            if not dry_run and (came := find(place, participant)):
                raise DataError(f"{came[0]} came meanwhile; run this again")
        return
    say(f"removed {purge_cache()} files from {cache_folder()}")
    if engines:
        say(f"removed {purge_engines()} files from {engine_folder()}")
