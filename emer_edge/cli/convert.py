"""`emer-edge convert`: a recording as CSV or XDF."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from emer_edge.cli.console import say
from emer_edge.cli.shared_options import ForceOption


def convert(
    recording: Annotated[Path, typer.Argument(help="An MCAP file that `run --record` wrote.")],
    output: Annotated[Path, typer.Argument(help="FILE.csv, or FILE.xdf with all streams.")],
    rows: Annotated[
        Literal["results", "samples", "frames", "markers"], typer.Option(help="Which rows a CSV holds.")
    ] = "results",
    force: ForceOption = False,
) -> None:
    """Turn a recording into a table (CSV) or an XDF file. Images stay where they are. Extra: mcap."""
    from emer_edge.runtime.recording.convert import convert as convert_recording

    counts = convert_recording(recording, output, rows, force)
    say(f"wrote {output}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
