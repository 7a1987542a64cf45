"""`emer-edge predict`: score recordings and data sets offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emer_edge.cli.options import EngineOption, ForceOption, ThreadsOption
from emer_edge.cli.progress import progress_bars, say

__all__ = ["predict"]


def predict(
    paths: Annotated[list[Path], typer.Argument(help="EMER data sets, or recordings (folders with a recording.json).")],
    output: Annotated[Path, typer.Option("--output", help="CSV file to write.")],
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="The bundle; found as `run` finds it.", show_default=False)
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on the first clip that can't be read.")] = False,
    engine: EngineOption = "auto",
    threads: ThreadsOption = 1,
    force: ForceOption = False,
) -> None:
    """Score clips and recordings offline: a row a clip, or a row each window of a recording."""
    from emer_edge.bundle import load_bundle
    from emer_edge.data.clips import SkippedClip
    from emer_edge.demo import default_bundle
    from emer_edge.errors import OutputExistsError
    from emer_edge.runtime.predictions import predict_paths, write_csv

    if output.exists() and not force:
        raise OutputExistsError(output)
    skipped: list[SkippedClip] = []
    with progress_bars() as report:
        opened = load_bundle(bundle or default_bundle(report))
        with opened.open(engine, threads, report) as session:
            predictions = predict_paths(session, paths, strict=strict, skipped=skipped, progress=report)
            rows = write_csv(output, predictions, opened.manifest, force)
    for clip in skipped:
        say(f"left out {clip.name}: {clip.reason}")
    say(f"wrote {output}: {rows} rows from {opened.path}")
