"""`emer-edge simulate`: sensors without hardware."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from emer_edge.cli.progress import progress_bars, say

__all__ = ["simulate"]

simulate = typer.Typer(no_args_is_help=True, help="Sensors without hardware: an eye tracker, or a whole recording.")


@simulate.command()
def tracker(
    format: Annotated[  # noqa: A002
        str,
        typer.Option(
            "--format",
            help="On a pseudo-terminal: emer, csv, opengaze, iviewx, iscan. On the network: opengaze-tcp, lsl.",
        ),
    ] = "emer",
    rate_hz: Annotated[
        float | None, typer.Option(min=1, max=2000, help="Samples a second; by default 120.", show_default=False)
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after this long.", show_default=False)] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same samples.")] = 0,
    source: Annotated[
        str | None,
        typer.Option(
            "--from", help="Play this tracker file or recording instead of synthetic eyes, once.", show_default=False
        ),
    ] = None,
    link: Annotated[
        Path | None,
        typer.Option(help="Put a symbolic link on the pseudo-terminal, for a name that stays.", show_default=False),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of opengaze-tcp; 0: any free one.")] = 0,
) -> None:
    """Play an eye tracker; where it listens is printed first, alone on a line.

    Give that line to `emer-edge run --tracker`. Ctrl-C stops it.
    """
    from emer_edge.runtime.simulate import simulate_tracker

    stop = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: stop.set())
    played = simulate_tracker(format, rate_hz, seed, seconds, stop=stop, source=source, link=link, port=port)
    say(f"sent {played.sent} samples; {played.dropped} found nobody reading")


@simulate.command()
def recording(
    output: Annotated[Path, typer.Argument(help="Folder to make.")],
    seconds: Annotated[float, typer.Option(min=1, help="How long.")] = 60.0,
    seed: Annotated[int, typer.Option(help="Same seed, same recording.")] = 0,
) -> None:
    """Write a recording: a face video (video.avi) and its eye tracker (tracker.tsv)."""
    from emer_edge.data.synth import write_recording

    with progress_bars() as report:
        made = write_recording(output, seconds, seed, progress=report)
    say(f"wrote {made}")
    say(f"next: emer-edge run --camera {made}/video.avi --tracker {made}/tracker.tsv --offset-ms 0")
