"""Small copies of EMER in both layouts, written on disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import xlsxwriter

from emer_edge.core.columns import COLUMN_KEYS

OLD_HEADER = tuple(
    key.replace("Gaze event duration [ms]", "Gaze event duration (ms)")
    .replace(" [DACS px]", "")
    .replace(" [DACS mm]", " (DACSmm)")
    .replace(" [MCS norm]", " (MCSnorm)")
    .replace(" [mm]", "")
    for key in COLUMN_KEYS
)
BOTH_VIEWS = (
    "ID",
    "ER_Emotion",
    "ER_Polarity",
    "ER_Valence",
    "ER_Arousal",
    "FER_Emotion",
    "FER_Polarity",
    "FER_Valence",
    "FER_Arousal",
    "FER_Intensity",
)
WORDS = ("happy", "sad", "fear", "surprise", "disgust", "anger", "neutral")


def write_xlsx(path: Path, rows: Iterable[Sequence[Any]]) -> Path:
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet()
        for at, row in enumerate(rows):
            sheet.write_row(at, 0, row)
    return path


def write_text(path: Path, rows: Iterable[Sequence[Any]], delimiter: str = "\t", **how: str) -> Path:
    lines = [delimiter.join(map(str, row)) for row in rows]
    path.write_bytes((how.get("newline", "\n").join(lines) + "\n").encode(how.get("encoding", "utf-8")))
    return path


def eye_rows(count: int, seed: int = 0) -> list[list[Any]]:
    """Rows that a sheet can hold: plausible gaze, words where exports write words, one blink of blanks."""
    rng = np.random.default_rng(seed)
    rows: list[list[Any]] = []
    for at in range(count):
        row: list[Any] = np.round(rng.uniform(1, 900, 39), 3).tolist()
        row[14:16] = ["Valid", "Valid"]
        row[32] = "Fixation"
        if at == count // 2:
            row[:14] = [""] * 14
            row[14:16] = ["Invalid", "Invalid"]
            row[16:32] = [""] * 16
            row[32] = "EyesNotFound"
        rows.append(row)
    return rows


def write_frames(folder: Path, count: int, size: int = 20, suffix: str = ".png") -> None:
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        image = np.full((size, size, 3), (number, 2 * number, 3 * number), np.uint8)
        assert cv2.imwrite(str(folder / f"{number}{suffix}"), image)


def clip_names(participants: int, films: int = 2) -> list[str]:
    return [
        f"{person}_film{film}_{WORDS[(person + film) % 7]}"
        for person in range(1, participants + 1)
        for film in range(films)
    ]


def labels_of(name: str) -> list[Any]:
    word = name.rpartition("_")[2]
    return [name, word, "", 0.5, -0.5, "neutral", "neutral", 0.0, 0.0, 1.5]


def write_sets(root: Path, names: Sequence[str], folds: Mapping[str, int], frames: int = 8, rows: int = 40) -> Path:
    """The layout that the authors' loader reads, with labels of both views."""
    (root / "eye").mkdir(parents=True)
    for seed, name in enumerate(names):
        write_frames(root / "face" / f"set{folds[name]}" / name, frames)
        write_xlsx(root / "eye" / f"{name}.xlsx", [COLUMN_KEYS, *eye_rows(rows, seed)])
    write_xlsx(root / "new_label.xlsx", [BOTH_VIEWS, *map(labels_of, names)])
    return root


def write_release(root: Path, names: Sequence[str], folds: Mapping[str, int], frames: int = 8, rows: int = 40) -> Path:
    """The later release."""
    (root / "eye_movement data").mkdir(parents=True)
    for seed, name in enumerate(names):
        write_frames(root / "face_light_align image" / name, frames)
        write_xlsx(root / "eye_movement data" / f"{name}.xlsx", [OLD_HEADER, *eye_rows(rows, seed)])
    write_xlsx(root / "EMER_label.xlsx", [BOTH_VIEWS, *map(labels_of, names)])
    (root / "emer_set.txt").write_text("\n".join(f"{name} {folds[name]}" for name in names))
    return root


def folds_of(names: Sequence[str]) -> dict[str, int]:
    return {name: int(name.split("_")[0]) % 5 + 1 for name in names}
