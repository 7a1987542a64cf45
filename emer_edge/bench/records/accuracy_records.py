"""How right a bundle is on clips that it has never seen; its gap; five folds as one set, precisions side by side."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

from emer_edge.bench.records import Estimated, Excluded, Record
from emer_edge.core.window import EventsRule
from emer_edge.metrics.probabilities import ReliabilityBin


class GapBin(Record, frozen=True):
    """A fifth of the clips, by their gap.

    Attributes:
        low, high: smallest and largest gap in it.
        clips: clips in it.
        mean: their mean gap.
        disagreeing: share whose labels differ, with its interval.
    """

    low: float
    high: float
    clips: int
    mean: float
    disagreeing: Estimated


class GapAccuracy(Record, frozen=True):
    """The gap against the labels: do ER-7 and FER-7 of a clip differ?

    Attributes:
        clips: clips with both labels.
        disagreeing: share whose two labels differ.
        auroc: share of pairs of a clip whose labels differ and one whose labels agree in which the former has the
            larger gap; 0.5 is chance. None where all differ or all agree.
        mean_agreeing, mean_disagreeing: mean gap of either kind; None where there is none.
        bins: fifths of the clips by their gap, ascending: the share that disagrees should rise.
        uniformity: largest distance (Kolmogorov-Smirnov, 0 to 1) between the distribution of the gap's percentiles
            among clips whose labels agree and the uniform one that percentiles promise; None where the bundle gives
            none.
        uniformity_clips: clips it was taken over.
        roc: false alarm rate and hit rate at falling thresholds of the gap, from (0, 0) to (1, 1) in at most 100
            steps; empty where all differ or all agree.
    """

    clips: int
    disagreeing: float
    auroc: Estimated | None
    mean_agreeing: float | None
    mean_disagreeing: float | None
    bins: tuple[GapBin, ...]
    uniformity: float | None
    uniformity_clips: int
    roc: tuple[tuple[float, float], ...] = ()


class Ranged(Record, frozen=True):
    """One figure again and again, over draws or orders of the same clips: no interval, the spread of the procedure.

    Attributes:
        mean: over them.
        sd: their standard deviation with n - 1; None for one.
        lowest, highest: the range.
        count: how many.
    """

    mean: float
    sd: float | None
    lowest: float
    highest: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Ranged:
        """From at least one value."""
        sd = statistics.stdev(values) if len(values) > 1 else None
        return cls(mean=statistics.fmean(values), sd=sd, lowest=min(values), highest=max(values), count=len(values))


class ReadingAccuracy(Record, frozen=True):
    """One head when windows are read from the clips in another way than newest-in-slot.

    Attributes:
        clips: labelled clips that have a window in this reading. Windows of a clip overlap or share items, so they are
            no independent samples: each clip weighs the same, however many windows it has.
        without: labelled clips that have none, because no window of theirs meets the coverage floors.
        windows: windows of these clips.
        metrics: over all windows, each weighing 1 / windows of its clip.
        over_draws: metric -> the spread over the draws, each draw one window of every clip; empty for `live`.
    """

    clips: int
    without: int
    windows: int
    metrics: dict[str, Estimated]
    over_draws: dict[str, Ranged] = msgspec.field(default_factory=dict)


class ParticipantFigure(Record, frozen=True):
    """One participant, as the data set names them; a clip whose participant is unknown stands for itself."""

    participant: str
    clips: int
    value: float


class ParticipantSpread(Record, frozen=True):
    """One metric over participants, each on their own clips.

    Attributes:
        metric: `war` of class heads, `mae` of value heads.
        min, q1, median, q3, max: quartiles over participants, each counted once.
        figures: one per participant.
    """

    metric: str
    min: float
    q1: float
    median: float
    q3: float
    max: float
    figures: tuple[ParticipantFigure, ...]


class HeadAccuracy(Record, frozen=True):
    """One head on held-out clips.

    Attributes:
        protocol: the protocol it belongs to.
        clips: clips with a label for it.
        metrics: exact metrics over all these clips, newest-in-slot: one deterministic window a clip.
        published_batch: metric -> the published scripts' reduction, per batch of 16 clips, averaged, over 20 orders of
            the clips and as many draws; empty in pooled figures.
        readings: `draws`, `live` and, with `--loader published`, `published` -> the same head read so.
        baselines: guess -> metric -> figure. Guesses: `training majority` and `test majority` (always the class that is
            most frequent among the labels of the other folds, and of the fold itself), `uniform chance` and
            `prior chance` (a class drawn evenly, and with the other folds' frequencies; expected figures), `training
            mean` and `training median`.
        classes: class names; empty for a value head.
        confusion: rows true, columns predicted; empty for a value head.
        reliability: calibration of the top class; empty for a value head.
        participants: spread over participants; None in older figures.
        fp32_selection, final_selection: the same metrics that export measured on its selection windows, before and
            after quantisation; empty in pooled figures.
    """

    protocol: str
    clips: int
    metrics: dict[str, Estimated]
    published_batch: dict[str, Ranged] = msgspec.field(default_factory=dict)
    readings: dict[str, ReadingAccuracy] = msgspec.field(default_factory=dict)
    baselines: dict[str, dict[str, float]] = msgspec.field(default_factory=dict)
    classes: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    reliability: tuple[ReliabilityBin, ...] = ()
    participants: ParticipantSpread | None = None
    fp32_selection: dict[str, float] = msgspec.field(default_factory=dict)
    final_selection: dict[str, float] = msgspec.field(default_factory=dict)


class ViewAccuracy(Record, frozen=True):
    """The same clips through another tracker, or with the other rule of eye movements.

    Attributes:
        name: the tracker profile's, or `causal-2 events`, `published events`.
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
    events: EventsRule
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


class Accuracy(Record, frozen=True, kw_only=True):
    """The held-out fold, scored once.

    Attributes:
        fold: 1 to 5.
        fingerprint: of the data set.
        split_hash: SHA-256 of the names of the fold's clips, one per line, in the data set's order.
        events: how columns 33 to 39 were filled.
        clips, participants: that were scored.
        uncovered: clips among them whose window is below the coverage floors: a live run would name no emotion there.
        unlike: clips among them whose face is unlike those of training; None where the bundle has no face guard.
        excluded: clips that were not.
        heads: head -> figures.
        clips_per_s: scoring speed.
        gap: whether the gap finds clips whose two labels differ; None without both labels.
        views: the same clips through the requested tracker profiles, and with the other rule of eye movements.
        event_columns: key of columns 33 to 39 -> how the causal rule's differ from the sheets'; empty where the sheets
            hold no eye movements.
    """

    fold: int
    fingerprint: str
    split_hash: str = ""
    events: EventsRule
    clips: int
    participants: int
    uncovered: int
    excluded: tuple[Excluded, ...]
    heads: dict[str, HeadAccuracy]
    clips_per_s: float
    unlike: int | None = None
    gap: GapAccuracy | None = None
    views: tuple[ViewAccuracy, ...] = ()
    event_columns: dict[str, EventColumn] = msgspec.field(default_factory=dict)


class FoldSpread(Record, frozen=True):
    """One figure over the folds of a set.

    Attributes:
        values: one per bundle, in the order of `FoldSet.folds`.
        mean: their mean.
        sd: their standard deviation with n - 1; None for one.
    """

    values: tuple[float, ...]
    mean: float
    sd: float | None


class FoldSet(Record, frozen=True):
    """Bundles of one precision, each on a fold of its own.

    Attributes:
        name: the precision that export was run with (`fp32`, `fp16`, `int8`, `auto`); a second set of the same
            precision is `int8 2`.
        bundles: their names, in the order of the folds.
        folds: ascending.
        clips, participants: of all folds.
        spread: `<head>/<reading>/<metric>` -> spread over the folds; readings are `newest`, those of
            `HeadAccuracy.readings` and `published_batch`. `gap/auroc`, too.
        pooled: head -> figures over the clips of all folds, each scored by the bundle that has not seen it;
            participants drawn across folds.
        gap: over the clips of all folds.
    """

    name: str
    bundles: tuple[str, ...]
    folds: tuple[int, ...]
    clips: int
    participants: int
    spread: dict[str, FoldSpread]
    pooled: dict[str, HeadAccuracy] = msgspec.field(default_factory=dict)
    gap: GapAccuracy | None = None


class PairedSets(Record, frozen=True):
    """Two sets on the clips that both scored, newest-in-slot.

    Attributes:
        first, second: names of the sets.
        head: what is compared; `gap` for the gap, whose figure is its `auroc`.
        clips, participants: that both scored.
        both, only_first, only_second, neither: clips that were named right; 0 for a value head and the gap.
        mcnemar_p: exact two-sided McNemar test of `only_first` against `only_second`; None for these. Clips of a
            person are not independent, so this describes and does not test.
        change: metric -> the second's figure minus the first's, interval paired over participants.
    """

    first: str
    second: str
    head: str
    clips: int
    participants: int
    both: int
    only_first: int
    only_second: int
    neither: int
    mcnemar_p: float | None
    change: dict[str, Estimated]
