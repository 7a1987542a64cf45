"""`emer-edge prepare`: raw face videos become a data set's crops."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from emer_edge.cli.options import ForceOption
from emer_edge.cli.progress import progress_bars, say
from emer_edge.runtime.options import FaceOptions, Subject


def prepare(
    videos: Annotated[
        Path,
        typer.Argument(help="Folder of face videos, or of folders of frames, in any depth (set1/3_film_happy.avi)."),
    ],
    output: Annotated[Path, typer.Argument(help="Folder for the crops: the face folder of a data set (EMER/face).")],
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            help="Frame and light the crops as this bundle asks for. Left out: the generic template of face "
            "recognition, and the detector of the bundle that `run` would take.",
            show_default=False,
        ),
    ] = None,
    subject: Annotated[Subject, typer.Option(help="Whose face, when several are seen at first.")] = FaceOptions.subject,
    image_format: Annotated[
        Literal["png", "jpg"], typer.Option(help="png is lossless; jpg of quality 95 is a third as large.")
    ] = "png",
    force: ForceOption = False,
) -> None:
    """Cut aligned 112 x 112 face crops out of raw videos, by the code that does it live.

    Folders are kept: set1/3_film_happy.avi becomes set1/3_film_happy/00001.png and so on. A frame whose face is
    missing, turned away, blurred, cut or too small gives no crop; prepare.csv counts them. Run it again to go on
    after a stop.
    """
    from emer_edge.bundle import load_bundle
    from emer_edge.bundle.manifest import FaceRecord
    from emer_edge.demo import default_bundle
    from emer_edge.offline.prepare import REPORT_FILE, prepare_videos
    from emer_edge.runtime.engines import CPU_ENGINE
    from emer_edge.runtime.faces import ARCFACE_TEMPLATE
    from emer_edge.runtime.session import Session

    with progress_bars() as report:
        opened = load_bundle(bundle or default_bundle(report))
        record = opened.manifest.face if bundle is not None else FaceRecord(template_px=ARCFACE_TEMPLATE)
        with Session(opened, CPU_ENGINE) as session:
            done = prepare_videos(
                videos, output, session.detector, record,
                subject=subject, image_format=image_format, force=force, progress=report,
            )  # fmt: skip
    for each in done:
        if each.problem:
            say(f"left out {each.clip}: {each.problem}")
    kept = sum(each.kept for each in done)
    crops, frames = sum(each.crops for each in done), sum(each.frames for each in done)
    told = f"; {kept} clips were there already" if kept else ""
    say(f"wrote {output}: {crops} crops of {frames} frames{told}; {output / REPORT_FILE} says what became of each clip")
    say("next: put the eye sheets and labels beside it, then: emer-edge train --data " + str(output.parent))
