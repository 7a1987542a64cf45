"""`emer-edge predict`: score recordings and data sets offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emer_edge.cli.console import progress_bars, say
from emer_edge.cli.datasets import SheetRateOption, show_clips
from emer_edge.cli.parsing import worker_number
from emer_edge.cli.shared_options import EngineOption, ForceOption, ThreadsOption, bundle_among
from emer_edge.runtime.options import FaceOptions, MachineOptions, Subject


def predict(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="A bundle, by default that of `run`; EMER data sets, or recordings (folders with a recording.json).",
            metavar="[BUNDLE] PATH...",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", help="CSV file to write.")] = Path("predictions.csv"),
    sheet_rate: SheetRateOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on the first clip that can't be read.")] = False,
    subject: Annotated[
        Subject, typer.Option(help="Which face to follow in a recording that starts with several.")
    ] = FaceOptions.subject,
    engine: EngineOption = MachineOptions.engine,
    threads: ThreadsOption = MachineOptions.threads,
    workers: Annotated[
        str,
        typer.Option(
            help="Processes that score clips, or several recordings, each with one thread and a bundle of its own in "
            "memory: a number, or auto for one per core. Results are the same to the last digit."
        ),
    ] = "1",
    force: ForceOption = False,
) -> None:
    """Score clips and recordings offline: one row per clip, or per window of a recording."""
    from emer_edge.core.whole_file import Target
    from emer_edge.demo import open_bundle
    from emer_edge.offline.predict import check_paths, predict_paths, write_csv
    from emer_edge.runtime.session import Session

    bundle, paths = bundle_among(paths)
    processes = worker_number(workers)
    Target.of(output, force)
    with progress_bars() as report:
        opened = open_bundle(bundle, report, say=say)
        check_paths(paths)
        with Session(opened, engine, threads, progress=report) as session:
            predictions = predict_paths(
                session,
                paths,
                strict=strict,
                sheet_rate_hz=sheet_rate or 0.0,
                faces=FaceOptions(subject),
                workers=processes,
                say=say,
                opened=show_clips,
                progress=report,
            )
            rows = write_csv(output, predictions, opened.manifest, force)
    say(f"wrote {output}: {rows} rows from {opened.path}")
