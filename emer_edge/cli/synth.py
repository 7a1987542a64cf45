"""`emer-edge synth`: a data set of synthetic clips in EMER's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emer_edge.cli.console import progress_bars, say
from emer_edge.cli.shared_options import ForceOption
from emer_edge.core.standard_streams import command


def synth(
    output: Annotated[Path, typer.Argument(help="Folder to create.")],
    participants: Annotated[int, typer.Option(min=5, help="Participants, spread over the five folds.")] = 60,
    clips: Annotated[int, typer.Option(min=1, help="Clips per participant.")] = 10,
    frames: Annotated[int, typer.Option(min=8, help="Face frames per clip.")] = 24,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Same seed, same bytes.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; all cores by default.")] = None,
    force: ForceOption = False,
) -> None:
    """Write synthetic clips in EMER's layout: rendered people in seven expressions, and simulated eyes.

    They stand in for EMER, which can't be shipped. Nobody of them ever lived; what they show is called what a teacher
    network calls it, and what they feel is simulated.
    """
    from emer_edge.data.synth import synthesise

    with progress_bars() as report:
        made = synthesise(
            output,
            participants,
            seed,
            clips_per_participant=clips,
            frames=frames,
            progress=report,
            workers=workers,
            force=force,
        )
    say(f"wrote {made}: {participants * clips} clips")
    options = ("--data", made, "--fold", 1, "--frozen-backbone")
    say(f"next: {command('train', *options)}")
