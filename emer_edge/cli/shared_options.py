"""Options that several commands share, spelled once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperOption

from emer_edge.cli.config_file import LARGEST
from emer_edge.core.errors import ConfigurationError


def panel(title: str) -> Callable[..., Any]:
    """What makes the options of one panel of a command's help: `option(help, *flags, **more)`."""

    def option(text: str, *flags: str, **more: Any) -> Any:
        return typer.Option(*flags, help=text, rich_help_panel=title, **more)

    return option


DATA_PANEL: Final = "Data"
MACHINE_PANEL: Final = "Machine"

BundleArgument = Annotated[
    Path | None,
    typer.Argument(help="The bundle, a folder NAME.emer. Left out: the only one in this folder, else the demo bundle."),
]
DataOption = Annotated[
    Path | None,
    panel(DATA_PANEL)("Root of an EMER data set (or of one made by `emer-edge synth`).", "--data"),
]
EngineOption = Annotated[str, panel(MACHINE_PANEL)("What computes: auto, or the name of an engine.", "--engine")]
"""`HelpfulCommand` names the engines, and what cameras and trackers are."""
ThreadsOption = Annotated[int, panel(MACHINE_PANEL)("CPU threads of the engine.", "--threads", min=1, max=1024)]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")]


def bundle_among(paths: Sequence[Path]) -> tuple[Path | None, list[Path]]:
    """Part a command's paths: its bundle, None without one, and the rest.

    Raises:
        ConfigurationError: two bundles, or nothing else.
    """
    from emer_edge.bundle.manifest import MANIFEST_NAME

    bundles = [path for path in paths if path.suffix == ".emer" or (path / MANIFEST_NAME).is_file()]
    rest = [path for path in paths if path not in bundles]
    if len(bundles) > 1:
        raise ConfigurationError(f"one bundle at a time, not {' and '.join(map(str, bundles))}")
    if not rest:
        raise ConfigurationError(f"name a data set or a recording beside the bundle {bundles[0]}")
    return (bundles[0] if bundles else None), rest


class HelpfulCommand(TyperCommand):
    """A command whose help names what is registered, plug-ins of other packages too; looked up only for its help.

    Numbers that are none (`nan`, `inf`) or beyond all sense are refused for all options at once, by ConfigurationError.
    """

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        for argument in self._arguments():
            argument.metavar = argument.metavar or argument.name.upper()

    def _arguments(self) -> list[Any]:
        return [each for each in self.params if each.param_type_name == "argument"]

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

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The options, and the arguments as they are called: in capitals, in brackets what may be left out."""
        named = [(each.metavar, each.required) for each in self._arguments()]
        return ["[OPTIONS]", *(name if required or "[" in name else f"[{name}]" for name, required in named)]


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
