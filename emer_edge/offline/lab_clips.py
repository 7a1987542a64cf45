"""The clips that a laboratory's table of labels asks for, with the video and the tracker's export of each."""

from __future__ import annotations

import csv
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from emer_edge.core.errors import DataError
from emer_edge.core.numbers import is_missing, number_or_nan
from emer_edge.core.whole_file import whole_file
from emer_edge.data.frames import is_litter, natural_key
from emer_edge.data.labels import LabelTable
from emer_edge.data.layout import FOLDS, composed, plain_name, same_name
from emer_edge.data.tables import Table, cell_text
from emer_edge.runtime.recording.keep import MCAP
from emer_edge.runtime.trackers.xdf import SUFFIX as XDF

LABEL_FILE: Final = "EMER_label.csv"
FOLD_FILE: Final = "emer_set.txt"
_EXPORTS: Final = frozenset({".tsv", ".csv", ".xlsx", ".xlsm", ".xls", ".ods", ".txt", MCAP, XDF})
_ODD: Final = re.compile(r"[^\w.-]+")
_OWN: Final = ("participant", "clip", "recording", "start", "end", "offsetms")


@dataclass(frozen=True)
class LabClip:
    """A row of the table of labels.

    Attributes:
        row: its number in the file.
        name: the clip's name in the data set, `participant_clip`.
        participant: as named in the data set, without underscores.
        recording: name of its video and of its export, without their endings.
        start, end: seconds of the video, or texts of markers; empty for the video's.
        offset_ms: added to the tracker's times, it gives the video's; None: as given for all.
        problem: why it can't be made, or empty.
    """

    row: int
    name: str
    participant: str
    recording: str
    start: str
    end: str
    offset_ms: float | None = None
    problem: str = ""


def read_clips(table: Table) -> list[LabClip]:
    """The rows of a table of labels as clips; DataError where it lacks a column or holds no row."""
    at = {plain_name(name): at for at, name in reversed(list(enumerate(table.header)))}
    lacking = [name for name in ("participant", "clip") if name not in at]
    if lacking:
        raise DataError(
            f"{table.path} has no column {' and no column '.join(lacking)}; it holds {', '.join(table.header)}. It "
            "needs participant, clip and labels such as ER_Emotion; recording, start, end and offset_ms are optional"
        )
    marks = {
        name: table.mark([row[at[name]] for row in table.rows], table.header[at[name]])
        for name in ("start", "end", "offsetms")
        if name in at
    }
    clips, seen = [], dict[str, int]()
    for number, row in enumerate(table.rows, start=table.first_row):
        if all(is_missing(cell_text(cell)) for cell in row):
            continue
        cells = {name: cell_text(row[at[name]]) for name in _OWN if name in at}
        cells = {name: "" if is_missing(text) else text for name, text in cells.items()}
        for side, mark in marks.items():
            value = number_or_nan(cells[side], mark)
            cells[side] = cells[side] if math.isnan(value) else f"{value:.9g}"
        who = _ODD.sub("-", composed(cells["participant"])).replace("_", "-").strip("-")
        clip = _ODD.sub("-", composed(cells["clip"])).strip("-_")
        name, offset = f"{who}_{clip}", cells.get("offsetms", "")
        problem = "" if who and clip else f"it has no {'clip' if who else 'participant'}"
        if not problem and (first := seen.setdefault(same_name(name), number)) != number:
            problem = f"it is the same clip of the same participant as row {first}"
        if offset and math.isnan(number_or_nan(offset)):
            problem = problem or f"its offset_ms is {offset!r}, which is not a number"
        recording = cells.get("recording") or cells["clip"]
        offset_ms = number_or_nan(offset) if offset and not problem else None
        start, end = (cells.get(side, "") for side in ("start", "end"))
        clips.append(LabClip(number, name, who, recording, start=start, end=end, offset_ms=offset_ms, problem=problem))
    if not clips:
        raise DataError(f"{table.path} holds a header and no rows")
    return clips


def judged(
    clip: LabClip, videos: Mapping[str, list[Path]], exports: Mapping[str, list[Path]], labels: LabelTable
) -> LabClip:
    """The clip, with a problem where it has no labels, or not one video and one export."""
    key, problem = same_name(clip.recording), clip.problem
    if not problem and all(is_missing(cell_text(cell)) for cell in (labels.cells.get(clip.name) or {}).values()):
        problem = "it has no labels"
    for what, found in (("video", videos.get(key, [])), ("tracker's export", exports.get(key, []))):
        if not found:
            problem = problem or f"its recording {clip.recording} has no {what}"
        elif len(found) > 1:
            both = " and ".join(str(path) for path in found[:2])
            problem = problem or f"its recording {clip.recording} has more than one {what}: {both}"
    return replace(clip, problem=problem)


def deal_folds(clips: Sequence[LabClip], labels: Path) -> dict[str, int]:
    """Participant -> fold: the largest first, into the fold with the fewest clips."""
    counts = Counter(clip.participant for clip in clips)
    if clips and len(counts) < len(FOLDS):
        raise DataError(
            f"{labels} has usable clips of {len(counts)} participants, and a data set needs {len(FOLDS)}: its folds "
            "hold different people"
        )
    sizes, folds = dict.fromkeys(FOLDS, 0), dict[str, int]()
    for who, count in sorted(counts.items(), key=lambda item: (-item[1], natural_key(item[0]))):
        folds[who] = min(FOLDS, key=lambda fold: (sizes[fold], fold))
        sizes[folds[who]] += count
    return folds


def find_exports(source: Path) -> list[Path]:
    """Tables, recordings and XDF files in a folder, in any depth."""
    if not source.is_dir():
        raise DataError(f"there is no folder of trackers' exports at {source}")
    return sorted(
        Path(folder, name)
        for folder, _, names in os.walk(source)
        for name in names
        if not is_litter(name) and os.path.splitext(name)[1].lower() in _EXPORTS
    )


def by_stem(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Files, and folders, by `same_name` of their names without endings."""
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(same_name(path.name if path.is_dir() else path.stem), []).append(path)
    return found


def write_labels(table: Table, clips: Sequence[LabClip], path: Path) -> None:
    """Write the label columns of the clips without a problem as a label file; OSError where the disk refuses."""
    own = {at for at, name in enumerate(table.header) if plain_name(name) in _OWN}
    kept = [at for at in range(len(table.header)) if at not in own]
    rows = dict(enumerate(table.rows, start=table.first_row))
    named = [clip for clip in clips if not clip.problem]
    write_csv(
        path,
        ("ID", *(table.header[at] for at in kept)),
        ((clip.name, *(cell_text(rows[clip.row][at]) for at in kept)) for clip in named),
    )


def write_folds(folds: Mapping[str, int], clips: Sequence[LabClip], path: Path) -> None:
    """Write the folds of the clips without a problem, as `parse_folds` reads them; OSError where the disk refuses."""
    names: dict[int, list[str]] = {fold: [] for fold in FOLDS}
    for clip in clips:
        if not clip.problem:
            names[folds[clip.participant]].append(clip.name)
    with whole_file(path) as unfinished:
        unfinished.write_text("".join(f"set{fold}: {' '.join(each)}\n" for fold, each in names.items()), "utf-8")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]], delimiter: str = ",") -> None:
    """Write a table, whole or not at all; OSError where the disk refuses."""
    with whole_file(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter=delimiter)
        table.writerow(header)
        table.writerows(rows)
