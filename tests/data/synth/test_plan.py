from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.heads import EMOTIONS
from emer_edge.data.synth.plan import plan_clips


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_about_a_third_of_the_clips_hide_something(seed: int) -> None:
    plans = plan_clips(60, 10, seed)
    assert 0.27 < sum(plan.er_emotion != plan.fer_emotion for plan in plans) / len(plans) < 0.42


def test_five_folds_share_no_participant() -> None:
    folds = defaultdict(set)
    for plan in plan_clips(23, 4, 0):
        folds[plan.participant].add(plan.fold)
    assert all(len(each) == 1 for each in folds.values())
    sizes = Counter(next(iter(each)) for each in folds.values())
    assert sorted(sizes) == [1, 2, 3, 4, 5]
    assert max(sizes.values()) - min(sizes.values()) <= 1


def test_every_emotion_is_common_in_both_views() -> None:
    plans = plan_clips(60, 10, 0)
    for view in ("er_emotion", "fer_emotion"):
        counts = Counter(getattr(plan, view) for plan in plans)
        assert set(counts) == set(EMOTIONS)
        assert min(counts.values()) > 40


def test_what_is_felt_varies_among_those_who_show_the_same_at_the_same_film() -> None:
    groups = defaultdict(list)
    for plan in plan_clips(60, 10, 0):
        groups[plan.film.number, plan.fer_emotion].append(plan.er_emotion)
    large = [group for group in groups.values() if len(group) >= 10]
    assert len(large) >= 20
    assert all(len(set(group)) > 1 for group in large)


def test_labels_lie_in_their_ranges_and_follow_the_emotion() -> None:
    plans = plan_clips(60, 10, 0)
    assert all(-1 <= value <= 1 for plan in plans for value in (plan.er_valence, plan.er_arousal, plan.fer_valence))
    assert all(0 <= plan.fer_intensity <= 3 for plan in plans)
    happy = [plan.er_valence for plan in plans if plan.er_emotion == "happiness"]
    angry = [plan.er_valence for plan in plans if plan.er_emotion == "anger"]
    assert min(happy) > max(angry)


def test_clip_names_tell_participant_film_and_induced_emotion() -> None:
    names = [plan.name for plan in plan_clips(5, 12, 0)]
    assert len(set(names)) == 60
    assert "3_film04_surprise" in names


@pytest.mark.parametrize(("participants", "clips"), [(4, 10), (5, 0)], ids=["too-few-participants", "no-clips"])
def test_numbers_out_of_range_are_refused(participants: int, clips: int) -> None:
    with pytest.raises(ConfigurationError):
        plan_clips(participants, clips, 0)
