"""How right a bundle is on clips that it has never seen."""

from __future__ import annotations

from typing import Literal

import msgspec

from emer_edge.bench.records.base import Estimated, Excluded, Record
from emer_edge.metrics.calibration import ReliabilityBin

__all__ = ["Accuracy", "EventColumn", "FoldSpread", "HeadAccuracy", "ViewAccuracy"]


class HeadAccuracy(Record, frozen=True):
    """One head on the held-out fold.

    Attributes:
        protocol: the protocol it belongs to.
        clips: clips with a label for it.
        metrics: exact metrics over all these clips.
        published_batch: the published scripts' reduction: per batch of 16 in clip order, averaged.
        classes: class names; empty for a value head.
        confusion: rows true, columns predicted; empty for a value head.
        reliability: calibration of the top class; empty for a value head.
        fp32_selection, final_selection: the same metrics that export measured on its selection windows, before and
            after quantisation.
    """

    protocol: str
    clips: int
    metrics: dict[str, Estimated]
    published_batch: dict[str, float]
    classes: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    reliability: tuple[ReliabilityBin, ...] = ()
    fp32_selection: dict[str, float] = msgspec.field(default_factory=dict)
    final_selection: dict[str, float] = msgspec.field(default_factory=dict)


class ViewAccuracy(Record, frozen=True):
    """The same clips through another tracker, or with the other rule of eye movements.

    Attributes:
        name: the tracker profile's, or `causal events`, `published events`.
        about: what it stands for.
        rate_hz: rows a second at most; None where the sheets' own rows are taken.
        missing: keys of the columns that it can't fill.
        events: how columns 33 to 39 were filled.
        uncovered: clips whose window is below the floor of eye slots: a live run would name no emotion there.
        heads: head -> metric -> figure, over the clips that the accuracy itself is about.
    """

    name: str
    about: str
    rate_hz: float | None
    missing: tuple[str, ...]
    events: Literal["causal", "published"]
    uncovered: int
    heads: dict[str, dict[str, Estimated]]


class EventColumn(Record, frozen=True):
    """A column of eye movements, as computed causally and as the sheets hold it.

    Attributes:
        same: share of slots with the same value, to 0.5 px or ms, 0.005 MCS.
        mean_difference: mean absolute difference.
        mean_published: mean absolute value in the sheets.
        slots: how many slots of windows were compared.
    """

    same: float
    mean_difference: float
    mean_published: float
    slots: int


class Accuracy(Record, frozen=True):
    """The held-out fold, scored once.

    Attributes:
        fold: 1 to 5.
        fingerprint: of the data set.
        events: how columns 33 to 39 were filled.
        clips, participants: that were scored.
        uncovered: clips among them whose window is below the coverage floors: a live run would name no emotion there.
        excluded: clips that were not.
        heads: head -> figures.
        clips_per_s: scoring speed.
        views: the same clips through the tracker profiles asked for, and with the other rule of eye movements.
        event_columns: key of columns 33 to 39 -> how the causal rule's differ from the sheets'; empty where the sheets
            hold no eye movements.
    """

    fold: int
    fingerprint: str
    events: Literal["causal", "published"]
    clips: int
    participants: int
    uncovered: int
    excluded: tuple[Excluded, ...]
    heads: dict[str, HeadAccuracy]
    clips_per_s: float
    views: tuple[ViewAccuracy, ...] = ()
    event_columns: dict[str, EventColumn] = msgspec.field(default_factory=dict)


class FoldSpread(Record, frozen=True):
    """One metric over the folds of several bundles.

    Attributes:
        values: one a bundle, in the order of the bundles.
        mean: their mean.
        sd: their standard deviation with n - 1; None for one.
    """

    values: tuple[float, ...]
    mean: float
    sd: float | None
