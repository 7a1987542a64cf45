"""`emer-edge info`: what a data set, bundle, session or recording holds, before anything is made of it."""

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
    table_lines,
)
from emer_edge.core.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from emer_edge.data.dataset import EmerDataset, UsableClips


def info(
    path: Annotated[Path, typer.Argument(help="An EMER data set, a bundle, a session, or a recording.")],
    view: ViewOption = None,
    classes: ClassesOption = None,
    label_column: LabelColumnOption = None,
    sheet_rate: SheetRateOption = None,
    keep_folds: KeepFoldsOption = False,
) -> None:
    """Say what a data set holds: clips, folds, classes, coverage, clocks, images, guesses, and all that is left out.

    All frames and sheets are read, and remembered for the next command. Exits with 2 when no command could use it.
    Of a bundle (NAME.emer), a saved session, a recording's folder or a run.mcap it says what that is; the options are
    those of data sets.
    """
    from emer_edge.core.window import WindowSpec
    from emer_edge.data.dataset import UsableClips
    from emer_edge.data.layout import find_layout
    from emer_edge.offline.descriptions import describe

    with progress_bars() as report:
        rows = describe(path, report)
    if rows is not None:
        for line in table_lines(path, rows):
            typer.echo(line)
        return
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
