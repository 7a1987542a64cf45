from __future__ import annotations

import pytest

from emer_edge.bench.accuracy.encoded import ReadingPlan
from emer_edge.bench.accuracy.scoring import score_fold
from emer_edge.bench.run import BenchOptions
from emer_edge.bundle import Bundle
from emer_edge.data.dataset import EmerDataset
from emer_edge.data.event_columns import compare_events
from emer_edge.errors import ConfigurationError
from emer_edge.runtime.predict import score_clips
from emer_edge.runtime.session import Session
from emer_edge.runtime.views import EyeView, score_views
from emer_edge.signals.profiles import PROFILES, TrackerProfile
from emer_edge.spec.columns import COLUMN_KEYS, EVENTS
from emer_edge.spec.window import WindowSpec

EVERYTHING = TrackerProfile("everything", "all columns", 1e6)


@pytest.fixture(scope="module")
def accuracy(bundle: Bundle, dataset: EmerDataset):
    with Session(bundle) as session:
        found = score_fold(session, dataset, 1, 20, ReadingPlan(draws=1), profiles=(EVERYTHING, PROFILES["serial-xy"]))
        return found.accuracy


def test_a_tracker_that_gives_everything_is_the_figure_itself(accuracy) -> None:
    everything = accuracy.views[0]
    assert everything.missing == ()
    assert everything.heads == {name: head.metrics for name, head in accuracy.heads.items()}
    assert everything.uncovered == accuracy.uncovered


def test_a_lesser_tracker_is_named_with_what_it_lacks(accuracy) -> None:
    lesser = accuracy.views[1]
    assert (lesser.name, lesser.rate_hz, lesser.events) == ("serial-xy", 60.0, "causal")
    assert lesser.missing == PROFILES["serial-xy"].missing_columns
    assert lesser.heads["er-valence"]["mae"].value != accuracy.heads["er-valence"].metrics["mae"].value


def test_the_other_rule_of_eye_movements_is_scored_beside(accuracy) -> None:
    other = accuracy.views[2]
    assert (other.name, other.events, other.missing) == ("published events", "published", ())
    assert set(accuracy.event_columns) == set(COLUMN_KEYS[EVENTS])
    assert all(each.slots == 32 * accuracy.clips for each in accuracy.event_columns.values())


def test_types_agree_and_durations_do_not_over_the_length_of_a_clip(dataset: EmerDataset) -> None:
    found = {each.column: each for each in compare_events(dataset.fold(1), WindowSpec())}
    assert found["Eye movement type"].same > 0.95
    assert found["Eye movement type"].slots == 96
    duration = found["Gaze event duration [ms]"]
    assert 10 < duration.mean_difference < duration.mean_published
    assert found["Fixation point X [DACS px]"].mean_difference < 30


def test_views_are_those_of_the_plain_score(bundle: Bundle, dataset: EmerDataset) -> None:
    clips = dataset.fold(1)
    with Session(bundle) as session:
        plain = score_clips(session, clips, events="published")
        (view,) = score_views(session, clips, [EyeView("published")])
    for name, values in plain.outputs.items():
        assert view.outputs[name] == pytest.approx(values, abs=1e-5)
    assert view.eye_slots.tolist() == plain.eye_slots.tolist()


def test_without_clips_nothing_is_compared(bundle: Bundle) -> None:
    assert compare_events((), bundle.manifest.window) == ()


def test_profiles_need_clips(bundle: Bundle) -> None:
    with pytest.raises(ConfigurationError, match="scored on a data set"):
        BenchOptions(bundles=(bundle.path,), profiles=(EVERYTHING,))
