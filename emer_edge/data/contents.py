"""The contents of clips, for the keys of whatever is kept of work on them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from emer_edge.core.errors import DataError
from emer_edge.core.progress import Progress, silent
from emer_edge.data.cache import contents_of
from emer_edge.data.dataset import Clip
from emer_edge.data.frames import FRAME_TIMES

_READERS: Final = 8


def contents_of_clips(clips: Sequence[Clip], progress: Progress = silent) -> str:
    """SHA-256 over names, labels, eye sheets and all frames of clips in order, hexadecimal.

    Frames are read in full the first time, and looked at by inode, size and times after that (`cache.contents_of`).
    """
    total = hashlib.sha256()
    with ThreadPoolExecutor(_READERS) as pool:
        for done, text in enumerate(pool.map(_described, clips), start=1):
            total.update(text.encode(errors="surrogateescape"))
            progress("comparing clips with what is kept", done, len(clips))
    return total.hexdigest()


def _described(clip: Clip) -> str:
    try:
        times = clip.frames_path / FRAME_TIMES
        frames = contents_of([*clip.frame_paths, *([times] if times.is_file() else [])])
    except DataError as error:
        frames = str(error)
    labels = sorted(clip.labels.items())
    return f"{clip.name!r} {clip.fold} {labels} {contents_of([clip.sheet_path])} {frames}\n"
