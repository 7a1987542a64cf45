"""A result with everything in it, as outputs are given it."""

from __future__ import annotations

from emer_edge.core.heads import HEADS, ClassHead
from emer_edge.core.results import Gap, Result, State

HEAD_VALUES: dict[str, dict[str, float] | float] = {
    name: {each: 0.7 if at == 1 else 0.05 for at, each in enumerate(head.classes)}
    if isinstance(head, ClassHead)
    else 0.25
    for name, head in HEADS.items()
}
OK = Result(
    5_000_000_000,
    State.OK,
    heads=HEAD_VALUES,
    gap=Gap(0.42, 93.0, -0.5, 0.1),
    face_age_ms=12.0,
    sample_age_ms=4000.0,
    face_slots=8,
    eye_slots=31,
    degraded=("Gaze direction left X", "Gaze direction right X", "Pupil diameter left [mm]"),
    stages_ms={"encode": 3.1, "total": 4.2},
    dropped={"camera": 2},
    notes=("demo weights, trained on synthetic clips",),
)
