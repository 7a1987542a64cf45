from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

from benchmarks.endurance.soak_verdicts import judge, plot
from emer_edge.core.window import NANOSECONDS

HOP_NS = NANOSECONDS // 2
SECONDS = 1200.0
HANG = (600.0, 606.0)
SEED = 7


def ns(seconds: float) -> int:
    return round(seconds * NANOSECONDS)


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
    return [each.what for each in floors if not each.met]


def changed(entries: list[dict[str, Any]], what: str, from_s: float, **more: Any) -> list[dict[str, Any]]:
    key = "end_ns" if what == "result" else "at_ns"
    return [each | more if each["what"] == what and each[key] >= ns(from_s) else each for each in entries]


def test_a_run_in_which_all_is_right_meets_every_floor() -> None:
    entries = journal()
    assert missed(entries) == []
    _, figures = judge(entries)
    assert figures["faults"] == {"camera hangs": 1, "broker killed": 1}
    assert figures["grown"]["rss_mb"]["last"] == 250.0
    assert abs(figures["cpu_share"]["mean"] - 0.2) < 1e-9
    assert len(figures["minutes"]) == 21
    assert figures["minutes"][0]["states"] == {"filling": 23, "ok": 96}
    total = sum(int(each.rpartition(":")[2]) for each in figures["total_ms_histogram"].split())
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
    hidden = [each for each in entries if each.get("end_ns") != ns(300)]
    assert missed(hidden) == ["windows without a result that nobody counted"]
    assert missed(changed(hidden, "result", 300, dropped={"late steps": 1})) == []
    assert missed(changed(entries, "back", 0, after_s=None)) == ["outputs that did not come back"]
    lost = [each | {"summary": {"outputs": {"mqtt": {"results": 4}}}} if each["what"] == "summary" else each
            for each in entries]  # fmt: skip
    assert missed(lost) == ["items that outputs have lost"]


def test_memory_is_compared_where_nothing_is_wrong() -> None:
    grows_in_trouble = changed(journal(), "sample", HANG[0], rss_mb=400.0)
    calm_again = changed(grows_in_trouble, "sample", HANG[1] + 20, rss_mb=250.0)
    assert missed(calm_again) == []


def test_a_run_that_was_cut_off_is_judged_by_what_is_left() -> None:
    cut = [each for each in journal(400.0) if each["what"] not in ("end", "summary")]
    assert missed(cut)[:2] == ["seconds of results", "exit code of the run"]
    _, figures = judge(cut)
    assert figures["seconds_of_results"] > 390


def test_a_run_without_a_result_has_figures_and_misses_its_floors() -> None:
    nothing = [each for each in journal() if each["what"] in ("start", "end")]
    assert "seconds of results" in missed(nothing)
    assert plot(nothing).startswith("<svg")


def test_the_plot_is_an_image_of_its_own_with_the_faults_in_it() -> None:
    image = plot(journal())
    root = ElementTree.fromstring(image)
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"RSS", "PSS", "threads", "file descriptors", "p50", "p99", "camera", "outputs"} <= set(texts)
    assert "http" not in image.replace("http://www.w3.org/2000/svg", "")
