"""What a bundle says about each clip, in every reading."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.accuracy.encoded import EncodedClip, EncodedWindows, Reading, ReadingPlan, encode_clip
from emer_edge.bench.spreading.base import InTurn, Spread
from emer_edge.bundle import Manifest
from emer_edge.data.clips import Clip, SkippedClip
from emer_edge.errors import DataError
from emer_edge.runtime.session import Session
from emer_edge.spec.progress import Progress, silent

__all__ = ["ClipScore", "FoldScores", "score_clip", "score_readings"]


@dataclass(frozen=True, eq=False)
class ClipScore:
    """One clip, scored; picklable.

    Attributes:
        encoded: the clip and its windows.
        outputs: reading -> head -> (k, C) float32: calibrated probabilities in the bundle's order of classes, or the
            value (k, 1); k windows, which may be none in `live`.
    """

    encoded: EncodedClip
    outputs: dict[Reading, dict[str, NDArray[np.float32]]]


@dataclass(frozen=True, eq=False)
class FoldScores:
    """Many clips, scored: about 20 kB a clip.

    Attributes:
        windows: their deterministic windows, and the clips that could not be read.
        outputs: reading -> head -> (t, C) float32, the windows of all clips one after the other.
        owners: reading -> (t,) int64, ascending indices of the clips whose windows these are.
    """

    windows: EncodedWindows
    outputs: dict[Reading, dict[str, NDArray[np.float32]]]
    owners: dict[Reading, NDArray[np.int64]]

    @classmethod
    def of(cls, found: Iterable[ClipScore | SkippedClip], manifest: Manifest) -> FoldScores:
        """Collect clips; the order is that in which they come."""
        outputs: dict[Reading, dict[str, list[NDArray[np.float32]]]] = {}
        owners: dict[Reading, list[NDArray[np.int64]]] = {}
        done = 0

        def collected() -> Iterator[EncodedClip | SkippedClip]:
            nonlocal done
            for each in found:
                if isinstance(each, SkippedClip):
                    yield each
                    continue
                for reading, heads in each.outputs.items():
                    kept = outputs.setdefault(reading, {})
                    for head, rows in heads.items():
                        kept.setdefault(head, []).append(rows)
                    count = len(next(iter(heads.values()), ()))
                    owners.setdefault(reading, []).append(np.full(count, done, np.int64))
                done += 1
                yield each.encoded

        windows = EncodedWindows.of(collected())
        empty = {each.name: np.zeros((0, len(each.classes) or 1), np.float32) for each in manifest.heads}
        return cls(
            windows,
            {
                reading: {head: np.concatenate(rows) for head, rows in heads.items()}
                for reading, heads in outputs.items()
            }
            or {"newest": empty},
            {reading: np.concatenate(rows) for reading, rows in owners.items()} or {"newest": np.zeros(0, np.int64)},
        )


def score_clip(session: Session, clip: Clip, plan: ReadingPlan | None = None) -> ClipScore:
    """Encode a clip's crops once and score its windows in every reading.

    A function of the bundle, the clip and the plan alone: each reading of each clip is one batch of its own, since what
    else lies in a batch can change the last digit.

    Raises:
        DataError: the clip can't be read.
    """
    encoded = encode_clip(session, clip, plan)
    return ClipScore(
        encoded,
        {
            reading: session.fuse(encoded.face(reading), each.eye, each.gaze)
            for reading, each in encoded.windows.items()
        },
    )


def score_readings(
    session: Session,
    clips: Sequence[Clip],
    plan: ReadingPlan | None = None,
    progress: Progress = silent,
    spread: Spread | None = None,
) -> Iterator[ClipScore | SkippedClip]:
    """Score clips in order; a clip that can't be read is given with the reason.

    Of a clip's windows the deterministic one alone is given: the others are in the outputs.

    Args:
        session: the loaded bundle.
        clips: the clips.
        plan: the readings; None reads `newest` alone.
        progress: told after every clip.
        spread: who does the work; this process by default.
    """
    work = partial(_scored_or_skipped, plan=plan)
    for at, found in enumerate((spread or InTurn(session)).map_ordered(work, clips)):
        clip = clips[at]
        if isinstance(found, SkippedClip):
            # What another machine can't read, this one may: its copy is the data set that is reported.
            yield found if spread is None else work(session, clip)
        else:
            yield replace(found, encoded=replace(found.encoded, clip=clip))
        progress("scoring clips", at + 1, len(clips))


def _scored_or_skipped(session: Session, clip: Clip, plan: ReadingPlan | None) -> ClipScore | SkippedClip:
    try:
        found = score_clip(session, clip, plan)
    except DataError as error:
        return SkippedClip(clip.name, str(error).removeprefix(f"clip {clip.name}: "))
    newest = found.encoded.windows["newest"]
    frames = np.unique(newest.frames)
    rows = np.searchsorted(found.encoded.frames, frames)
    bare = replace(clip)  # without the list of its frames
    return replace(found, encoded=EncodedClip(bare, frames, found.encoded.embeddings[rows], {"newest": newest}))
