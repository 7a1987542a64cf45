"""Stimuli by markers, and what each measure was like in them: of one session, and over participants.

`NAME start` begins a stimulus, which lasts until `NAME end`; any other label begins one that lasts until the next
marker from the same source. Windows that lie wholly inside count; where there is none, those that end inside do,
which hold evidence from before.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.session_facts import Marker
from emer_edge.core.window import NANOSECONDS
from emer_edge.metrics.intervals import draw_sums, grouped, limits
from emer_edge.offline.study import StudySession
from emer_edge.report.table import Estimate

FIGURES: Final = ("mean", "change", "peak", "peak_change", "peak_latency_s", "coverage")
"""Mean and peak, both minus the baseline, when the peak was, and the share of windows that hold the measure."""
WHOLE: Final = "whole session"
BASELINE: Final = "baseline"
_STARTS, _ENDS = ("start", "begin", "onset"), ("end", "stop", "offset")
_PART: Final = re.compile(rf"(.*\S)[\s_:/-]+({'|'.join((*_STARTS, *_ENDS))})s?", re.IGNORECASE)


@dataclass(frozen=True)
class Segment:
    """One time that a stimulus was there; `occurrence` counts from 1."""

    stimulus: str
    occurrence: int
    begin_ns: int
    end_ns: int

    @property
    def lasts_s(self) -> float:
        """How long it was there, seconds."""
        return (self.end_ns - self.begin_ns) / NANOSECONDS


def segments(session: StudySession) -> tuple[Segment, ...]:
    """Stimuli in order of time; the whole session, or a clip by its name, where there is no marker."""
    markers = sorted(session.markers, key=lambda marker: marker.stamp_ns)
    if not markers:
        return (Segment(WHOLE if session.bundle else session.name, 1, session.begins_ns, session.ends_ns),)
    made, seen = [], Counter[str]()
    closers = _closers(markers)
    for at, marker in enumerate(markers):
        name, part = _named(marker)
        if at in closers.values():
            continue
        after = [other.stamp_ns for other in markers[at + 1 :] if other.source == marker.source]
        end_ns = markers[closers[at]].stamp_ns if at in closers else min(after, default=session.ends_ns)
        name = name if part in _STARTS else marker.label
        seen[name] += 1
        made.append(Segment(name, seen[name], marker.stamp_ns, end_ns))
    return tuple(made)


def _named(marker: Marker) -> tuple[str, str]:
    match = _PART.fullmatch(marker.label)
    return (match[1], match[2].lower()) if match else (marker.label, "")


def _closers(markers: Sequence[Marker]) -> dict[int, int]:
    """Start -> end, as positions: of one name, each end the next after its start."""
    pairs: dict[int, int] = {}
    opened: dict[str, int] = {}
    for at, marker in enumerate(markers):
        name, part = _named(marker)
        if part in _STARTS:
            opened[name] = at
        elif part in _ENDS and name in opened:
            pairs[opened.pop(name)] = at
    return pairs


@dataclass(frozen=True, eq=False)
class SegmentFigures:
    """What a session's measures were like in one segment.

    Attributes:
        windows: that count.
        inside: whether they lie wholly inside.
        baseline, baseline_words: (k,) float64, NaN where there is none, and what it is, or empty.
        figures: (k, 6) float64, a row per channel of the session, columns as of `FIGURES`; NaN where there is none.
    """

    session: StudySession
    segment: Segment
    windows: int
    inside: bool
    baseline: NDArray[np.float64]
    baseline_words: str
    figures: NDArray[np.float64]

    @property
    def evidence(self) -> str:
        """Where the windows lie: `inside`, `mixed` (they hold evidence from before), or `none`."""
        return "inside" if self.inside else "mixed" if self.windows else "none"


def _baseline(session: StudySession, found: Sequence[Segment]) -> tuple[NDArray[np.float64], str]:
    """That of `--baseline`, else the mean of a stimulus `baseline`."""
    names = [name for name, _ in session.channels]
    if (base := session.baseline) is not None:
        known = {f"{head} {label}": p for head, value in base.heads.items() if isinstance(value, dict)
                 for label, p in value.items()}  # fmt: skip
        known |= {head: value for head, value in base.heads.items() if not isinstance(value, dict)}
        known |= {f"pupil {eye}": pupil.median_mm for eye, pupil in base.pupils.items()}
        if base.gap_distance is not None:
            known["gap distance"] = base.gap_distance
        for value in ("valence", "arousal"):
            if {f"er-{value}", f"fer-{value}"} <= known.keys():
                known[f"gap {value}"] = known[f"er-{value}"] - known[f"fer-{value}"]
        return np.array([known.get(name, np.nan) for name in names]), f"the first {base.seconds:.3g} s of valid data"
    for segment in found:
        if segment.stimulus.lower() == BASELINE:
            rows, _ = _windows(session, segment)
            return _means(session.values[rows]), f"the mean of the stimulus {segment.stimulus!r}"
    return np.full(len(names), np.nan), ""


def _windows(session: StudySession, segment: Segment) -> tuple[NDArray[np.bool_], bool]:
    begins, ends = session.spans_ns.T
    ending = (ends > segment.begin_ns) & (ends <= segment.end_ns)
    inside = ending & (begins >= segment.begin_ns)
    return (inside, True) if inside.any() else (ending, False)


def _means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k,) means of (n, k) numbers, those that are missing left out; NaN where all are."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    return np.where(count, np.where(known, values, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


def figures_of(session: StudySession) -> list[SegmentFigures]:
    """Figures of each stimulus. The peak is the value farthest from the baseline, or from 0 where there is none."""
    found = segments(session)
    base, words = _baseline(session, found)
    figures = []
    for segment in found:
        rows, inside = _windows(session, segment)
        values, after_s = session.values[rows], (session.spans_ns[rows, 1] - segment.begin_ns) / NANOSECONDS
        made = np.full((len(base), len(FIGURES)), np.nan)
        made[:, -1] = np.isfinite(values).mean(axis=0) if len(values) else 0.0
        held = made[:, -1] > 0
        if held.any():
            far = np.abs(values[:, held] - np.nan_to_num(base[held]))
            at = np.argmax(np.where(np.isfinite(far), far, -1.0), axis=0)
            peaks = values[:, held][at, np.arange(len(at))]
            mean = _means(values[:, held])
            made[held, :-1] = np.stack([mean, mean - base[held], peaks, peaks - base[held], after_s[at]], axis=1)
        figures.append(
            SegmentFigures(session, segment, int(rows.sum()), inside, baseline=base, baseline_words=words, figures=made)
        )
    return figures


def over_participants(participants: Sequence[str], rows: NDArray[np.float64]) -> tuple[list[Estimate], int]:
    """Means over participants of (n, m) numbers, with 95 % intervals by bootstrap over participants.

    A participant counts with the mean of its own rows; numbers that are missing are left out.

    Returns:
        An estimate per column, without an interval where fewer than two participants have it; number of participants.
    """
    own = np.stack([_means(rows[members]) for members in grouped(participants).values()])
    known = np.isfinite(own)
    drawn, count = draw_sums(list(range(len(own))), np.concatenate([np.where(known, own, 0.0), known], axis=1))
    estimates = []
    for column, (value, people) in enumerate(zip(_means(own), known.sum(axis=0), strict=True)):
        low, high = np.nan, np.nan
        if people > 1:
            sums, counts = drawn[:, column], drawn[:, len(known.T) + column]
            low, high = limits(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))
        estimates.append(Estimate(float(value), low, high))
    return estimates, count


def unshared(sessions: Sequence[StudySession]) -> list[str]:
    """Sentences about stimuli that only some of the sessions with markers have."""
    own = {one.name: {segment.stimulus for segment in segments(one)} for one in sessions if one.markers}
    said = []
    for stimulus in sorted(set().union(*own.values())):
        having = [name for name, stimuli in own.items() if stimulus in stimuli]
        if len(having) < len(own):
            named = ", ".join(having[:3]) + (", ..." if len(having) > 3 else "")
            said.append(f"the stimulus {stimulus!r} is in {len(having)} of {len(own)} sessions only ({named})")
    return said
