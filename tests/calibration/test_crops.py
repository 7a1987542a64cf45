from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from emer_edge.calibration.crops import Composition, choose_clips, composition_of
from emer_edge.core.errors import DataError
from emer_edge.core.heads import EMOTIONS
from emer_edge.data.dataset import Clip


def clip(person: int, number: int, labels: Mapping[str, int | float], induced: str | None = None) -> Clip:
    return Clip(f"{person}_{number}", f"p{person}", None, induced, 1, Path("f"), Path("s"), labels)


def clips() -> list[Clip]:
    """Twelve people; emotion 0 is five times as common as each of the others."""
    return [
        clip(person, number, {"fer-7": 0 if number < 5 else number - 4}) for person in range(12) for number in range(11)
    ]


def made_of(counts: Sequence[Sequence[int]]) -> list[Clip]:
    """`counts[person][emotion]` clips of each."""
    return [
        clip(person, 1000 * emotion + number, {"fer-7": emotion})
        for person, row in enumerate(counts)
        for emotion, count in enumerate(row)
        for number in range(count)
    ]


def emotions_of(chosen: Sequence[Clip]) -> list[int]:
    counts = Counter(int(clip.labels["fer-7"]) for clip in chosen)
    return [counts[emotion] for emotion in range(7)]


def people_of(chosen: Sequence[Clip]) -> Counter[str | None]:
    return Counter(clip.participant for clip in chosen)


def test_emotions_and_participants_are_balanced() -> None:
    chosen = choose_clips(clips(), 42)
    assert len({clip.name for clip in chosen}) == 42
    assert emotions_of(chosen) == [6] * 7
    people = people_of(chosen)
    assert len(people) == 12
    assert max(people.values()) - min(people.values()) <= 1


def test_seed_decides_and_rare_emotions_run_out() -> None:
    names = [clip.name for clip in choose_clips(clips(), 20, seed=4)]
    assert names == [clip.name for clip in choose_clips(clips(), 20, seed=4)]
    assert names != [clip.name for clip in choose_clips(clips(), 20, seed=5)]
    assert len(choose_clips(clips(), 1000)) == 132
    assert choose_clips([], 10) == ()


def test_emotions_level_up_to_what_there_is() -> None:
    """Fear has 3 clips and disgust 10: they all come, and the others share the rest equally."""
    has = [300, 200, 3, 90, 10, 60, 400]
    chosen = choose_clips(made_of([[(count + person) // 20 for count in has] for person in range(20)]), 113)
    drawn = emotions_of(chosen)
    assert (drawn[2], drawn[4]) == (3, 10)
    assert [drawn[at] for at in (0, 1, 3, 5, 6)] == [20] * 5


def test_one_participant_with_most_clips_does_not_take_over() -> None:
    """One person has 70 clips of each emotion, twenty others one of each."""
    chosen = choose_clips(made_of([[70] * 7] + [[1] * 7] * 20), 70)
    people = people_of(chosen)
    assert emotions_of(chosen) == [10] * 7
    assert len(people) == 21
    assert max(people.values()) - min(people.values()) <= 1


def test_a_rare_emotion_gets_its_people_first() -> None:
    """Only persons 0 and 1 show fear: the other emotions are taken from the ten others."""
    counts = [[9, 9, 7, 9, 9, 9, 9]] * 2 + [[9, 9, 0, 9, 9, 9, 9]] * 10
    chosen = choose_clips(made_of(counts), 84)
    assert emotions_of(chosen) == [12] * 7
    people = people_of(chosen)
    assert all(people[name] >= 6 for name in ("p0", "p1"))
    assert max(people.values()) - min(people.values()) <= 1


@pytest.mark.parametrize("seed", range(20))
def test_no_draw_of_a_skewed_set_is_far_from_even(seed: int) -> None:
    """Clips per person and emotion follow a power law; emotions still come as evenly as there are clips for."""
    rng = np.random.default_rng(seed)
    counts = rng.zipf(1.6, (15, 7)).clip(0, 40) - 1
    given = made_of(counts.tolist())
    count = min(60, len(given))
    chosen = choose_clips(given, count, seed)
    assert len({clip.name for clip in chosen}) == len(chosen) == count
    drawn, has = np.array(emotions_of(chosen)), counts.sum(axis=0)
    assert all(drawn[has > drawn] >= drawn.max() - 1)
    # No clip could be exchanged for another of its emotion to bring two people closer together.
    people = people_of(chosen)
    names = {clip.name for clip in chosen}
    for emotion in range(7):
        mine = [clip for clip in given if clip.labels["fer-7"] == emotion]
        taken = [people[clip.participant] for clip in mine if clip.name in names]
        free = [people[clip.participant] for clip in mine if clip.name not in names]
        assert not taken or not free or max(taken) - min(free) <= 1


def test_composition_counts_classes_in_their_order_and_people() -> None:
    given = [clip(0, 0, {"fer-7": 6}), clip(0, 1, {"er-7": 1}), clip(1, 2, {"fer-3": 0}), clip(2, 3, {}, "anger")]
    made = composition_of([*given, clip(3, 4, {"er-valence": 0.5})])
    assert made == Composition(5, {"sadness": 1, "anger": 1, "neutral": 1, "positive": 1, "unlabelled": 1}, 4)
    assert list(made.by_class) == ["sadness", "anger", "neutral", "positive", "unlabelled"]


def composition(windows: int, classes: Sequence[str], participants: int = 10) -> Composition:
    return Composition(windows, dict.fromkeys(classes, windows // len(classes)), participants)


def test_a_good_choice_needs_no_words() -> None:
    assert composition(140, EMOTIONS).check() == ()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (composition(98, EMOTIONS), "98 windows only; below 100"),
        (composition(140, EMOTIONS[:5]), "no calibration window shows anger or neutral"),
        (composition(140, ["unlabelled"]), "name no emotion"),
        (composition(140, EMOTIONS, 1), "one participant"),
    ],
    ids=["few windows", "classes missing", "no labels", "one participant"],
)
def test_thin_choices_are_told(given: Composition, message: str) -> None:
    (note,) = given.check()
    assert message in note


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (composition(7, EMOTIONS), "7 windows are too few .* 8 at the very least, and 100"),
        (composition(150, ["fear"]), "all 150 calibration windows show fear"),
        (composition(20, ["positive"]), "all 20 calibration windows show positive"),
        (Composition(0, {}, 0), "0 windows are too few"),
    ],
    ids=["too few", "one emotion", "one polarity", "none"],
)
def test_choices_that_measure_nothing_are_refused(given: Composition, message: str) -> None:
    with pytest.raises(DataError, match=message):
        given.check()
