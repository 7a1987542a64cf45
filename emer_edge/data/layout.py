"""The files and names of a copy of EMER.

There are two layouts. The authors' loader reads `face/set1` to `face/set5` with one folder of frames per clip,
`eye/<clip>.xlsx` and `new_label.xlsx`. The later release has `face_light_align image`, `eye_movement data`,
`EMER_label.xlsx` and the folds in `emer_set.txt`. Case, spaces and underscores of names don't matter, and the two may
mix. Clips have names such as `3_film_happy`.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from emer_edge.core.errors import DataError
from emer_edge.core.heads import EMOTIONS, POLARITIES
from emer_edge.core.text import decode_text
from emer_edge.data.frames import IMAGES, is_litter, natural_key

FOLDS: Final = (1, 2, 3, 4, 5)
_TABLES: Final = frozenset({".xlsx", ".xlsm", ".xls", ".ods", ".tsv", ".csv"})
_FACE_FOLDERS: Final = ("face", "facelightalignimage")
_EYE_FOLDERS: Final = ("eye", "eyemovementdata")
_LABEL_FILES: Final = ("newlabel", "emerlabel")
_FOLD_FILE: Final = "emerset.txt"
_MAX_DEPTH: Final = 3
_NAMED_FOLD: Final = re.compile(r"^(?:set|fold)[_-]?([1-5])$", re.IGNORECASE)
_TRAINING: Final = frozenset({"train", "training"})
_FOLD_WORDS: Final = frozenset({"set", "fold", "test", "clip", "clips", "sample", "samples", "emer"})
_SEPARATORS: Final = re.compile(r"[\s,;:=|/\\()\[\]{}'\"]+")


@dataclass(frozen=True)
class ClipFiles:
    """One clip on disk.

    Attributes:
        name: the clip's folder name, which is its ID in the label file.
        fold: 1 to 5.
        frames: its folder of face crops.
        sheet: its eye sheet.
    """

    name: str
    fold: int
    frames: Path
    sheet: Path


@dataclass(frozen=True)
class Layout:
    """A copy of EMER.

    Attributes:
        root: its folder.
        labels: its label file.
        clips: its clips in natural order of their names.
        broken: clip -> why it can't be used.
        unused: sheets that belong to no clip.
    """

    root: Path
    labels: Path
    clips: tuple[ClipFiles, ...]
    broken: dict[str, str] = field(default_factory=dict)
    unused: tuple[Path, ...] = ()


def find_layout(root: Path) -> Layout:
    """Find the clips, folds, sheets and labels of a copy of EMER.

    Raises:
        DataError: there is no such folder, or it has no faces, folds, eye sheets or labels; the message names the
            expected and the actual files.
    """
    if not root.is_dir():
        raise DataError(f"the data folder {root} does not exist; --data names the folder that holds EMER's face folder")
    entries = {plain_name(entry.name): entry for entry in sorted(root.iterdir()) if not is_litter(entry.name)}

    def find(what: str, names: Iterable[str], folder: bool, expected: str) -> Path:
        for entry in map(entries.get, names):
            if entry is not None and (entry.is_dir() or not folder):
                return entry
        listing = ", ".join(entry.name for entry in sorted(root.iterdir())[:20]) or "nothing"
        raise DataError(f"{root} holds no {what}: looked for {expected}; found {listing}")

    faces = find("faces", _FACE_FOLDERS, True, expected="face, or face_light_align image")
    eyes = find("eye sheets", _EYE_FOLDERS, True, expected="eye, or eye_movement data")
    label_files = [stem + suffix for stem in _LABEL_FILES for suffix in sorted(_TABLES)]
    labels = find("labels", label_files, False, expected="new_label.xlsx, or EMER_label.xlsx")
    several = [entry.name for entry in sorted(root.iterdir()) if plain_name(entry.name) in label_files]
    if len(several) > 1:
        raise DataError(f"{root} holds several label files, {' and '.join(several)}; keep the one that counts")
    broken: dict[str, str] = {}
    folds, folders = _folds(root, faces, entries.get(_FOLD_FILE), broken)
    sheets = _sheets(eyes)
    clips = []
    used: set[Path] = set()
    for name, folder in folders.items():
        found = sheets.get(same_name(name), [])
        used.update(found)
        if len(found) > 1:
            broken.setdefault(name, f"it has two eye sheets, {found[0]} and {found[1]}")
        elif not found:
            like = (sheet for paths in sheets.values() for sheet in paths if sheet.name.startswith(f"{name} "))
            hint = next((f"; is it {sheet.name}? Call it {name}{sheet.suffix}" for sheet in like), "")
            broken.setdefault(name, f"it has no eye sheet{hint}")
        if name not in broken:
            clips.append(ClipFiles(name, folds[name], folder, found[0]))
    clips.sort(key=lambda clip: natural_key(clip.name))
    unused = {sheet for paths in sheets.values() for sheet in paths} - used
    return Layout(root, labels, tuple(clips), broken, unused=tuple(sorted(unused)))


def parse_folds(text: str, path: object = "emer_set.txt") -> dict[str, int]:
    """Read the folds of clips.

    The format is not published, so several are accepted: a fold and its clips on one line (`set1: a b c`), a fold alone
    on a line and its clips on the next, and one pair per line (`a 1`, `1,a`, `set1/a`). `fold`, `set` or a bare number
    names a fold; lines of training clips are skipped; `#` starts a comment.

    Returns:
        Clip -> fold (1 to 5).

    Raises:
        DataError: clips before any fold, two folds on a line, a clip in two folds, or no clip at all.
    """
    folds: dict[str, int] = {}
    current: int | None = None
    training = False
    for number, line in enumerate(text.splitlines(), start=1):
        tokens = [token for token in _SEPARATORS.split(line.partition("#")[0].lstrip("\ufeff")) if token]
        if not tokens:
            continue
        named, clips = _classified(tokens)
        if len(named) > 1:
            raise DataError(f"{path}, line {number}: names more than one fold ({', '.join(map(str, sorted(named)))})")
        words = {token.lower() for token in tokens}
        if named or "test" in words or words & _TRAINING:
            training = bool(words & _TRAINING)
        if named:
            current = named.pop()
        if training:
            continue
        if clips and current is None:
            raise DataError(
                f"{path}, line {number}: {clips[0]} comes before any fold; write for example set1: {clips[0]}"
            )
        for clip in clips:
            if folds.setdefault(clip, current or 0) != current:
                raise DataError(f"{path}, line {number}: {clip} is in fold {folds[clip]} and in fold {current}")
    if not folds:
        raise DataError(f"{path} names no clip; lines such as set1: 3_film_happy were expected")
    return folds


def _classified(tokens: list[str]) -> tuple[set[int], list[str]]:
    """Split the words of a line into folds and clips."""
    named = {int(match[1]) for token in tokens if (match := _NAMED_FOLD.match(token))}
    rest = [token for token in tokens if not _NAMED_FOLD.match(token)]
    bare = [token for token in rest if token in {"1", "2", "3", "4", "5"}]
    if not named and bare:
        named = {int(token) for token in bare}
    clips = [
        Path(token).stem if Path(token).suffix.lower() in IMAGES | _TABLES | {".mp4", ".avi"} else token
        for token in rest
        if token.lower() not in _FOLD_WORDS | _TRAINING | set(_EMOTION_WORDS) | set(_POLARITY_WORDS)
        and not re.fullmatch(r"[0-9.]+|-+", token)
    ]
    return named, clips


def _folds(
    root: Path, faces: Path, fold_file: Path | None, broken: dict[str, str]
) -> tuple[dict[str, int], dict[str, Path]]:
    """Folds and frame folders of all clips, from folders set1 to set5, else from the fold file."""
    sets = {int(match[1]): entry for entry in sorted(faces.iterdir()) if (match := _NAMED_FOLD.match(entry.name))}
    folds: dict[str, int] = {}
    folders: dict[str, Path] = {}

    def add(folder: Path) -> str:
        name = without_label(folder.name)
        if name in folders:
            both = [path.relative_to(faces) for path in (folders[name], folder)]
            one, other = both if both[0].parent == both[1].parent else (both[0].parent, both[1].parent)
            broken[name] = f"it is in {one} and in {other}"
        folders[name] = folder
        return name

    if sets:
        for fold, folder in sorted(sets.items()):
            for clip in _clip_folders(folder, broken):
                folds[add(clip)] = fold
    elif fold_file is not None:
        try:
            folds = parse_folds(composed(decode_text(fold_file.read_bytes(), fold_file).text), fold_file)
        except OSError as error:
            raise DataError(f"can't read the folds in {fold_file}: {error}") from error
        for clip in _clip_folders(faces, broken):
            if (name := add(clip)) not in folds:
                broken[name] = f"{fold_file.name} puts it in no fold"
        broken |= {name: f"{fold_file.name} names it, and it has no frames" for name in folds if name not in folders}
    if not folders:
        listing = ", ".join(entry.name for entry in sorted(faces.iterdir())[:10]) or "nothing"
        raise DataError(
            f"{root} has no folds: looked for clips in {faces.name}/set1 to set5, or a file emer_set.txt that "
            f"names them; {faces.name} holds {listing}"
        )
    return folds, folders


def _clip_folders(folder: Path, broken: dict[str, str], depth: int = 0) -> Iterator[Path]:
    """Yield the folders with frames, and empty ones: those without folders of their own."""
    try:
        with os.scandir(folder) as listing:
            entries = sorted((entry for entry in listing if not is_litter(entry.name)), key=lambda entry: entry.name)
    except OSError as error:
        what = f"{folder} is a link to nothing" if folder.is_symlink() else f"can't read {folder}: {error.strerror}"
        if not depth:
            raise DataError(what) from error
        broken[without_label(folder.name)] = what
        return
    inner = [entry for entry in entries if entry.is_dir() or (entry.is_symlink() and not os.path.exists(entry.path))]
    holds_frames = any(os.path.splitext(entry.name)[1].lower() in IMAGES for entry in entries)
    if depth and (holds_frames or not inner):
        yield folder
    elif depth < _MAX_DEPTH:
        for entry in inner:
            yield from _clip_folders(Path(entry.path), broken, depth + 1)


def _sheets(eyes: Path) -> dict[str, list[Path]]:
    """Eye sheets by `same_name` of their clips: `<clip>.xlsx`, or the only table in a folder called `<clip>`."""
    sheets: dict[str, list[Path]] = {}
    folders: dict[str, list[Path]] = {}
    seen: set[str] = set()
    for folder, inner, files in os.walk(eyes, followlinks=True):
        inner[:] = sorted(name for name in inner if not is_litter(name))
        if os.path.realpath(folder) in seen:  # links that lead to each other
            inner.clear()
            continue
        seen.add(os.path.realpath(folder))
        for path in (Path(folder, name) for name in sorted(files) if not is_litter(name)):
            if path.suffix.lower() in _TABLES:
                sheets.setdefault(same_name(path.stem), []).append(path)
                folders.setdefault(same_name(path.parent.name), []).append(path)
    return {**folders, **sheets}


def without_label(name: str) -> str:
    """A clip's name as other systems write it, composed and cut at the blank before labels: `3_film_happy Happy`."""
    name = composed(name).strip()
    first, *labels = name.split() or [name]
    return first if labels and all(emotion_of(word) or polarity_of(word) for word in labels) else name


