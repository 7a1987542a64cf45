"""`emer-edge dataset`: a laboratory's own recordings as a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emer_edge.cli.console import progress_bars, say
from emer_edge.cli.datasets import DataChoices, ViewOption, open_dataset
from emer_edge.cli.shared_options import ForceOption
from emer_edge.core.standard_streams import command
from emer_edge.runtime.options import FaceOptions, Subject

_SHOWN = 10


def dataset(
    videos: Annotated[Path, typer.Option("--videos", help="Folder of face videos, in any depth: visit1.mp4.")],
    trackers: Annotated[
        Path,
        typer.Option(
            "--trackers",
            help="Folder with one export for each video, of the same name: visit1.tsv. Tobii Pro Lab (TSV, XLSX), "
            "Gazepoint CSV, CSV lines, XDF of LabRecorder, recordings of run (.mcap).",
        ),
    ],
    labels: Annotated[
        Path,
        typer.Option(
            "--labels",
            help="Table with a row a clip: participant, clip, recording (the video's name; else the clip's), start and "
            "end (seconds of the video, or markers of an XDF), offset_ms, and labels of either or both views: "
            "ER_Emotion, ER_Valence, FER_Emotion and so on.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", help="The data set's folder; clips that are in it are kept.")],
    offset_ms: Annotated[
        float | None,
        typer.Option(
            help="Added to the trackers' times, it gives the videos'; a row's offset_ms goes first. Left out: a "
            "tracker's first sample belongs to its video's start where it lies more than a second from 0."
        ),
    ] = None,
    display: Annotated[str | None, typer.Option(help="The experiment's display, as 1920x1080,527x296mm.")] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Bundle whose template, brightness and detector to use, as for emer-edge prepare."),
    ] = None,
    subject: Annotated[
        Subject, typer.Option(help="Which face to follow, when a video shows several.")
    ] = FaceOptions.subject,
    view: ViewOption = None,
    force: ForceOption = False,
) -> None:
    """Make a data set that train, export and bench take out of videos, trackers' exports and one table of labels.

    Faces are cut out with the code of a live run, and eye rows get times, so that gaps stay gaps. Folds hold different
    people. Every row of the table is in dataset.csv, with the reason where it became no clip; the same command goes on
    after a stop. docs/data-sets.md has a worked example.
    """
    from emer_edge.bundle.manifest import FaceRecord
    from emer_edge.core.samples import Display
    from emer_edge.demo import open_bundle
    from emer_edge.offline.lab_dataset import REPORT_FILE, Lab, make_dataset
    from emer_edge.runtime.engines import CPU_ENGINE
    from emer_edge.runtime.faces import ARCFACE_TEMPLATE
    from emer_edge.runtime.session import Session

    shown = Display.parse(display) if display else Display()
    with progress_bars() as report:
        opened = open_bundle(bundle, report, say=say)
        record = opened.manifest.face if bundle is not None else FaceRecord(template_px=ARCFACE_TEMPLATE)
        with Session(opened, CPU_ENGINE) as session:
            lab = Lab(session, record, subject, shown, offset_ms=offset_ms, say=say)
            made = make_dataset(videos, trackers, labels, output, lab=lab, force=force, progress=report)
        broken = [each for each in made if each.problem]
        for each in broken[:_SHOWN]:
            say(f"{labels}, row {each.clip.row}, {each.clip.name}: {each.problem}")
        if broken[_SHOWN:]:
            say(f"{len(broken) - _SHOWN} more rows became no clip; {output / REPORT_FILE} names all of them")
        choices = DataChoices(view=view)
        open_dataset(output, choices, report)
    kept = sum(each.kept for each in made)
    existing = f", {kept} of them there before" if kept else ""
    say(f"wrote {output}: {len(made) - len(broken)} clips of {len(made)} rows{existing}; see {output / REPORT_FILE}")
    say(f"next: {command('train', '--data', output, *choices.flags())}")
