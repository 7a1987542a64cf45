"""`emer-edge info`: what a folder holds, before anything is made of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emer_edge.cli.console import progress_bars
from emer_edge.cli.datasets import (
    ClassesOption,
    DataChoices,
    KeepFoldsOption,
    LabelColumnOption,
    SheetRateOption,
    ViewOption,
    described,
    open_dataset,
)
from emer_edge.core.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from emer_edge.data.dataset import EmerDataset, UsableClips


def info(
    path: Annotated[Path, typer.Argument(help="An EMER data set.")],
    view: ViewOption = None,
    classes: ClassesOption = None,
    label_column: LabelColumnOption = None,
    sheet_rate: SheetRateOption = None,
    keep_folds: KeepFoldsOption = False,
) -> None:
    """Say what a data set holds: clips, folds, classes, coverage, clocks, images, guesses, and all that is left out.

    All frames and sheets are read, and remembered for the next command. Exits with 2 when no command could use it.
    """
    from emer_edge.core.window import WindowSpec
    from emer_edge.data.dataset import UsableClips
    from emer_edge.data.layout import find_layout

    choices = DataChoices(
        view=view, classes=classes, columns=label_column, keep_folds=keep_folds, sheet_rate=sheet_rate
    )
    with progress_bars() as report:
        try:
            open_dataset(path, choices, report, show=_show)
        except (ConfigurationError, DataError):
            _show(path, UsableClips.of(find_layout(path), WindowSpec(), report, sheet_rate_hz=sheet_rate or 0.0))
            raise


def _show(path: Path, found: EmerDataset | UsableClips) -> None:
    for line in described(path, found):
        typer.echo(line)
