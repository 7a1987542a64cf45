from __future__ import annotations

from collections import Counter
from pathlib import Path

from emer_edge.calibration.choice import choose_clips
from emer_edge.data.clips import Clip


def clips() -> list[Clip]:
    """Twelve people; emotion 0 is five times as common as each of the others."""
    found = []
    for person in range(12):
        for number in range(11):
            emotion = 0 if number < 5 else number - 4
            found.append(
                Clip(f"{person}_{number}", f"p{person}", None, None, 1, Path("f"), Path("s"), {"fer-7": emotion})
            )
    return found


def test_emotions_and_participants_are_balanced() -> None:
    chosen = choose_clips(clips(), 42)
    assert len({each.name for each in chosen}) == 42
    assert set(Counter(each.labels["fer-7"] for each in chosen).values()) == {6}
    people = Counter(each.participant for each in chosen)
    assert len(people) == 12
    assert max(people.values()) - min(people.values()) <= 1


def test_seed_decides_and_rare_emotions_run_out() -> None:
    names = [each.name for each in choose_clips(clips(), 20, seed=4)]
    assert names == [each.name for each in choose_clips(clips(), 20, seed=4)]
    assert names != [each.name for each in choose_clips(clips(), 20, seed=5)]
    assert len(choose_clips(clips(), 1000)) == 132
    assert choose_clips([], 10) == ()
