"""The frames of a clip on disk: which files they are and in which order, and whether all of them can be used.

Copying between systems leaves litter, copies and cut files behind. All frames are decoded once, before anything is
made of them; what was found is cached.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from fnmatch import translate
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import DataError
from emer_edge.core.text import decode_text
from emer_edge.core.whole_file import write_private
from emer_edge.data import cache
from emer_edge.data.images import decode
from emer_edge.signals.rows import clip_times_ns

IMAGES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})
FRAME_TIMES: Final = "frames.csv"
_READER_VERSION: Final = 1  # in the stamp of cache entries: raise it when the same frames would be judged differently
_LITTER_NAMES: Final = (
    *(".*", "~*", "__macosx", "thumbs.db", "ehthumbs*.db", "desktop.ini", "icon\r", "@*", "#recycle", "#snapshot"),
    *("$recycle.bin", "recycler", "system volume information", "lost+found", "found.[0-9][0-9][0-9]", "__pycache__"),
    *("network trash folder", "temporary items", "*.tmp", "*.part", "*.crdownload", "*.lnk", "_gsdata_"),
)
_LITTER: Final = re.compile("|".join(map(translate, _LITTER_NAMES)), re.IGNORECASE)
_COPY_WORDS: Final = (
    "copy|kopie|copie|copia|kopia|c\u00f3pia|\u526f\u672c|\u30b3\u30d4\u30fc|\u043a\u043e\u043f\u0438\u044f"
)
_COPY: Final = re.compile(
    rf"^(?:copy of|kopie von|copie de|copia de)\s+|\s*(?:-\s*)?\(?(?:{_COPY_WORDS})\)?(?:\s*\(?\d+\)?)?$|\s*\(\d+\)$",
    re.IGNORECASE,
)
_SMALLEST_PX: Final = 16
_SQUEEZED: Final = 1.2  # a frame whose proportions differ by more from the clip's usual ones shows something else


@dataclass(frozen=True)
class FrameFiles:
    """The files in a clip's folder of frames, without litter.

    Attributes:
        names: its frames in natural order, `2.jpg` before `10.jpg`.
        copies: copies of frames, as file managers make them, with the same bytes.
        others: files that are no images.
    """

    names: tuple[str, ...]
    copies: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def is_litter(name: str) -> bool:
    """Whether operating systems, file servers, browsers or editors leave files or folders of this name behind."""
    return _LITTER.match(name) is not None


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key: runs of digits by their value, everything else as text."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((1, int(part), part) if part[0] in "0123456789" else (0, 0, part) for part in parts if part)


def list_frames(folder: Path) -> FrameFiles:
    """List a clip's frames.

    Raises:
        DataError: the folder can't be read, holds no frame, or the order of its frames can't be told: one has no
            number, or two have the same.
    """
    try:
        names = [name for name in os.listdir(folder) if not is_litter(name)]
        images = {name for name in names if os.path.splitext(name)[1].lower() in IMAGES}
        copies = {name for name in images if (of := _copied(name, images)) and _same_bytes(folder, name, of)}
    except OSError as error:
        raise DataError(f"can't read the frames in {folder}: {error.strerror or error}") from error
    if not images:
        raise DataError(f"{folder} holds no frame (PNG, JPEG, BMP, WebP or TIFF)")
    frames = sorted(images - copies, key=natural_key)
    places: dict[tuple[int | str, ...], str] = {}
    for name in frames:
        parts = re.split(r"([0-9]+)", os.path.splitext(name)[0])
        if len(parts) == 1 and len(frames) > 1:
            raise DataError(f"{folder / name} has no number in its name, so its place among the frames is unknown")
        other = places.setdefault(tuple(int(part) if part.isdecimal() else part for part in parts), name)
        if other != name:
            raise DataError(f"{folder} holds {other} and {name}: which of them is the frame?")
    return FrameFiles(tuple(frames), tuple(sorted(copies)), others=tuple(sorted(set(names) - images - {FRAME_TIMES})))


def frame_times_ns(folder: Path, names: Sequence[str], end_ns: int) -> NDArray[np.int64]:
    """When a clip's frames were taken: (n,) int64 ns from its start, ascending; up to `end_ns` only.

    Where nobody has written it down they are spread evenly up to there.

    Format: `frames.csv` in the folder, a line `frame,time_ms` and one for each frame; frames of other names are passed
    over.

    Raises:
        DataError: the file can't be read, lacks a frame, or its times do not ascend.
    """
    path = folder / FRAME_TIMES
    if not path.is_file():
        return clip_times_ns(len(names), end_ns)
    try:
        rows = list(csv.DictReader(decode_text(path.read_bytes(), path).text.splitlines()))
        of_frame = {row["frame"]: float(row["time_ms"]) for row in rows}
        times_ns = np.array([round(of_frame[name] * 1e6) for name in names], np.int64)
    except KeyError as error:
        raise DataError(f"{path} has no line for {error.args[0]}") from None
    except (OSError, TypeError, ValueError, OverflowError, csv.Error) as error:
        raise DataError(f"{path} does not hold the times of frames: {error}") from None
    if np.any(np.diff(times_ns) <= 0) or np.any(times_ns < 0):
        raise DataError(f"{path}: the times of frames do not ascend from 0")
    return times_ns[times_ns <= end_ns]


def _copied(name: str, names: set[str]) -> str | None:
    """The file that `name`, such as `1 - Copy.png`, was copied from, or None."""
    stem, suffix = os.path.splitext(name)
    original = _COPY.sub("", stem) + suffix
    return original if original != name and original in names else None


def _same_bytes(folder: Path, copy: str, name: str) -> bool:
    if (folder / copy).read_bytes() != (folder / name).read_bytes():
        raise DataError(f"{folder} holds {name} and {copy}, which differ: which of them is the frame?")
    return True


@dataclass(frozen=True)
class FrameFacts:
    """What a clip's frames are.

    Attributes:
        sizes: width and height, such as `112 x 112` -> number of frames.
        notes: what had to be done to frames, in the words of `decode` -> number of frames.
        copies, others: files left out, as in `FrameFiles`.
    """

    sizes: dict[str, int]
    notes: dict[str, int]
    copies: int
    others: int

    @property
    def count(self) -> int:
        """Number of frames."""
        return sum(self.sizes.values())


def check_frames(folder: Path) -> FrameFacts:
    """Decode all frames of a clip, or take what an earlier call found where no file has changed since.

    Raises:
        DataError: the frames can't be listed, or one can't be used or has other proportions.
    """
    listed = list_frames(folder)
    paths = [folder / name for name in listed.names]
    stamp = f"{_READER_VERSION} {listed} {cache.contents_of(paths)}"
    entry = cache.entry_path("frames", folder, ".json")
    with suppress(OSError, ValueError, KeyError, TypeError):  # a damaged entry costs time, nothing else
        kept = json.loads(entry.read_bytes())
        if kept.pop("stamp") == stamp:
            return FrameFacts(**kept)
    shapes, notes = [], Counter[str]()
    for path in paths:
        image, noted = decode(path)
        shapes.append(image.shape[:2])
        notes.update(noted)
    usual = median(width / height for height, width in shapes)
    for path, (height, width) in zip(paths, shapes, strict=True):
        if min(width, height) < _SMALLEST_PX:
            raise DataError(f"{path} has {width} x {height} px, too few for a face")
        if not usual / _SQUEEZED <= width / height <= usual * _SQUEEZED:
            raise DataError(f"{path} has {width} x {height} px, other proportions than the clip's other frames")
    sizes = Counter(f"{width} x {height}" for height, width in shapes)
    facts = FrameFacts(dict(sizes), dict(notes), len(listed.copies), others=len(listed.others))
    with suppress(OSError):
        write_private(entry, json.dumps({"stamp": stamp, **asdict(facts)}).encode())
    return facts
