"""`emer-edge verify`: whether a bundle is whole, and whose it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emer_edge.cli.console import progress_bars, say


def verify(
    bundle: Annotated[Path, typer.Argument(help="The bundle, a folder NAME.emer.", exists=True)],
    key: Annotated[Path | None, typer.Option(help="Public key, or certificates of authorities, PEM.")] = None,
) -> None:
    """Check a bundle by its hashes and, with a key, its signature (extra: sign); exit with 1 where it fails."""
    from emer_edge.bundle import load_bundle
    from emer_edge.core.errors import BundleError

    try:
        with progress_bars() as report:
            files = load_bundle(bundle, key=key, progress=report).manifest.files
    except BundleError as error:
        say(f"emer-edge: {error}")
        raise typer.Exit(1) from None
    signed = "its signature was not checked: no --key" if key is None else f"signed by {key}"
    typer.echo(f"{bundle}: {len(files)} files as exported; {signed}")
