"""`emer-edge demo`: the whole job on a machine without data or sensors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emer_edge.cli.console import console, progress_bars, say
from emer_edge.cli.shared_options import ForceOption
from emer_edge.core.standard_streams import command
from emer_edge.demo import DemoOptions, run_demo


def demo(
    output: Annotated[Path, typer.Option(help="Folder to create.")] = DemoOptions.folder,
    participants: Annotated[
        int, typer.Option(min=5, help="Synthetic people, ten clips each.")
    ] = DemoOptions.participants,
    epochs: Annotated[int, typer.Option(min=1, help="Of training.")] = DemoOptions.epochs,
    run_seconds: Annotated[
        float, typer.Option(min=1, help="Length of the live run; a window takes 12 s to fill.")
    ] = DemoOptions.run_seconds,
    force: ForceOption = False,
) -> None:
    """Synthesise clips, train, export to INT8, run live on simulated sensors, and bench: a few minutes on two cores.

    Each step is printed as the command that does the same.
    """
    from emer_edge.bench.pages import tables_of
    from emer_edge.report.text_tables import to_rich

    options = DemoOptions(folder=output, participants=participants, epochs=epochs, run_seconds=run_seconds, force=force)
    say(f"making {output}/: clips, training, export, a live run and bench; by default about five minutes on two cores")
    with progress_bars() as report:
        done = run_demo(options, report, say)
    tables = tables_of(done.bench)
    for name in ("speed", "classes"):
        console.print(to_rich(tables[name]))
    say(f"Everything is in {done.folder}/: clips, emert.pt, {done.bundle.name}, visit, bench/report.html.")
    say("The clips are synthetic, of rendered people: the figures show that the tools work, nothing about people.")
    say("Next, on your own sensors:")
    sensors = ("--camera", 0, "--tracker", "/dev/ttyUSB0")
    say(f"  {command('run', done.bundle, *sensors)}")
    say("or without any:")
    visit = done.folder / "visit"
    files = ("--camera", visit / "video.avi", "--tracker", visit / "tracker.tsv", "--offset-ms", 0)
    say(f"  {command('run', done.bundle, *files)}")
