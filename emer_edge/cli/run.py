"""`emer-edge run`: camera and tracker in, results out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from emer_edge.cli.config_file import take_config
from emer_edge.cli.options import BundleArgument, EngineOption, ThreadsOption
from emer_edge.cli.output_flags import OutputFlags
from emer_edge.cli.progress import console, progress_bars, say
from emer_edge.cli.stream_tables import read_tables, stream_sources
from emer_edge.runtime.options import FaceOptions, MachineOptions, Pace, Source, Subject, WindowOptions

_SOURCES = "Camera and tracker"
_OUTPUTS = "Outputs, any number at once"
_SESSIONS = "Sessions"
_MACHINE = "Machine"


def _config(context: typer.Context, path: Path | None) -> Path | None:
    return take_config(context, path, run, read_tables)


def run(
    context: typer.Context,
    bundle: BundleArgument = None,
    config: Annotated[
        Path | None,
        typer.Option(
            is_eager=True,
            callback=_config,
            help="A TOML file with any of these options, without their dashes: offset-ms = 12.5. Flags win. "
            "deploy/run.toml has them all, and how [[stream]] tables read several people in one run.",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Check the bundle's hashes, the sources, and what they need; then exit with 0 or 2."
        ),
    ] = False,
    camera: Annotated[
        str,
        typer.Option(
            help="Camera index (0) or path (/dev/v4l/by-id/..., '0?size=1280x720&rate=30&format=mjpeg'), csi://0 "
            "(Jetson), rtsp://..., http://... (Motion JPEG), 'gst://PIPELINE', synthetic://, a named pipe, or a file: "
            "a video, a folder of images, a recorded run (run.mcap). emer-edge devices lists what is plugged in; "
            "docs/cameras.md has the parameters.",
            show_default=True,
            rich_help_panel=_SOURCES,
        ),
    ] = str(Source.camera),
    tracker: Annotated[
        str,
        typer.Option(
            help="Serial device (/dev/ttyUSB0, or serial:///dev/ttyUSB0?baud=921600&format=iscan), "
            "opengaze://host:4242 (Gazepoint), lsl:// or lsl://name, tobii://, or a file: Tobii Pro Lab export "
            "(TSV, XLSX), Gazepoint CSV, a recording's folder, a recorded run (run.mcap). docs/trackers.md has the "
            "parameters.",
            rich_help_panel=_SOURCES,
        ),
    ] = str(Source.tracker),
    pace: Annotated[
        Pace,
        typer.Option(
            help="real: files play as they were recorded. fast: replay files, nothing dropped.",
            rich_help_panel=_SOURCES,
        ),
    ] = MachineOptions.pace,
    out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="Where results go, by address. `HelpfulCommand` names the outputs.",
            show_default=False,
            rich_help_panel=_OUTPUTS,
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Write results to stdout, one JSON object a line.", rich_help_panel=_OUTPUTS)
    ] = False,
    serve: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT",
            help="Show the run on a web page, http://127.0.0.1:PORT/ for this machine alone; another HOST (0.0.0.0: "
            "all networks) needs a token. docs/page.md says more.",
            show_default=False,
            rich_help_panel=_OUTPUTS,
        ),
    ] = None,
    serve_token: Annotated[
        str | None,
        typer.Option(
            envvar="EMER_EDGE_SERVE_TOKEN",
            help="What visitors of the page must know, 16 characters or more; better set in the environment, where "
            "other users can't read it.",
            show_default=False,
            show_envvar=True,
            rich_help_panel=_OUTPUTS,
        ),
    ] = None,
    offset_ms: Annotated[
        float | None,
        typer.Option(
            help="Added to the tracker file's times so that they match the video's.",
            show_default=False,
            rich_help_panel=_SOURCES,
        ),
    ] = None,
    display: Annotated[
        str | None,
        typer.Option(
            help="The display the gaze falls on, as 1920x1080,527x296mm; the training display by default.",
            show_default=False,
            rich_help_panel=_SOURCES,
        ),
    ] = None,
    stimulus_rect: Annotated[
        str | None,
        typer.Option(
            help="Where the stimulus lies on it, as left,top,width,height in pixels.",
            show_default=False,
            rich_help_panel=_SOURCES,
        ),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Stop after this long; by default, at the end or at Ctrl-C.")
    ] = None,
    detect_every: Annotated[
        int, typer.Option(min=1, help="Look for the face on every n-th frame.", rich_help_panel=_SOURCES)
    ] = FaceOptions.detect_every,
    subject: Annotated[
        Subject,
        typer.Option(
            help="Whose face is read when several are seen at first, as the camera sees them. That person is followed "
            "through crossings; another is chosen only after 5 s without, and the run says so.",
            rich_help_panel=_SOURCES,
        ),
    ] = FaceOptions.subject,
    save: Annotated[
        Path | None,
        typer.Option(
            help="Save results and markers in FOLDER/PARTICIPANT/SESSION as they come; no images. Needs --participant. "
            "emer-edge purge --participant removes them.",
            show_default=False,
            rich_help_panel=_SESSIONS,
        ),
    ] = None,
    participant: Annotated[
        str | None,
        typer.Option(
            help="Who is saved: a pseudonym such as p017, not a name; of several streams, in each [[stream]] table.",
            show_default=False,
            rich_help_panel=_SESSIONS,
        ),
    ] = None,
    session: Annotated[
        str | None,
        typer.Option(
            help="Which session of theirs; by default, the date and time.",
            show_default=False,
            rich_help_panel=_SESSIONS,
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            help="Record samples, results and markers in a new MCAP file (opens in Foxglove; given as --camera and "
            "--tracker, it is played back), or in a folder, named by the time and the stream. Extra: mcap.",
            show_default=False,
            rich_help_panel=_OUTPUTS,
        ),
    ] = None,
    record_video: Annotated[
        bool,
        typer.Option(
            "--record-video",
            help="Record images, too: as JPEG, with the lossless face crops that a replay needs. Needs --consent-id.",
            rich_help_panel=_OUTPUTS,
        ),
    ] = False,
    record_lossless: Annotated[
        bool,
        typer.Option(
            "--record-lossless",
            help="With --record-video: whole images as PNG, so that a replay can look for faces again. 5 times larger.",
            rich_help_panel=_OUTPUTS,
        ),
    ] = False,
    consent_id: Annotated[
        str | None,
        typer.Option(
            help="What the consent to be filmed is filed as; kept in the recording. Each [[stream]] table has its own.",
            show_default=False,
            rich_help_panel=_OUTPUTS,
        ),
    ] = None,
    retention_days: Annotated[
        float | None,
        typer.Option(
            help="First delete the recordings in that folder that are older; only emer-edge's own.",
            show_default=False,
            rich_help_panel=_OUTPUTS,
        ),
    ] = None,
    mqtt: Annotated[
        str | None,
        typer.Option(
            help="Publish results: mqtt://host:1883/topic, or mqtts:// for TLS; credentials come from "
            "EMER_EDGE_MQTT_USERNAME and EMER_EDGE_MQTT_PASSWORD. docs/outputs.md. Extra: mqtt.",
            show_default=False,
            rich_help_panel=_OUTPUTS,
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Serve latencies, states and losses to Prometheus, on loopback: :9108. No emotions. Extra: metrics.",
            show_default=False,
            rich_help_panel=_OUTPUTS,
        ),
    ] = None,
    lsl_out: Annotated[
        str | None,
        typer.Option(
            help="Send results as an LSL stream of this name; of several streams, NAME-STREAM each. Extra: lsl.",
            show_default=False,
            rich_help_panel=_OUTPUTS,
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="First measure pupils, expression and gap on this much valid data: 30s, 2min. Results stay as are.",
            show_default=False,
            rich_help_panel=_SESSIONS,
        ),
    ] = None,
    apply_baseline: Annotated[
        bool,
        typer.Option(
            "--apply-baseline",
            help="Put the distance from the baseline into results, beside their values.",
            rich_help_panel=_SESSIONS,
        ),
    ] = False,
    markers: Annotated[
        list[str] | None,
        typer.Option(
            help="Where markers come from: lsl:// or lsl://NAME (an LSL marker stream), lines (each line of stdin), "
            "keys (letters, digits and the space bar; always on where stdin is a terminal), none. Repeatable.",
            show_default=False,
            rich_help_panel=_SESSIONS,
        ),
    ] = None,
    validate: Annotated[
        bool,
        typer.Option(
            "--validate",
            help="First have each person look at five targets, and say how far the gaze is off.",
            rich_help_panel=_SESSIONS,
        ),
    ] = False,
    validation_targets: Annotated[
        str | None,
        typer.Option(
            help="Other targets, in display pixels: 'x,y;x,y;...'.", show_default=False, rich_help_panel=_SESSIONS
        ),
    ] = None,
    validation_by: Annotated[
        Literal["auto", "window", "terminal"],
        typer.Option(
            help="How targets are shown: in a window over the display, or the terminal says where to look and your "
            "own stimulus display shows them. auto: a window where one can be opened.",
            rich_help_panel=_SESSIONS,
        ),
    ] = "auto",
    arrival_allowance_ms: Annotated[
        float,
        typer.Option(
            help="How long a window waits for late samples; part of the stated latency.", rich_help_panel=_SOURCES
        ),
    ] = WindowOptions.arrival_allowance_ms,
    engine: EngineOption = MachineOptions.engine,
    threads: ThreadsOption = MachineOptions.threads,
    cpu_affinity: Annotated[
        str | None,
        typer.Option(
            help="CPU cores to keep to, as 2,3 or 0-3; the capture process, too.",
            show_default=False,
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    nice: Annotated[
        int | None,
        typer.Option(
            min=-20,
            max=19,
            help="Niceness, -20 (first in turn; needs root) to 19 (last).",
            show_default=False,
            rich_help_panel=_MACHINE,
        ),
    ] = None,
) -> None:
    """Say live what the face shows, what the person feels, and the gap, with latency.

    Ctrl-C ends the run with a summary. Nothing is stored unless --save, --record or --out says where, and nothing
    leaves this machine unless --mqtt, --metrics, --lsl-out, --serve or --out says so. docs/outputs.md has every output,
    docs/sessions.md has participants, markers, baselines and the gaze validation.
    """
    from emer_edge.tools.placement import place_process

    place_process(cpu_affinity, nice)  # before libraries start threads

    from emer_edge.cli.parsing import duration_s, points
    from emer_edge.core.samples import Display, StimulusRect
    from emer_edge.demo import default_bundle
    from emer_edge.runtime.markers import marker_sources
    from emer_edge.runtime.options import BaselineOptions
    from emer_edge.runtime.outputs import check_outputs, open_outputs
    from emer_edge.runtime.pipeline import Pipeline
    from emer_edge.runtime.play import Validating, play
    from emer_edge.runtime.validation import presenter

    for_all = Source(
        camera,
        tracker,
        offset_ms=offset_ms,
        display=Display.parse(display) if display else None,
        stimulus=StimulusRect.parse(stimulus_rect) if stimulus_rect else None,
        faces=FaceOptions(subject, detect_every),
        window=WindowOptions(arrival_allowance_ms),
        baseline=BaselineOptions(duration_s(baseline) if baseline else None, apply_baseline),
    )
    people = stream_sources(context, for_all)
    sources = people or [replace(for_all, participant=participant, consent_id=consent_id)]
    flags = OutputFlags(
        out=out or (),
        json=json,
        serve=serve,
        serve_token=serve_token,
        save=save,
        session=session,
        record=record,
        record_video=record_video,
        record_lossless=record_lossless,
        retention_days=retention_days,
        mqtt=mqtt,
        metrics=metrics,
        lsl_out=lsl_out,
        participant=participant,
        consent_id=consent_id,
    )
    outputs = flags.requests(sources)
    check_outputs(outputs, sources)
    marking = marker_sources(markers or [], say, pace)
    targets = points(validation_targets) if validation_targets else None
    validation = Validating(presenter(validation_by, say), targets) if validate or targets else None
    if bundle is None:
        with progress_bars() as report:
            bundle = default_bundle(report)
        say(f"bundle: {bundle}")
    pipeline = Pipeline(bundle, sources=sources, machine=MachineOptions(engine, threads, pace), say=say)
    if check:
        pipeline.check()
        told = f" and {len(people)} streams" if people else f", {camera} and {tracker}"
        say(f"{pipeline.bundle.path}{told} are in order; nothing was opened")
        return
    play(
        pipeline,
        open_outputs(pipeline, outputs, say=say, console=console),
        seconds,
        sources=marking,
        validation=validation,
    )
