"""How a soak is judged: the states that the faults explain, and the verdict on a journal."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter
from random import Random
from typing import Any

import numpy as np
import pytest

from benchmarks.endurance.faults import EFFECTS, KINDS, Fault, plan
from benchmarks.endurance.oracle import Oracle, courses, holes
from benchmarks.endurance.soak_verdicts import judge, plot
from emer_edge.core.columns import EYE_COLUMNS
from emer_edge.core.results import State
from emer_edge.core.window import NANOSECONDS, WindowSpec
from emer_edge.signals.rows import EyeStream, face_slots

SPEC = WindowSpec()
ALLOWANCE_NS = 50_000_000
ORACLE = Oracle(SPEC, ALLOWANCE_NS, 0)
HOP_NS = NANOSECONDS // 2
SECONDS = 1200.0
HANG = (600.0, 606.0)
SEED = 7


def ns(seconds: float) -> int:
    return round(seconds * NANOSECONDS)


def fault(kind: str, from_s: float, to_s: float | None) -> Fault:
    return Fault(kind, ns(from_s), None if to_s is None else ns(to_s))


def allowed(end_s: float, *faults: Fault, stalls: tuple[tuple[int, int], ...] = ()) -> set[str]:
    return {state.value for state in ORACLE.allowed(ns(end_s), courses(faults, stalls))}


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
    (objection,) = ORACLE.objections(given, faults)
    assert says in objection
    assert ("camera hangs 30.0 to 36.0 s" in objection) == (given["end_ns"] > ns(30))


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
        source: {"blind": [], "silent": []} for source in ("camera", "tracker")
    }
    for entry in faults:
        effect = EFFECTS[entry.kind]
        assert entry.to_ns is not None
        length_s = (entry.to_ns - entry.from_ns) / NANOSECONDS
        back_ns = entry.to_ns + ns(random.uniform(0, effect.recovery_s(length_s)))
        from_ns = entry.from_ns + ns(random.uniform(0, 0.15))
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
        assert {planned.kinds for planned in first[turn * len(KINDS) : (turn + 1) * len(KINDS)]} == set(KINDS)
    assert all(0.4 <= planned.length_s <= 9.0 and planned.wait_s > 0 for planned in first)
    hurried = [planned for planned in first if planned.wait_s < 12.0]
    assert 0 < len(hurried) < len(first) / 2


def journal(seconds: float = SECONDS) -> list[dict[str, Any]]:
    """A run in which all is as it should be: one hang of the camera, and its results."""
    entries: list[dict[str, Any]] = [
        {"what": "start", "at_ns": 0, "seed": SEED, "seconds": SECONDS, "bundle": "b", "length_ns": ns(12),
         "hop_ns": HOP_NS, "arguments": []},
        {"what": "fault", "kind": "camera hangs", "from_ns": ns(HANG[0]), "to_ns": None},
        {"what": "fault", "kind": "camera hangs", "from_ns": ns(HANG[0]), "to_ns": ns(HANG[1])},
        {"what": "fault", "kind": "broker killed", "from_ns": ns(800), "to_ns": ns(805)},
        {"what": "back", "kind": "broker killed", "at_ns": ns(807), "after_s": 2.0},
    ]  # fmt: skip
    for number in range(1, round(2 * seconds) + 1):
        at_s = number / 2
        state = "filling" if at_s < 12 else "stale" if HANG[0] + 1 < at_s < HANG[1] else "ok"
        if HANG[1] <= at_s < HANG[1] + 8:  # until at most two slots of the window lie in the hang
            state = "no_face"
        entries.append(
            {"what": "result", "end_ns": ns(at_s), "state": state, "heads": ["er-7"] if state == "ok" else [],
             "face_age_ms": None, "sample_age_ms": 5.0, "total_ms": 8.0 + number % 10 / 10, "age_ms": 60.0,
             "dropped": {}, "notes": []}
        )  # fmt: skip
    for number in range(1, round(seconds / 5)):
        at_s = 5.0 * number
        away = HANG[0] <= at_s < HANG[1] + 2
        entries.append(
            {"what": "sample", "at_ns": ns(at_s), "processes": [], "rss_mb": 180.0 if away else 250.0,
             "pss_mb": 170.0 if number % 6 == 0 else None, "uss_mb": 160.0 if number % 6 == 0 else None,
             "threads": 14 if away else 15, "fds": 23 if away else 31, "cpu_s": 0.2 * at_s}
        )  # fmt: skip
    entries.append({"what": "end", "at_ns": ns(seconds), "code": 0, "why": ""})
    entries.append({"what": "summary", "summary": {"outputs": {}}, "recording_mb": 2.0})
    return entries


def missed(entries: list[dict[str, Any]]) -> list[str]:
    floors, _ = judge(entries)
    return [floor.what for floor in floors if not floor.met]


def changed(entries: list[dict[str, Any]], what: str, from_s: float, **more: Any) -> list[dict[str, Any]]:
    key = "end_ns" if what == "result" else "at_ns"
    return [entry | more if entry["what"] == what and entry[key] >= ns(from_s) else entry for entry in entries]


def test_a_run_in_which_all_is_right_meets_every_floor() -> None:
    entries = journal()
    assert missed(entries) == []
    _, figures = judge(entries)
    assert figures["faults"] == {"camera hangs": 1, "broker killed": 1}
    assert figures["grown"]["rss_mb"]["last"] == 250.0
    assert abs(figures["cpu_share"]["mean"] - 0.2) < 1e-9
    assert len(figures["minutes"]) == 21
    assert figures["minutes"][0]["states"] == {"filling": 23, "ok": 96}
    total = sum(int(field.rpartition(":")[2]) for field in figures["total_ms_histogram"].split())
    assert total == figures["total_ms"]["count"] == 2400


def test_each_floor_is_missed_by_its_own_fault() -> None:
    entries = journal()
    assert missed(changed(entries, "sample", 700, rss_mb=256.0)) == ["growth of RSS after the warm-up"]
    assert missed(changed(entries, "sample", 700, threads=16)) == ["growth of threads"]
    assert missed(changed(entries, "sample", 700, fds=33)) == ["growth of file descriptors"]
    assert missed(changed(entries, "result", 1000, total_ms=14.0)) == ["p99 of the last results over that of the first"]
    assert missed(changed(entries, "result", 1199, state="no_gaze", heads=[])) == [
        "results whose state the faults do not explain"
    ]
    hidden = [entry for entry in entries if entry.get("end_ns") != ns(300)]
    assert missed(hidden) == ["windows without a result that nobody counted"]
    assert missed(changed(hidden, "result", 300, dropped={"late steps": 1})) == []
    assert missed(changed(entries, "back", 0, after_s=None)) == ["outputs that did not come back"]
    lost = [entry | {"summary": {"outputs": {"mqtt": {"results": 4}}}} if entry["what"] == "summary" else entry
            for entry in entries]  # fmt: skip
    assert missed(lost) == ["items that outputs have lost"]


def test_memory_is_compared_where_nothing_is_wrong() -> None:
    grows_in_trouble = changed(journal(), "sample", HANG[0], rss_mb=400.0)
    calm_again = changed(grows_in_trouble, "sample", HANG[1] + 20, rss_mb=250.0)
    assert missed(calm_again) == []


def test_a_run_that_was_cut_off_is_judged_by_what_is_left() -> None:
    cut = [entry for entry in journal(400.0) if entry["what"] not in ("end", "summary")]
    assert missed(cut)[:2] == ["seconds of results", "exit code of the run"]
    _, figures = judge(cut)
    assert figures["seconds_of_results"] > 390


def test_a_run_without_a_result_has_figures_and_misses_its_floors() -> None:
    nothing = [entry for entry in journal() if entry["what"] in ("start", "end")]
    assert "seconds of results" in missed(nothing)
    assert plot(nothing).startswith("<svg")


def test_the_plot_is_an_image_of_its_own_with_the_faults_in_it() -> None:
    image = plot(journal())
    root = ElementTree.fromstring(image)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"RSS", "PSS", "threads", "file descriptors", "p50", "p99", "camera", "outputs"} <= set(texts)
    assert "http" not in image.replace("http://www.w3.org/2000/svg", "")
