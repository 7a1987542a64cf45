"""Options that several commands share, spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperOption

from emer_edge.cli.config_file import LARGEST
from emer_edge.core.errors import ConfigurationError

BundleArgument = Annotated[
    Path | None,
    typer.Argument(
        help="The bundle, a folder NAME.emer. Left out: the newest one in this folder, else the demo bundle."
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Root of an EMER data set (or of one made by `emer-edge synth`)."),
]
EngineOption = Annotated[str, typer.Option("--engine", help="What computes: auto, or the name of an engine.")]
"""`HelpfulCommand` names the engines, and what cameras and trackers are."""
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, max=1024, help="CPU threads of the engine.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")]


class HelpfulCommand(TyperCommand):
    """A command whose help names what is registered, plug-ins of other packages too; looked up only for its help.

    Numbers that are none (`nan`, `inf`) or beyond all sense are refused for all options at once, by ConfigurationError.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line; ConfigurationError for a number that can't be meant."""
        rest = super().parse_args(ctx, args)
        for option in self.params:
            value = ctx.params.get(option.name)
            if isinstance(value, (int, float)) and not abs(value) <= LARGEST:
                raise ConfigurationError(f"{option.opts[0]} is a number up to {LARGEST:g}, not {str(value)[:20]}")
        return rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with the names that are registered now."""
        helps = {"engine": _engines, "out": _outputs, "camera": _cameras, "tracker": _trackers, "format": _formats}
        for option in self.params:
            if isinstance(option, TyperOption) and option.name in helps:
                option.help = helps[option.name]()
        super().format_help(ctx, formatter)


def _engines() -> str:
    from emer_edge.runtime.engines import engines

    names = ", ".join(f"{engine.name} ({engine.help})" for engine in engines().values())
    return f"What computes: auto (the best one available), {names}."


def _outputs() -> str:
    from emer_edge.runtime.outputs import drivers

    forms = ", ".join(f"{driver.form} ({driver.help})" for driver in drivers().values())
    return f"Where results go; the flags below stand for these, any number at once: {forms}."


def _cameras() -> str:
    from emer_edge.runtime.cameras import cameras
    from emer_edge.runtime.drivers import kinds_in_short

    kinds = kinds_in_short(cameras().values())
    return f"One of: {kinds}. emer-edge devices lists what is plugged in, with --kinds what all parameters mean."


def _trackers() -> str:
    from emer_edge.runtime.drivers import kinds_in_short
    from emer_edge.runtime.trackers import trackers
    from emer_edge.runtime.trackers.formats import stream_formats

    kinds, formats = kinds_in_short(trackers().values()), kinds_in_short(stream_formats().values())
    return (
        f"One of: {kinds}; none (faces alone). Formats of serial lines: {formats}. "
        "emer-edge devices lists what is plugged in, with --kinds what all parameters mean."
    )


def _formats() -> str:
    from emer_edge.tools.simulate import simulated_formats

    *serial, tcp, lsl = simulated_formats()
    return f"On a pseudo-terminal: {', '.join(serial)}. On the network: {tcp}, {lsl}."
