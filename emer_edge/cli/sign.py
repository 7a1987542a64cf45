"""`emer-edge sign`: vouch for a bundle with a key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emer_edge.cli.console import progress_bars, say


def sign(
    bundle: Annotated[Path, typer.Argument(help="The bundle, a folder NAME.emer.")],
    key: Annotated[Path, typer.Option(help="Private key, PEM (ECDSA); its password is in EMER_EDGE_SIGN_PASSWORD.")],
    certificate: Annotated[
        list[Path] | None, typer.Option(help="The key's certificate; again for those between it and the authority's.")
    ] = None,
) -> None:
    """Check a bundle and write model.sig into it, offline, so that a device can refuse all others. Extra: sign."""
    from emer_edge.bundle import load_bundle
    from emer_edge.bundle.signature import write_signature

    with progress_bars() as report:
        opened = load_bundle(bundle, progress=report)
    written = write_signature(opened.path, opened.hashes, key, certificate or ())
    say(f"wrote {written}; next: emer-edge verify {bundle} --key {'AUTHORITY' if certificate else 'PUBLIC_KEY'}")
