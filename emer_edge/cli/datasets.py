"""Opening a data set from the command line: label columns, class order, and skipped clips."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, cast

import typer
from rich.table import Table

from emer_edge.cli.console import console, say
from emer_edge.cli.shared_options import DATA_PANEL, panel
from emer_edge.core.errors import ConfigurationError
from emer_edge.core.progress import Progress
from emer_edge.core.window import NEW_RULE, EventsRule
from emer_edge.signals.time_units import PLAUSIBLE_RATES_HZ

if TYPE_CHECKING:
    from emer_edge.core.heads import View
    from emer_edge.data.dataset import EmerDataset, UsableClips
    from emer_edge.data.labels import Classes, LabelTable

_data = panel(DATA_PANEL)
ViewOption = Annotated[
    Literal["er", "fer"] | None,
    _data("View of a label file without view names: er (felt) or fer (shown).", "--view"),
]
ClassesOption = Annotated[
    str | None,
    _data("Emotions in the order of their codes: happiness,sadness,... or 0=happiness,1=sadness,...", "--classes"),
]
LabelColumnOption = Annotated[
    list[str] | None,
    _data("HEAD=COLUMN of the label file, such as er-7=Emotion; repeatable.", "--label-column"),
]
KeepFoldsOption = Annotated[
    bool, _data("Keep the data set's own folds even where they share participants.", "--keep-folds")
]
SheetRateOption = Annotated[
    float | None,
    _data(
        "Rows a second of eye sheets that hold no times and whose event durations tell none, such as 120; without "
        "it their rows are spread over the window.",
        "--sheet-rate",
        min=PLAUSIBLE_RATES_HZ[0],
        max=PLAUSIBLE_RATES_HZ[1],
        metavar="HZ",
    ),
]
_NAMED: Final = 5
StrictOption = Annotated[bool, _data("Fail on the first clip that can't be used.", "--strict")]


@dataclass(frozen=True)
class DataChoices:
    """The options above; `columns` is `--label-column`."""

    view: str | None = None
    classes: str | None = None
    columns: list[str] | None = None
    strict: bool = False
    keep_folds: bool = False
    sheet_rate: float | None = None

    def flags(self) -> list[str]:
        """The options as they are typed, for a next command that opens the same data set."""
        named = {"--view": self.view, "--classes": self.classes}
        given = [word for flag, text in named.items() if text is not None for word in (flag, text)]
        given += [word for text in self.columns or () for word in ("--label-column", text)]
        given += ["--sheet-rate", f"{self.sheet_rate:g}"] if self.sheet_rate else []
        return given + (["--keep-folds"] if self.keep_folds else [])

    def mapping(self) -> dict[str, str]:
        """Head -> column; ConfigurationError on anything but HEAD=COLUMN."""
        columns = {}
        for text in self.columns or []:
            head, equals, column = text.partition("=")
            if not head or not equals:
                raise ConfigurationError(f"--label-column takes HEAD=COLUMN, not {text!r}")
            columns[head.strip()] = column.strip()
        return columns


def open_dataset(
    root: Path,
    choices: DataChoices,
    report: Progress,
    events: EventsRule = NEW_RULE,
    *,
    show: Callable[[Path, EmerDataset | UsableClips], None] | None = None,
) -> EmerDataset:
    """Open an EMER data set and show its table, by `show_clips` unless `show` is given.

    Where the label file uses codes without `--classes`, and at a terminal, an order is suggested from the clips' names,
    and used if the user confirms it.
    """
    from emer_edge.data.dataset import EmerDataset
    from emer_edge.data.labels import open_labels, parse_classes
    from emer_edge.data.layout import find_layout

    view = cast("View | None", choices.view)
    classes: Classes | None = parse_classes(choices.classes) if choices.classes else None
    if classes is None and sys.stdin.isatty():
        classes = _confirmed(open_labels(find_layout(root).labels, view=view, mapping=choices.mapping()))
    dataset = EmerDataset.open(
        root,
        view=view,
        mapping=choices.mapping(),
        classes=classes,
        strict=choices.strict,
        events=events,
        keep_folds=choices.keep_folds,
        sheet_rate_hz=choices.sheet_rate or 0.0,
        progress=report,
    )
    (show or show_clips)(root, dataset)
    if dataset.regrouped:
        say("the folds share participants, so the clips were dealt into five new ones; --keep-folds keeps the old")
    elif dataset.shared_participants:
        say(f"warning: {len(dataset.shared_participants)} participants are in several folds: figures will be too high")
    return dataset


def show_clips(root: Path, found: EmerDataset | UsableClips) -> None:
    """Say a data set's table, and the first clips that were left out."""
    lines = described(root, found)
    most = len(lines) - max(0, len(found.skipped) - _NAMED)
    for line in lines[:most]:
        say(line)
    if len(lines) > most:
        say(f"skipped {len(lines) - most} more clips; emer-edge info {root} names all of them")


def described(root: Path, found: EmerDataset | UsableClips) -> list[str]:
    """The lines of a data set's table, and one for each clip that was left out."""
    from emer_edge.data.overview import overview

    return [*table_lines(root, overview(found)), *(f"skipped {clip.name}: {clip.reason}" for clip in found.skipped)]


def table_lines(path: Path, rows: Mapping[str, str]) -> list[str]:
    """A table of what -> text under the path that it is about."""
    width = max(14, *(len(name) + 2 for name in rows))
    return [f"{path}:", *(f"  {name:<{width}}{text}" for name, text in rows.items())]


def _confirmed(labels: LabelTable) -> Classes | None:
    from emer_edge.data.labels import suggest_classes

    heads = labels.needs_classes()
    if not heads:
        return None
    suggestion = suggest_classes(labels.codes(heads[0]))
    if not suggestion.classes:
        return None
    table = Table("code", "clips by induced emotion", "suggested", title=f"{heads[0]} uses codes of unknown order")
    for code, counts in suggestion.table.items():
        listed = ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))
        table.add_row(str(code), listed, suggestion.classes.get(code, ""))
    console.print(table)
    return suggestion.classes if typer.confirm("Use the suggested order?", default=False, err=True) else None
