"""What a report says of the data set, from the opened one."""

from __future__ import annotations

from collections import Counter
from typing import Final

from emer_edge.bench.records.origin import DataFacts, FoldFacts
from emer_edge.data.dataset import EmerDataset
from emer_edge.spec.heads import HEADS, ClassHead

__all__ = ["facts_of"]

_MARKER: Final = "synthetic.json"


def facts_of(dataset: EmerDataset) -> DataFacts:
    """Count clips, participants, films and labels; clips whose participant is unknown stand for themselves."""
    folds = []
    for fold in dataset.folds:
        clips = dataset.fold(fold)
        folds.append(
            FoldFacts(fold=fold, clips=len(clips), participants=len({each.participant or each.name for each in clips}))
        )
    labels = {}
    for name in dataset.heads:
        head = HEADS[name]
        if isinstance(head, ClassHead):
            found = Counter(int(clip.labels[name]) for clip in dataset.clips if name in clip.labels)
            labels[name] = {label: found[at] for at, label in enumerate(head.classes)}
    return DataFacts(
        fingerprint=dataset.fingerprint,
        clips=len(dataset.clips),
        participants=len({each.participant or each.name for each in dataset.clips}),
        skipped=len(dataset.skipped),
        folds=tuple(folds),
        regrouped=dataset.regrouped,
        shared_participants=len(dataset.shared_participants),
        stimuli=len({each.stimulus for each in dataset.clips if each.stimulus is not None}),
        labels=labels,
        synthetic=(dataset.root / _MARKER).is_file(),
    )
