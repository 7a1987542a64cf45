"""Which clips a bundle may be judged on, and what is to be said about the folds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from emer_edge.bundle import Manifest
from emer_edge.data.clips import Clip
from emer_edge.data.dataset import EmerDataset
from emer_edge.data.hashes import clip_hash
from emer_edge.errors import DataError

__all__ = ["data_notes", "fold_of", "owner", "refuse_known_clips", "split_hash"]

_NAMED = 5  # participants that a warning names


def fold_of(manifest: Manifest, asked: int | None) -> int:
    """The fold to score: the one asked for, else the one that the bundle has never seen.

    Raises:
        DataError: nobody says which fold that is.
    """
    if asked is not None:
        return asked
    if manifest.data is None or manifest.data.fold == 0:
        raise DataError(
            f"bundle {manifest.name} does not say which fold it has never seen; name the fold to score: --folds 1"
        )
    return manifest.data.fold


def refuse_known_clips(manifest: Manifest, clips: Sequence[Clip]) -> None:
    """Refuse clips that the bundle was trained, selected or calibrated on.

    Raises:
        DataError: there are such clips; names how many.
    """
    if manifest.data is None:
        return
    trained = set(manifest.data.training_hashes)
    chosen = set(manifest.data.selection_hashes)
    if manifest.calibration is not None:
        chosen |= set(manifest.calibration.clip_hashes)
    hashes = [clip_hash(manifest.data.salt, clip) for clip in clips]
    on = sum(each in trained for each in hashes)
    by = sum(each in chosen - trained for each in hashes)
    if on or by:
        first = next(clip.name for clip, each in zip(clips, hashes, strict=True) if each in trained | chosen)
        unseen = f"score fold {manifest.data.fold}, which it has never seen" if manifest.data.fold else "score others"
        raise DataError(
            f"bundle {manifest.name} was trained on {on} of these {len(clips)} clips, and choices were made on {by} "
            f"more (the first: {first}), so its figures would mean nothing; {unseen}"
        )


def owner(clip: Clip) -> str:
    """Whose clip it is; a clip whose participant is unknown stands for itself."""
    return f"clip {clip.name}" if clip.participant is None else clip.participant


def split_hash(clips: Sequence[Clip]) -> str:
    """SHA-256, in hexadecimal, of the clips' names, a line each, in their order: which split figures are of."""
    return hashlib.sha256("".join(f"{clip.name}\n" for clip in clips).encode()).hexdigest()


def data_notes(manifests: Sequence[Manifest], dataset: EmerDataset) -> list[str]:
    """What a reader of figures on these bundles and these folds has to know."""
    notes = [
        f"bundle {each.name} does not say which clips it was trained on: nothing vouches that these are new to it"
        for each in manifests
        if each.data is None
    ]
    shared = dataset.shared_participants
    if shared:
        named = ", ".join([*list(shared)[:_NAMED], *(["..."] if len(shared) > _NAMED else [])])
        notes.append(
            f"{len(shared)} participants have clips in several folds ({named}), so bundles were trained on people whom "
            "they are scored on: figures say less about new people, and folds are not independent"
        )
    if dataset.regrouped:
        notes.append("the clips were dealt into five new folds that share no participant: not the published folds")
    return notes
