"""The finished parts of an interrupted run, so that the same command goes on from there."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from emer_edge import __version__
from emer_edge.bench.accuracy.clip_scores import READINGS, EncodedWindows, FoldScores, Reading
from emer_edge.bench.bench_options import ScoringOptions
from emer_edge.core.whole_file import write_private
from emer_edge.data import cache
from emer_edge.data.contents import contents_of_clips
from emer_edge.data.dataset import Clip, SkippedClip
from emer_edge.runtime.session import Session

_WINDOW_ARRAYS = ("face", "eye", "gaze", "face_slots", "eye_slots")
Thing = TypeVar("Thing")


class Kept:
    """Finished parts of a run, in the user's cache: they derive from clips, are private, and `purge` removes them.

    A part is used again only under the same bundle (its manifest holds the hash of every file), the same clips (by the
    contents of all frames and sheets), the same options, engine and versions. A part that can't be read counts as not
    there; one that can't be written costs the time that it would have saved.
    """

    def __init__(self) -> None:
        self._paths: set[Path] = set()

    def scores(
        self,
        session: Session,
        clips: Sequence[Clip],
        options: ScoringOptions,
        score: Callable[[], tuple[FoldScores, float]],
    ) -> tuple[FoldScores, float]:
        """The scores of a fold and the seconds they took, from the interrupted run or from `score`."""
        contents = contents_of_clips(clips)
        key = self.key_of(session, contents, (options.draws, options.loader, options.seed))
        path = self._path(f"{key}.npz")
        result = _load(path, clips)
        if result is None:
            result = score()
            if contents_of_clips(clips) == contents:  # nothing has changed since
                with suppress(OSError):
                    write_private(path, _packed(*result))
        return result

    def record(self, key: str, kind: type[Thing], find: Callable[[], Thing], unchanged: Callable[[], bool]) -> Thing:
        """A record (anything that msgspec encodes), from the interrupted run or from `find`.

        Args:
            key: from `key_of`.
            kind: of the record.
            find: makes the record.
            unchanged: whether what was read for it still is what `key` says; if not, the record is not kept.
        """
        path = self._path(f"{key}.json")
        with suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode(path.read_bytes(), type=kind)
        record = find()
        if unchanged():
            with suppress(OSError):
                write_private(path, msgspec.json.encode(record))
        return record

    def forget(self) -> None:
        """Remove all parts: the run is finished."""
        for path in self._paths:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        self._paths.clear()

    @staticmethod
    def key_of(session: Session, *parts: Any) -> str:
        """A name that changes with the bundle's content, its engine, the version, and anything else (by its `repr`)."""
        digest = hashlib.sha256(session.bundle.manifest_sha256.encode())
        versions = __version__, np.__version__, onnxruntime.__version__
        for part in (*versions, session.engine_name, session.device, session.networks, *parts):
            digest.update(f"{part!r}\x00".encode())
        return digest.hexdigest()[:32]

    def _path(self, name: str) -> Path:
        path = cache.cache_folder() / "bench" / name
        self._paths.add(path)
        return path


def _packed(scores: FoldScores, seconds: float) -> bytes:
    windows = scores.windows
    arrays: dict[str, NDArray[Any]] = {name: getattr(windows, name) for name in _WINDOW_ARRAYS}
    arrays["names"] = np.array([clip.name for clip in windows.clips], np.str_)
    arrays["skipped"] = np.array([[clip.name, clip.reason] for clip in windows.skipped], np.str_).reshape(-1, 2)
    arrays["seconds"] = np.array(seconds)
    for reading, heads in scores.outputs.items():
        arrays[f"owners/{reading}"] = scores.owners[reading]
        arrays |= {f"outputs/{reading}/{name}": rows for name, rows in heads.items()}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _load(path: Path, clips: Sequence[Clip]) -> tuple[FoldScores, float] | None:
    named = {clip.name: clip for clip in clips}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        windows = EncodedWindows(
            clips=tuple(named[name] for name in arrays["names"].tolist()),
            **{name: arrays[name] for name in _WINDOW_ARRAYS},
            skipped=tuple(SkippedClip(name, reason) for name, reason in arrays["skipped"].tolist()),
        )
        seconds = float(arrays["seconds"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    outputs: dict[Reading, dict[str, NDArray[np.float32]]] = {}
    for name, array in arrays.items():
        kind, *rest = name.split("/")
        reading = next((reading for reading in READINGS if rest and reading == rest[0]), None)
        if kind == "outputs" and reading is not None:
            outputs.setdefault(reading, {})[rest[1]] = array
    return FoldScores(windows, outputs, {reading: arrays[f"owners/{reading}"] for reading in outputs}), seconds
