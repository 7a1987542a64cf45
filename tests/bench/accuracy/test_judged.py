from __future__ import annotations

import hashlib
from dataclasses import replace

import msgspec

from emer_edge.bench.accuracy.judged import data_notes, owner, split_hash
from emer_edge.bundle import Manifest
from emer_edge.data.dataset import EmerDataset, regroup


def shared(dataset: EmerDataset) -> EmerDataset:
    """The data set with every participant's clips dealt into the folds in turn, as kept on request."""
    clips = tuple(replace(clip, fold=at % 5 + 1) for at, clip in enumerate(dataset.clips))
    return replace(dataset, clips=clips)


def test_folds_that_share_nobody_need_no_warning(manifest: Manifest, dataset: EmerDataset) -> None:
    assert data_notes([manifest], dataset) == []


def test_shared_participants_are_warned_of_by_name(manifest: Manifest, dataset: EmerDataset) -> None:
    (note,) = data_notes([manifest], shared(dataset))
    assert note.startswith("5 participants have clips in several folds (1, 2, 3, 4, 5)")
    assert "folds are not independent" in note


def test_new_folds_and_bundles_of_unknown_origin_are_told(manifest: Manifest, dataset: EmerDataset) -> None:
    unknown = msgspec.structs.replace(manifest, data=None)
    notes = data_notes([manifest, unknown], regroup(shared(dataset)))
    assert len(notes) == 2
    assert "nothing vouches" in notes[0]
    assert "not the published folds" in notes[1]


def test_a_split_is_named_by_its_clips_in_order(dataset: EmerDataset) -> None:
    clips = dataset.fold(1)
    text = "".join(f"{clip.name}\n" for clip in clips)
    assert split_hash(clips) == hashlib.sha256(text.encode()).hexdigest()
    assert split_hash(clips[::-1]) != split_hash(clips)


def test_a_clip_of_nobody_stands_for_itself(dataset: EmerDataset) -> None:
    clip = dataset.clips[0]
    assert owner(clip) == clip.participant
    assert owner(replace(clip, participant=None)) == f"clip {clip.name}"
