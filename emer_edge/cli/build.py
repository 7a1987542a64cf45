"""`emer-edge build`: the TensorRT engines of a bundle, built now instead of at the first run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from emer_edge.cli.console import console, progress_bars, say
from emer_edge.cli.shared_options import BundleArgument


def build(
    bundle: BundleArgument = None,
    package: Annotated[
        Literal["tensorrt", "tensorrt_rtx"] | None,
        typer.Option(help="NVIDIA's package to build with; by default the one that is installed.", show_default=False),
    ] = None,
    workspace_mb: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Cap of the kernels' scratch memory; by default a quarter of the free memory, 64 to 2048 MB.",
            show_default=False,
        ),
    ] = None,
    compute_capability: Annotated[
        str | None,
        typer.Option(
            help="Build for another GPU as a check: SM75 to SM121, with tensorrt_rtx. No Jetson is among them: a board "
            "builds its own.",
            show_default=False,
        ),
    ] = None,
    timing_cache: Annotated[
        Path | None,
        typer.Option(
            help="File of kernel timings to start from and to write back; by default one in your cache.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder to write the plans and what they are for to, too.", show_default=False)
    ] = None,
) -> None:
    """Build a bundle's TensorRT engines for this machine, and exit: for a board's first boot, or its image.

    They go into your cache, where run, bench and predict find them. Without a GPU, tensorrt_rtx (the extra
    rtx) still builds every part: a check that TensorRT takes them, thrown away unless --output is given.
    """
    from emer_edge.bundle import load_bundle
    from emer_edge.demo import default_bundle
    from emer_edge.report.table import Column, Table
    from emer_edge.report.text_tables import to_rich
    from emer_edge.runtime.engines.tensorrt.ahead_of_time import build_bundle
    from emer_edge.runtime.engines.tensorrt.builder import BuildOptions
    from emer_edge.runtime.engines.tensorrt.engine import DRIVER

    with progress_bars() as report:
        opened = load_bundle(bundle or default_bundle(report))
        done = build_bundle(
            opened,
            BuildOptions(package=package, workspace_mb=workspace_mb, compute_capability=compute_capability),
            output=output,
            timing_cache=timing_cache,
            progress=report,
            say=say,
        )
    rows = tuple(
        (part.part, part.seconds, part.plan_bytes / 1e6, "built" if part.built else "was there") for part in done.parts
    )
    columns = (Column("part"), Column("build", "s", 1), Column("size", "MB", 1), Column(""))
    console.print(to_rich(Table(f"Engines by {done.package} on {done.device}", columns, rows)))
    for part in done.parts:
        if part.path is not None:
            say(f"wrote {part.path}" if part.built else f"kept {part.path}")
    if done.runnable:
        say(f"next: emer-edge run {opened.path} --engine {DRIVER.name}")
    else:
        say(
            f"every part of {opened.path} parses and builds; on the machine that runs it: "
            f"emer-edge build {opened.path.name}"
        )
