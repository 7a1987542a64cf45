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
    format: Annotated[str, typer.Option("--format", help="emer or csv.")] = "emer",  # noqa: A002
    rate_hz: Annotated[float, typer.Option(min=1, max=2000, help="Samples a second.")] = 120.0,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after this long.", show_default=False)] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same samples.")] = 0,
) -> None:
    """Play an eye tracker on a pseudo-terminal; its path is printed first, alone on a line.

    Give that path to `emer-edge run --tracker`. Ctrl-C stops it.
    """
    from emer_edge.runtime.simulate import simulate_tracker

    stop = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: stop.set())
    played = simulate_tracker(format, rate_hz, seed, seconds, stop=stop)
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
