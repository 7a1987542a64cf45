"""The result of one hop: felt emotion, shown emotion, gap, and cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, Final

from emer_edge.core.session_facts import FromBaseline, Marker

RESULT_SCHEMA: Final = "emer-edge/result/1"
"""Name and version of a result as JSON; `result.schema.json` beside this file describes it."""


class State(str, Enum):
    """Whether a result holds an emotion, or why not."""

    FILLING = "filling"
    OK = "ok"
    NO_FACE = "no_face"
    NO_GAZE = "no_gaze"
    STALE = "stale"


UNLIKE: Final = "this face is unlike those of training"  # as results, terminal and page say it


@dataclass(frozen=True, slots=True)
class Gap:
    """How far apart the felt and the shown emotion are.

    Attributes:
        distance: base-2 Jensen-Shannon distance (0 to 1) of the calibrated ER-7 and FER-7 distributions.
        larger_than: k and n: it is larger than that of k of the n selection clips whose two labels agree; None where
            that is unknown, or the face is unlike those of training (`Result.absent` says which).
        p_differ: calibrated probability that the two labels differ, or None for the same reasons.
        valence, arousal: ER minus FER, or None without those heads.
    """

    distance: float
    larger_than: tuple[int, int] | None = None
    p_differ: float | None = None
    valence: float | None = None
    arousal: float | None = None


GAP_NUMBERS: Final = {
    "distance": "1", "larger_than": "clips", "larger_than_of": "clips", "p_differ": "probability",
    "valence": "scale", "arousal": "scale",
}  # fmt: skip
"""A gap as numbers in tables and streams, and their units."""


def gap_numbers(gap: Mapping[str, Any] | None) -> list[float | None]:
    """The `GAP_NUMBERS` of a gap as `Result.to_dict` gives it."""
    plain = dict(gap or {})
    plain["larger_than"], plain["larger_than_of"] = plain.get("larger_than") or (None, None)
    return [plain.get(name) for name in GAP_NUMBERS]


@dataclass(frozen=True, slots=True)
class Result:
    """One hop.

    Attributes:
        end_ns: end of the window, host monotonic time.
        begin_ns: its beginning: the reading covers what came after it, up to `end_ns`; both are 0 for a whole clip.
        state: `ok` or the reason why there is no emotion.
        filling_s: seconds until the first window is full, 0 after that.
        heads: head -> {class: probability} or value; those of FER alone where `state` is `no_gaze` and the bundle reads
            faces without eyes, else empty unless `state` is `ok`.
        gap: None unless both seven-class heads exist and `state` is `ok`.
        absent: `er`, `fer`, `gap`, `larger_than`, `p_differ` -> why it is not given, where `state` does not say it.
        face_distance: how far the window's faces are from those of training, as a share of the bundle's limit: above 1
            they are unlike them. None without a reading, and where the bundle has no face guard.
        face_age_ms, sample_age_ms: age of the newest usable face and eye sample at `end_ns`; None before the first.
        face_slots, eye_slots: covered slots, of 8 and of 32.
        degraded: eye columns that this tracker can't fill.
        stages_ms: stage -> duration; `total` is the step latency, deadline to result.
        dropped: place -> count since the start.
        notes: sentences for the reader, such as `demo weights, trained on synthetic clips`.
        markers: set before this result's end and not in an earlier result.
        crosses: labels of the markers inside the window, in order of time: it holds evidence from before and after.
        from_baseline: the values minus the session's baseline, on request; `heads` are never changed.
        engines: part -> name of the engine that computes it.
        stream: name of the source where a run reads several people, else None.
    """

    end_ns: int
    state: State
    filling_s: float = 0.0
    heads: dict[str, dict[str, float] | float] = field(default_factory=dict)
    gap: Gap | None = None
    face_age_ms: float | None = None
    sample_age_ms: float | None = None
    face_slots: int = 0
    eye_slots: int = 0
    degraded: tuple[str, ...] = ()
    stages_ms: dict[str, float] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    markers: tuple[Marker, ...] = ()
    crosses: tuple[str, ...] = ()
    from_baseline: FromBaseline | None = None
    engines: dict[str, str] = field(default_factory=dict)
    stream: str | None = None
    begin_ns: int = 0
    absent: dict[str, str] = field(default_factory=dict)
    face_distance: float | None = None

    @property
    def unlike(self) -> bool:
        """Whether the face is unlike those of training, as far as the bundle can tell."""
        return self.face_distance is not None and self.face_distance > 1

    def top(self, head: str) -> tuple[str, float] | None:
        """The most probable class of a class head and its probability, or None where there is none."""
        probabilities = self.heads.get(head)
        if not isinstance(probabilities, dict):
            return None
        name = max(probabilities, key=probabilities.__getitem__)
        return name, probabilities[name]

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, ready for JSON: `schema`, and all attributes."""
        plain: dict[str, Any] = {"schema": RESULT_SCHEMA, **asdict(self)}
        plain |= {"state": self.state.value, "filling_s": round(self.filling_s, 3)}
        if self.gap is not None and self.gap.larger_than is not None:
            plain["gap"]["larger_than"] = list(self.gap.larger_than)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}
