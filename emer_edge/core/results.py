"""The result of one hop: felt emotion, shown emotion, gap, and cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from emer_edge.core.session_facts import FromBaseline, Marker


class State(str, Enum):
    """Whether a result holds an emotion, or why not."""

    FILLING = "filling"
    OK = "ok"
    NO_FACE = "no_face"
    NO_GAZE = "no_gaze"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Gap:
    """How far apart the felt and the shown emotion are.

    Attributes:
        distance: base-2 Jensen-Shannon distance (0 to 1) of the calibrated ER-7 and FER-7 distributions.
        percentile: its percentile (0 to 100) among selection clips whose two labels agree, or None without them.
        valence, arousal: ER minus FER, or None without those heads.
    """

    distance: float
    percentile: float | None = None
    valence: float | None = None
    arousal: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """One hop.

    Attributes:
        end_ns: end of the window, host monotonic time.
        state: `ok` or the reason why there is no emotion.
        filling_s: seconds until the first window is full, 0 after that.
        heads: head -> {class: probability} or value; empty unless `state` is `ok`.
        gap: None unless both seven-class heads exist and `state` is `ok`.
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

    def top(self, head: str) -> tuple[str, float] | None:
        """The most probable class of a class head and its probability, or None where there is none."""
        probabilities = self.heads.get(head)
        if not isinstance(probabilities, dict):
            return None
        name = max(probabilities, key=probabilities.__getitem__)
        return name, probabilities[name]

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary, ready for JSON."""
        plain = asdict(self) | {"state": self.state.value, "filling_s": round(self.filling_s, 3)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}
