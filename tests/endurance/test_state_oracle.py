from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import numpy as np
import pytest

from benchmarks.endurance.faults import EFFECTS, KINDS, Fault, plan
from benchmarks.endurance.oracle import Oracle, courses, holes
from emer_edge.core.columns import EYE_COLUMNS
from emer_edge.core.results import State
from emer_edge.core.window import NANOSECONDS, WindowSpec
from emer_edge.signals.stream import EyeStream, face_slots

SPEC = WindowSpec()
ALLOWANCE_NS = 50_000_000
ORACLE = Oracle(SPEC, ALLOWANCE_NS, 0)


def ns(seconds: float) -> int:
    return round(seconds * NANOSECONDS)


def fault(kind: str, from_s: float, to_s: float | None) -> Fault:
    return Fault(kind, ns(from_s), None if to_s is None else ns(to_s))


def allowed(end_s: float, *faults: Fault, stalls: tuple[tuple[int, int], ...] = ()) -> set[str]:
    return {each.value for each in ORACLE.allowed(ns(end_s), courses(faults, stalls))}


def result(end_s: float, state: str, **more: Any) -> dict[str, Any]:
    heads = ["er-7"] if state == "ok" else []
    ages = {"face_age_ms": 10.0, "sample_age_ms": 5.0}
    return {"end_ns": ns(end_s), "state": state, "heads": heads, **ages, "notes": [], **more}


def test_without_faults_a_window_fills_and_is_whole() -> None:
    assert allowed(11.5) == {"filling"}
    assert allowed(12.0) == allowed(500.0) == {"ok"}


@pytest.mark.parametrize("kind", ["camera unplugged", "camera hangs", "camera freezes", "tracker unplugged",
                                  "tracker silent", "tracker garbage"])  # fmt: skip
def test_a_source_without_items_is_stale_after_a_second(kind: str) -> None:
    gone = fault(kind, 30.0, 36.0)
    assert allowed(30.5, gone) == {"ok"}
    assert allowed(31.0, gone) == {"ok", "stale"}
    assert allowed(31.5, gone) == allowed(35.5, gone) == {"stale"}


def test_a_fault_that_lasts_is_judged_while_it_does() -> None:
    assert allowed(200.0, fault("camera hangs", 30.0, None)) == {"stale"}


def test_black_images_are_images_until_the_camera_is_given_up() -> None:
    black = fault("camera black", 30.0, 38.0)
    assert allowed(31.5, black) == {"ok"}
    assert allowed(34.0, black) == {"stale"}


def test_lost_eyes_are_never_stale_and_cost_the_window_its_eyes() -> None:
    lost = fault("eyes lost", 30.0, 36.0)
    assert allowed(32.0, lost) == {"ok"}
    assert allowed(33.0, lost) == {"ok", "no_gaze"}
    assert allowed(35.0, lost) == allowed(41.0, lost) == {"no_gaze"}
    assert allowed(50.0, lost) == {"ok"}


def test_a_long_loss_of_the_camera_leaves_a_window_without_faces_until_they_fill_it_again() -> None:
    gone = fault("camera hangs", 30.0, 38.0)
    assert allowed(38.5, gone) == {"stale", "no_face"}  # back at once, or still trying
    assert "ok" not in allowed(41.5, gone)  # more than two slots lie in the gap whatever the recovery was
    assert allowed(38.0 + 10.0 + 12.5, gone) == {"ok"}  # the longest pause, the opening, and a window


def test_a_short_hang_changes_nothing() -> None:
    short = fault("camera hangs", 30.0, 30.6)
    assert all(allowed(30.0 + at / 2, short) <= {"ok", "stale"} for at in range(30))
    assert allowed(33.0, short) == {"ok"}


def test_a_window_that_fills_while_a_source_is_away_is_stale() -> None:
    assert allowed(8.0, fault("tracker silent", 5.0, 9.0)) == {"stale"}


def test_when_the_machine_that_plays_the_devices_stood_still_the_run_is_not_blamed() -> None:
    assert allowed(31.5) == {"ok"}
    assert allowed(31.5, stalls=((ns(30.0), ns(31.6)),)) >= {"ok", "stale"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (result(33.0, "ok", face_age_ms=3000.0), "is ok, may be stale"),
        (result(20.0, "no_face"), "is no_face, may be ok"),
        (result(20.0, "ok", heads=[]), "is ok with 0 heads"),
        (result(33.0, "stale", face_age_ms=100.0), "has face_age_ms 100, but the camera has shown nothing for 2800"),
        (result(33.0, "stale", face_age_ms=3000.0, notes=["nothing from the tracker for 1.2 s"]),
         "says that the tracker is silent, which it was not"),
    ],
    ids=["an emotion without evidence", "no emotion with evidence", "no heads", "an age that flatters", "wrong source"],
)  # fmt: skip
def test_what_is_wrong_is_said_with_the_fault(given: dict[str, Any], says: str) -> None:
    faults = [fault("camera hangs", 30.0, 36.0)]
    (told,) = ORACLE.objections(given, faults)
    assert says in told
    assert ("camera hangs 30.0 to 36.0 s" in told) == (given["end_ns"] > ns(30))


