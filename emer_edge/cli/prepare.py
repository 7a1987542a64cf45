"""`emer-edge prepare`: a data set's crops from raw face videos."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import typer

from emer_edge.cli.console import progress_bars, say
from emer_edge.cli.shared_options import ForceOption
from emer_edge.core.standard_streams import command
from emer_edge.runtime.options import FaceOptions, Subject


def prepare(
    videos: Annotated[
        Path,
        typer.Argument(help="Folder of face videos, or of folders of frames, in any depth (set1/3_film_happy.avi)."),
    ],
    output: Annotated[Path, typer.Argument(help="Folder for the crops: the face folder of a data set (EMER/face).")],
    bundle: Annotated[
        Path | None,
        typer.Argument(
            help="Bundle whose template, brightness and detector to use. By default the generic template of face "
            "recognition, and the detector of the bundle that `run` would take.",
        ),
    ] = None,
    subject: Annotated[
        Subject, typer.Option(help="Which face to follow, when a video starts with several.")
    ] = FaceOptions.subject,
    image_format: Annotated[
        Literal["png", "jpg"], typer.Option(help="png is lossless; jpg of quality 95 is a third as large.")
    ] = "png",
    force: ForceOption = False,
) -> None:
    """Cut aligned 112 x 112 face crops out of raw videos, with the code of a live run.

    Folders are kept: set1/3_film_happy.avi becomes set1/3_film_happy/00001.png and so on. A frame whose face is
    missing, turned away, blurred, cut, covered or too small gives no crop; prepare.csv counts them. Run it again to
    continue after a stop: clips of the same video and options are kept.
    """
    from emer_edge.bundle.manifest import FaceRecord
    from emer_edge.demo import open_bundle
    from emer_edge.offline.prepare import REPORT_FILE, prepare_videos
    from emer_edge.runtime.engines import CPU_ENGINE
    from emer_edge.runtime.faces import ARCFACE_TEMPLATE
    from emer_edge.runtime.session import Session

    with progress_bars() as report:
        opened = open_bundle(bundle, report, say=say)
        record = opened.manifest.face if bundle is not None else FaceRecord(template_px=ARCFACE_TEMPLATE)
        with Session(opened, CPU_ENGINE) as session:
            done = prepare_videos(
                videos, output, session, record,
                subject=subject, image_format=image_format, force=force, progress=report,
            )  # fmt: skip
    for video in done:
        if video.problem:
            say(f"skipped {video.clip}: {video.problem}")
    missed: Counter[str] = Counter()
    for video in done:
        missed.update({reason.value: count for reason, count in video.missed.items()})
    if missed:
        say("frames without a crop: " + ", ".join(f"{count:,} {reason}" for reason, count in missed.most_common()))
    kept = sum(video.kept for video in done)
    crops, frames = sum(video.crops for video in done), sum(video.frames for video in done)
    existing = f"; {kept} clips existed already" if kept else ""
    say(f"wrote {output}: {crops} crops of {frames} frames{existing}; {output / REPORT_FILE} lists the clips")
    folders = ("--data", output.parent)
    say(f"next: put the eye sheets and labels beside it, then: {command('train', *folders)}")
