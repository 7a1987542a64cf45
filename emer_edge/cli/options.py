"""Options that several commands share, spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperOption

__all__ = ["BundleArgument", "DataOption", "EngineOption", "ForceOption", "HelpfulCommand", "ThreadsOption"]

BundleArgument = Annotated[
    Path | None,
    typer.Argument(
        help="The bundle, a folder NAME.emer. Left out: the newest one in this folder, else the demo bundle.",
        show_default=False,
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Root of an EMER data set (or of one made by `emer-edge synth`).", show_default=False),
]
EngineOption = Annotated[str, typer.Option("--engine", help="What computes: auto, or an engine by its name.")]
"""`HelpfulCommand` names the engines."""
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="CPU threads of the engine.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")]


class HelpfulCommand(TyperCommand):
    """A command whose help names what is registered, other packages' plug-ins too: looked up once help is asked for."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        from emer_edge.runtime.engines import engines

        for option in self.params:
            if isinstance(option, TyperOption) and option.name == "engine":
                told = ", ".join(f"{each.name} ({each.help})" for each in engines().values())
                option.help = f"What computes: auto (the best that can here), {told}."
        super().format_help(ctx, formatter)
