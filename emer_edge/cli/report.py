"""`emer-edge report`: what a study's sessions hold, for researchers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emer_edge.cli.console import progress_bars, say
from emer_edge.cli.datasets import SheetRateOption
from emer_edge.cli.shared_options import ForceOption, bundle_among


def report(
    sessions: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of `run --save` and recordings of `run --record` (*.mcap), or folders with any of them "
            "below; for fixation maps alone also data sets and recordings of labs (recording.json). With their bundle, "
            "its rule of eye movements finds fixations and is stated.",
            metavar="[BUNDLE] PATH...",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", help="Folder to write.")] = Path("report"),
    areas: Annotated[
        Path | None,
        typer.Option(
            "--areas",
            help="Table of areas of interest: stimulus, area, and left_px, top_px, width_px, height_px or polygon_px "
            "('x y; x y; x y'). Extra: study.",
        ),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option("--pictures", help="Folder of PNG or JPEG files called as the stimuli, which lie below maps."),
    ] = None,
    sheet_rate: SheetRateOption = None,
    force: ForceOption = False,
) -> None:
    """Report sessions: every measure by marker and stimulus, courses, pupils, maps, areas, validation and methods.

    Markers name the stimuli: 'NAME start' lasts until 'NAME end', any other label until the next marker of its source.
    With several participants figures have intervals. DIR/report.html is to read, the tables beside it are tidy CSV;
    docs/sessions.md has their columns. The gaze of a session is in its recording: name both.
    """
    from emer_edge.bundle import load_bundle
    from emer_edge.offline.session_report import PAGE, report_target, write_report
    from emer_edge.offline.study import open_study
    from emer_edge.offline.study_figures import make_study

    bundle, sessions = bundle_among(sessions)
    target = report_target(output, force)
    with progress_bars() as progress:
        opened = None if bundle is None else load_bundle(bundle, progress=progress)
        found = open_study(sessions, opened, progress, sheet_rate_hz=sheet_rate or 0.0)
        study = make_study(found, areas, pictures)
        write_report(study, target, opened, progress)
    for note in study.notes:
        say(f"note: {note}")
    say(f"wrote {output}: {len(found)} sessions, {len(study.maps)} fixation maps; open {output / PAGE}")
    if study.missing:
        say(f"emer-edge: {study.missing}")
        raise typer.Exit(3)
