"""Options that several commands share, spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["BundleArgument", "DataOption", "EngineOption", "ForceOption", "ThreadsOption"]

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
EngineOption = Annotated[
    str, typer.Option("--engine", help="What computes: onnxruntime, tensorrt, or auto (TensorRT where it is usable).")
]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="CPU threads of the engine.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")]