def test_what_is_right_is_left_alone() -> None:
    faults = [fault("camera hangs", 30.0, 36.0)]
    notes = ["nothing from the camera for 3.0 s"]
    assert ORACLE.objections(result(33.0, "stale", face_age_ms=3000.0, notes=notes), faults) == []
    assert ORACLE.objections(result(29.5, "ok"), faults) == []


def test_holes_are_windows_between_the_first_and_the_last() -> None:
    hop_ns = SPEC.hop_ns
    assert holes([], hop_ns) == holes([5], hop_ns) == 0
    assert holes([hop_ns * at for at in (3, 4, 5)], hop_ns) == 0
    assert holes([hop_ns * at for at in (3, 6, 7, 9)], hop_ns) == 3


@pytest.mark.parametrize("seed", range(6))
def test_a_run_that_follows_the_rules_is_never_blamed(seed: int) -> None:
    """Random faults, random recoveries within the bounds, and the house's own slots: every state is allowed."""
    random = Random(seed)
    faults, at_s = [], 15.0
    for _ in range(6):
        kind, length_s = random.choice(list(EFFECTS)), random.uniform(0.4, 9.0)
        faults.append(fault(kind, at_s, at_s + length_s))
        at_s += length_s + random.uniform(8.0, 25.0)
    away: dict[str, dict[str, list[tuple[int, int]]]] = {
        each: {"blind": [], "silent": []} for each in ("camera", "tracker")
    }
    for each in faults:
        effect = EFFECTS[each.kind]
        assert each.to_ns is not None
        length_s = (each.to_ns - each.from_ns) / NANOSECONDS
        back_ns = each.to_ns + ns(random.uniform(0, effect.recovery_s(length_s)))
        from_ns = each.from_ns + ns(random.uniform(0, 0.15))
        away[effect.source]["blind"].append((from_ns, back_ns))
        if effect.silent_after_s is not None and length_s > effect.silent_after_s + 0.5:
            away[effect.source]["silent"].append((from_ns + ns(effect.silent_after_s), back_ns))
    seen = Counter(_judged(end_ns, away, faults) for end_ns in range(SPEC.hop_ns, ns(at_s), SPEC.hop_ns))
    assert seen["ok"] > 20
    assert seen["stale"] + seen["no_face"] + seen["no_gaze"] > 5


def _judged(end_ns: int, away: dict[str, dict[str, list[tuple[int, int]]]], faults: list[Fault]) -> str:
    def there(source: str, what: str, at_ns: int) -> bool:
        return not any(low < at_ns < high for low, high in away[source][what])

    hop_ns = SPEC.hop_ns
    faces = [at for at in range(hop_ns, end_ns + 1, hop_ns) if there("camera", "blind", at - ns(0.02))]
    _, face_covered = face_slots(np.array(faces[-25:], np.int64) - ns(0.02), end_ns, SPEC)
    stream = EyeStream(2000, 20.0)
    for at in range(max(0, end_ns - ns(13.0)), end_ns, ns(0.05)):
        if there("tracker", "silent", at):
            stream.append(np.zeros(len(EYE_COLUMNS), np.float32), at, there("tracker", "blind", at))
    eye_covered = stream.window(end_ns, SPEC).covered
    due_ns = end_ns + ALLOWANCE_NS
    silent = any(low + NANOSECONDS < due_ns < high for source in away for low, high in away[source]["silent"])
    state = State.OK
    if silent:
        state = State.STALE
    elif end_ns < SPEC.length_ns:
        state = State.FILLING
    elif face_covered.sum() < SPEC.min_face_slots:
        state = State.NO_FACE
    elif eye_covered.sum() < SPEC.min_eye_slots:
        state = State.NO_GAZE
    ages = {"face_age_ms": None, "sample_age_ms": None}
    assert ORACLE.objections(result(end_ns / NANOSECONDS, state.value, **ages), faults) == []
    return state.value


def test_a_plan_has_every_kind_in_turn_and_the_same_seed_makes_it_again() -> None:
    one, two, other = (plan(seed, 12.0) for seed in (4, 4, 5))
    first = [one() for _ in range(3 * len(KINDS))]
    assert first == [two() for _ in first]
    assert first != [other() for _ in first]
    for turn in range(3):
        assert {each.kinds for each in first[turn * len(KINDS) : (turn + 1) * len(KINDS)]} == set(KINDS)
    assert all(0.4 <= each.length_s <= 9.0 and each.wait_s > 0 for each in first)
    hurried = [each for each in first if each.wait_s < 12.0]
    assert 0 < len(hurried) < len(first) / 2
