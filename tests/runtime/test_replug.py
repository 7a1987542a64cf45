from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from replug_rig import SIGNALS, Cycle, Outcome, Rig, states, violations
from runtime_inputs import WINDOW

from emer_edge.bundle import Bundle
from emer_edge.core.window import NANOSECONDS

BOTH = ("camera", "tracker")


def check_cycle(cycle: Cycle) -> None:
    lost = [each for each in cycle.said if each.startswith("lost the")]
    back = [each for each in cycle.said if " is back after " in each]
    assert len(lost) == len(back) == len(cycle.devices), cycle.said
    for name in cycle.devices:
        assert any(each.startswith(f"lost the {name}") for each in lost), cycle.said
    assert cycle.marked_ns is not None, "no window was marked"
    assert cycle.ok_ns is not None, f"no recovery; said was {cycle.said}"


def test_a_run_outlives_its_cables(bundle: Bundle, tmp_path: Path) -> None:
    outcome = Rig(bundle, tmp_path).run([BOTH, ("camera",), ("tracker",)], down_s=1.3, up_s=0.3)
    assert violations(outcome, WINDOW.length_ns) == []
    for cycle in outcome.cycles:
        check_cycle(cycle)
    seen = states(outcome)
    assert seen["stale"] >= 3
    assert seen["ok"] >= 4
    for name in ("camera", "tracker"):
        assert any(note.startswith(f"{name} lost: ") for each in outcome.results for note in each.notes)
    faces = {outcome.lamps[each.face.stamp_ns] for each in outcome.windows if each.face is not None}
    assert faces == {0, 1, 2}  # both returns of the camera were seen
    check_that_the_judge_sees(outcome)


def check_that_the_judge_sees(outcome: Outcome) -> None:
    """Told that the devices showed something else, or were pulled earlier, it must object."""
    for change in (
        lambda each: replace(each, signal=(each.signal + 1) % SIGNALS),
        lambda each: replace(each, to_ns=each.to_ns - NANOSECONDS),
    ):
        spans = {name: [change(each) for each in spans] for name, spans in outcome.spans.items()}
        found = violations(replace(outcome, spans=spans), WINDOW.length_ns)
        assert any("a face beside lamp" in each for each in found)
        assert any("gaze at place" in each for each in found)
    assert any("has been away" in each for each in found)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [("camera",), ("tracker",), BOTH], ids="+".join)
def test_ten_times(bundle: Bundle, tmp_path: Path, devices: tuple[str, ...]) -> None:
    outcome = Rig(bundle, tmp_path).run([devices] * 10, down_s=1.5, up_s=1.0)
    assert violations(outcome, WINDOW.length_ns) == []
    assert len(outcome.cycles) == 10
    for cycle in outcome.cycles:
        check_cycle(cycle)
