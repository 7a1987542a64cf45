"""`emer-edge predict`: score recordings and data sets offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emer_edge.cli.console import progress_bars, say
from emer_edge.cli.datasets import SheetRateOption, show_clips
from emer_edge.cli.shared_options import EngineOption, ForceOption, ThreadsOption
from emer_edge.runtime.options import FaceOptions, MachineOptions, Subject


def predict(
    paths: Annotated[list[Path], typer.Argument(help="EMER data sets, or recordings (folders with a recording.json).")],
    output: Annotated[Path, typer.Option("--output", help="CSV file to write.")],
    bundle: Annotated[Path | None, typer.Option("--bundle", help="The bundle; by default that of `run`.")] = None,
    sheet_rate: SheetRateOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on the first clip that can't be read.")] = False,
    subject: Annotated[
        Subject, typer.Option(help="Which face to follow in a recording that starts with several.")
    ] = FaceOptions.subject,
    fixation_maps: Annotated[
        Path | None,
        typer.Option(
            "--fixation-maps",
            help="Also write fixation maps: one PNG heat map per clip and a page with all of them. "
            "For people; the network takes gaze points.",
        ),
    ] = None,
    engine: EngineOption = MachineOptions.engine,
    threads: ThreadsOption = MachineOptions.threads,
    force: ForceOption = False,
) -> None:
    """Score clips and recordings offline: one row per clip, or per window of a recording."""
    from emer_edge.core.whole_file import Target
    from emer_edge.demo import open_bundle
    from emer_edge.offline.fixation_maps import INDEX_FILE, write_fixation_maps
    from emer_edge.offline.predict import predict_paths, write_csv
    from emer_edge.runtime.session import Session

    for written in [output] if fixation_maps is None else [output, fixation_maps / INDEX_FILE]:
        Target.of(written, force)
    with progress_bars() as report:
        opened = open_bundle(bundle, report)
        with Session(opened, engine, threads, progress=report) as session:
            predictions = predict_paths(
                session,
                paths,
                strict=strict,
                sheet_rate_hz=sheet_rate or 0.0,
                faces=FaceOptions(subject),
                opened=show_clips,
                progress=report,
            )
            rows = write_csv(output, predictions, opened.manifest, force)
        if fixation_maps is not None:
            drawn, _ = write_fixation_maps(
                paths, fixation_maps, opened.manifest, report, force=force, sheet_rate_hz=sheet_rate or 0.0
            )
    say(f"wrote {output}: {rows} rows from {opened.path}")
    if fixation_maps is not None:
        say(f"wrote {fixation_maps}: {drawn} fixation maps; open {fixation_maps / INDEX_FILE}")
