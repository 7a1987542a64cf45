"""`emer-edge simulate`: sensors without hardware."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from emer_edge.cli.console import progress_bars, say
from emer_edge.cli.messages import with_messages
from emer_edge.cli.shared_options import HelpfulCommand
from emer_edge.core.standard_streams import command

simulate = typer.Typer(no_args_is_help=True, help="Sensors without hardware: an eye tracker, or a whole recording.")


@simulate.command(cls=HelpfulCommand)
@with_messages
def tracker(
    format: Annotated[  # noqa: A002
        str, typer.Option("--format", help="Its format.")
    ] = "emer",
    rate_hz: Annotated[float | None, typer.Option(min=1, max=2000, help="Samples per second; by default 120.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Stop after this long.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Same seed, same samples.")] = 0,
    source: Annotated[
        str | None,
        typer.Option("--from", help="Play this tracker file or recording instead of synthetic eyes, once."),
    ] = None,
    link: Annotated[Path | None, typer.Option(help="Link to the pseudo-terminal, for a name that stays.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of opengaze-tcp; 0: any free one.")] = 0,
    faults: Annotated[
        str | None,
        typer.Option(
            help="Add faults: bits=1e-5 (bit errors), cut=1% (frames without their end), drop=2% (samples "
            "lost on the way), duplicate=1% (sent twice), jitter=20ms (mean delay), drift=100ppm (the tracker's clock "
            "is too slow), reset=30s (every 30 s that clock starts again), pause=10s:2s (every 10 s, for 2 s), "
            "unplug=20s:3s, seed=1; separated by commas. line, clock, away or all stand for several, alone or first: "
            "all,bits=0."
        ),
    ] = None,
) -> None:
    """Play an eye tracker; its address is printed first, alone on a line.

    Give that line to `emer-edge run --tracker`. Ctrl-C stops it. With `--faults` it misbehaves, and counts the faults
    at the end: `emer-edge simulate tracker --faults all --link /tmp/tracker`.
    """
    from emer_edge.tools.simulate import SimulatedTracker, simulate_tracker

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    simulated = SimulatedTracker(format, rate_hz, seed, source, link=link, port=port)
    played = simulate_tracker(simulated, seconds, faults=faults, stop=stop, say=say)
    say(f"sent {played.sent} samples; {played.dropped} had no reader")
    if faults is not None:
        happened = ", ".join(f"{name} {count}" for name, count in played.faults.items())
        say(f"faults: {happened or 'none happened'}")


@simulate.command(cls=HelpfulCommand)
@with_messages
def recording(
    output: Annotated[Path, typer.Argument(help="Folder to make.")],
    seconds: Annotated[float, typer.Option(min=1, max=86_400, help="How long.")] = 60.0,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Same seed, same recording.")] = 0,
) -> None:
    """Write a recording: a face video (video.avi) and its eye tracker (tracker.tsv)."""
    from emer_edge.data.synth import write_recording

    with progress_bars() as report:
        made = write_recording(output, seconds, seed, progress=report)
    say(f"wrote {made}")
    files = ("--camera", made / "video.avi", "--tracker", made / "tracker.tsv", "--offset-ms", 0)
    say(f"next: {command('run', *files)}")