def same_name(name: str) -> str:
    """The same for names that file systems, archives and people take for one: in case, blanks or Unicode form."""
    return " ".join(without_label(name).casefold().split())


def composed(name: str) -> str:
    """A name with composed accents (NFC): some systems and archives store them apart."""
    return unicodedata.normalize("NFC", name)


def plain_name(name: str) -> str:
    """A name in lower case, without spaces, underscores and dashes."""
    return re.sub(r"[\s_-]+", "", name.lower())


_EMOTION_WORDS: Final = {
    **{name: name for name in EMOTIONS},
    **dict.fromkeys(("happy", "joy"), "happiness"),
    **dict.fromkeys(("afraid", "scared", "fearful"), "fear"),
    "sad": "sadness",
    "surprised": "surprise",
    "disgusted": "disgust",
    "angry": "anger",
    "calm": "neutral",
}
_POLARITY_WORDS: Final = {**{name: name for name in POLARITIES}, "pos": "positive", "neg": "negative", "neu": "neutral"}


def emotion_of(word: str) -> str | None:
    """The emotion a word stands for, or None."""
    return _EMOTION_WORDS.get(word.strip().lower())


def polarity_of(word: str) -> str | None:
    """The polarity a word stands for, or None."""
    return _POLARITY_WORDS.get(word.strip().lower())


def describe_clip(name: str) -> tuple[str | None, str | None, str | None]:
    """Read `<participant>_<stimulus>_<induced emotion>`, such as `3_film_happy` or `12_sport_04_angry`.

    The induced emotion is no label: in EMER `12_film_surprise` is labelled neutral in both views.

    Returns:
        Participant, stimulus and emotion; all None when the name has fewer than two parts, the last also where it ends
        without a word for an emotion.
    """
    parts = [part for part in without_label(name).split("_") if part]
    if len(parts) < 2:
        return None, None, None
    emotion = emotion_of(parts[-1])
    middle = parts[1:-1] if emotion and len(parts) > 2 else parts[1:]
    return parts[0], "_".join(middle), emotion
