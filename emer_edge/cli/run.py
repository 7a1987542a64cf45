"""`emer-edge run`: camera and tracker in, results out."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from emer_edge.cli.options import BundleArgument, EngineOption, ThreadsOption
from emer_edge.cli.progress import progress_bars, say

__all__ = ["run"]


def run(
    bundle: BundleArgument = None,
    camera: Annotated[
        str,
        typer.Option(
            help="Camera index (0) or path (/dev/v4l/by-id/..., '0?size=1280x720&rate=30&format=mjpeg'), csi://0 "
            "(Jetson), rtsp://..., http://... (Motion JPEG), 'gst://PIPELINE', synthetic://, a named pipe, or a file: "
            "a video, a folder of images. emer-edge devices lists what is plugged in; docs/cameras.md has the "
            "parameters.",
            show_default=True,
        ),
    ] = "0",
    tracker: Annotated[
        str,
        typer.Option(
            help="Serial device (/dev/ttyUSB0, or serial:///dev/ttyUSB0?baud=921600&format=iscan), "
            "opengaze://host:4242 (Gazepoint), lsl:// or lsl://name, tobii://, or a file: Tobii Pro Lab export "
            "(TSV, XLSX), Gazepoint CSV, a recording's folder. docs/trackers.md has the parameters."
        ),
    ] = "/dev/ttyUSB0",
    pace: Annotated[
        str, typer.Option(help="real: files play as they were recorded. fast: replay two files, nothing dropped.")
    ] = "real",
    json: Annotated[bool, typer.Option("--json", help="Write results to stdout, one JSON object a line.")] = False,
    offset_ms: Annotated[
        float | None,
        typer.Option(help="Added to the tracker file's times so that they match the video's.", show_default=False),
    ] = None,
    display: Annotated[
        str | None,
        typer.Option(
            help="The display the gaze falls on, as 1920x1080,527x296mm; the training display by default.",
            show_default=False,
        ),
    ] = None,
    stimulus_rect: Annotated[
        str | None,
        typer.Option(help="Where the stimulus lies on it, as left,top,width,height in pixels.", show_default=False),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Stop after this long; by default, at the end or at Ctrl-C.")
    ] = None,
    detect_every: Annotated[int, typer.Option(min=1, help="Look for the face on every n-th frame.")] = 5,
    subject: Annotated[
        Literal["largest", "center", "left", "right"],
        typer.Option(
            help="Whose face is read when several are seen at first, as the camera sees them. That person is followed "
            "through crossings; another is chosen only after 5 s without, and the run says so."
        ),
    ] = "largest",
    arrival_allowance_ms: Annotated[
        float, typer.Option(help="How long a window waits for late samples; part of the stated latency.")
    ] = 50.0,
    engine: EngineOption = "auto",
    threads: ThreadsOption = 1,
) -> None:
    """Say live what the face shows, what the person feels, and the gap, with latency.

    Ctrl-C ends the run with a summary. Nothing is stored and nothing leaves this machine.
    """
    from emer_edge.demo import default_bundle
    from emer_edge.runtime.outputs import OUTPUTS
    from emer_edge.runtime.pipeline import Pipeline, play
    from emer_edge.spec.samples import Display, StimulusRect

    if bundle is None:
        with progress_bars() as report:
            bundle = default_bundle(report)
        say(f"bundle: {bundle}")
    pipeline = Pipeline(
        bundle,
        camera,
        tracker,
        pace=pace,
        engine=engine,
        threads=threads,
        display=Display.parse(display) if display else None,
        stimulus=StimulusRect.parse(stimulus_rect) if stimulus_rect else None,
        offset_ms=offset_ms,
        detect_every=detect_every,
        subject=subject,
        arrival_allowance_ms=arrival_allowance_ms,
        say=say,
    )
    manifest = pipeline.bundle.manifest
    outputs = [OUTPUTS["json" if json else "live"](manifest), OUTPUTS["summary"](manifest)]
    play(pipeline, outputs, seconds)
