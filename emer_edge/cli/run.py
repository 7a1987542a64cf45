"""`emer-edge run`: camera and tracker in, results out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from emer_edge.cli.config_file import take_config
from emer_edge.cli.console import console, progress_bars, say
from emer_edge.cli.output_flags import OutputFlags
from emer_edge.cli.shared_options import MACHINE_PANEL, BundleArgument, EngineOption, ThreadsOption, panel
from emer_edge.cli.stream_tables import read_tables, stream_sources
from emer_edge.core.secrets import load_secrets
from emer_edge.runtime.options import FaceOptions, MachineOptions, Pace, Source, Subject, WindowOptions

_source, _output = panel("Camera and tracker"), panel("Outputs, any number at once")
_session, _machine = panel("Sessions"), panel(MACHINE_PANEL)


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
            "deploy/run.toml has them all, and how [\\[stream]] tables read several people in one run.",
        ),
    ] = None,
    secrets: Annotated[
        Path | None,
        _source(
            "A file of NAME=value lines, mode 600: an environment for rtsp://${NAME}:${OTHER}@host and for outputs.",
            is_eager=True,
            callback=load_secrets,
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Check the bundle's hashes, the sources, and what they need; then exit with 0 or 2."
        ),
    ] = False,
    require_signature: Annotated[
        Path | None,
        typer.Option(help="Refuse a bundle unless this public key or authority (PEM) has signed it. Extra: sign."),
    ] = None,
    camera: Annotated[
        str,
        _source(
            "Camera index (0) or path (/dev/v4l/by-id/..., '0?size=1280x720&rate=30&format=mjpeg'), csi://0 "
            "(Jetson), rtsp://..., http://... (Motion JPEG), 'gst://PIPELINE', synthetic://, a named pipe, or a file: "
            "a video, a folder of images, a recorded run (run.mcap). emer-edge devices lists what is plugged in; "
            "docs/cameras.md has the parameters."
        ),
    ] = str(Source.camera),
    tracker: Annotated[
        str | None,
        _source(
            "Serial device (/dev/ttyUSB0, or serial:///dev/ttyUSB0?baud=921600&format=iscan), "
            "opengaze://host:4242 (Gazepoint), lsl:// or lsl://name, tobii://, or a file: Tobii Pro Lab export "
            "(TSV, XLSX), Gazepoint CSV, a recording's folder, a recorded run (run.mcap); none, the default: the face "
            "alone is read (FER). docs/trackers.md has the parameters."
        ),
    ] = None,
    pace: Annotated[
        Pace,
        _source("real: files play as they were recorded. fast: replay files, nothing dropped."),
    ] = MachineOptions.pace,
    loop: Annotated[
        bool,
        _source(
            "Start files over when they end, so that a demo plays on. Every source is a file, and nothing is kept.",
            "--loop",
        ),
    ] = MachineOptions.loop,
    out: Annotated[
        list[str] | None,
        _output("Where results go, by address. `HelpfulCommand` names the outputs.", metavar="ADDRESS"),
    ] = None,
    json: Annotated[bool, _output("Write results to stdout, one JSON object per line.", "--json")] = False,
    serve: Annotated[
        str | None,
        _output(
            "Show the run on a web page, http://127.0.0.1:PORT/ for this machine alone, by a link with a token that is "
            "printed; another HOST (0.0.0.0: all networks) needs a token of yours. docs/page.md says more.",
            metavar="[HOST:]PORT",
        ),
    ] = None,
    serve_token: Annotated[
        str | None,
        _output(
            "The token that visitors of the page must give, 16 characters or more; better set in the environment, "
            "where other users can't read it.",
            envvar="EMER_EDGE_SERVE_TOKEN",
            show_envvar=True,
        ),
    ] = None,
    serve_open: Annotated[
        bool, _output("Show the page without a token, to every program and user of this machine.", "--serve-open")
    ] = False,
    open_page: Annotated[
        bool, _output("Open the page in your browser; without --serve, at a free port of this machine.", "--open")
    ] = False,
    serve_record: Annotated[
        Path | None,
        _output(
            "Let visitors of the page record into this folder, images too, each time with a consent ID. Extra: mcap."
        ),
    ] = None,
    offset_ms: Annotated[
        float | None, _source("Added to the tracker file's times so that they match the video's.")
    ] = None,
    display: Annotated[
        str | None, _source("The display the gaze falls on, as 1920x1080,527x296mm; the training display by default.")
    ] = None,
    stimulus_rect: Annotated[
        str | None, _source("Where the stimulus is on the display, as left,top,width,height in pixels.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Stop after this long; by default, at the end or at Ctrl-C.")
    ] = None,
    detect_every: Annotated[
        int | None,
        _source("Look for the face on every n-th frame; by default on every 5th, while it is calm on fewer.", min=1),
    ] = FaceOptions.detect_every,
    subject: Annotated[
        Subject,
        _source(
            "Which face is read when there are several at first, as the camera sees them. That person is followed "
            "through crossings; another is chosen only after 5 s without, and the run says so."
        ),
    ] = FaceOptions.subject,
    save: Annotated[
        Path | None,
        _session(
            "Save results and markers in FOLDER/PARTICIPANT/SESSION as they come; no images. Needs --participant. "
            "emer-edge purge --participant removes them."
        ),
    ] = None,
    participant: Annotated[
        str | None,
        _session(
            "The participant, a pseudonym such as p017, not a name; with several streams, in each [\\[stream]] table."
        ),
    ] = None,
    session: Annotated[str | None, _session("The session's ID; by default, the date and time.")] = None,
    record: Annotated[
        str | None,
        _output(
            "Record samples, results and markers in a new file NAME.mcap (opens in Foxglove; given as --camera and "
            "--tracker, it is played back), or in a folder NAME/, named by the time and the stream. Extra: mcap."
        ),
    ] = None,
    record_video: Annotated[
        bool,
        _output(
            "Record images, too: as JPEG, with the lossless face crops that a replay needs. Needs --consent-id.",
            "--record-video",
        ),
    ] = False,
    record_lossless: Annotated[
        bool,
        _output(
            "With --record-video: whole images as PNG, so that a replay can detect faces again. 5 times larger.",
            "--record-lossless",
        ),
    ] = False,
    consent_id: Annotated[
        str | None,
        _output("ID of the consent to be filmed; kept in the recording. Each [\\[stream]] table has its own."),
    ] = None,
    retention_days: Annotated[
        float | None,
        _output("First delete recordings and sessions in these folders that began longer ago; only emer-edge's own."),
    ] = None,
    mqtt: Annotated[
        str | None,
        _output(
            "Publish results: mqtt://host:1883/topic, or mqtts:// for TLS; credentials come from "
            "EMER_EDGE_MQTT_USERNAME and EMER_EDGE_MQTT_PASSWORD. docs/outputs.md. Extra: mqtt."
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        _output("Serve latencies, states and losses to Prometheus, on loopback: :9108. No emotions. Extra: metrics."),
    ] = None,
    lsl_out: Annotated[
        str | None,
        _output("Send results as an LSL stream of this name; with several streams, NAME-STREAM each. Extra: lsl."),
    ] = None,
    baseline: Annotated[
        str | None,
        _session("First measure pupils, expression and gap on this much valid data: 30s, 2min. Results are unchanged."),
    ] = None,
    apply_baseline: Annotated[
        bool, _session("Add the difference from the baseline to results, beside their values.", "--apply-baseline")
    ] = False,
    markers: Annotated[
        list[str] | None,
        _session(
            "Where markers come from: lsl:// or lsl://NAME (an LSL marker stream), lines (each line of stdin), "
            "keys (letters, digits and the space bar; always on where stdin is a terminal), none. Repeatable."
        ),
    ] = None,
    validate: Annotated[
        bool,
        _session("First have each person look at five targets, and report the accuracy of the gaze.", "--validate"),
    ] = False,
    validation_targets: Annotated[str | None, _session("Other targets, in display pixels: 'x,y;x,y;...'.")] = None,
    validation_by: Annotated[
        Literal["auto", "window", "terminal"],
        _session(
            "How targets are shown: in a window over the display, or the terminal says where to look and your "
            "own stimulus display shows them. auto: a window where one can be opened."
        ),
    ] = "auto",
    arrival_allowance_ms: Annotated[
        float, _source("How long a window waits for late samples; part of the end-to-end latency.")
    ] = WindowOptions.arrival_allowance_ms,
    engine: EngineOption = MachineOptions.engine,
    threads: ThreadsOption = MachineOptions.threads,
    cpu_affinity: Annotated[
        str | None, _machine("CPU cores to keep to, as 2,3 or 0-3; the capture process, too.")
    ] = None,
    nice: Annotated[
        int | None, _machine("Niceness, -20 (highest priority; needs root) to 19 (lowest).", min=-20, max=19)
    ] = None,
) -> None:
    """Read a camera and an eye tracker live: what the face shows, what the person feels, and the gap, with latency.

    Ctrl-C (exit code 130), SIGTERM and a terminal that closes (143) end the run with a summary. Nothing is stored
    unless --save, --record or --out says where, and nothing leaves this machine unless --mqtt, --metrics, --lsl-out,
    --serve or --out says so. docs/outputs.md has every output, docs/sessions.md has participants, markers, baselines
    and the gaze validation.
    """
    from emer_edge.tools.placement import place_process

    place_process(cpu_affinity, nice)  # before libraries start threads

    from emer_edge.cli.parsing import duration_s, points
    from emer_edge.core.samples import Display, StimulusRect
    from emer_edge.demo import open_bundle
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
        serve_open=serve_open,
        open_page=open_page,
        serve_record=serve_record,
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
    machine = MachineOptions(engine, threads, pace, loop)
    check_outputs(outputs, sources, machine)
    marking = marker_sources(markers or [], say, pace)
    targets = points(validation_targets) if validation_targets else None
    validation = Validating(presenter(validation_by, say), targets) if validate or targets else None
    with progress_bars() as report:
        opened = open_bundle(bundle, report, say=say, key=require_signature)
    pipeline = Pipeline(opened, sources=sources, machine=machine, say=say)
    if check:
        pipeline.check()
        read = f" and {len(people)} streams" if people else f", {camera} and {tracker or 'no eye tracker'}"
        say(f"{pipeline.bundle.path}{read} are in order; nothing was opened")
        return
    summary = play(
        pipeline,
        open_outputs(pipeline, outputs, say=say, console=console),
        seconds,
        sources=marking,
        validation=validation,
    )
    if summary.lost_kept:
        raise typer.Exit(3)
    if summary.signal is not None:
        raise typer.Exit(128 + summary.signal)
