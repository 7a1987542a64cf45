"""`emer-edge build`: engines built now instead of at the first run, and each part put where it is fastest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from emer_edge.cli.console import console, progress_bars, say
from emer_edge.cli.shared_options import BundleArgument
from emer_edge.core.standard_streams import command

if TYPE_CHECKING:
    from emer_edge.bundle import Bundle
    from emer_edge.core.progress import Progress
    from emer_edge.runtime.engines.tensorrt.ahead_of_time import BundleBuild
    from emer_edge.runtime.engines.tensorrt.builder import BuildOptions


def build(
    bundle: BundleArgument = None,
    package: Annotated[
        Literal["tensorrt", "tensorrt_rtx"] | None,
        typer.Option(help="NVIDIA's package to build with; by default the one that is installed."),
    ] = None,
    workspace_mb: Annotated[
        int | None,
        typer.Option(
            min=1, help="Cap of the kernels' scratch memory; by default a quarter of the free memory, 64 to 2048 MB."
        ),
    ] = None,
    compute_capability: Annotated[
        str | None,
        typer.Option(
            help="Build for another GPU as a check: SM75 to SM121, with tensorrt_rtx. No Jetson is among them: a board "
            "builds its own."
        ),
    ] = None,
    timing_cache: Annotated[
        Path | None,
        typer.Option(help="File of kernel timings to start from and to write back; by default one in your cache."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write the plans and what they are for to, too.")
    ] = None,
) -> None:
    """Build a bundle's engines for this machine, time every part on GPU and CPU, and keep what is fastest.

    For a board's first boot, or its image: plans and times go into your cache, where run, bench and predict find
    them. Only parts whose result together passed the accuracy gate at export are put together. Without a GPU,
    tensorrt_rtx (the extra rtx) still builds every part: a check that TensorRT takes them, thrown away unless --output
    is given. Exits with 1 when a part can't be built on this machine's GPU.
    """
    from emer_edge.bundle.golden_file import GOLDEN_NAME
    from emer_edge.demo import open_bundle
    from emer_edge.runtime.engines.tensorrt.builder import BuildOptions
    from emer_edge.runtime.engines.tensorrt.engine import why_not
    from emer_edge.runtime.engines.tensorrt.toolkit import find_tensorrt

    done = None
    with progress_bars() as report:
        opened = open_bundle(bundle, report, say=say)
        options = BuildOptions(package=package, workspace_mb=workspace_mb, compute_capability=compute_capability)
        if find_tensorrt() is None and options == BuildOptions() and output is None and timing_cache is None:
            say(f"no engines are built, as TensorRT can't run here: {why_not()}")
        else:
            done = _engines(opened, options, output, timing_cache, progress=report)
        if compute_capability is None and GOLDEN_NAME in opened.manifest.files:
            _choose(opened, report)
        elif compute_capability is None:
            say(f"{opened.path} has no {GOLDEN_NAME}, so nothing is timed; export it again")
    if done is not None and any(part.refused for part in done.parts):
        raise typer.Exit(1)


def _engines(
    bundle: Bundle, options: BuildOptions, output: Path | None, timing_cache: Path | None, *, progress: Progress
) -> BundleBuild:
    """Build, and say what was written."""
    from emer_edge.report.table import Column, Table
    from emer_edge.report.text_tables import to_rich
    from emer_edge.runtime.engines.tensorrt.ahead_of_time import build_bundle

    done = build_bundle(bundle, options, output=output, timing_cache=timing_cache, progress=progress, say=say)
    rows = tuple(
        (part.part, part.seconds, part.plan_bytes / 1e6, "built" if part.built else part.refused or "was there")
        for part in done.parts
    )
    columns = (Column("part"), Column("build", "s", 1), Column("size", "MB", 1), Column(""))
    console.print(to_rich(Table(f"Engines by {done.package} on {done.device}", columns, rows)))
    for part in done.parts:
        if part.path is not None:
            say(f"wrote {part.path}" if part.built else f"kept {part.path}")
    if not done.runnable:
        say(
            f"every part of {bundle.path} parses and builds; on the machine that runs it: "
            f"{command('build', bundle.path.name)}"
        )
    return done


def _choose(bundle: Bundle, progress: Progress) -> None:
    """Time, keep and print the choice."""
    from emer_edge.core.errors import EngineError
    from emer_edge.report.table import Column, Table
    from emer_edge.report.text_tables import to_rich
    from emer_edge.runtime.engines.choosing import time_parts
    from emer_edge.runtime.engines.kept_choice import keep_choice

    choice = time_parts(bundle, progress=progress, say=say)
    chosen = choice.chosen([bundle.keys_of(name) for name in bundle.manifest.detector.parts])
    columns = (Column("part"), Column("engine"), Column("precision"), Column("median", "ms"), Column("p90", "ms"))
    rows = tuple(
        (part.key, part.engine, part.precision, part.p50_ms, part.p90_ms, "chosen" if part.key in chosen else "")
        for part in choice.parts
    )
    mode = f", power mode {choice.power_mode}" if choice.power_mode else ""
    title = f"Parts timed in turns, {max(part.runs for part in choice.parts)} runs each, {choice.threads} thread{mode}"
    console.print(to_rich(Table(title, (*columns, Column("")), rows)))
    steps = tuple(
        (" + ".join(each.parts.values()), each.step_ms, each.difference, "" if each.agrees else "left out")
        for each in choice.combinations
    )
    heads = (Column("may run together"), Column("step", "ms"), Column("differs from export", digits=5), Column(""))
    console.print(to_rich(Table("What passed the gate together, the fastest first", heads, steps)))
    for part in choice.parts:
        for line in part.check if part.key in chosen else ():
            say(f"to check {part.key}: {line}")
    try:
        say(f"wrote {keep_choice(bundle, choice)}")
    except OSError as error:
        raise EngineError(f"the choice can't be kept: {error}") from None
    say(f"next: {command('run', bundle.path)}")
