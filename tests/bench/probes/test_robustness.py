from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from emer_edge.bench.accuracy.clip_scores import EncodedWindows, encode_clip
from emer_edge.bench.probes.effects import Judge, targets_of
from emer_edge.bench.probes.robustness import robustness, subsample
from emer_edge.bench.probes.worse_input import WAYS
from emer_edge.core.columns import EVENTS
from emer_edge.data.dataset import EmerDataset
from emer_edge.runtime.session import Session
from emer_edge.runtime.spreading import Spread

EYES = (WAYS[0], WAYS[3])
FACES = (WAYS[4], WAYS[7])


@pytest.fixture(scope="module")
def windows(session: Session, dataset: EmerDataset) -> EncodedWindows:
    return EncodedWindows.of(encode_clip(session, clip) for clip in dataset.clips[:5])


@pytest.fixture(scope="module")
def judge(session: Session, windows: EncodedWindows) -> Judge:
    heads = session.bundle.manifest.heads
    return Judge(targets_of(heads, windows.clips), [str(clip.participant) for clip in windows.clips], 50)


@pytest.fixture(scope="module")
def before(session: Session, windows: EncodedWindows):
    return session.fuse(windows.face, windows.eye, windows.gaze)


@pytest.fixture(scope="module")
def reported() -> list[tuple[str, int, int]]:
    return []


@pytest.fixture(scope="module")
def curves(session: Session, windows: EncodedWindows, judge: Judge, before, reported):
    return robustness(
        Spread(session), windows, judge, count=3, ways=(*EYES, *FACES), progress=lambda *item: reported.append(item)
    )


def test_level_zero_is_the_untouched_reading_to_the_last_digit(curves, judge: Judge, before) -> None:
    chosen = subsample(judge.owners, 3, judge.seed)
    for curve in curves:
        first = curve.levels[0]
        assert (curve.clips, first.level) == (3, 0)
        for target in judge.targets:
            figures = target.among(chosen).figures(before[target.name])
            assert {name: head.value.value for name, head in first.heads[target.name].items()} == figures
            assert all(head.change.value == 0 for head in first.heads[target.name].values())


def test_every_way_and_level_has_its_figures(curves, reported) -> None:
    assert [curve.name for curve in curves] == ["tracker noise", "dropped bursts", "low light", "square"]
    assert [curve.touches for curve in curves] == ["eyes", "eyes", "face", "face"]
    for curve, way in zip(curves, (*EYES, *FACES), strict=True):
        assert [level.level for level in curve.levels] == [0, *way.levels]
        assert (curve.axis, curve.unit) == (way.axis, way.unit)
        values = [level.heads["er-valence"]["mae"].value.value for level in curve.levels]
        assert len(set(values)) > len(values) // 2  # of random weights: two levels may be alike
        assert len(curve.levels[1].heads) == 9
    assert reported == [("making clips worse", at, 3) for at in (1, 2, 3)]


def test_lost_samples_uncover_windows_and_noise_and_darkness_do_not(curves) -> None:
    uncovered = {curve.name: [level.uncovered for level in curve.levels] for curve in curves}
    assert uncovered["dropped bursts"][-1] > uncovered["dropped bursts"][0]
    for name in ("tracker noise", "low light", "square"):
        assert set(uncovered[name]) == {uncovered[name][0]}


def test_figures_depend_on_seed_and_clip_and_not_on_company(
    curves, session: Session, windows: EncodedWindows, judge: Judge
) -> None:
    again = robustness(Spread(session), windows, judge, count=3, ways=EYES[1:])
    assert again[0].name == curves[1].name
    for one, other in zip(again[0].levels, curves[1].levels, strict=True):
        for head, effects in one.heads.items():
            for metric, effect in effects.items():
                assert effect.value.value == pytest.approx(other.heads[head][metric].value.value, abs=1e-6)


def test_a_subsample_is_spread_over_people() -> None:
    owners = [f"p{at % 7}" for at in range(140)]
    chosen = subsample(owners, 30, 0)
    assert len(set(chosen)) == 30
    assert (np.diff(chosen) > 0).all()
    assert set(Counter(owners[at] for at in chosen).values()) == {4, 5}
    assert not np.array_equal(chosen, subsample(owners, 30, 1))
    assert subsample(owners, 500, 0).tolist() == list(range(140))


def test_noise_may_be_kept_from_the_movements_it_would_change(
    session: Session, windows: EncodedWindows, judge: Judge
) -> None:
    kept = WAYS[1]
    assert (kept.name, kept.keeps_events, kept.levels) == ("noise, movements kept", True, WAYS[0].levels)
    seen = []

    class Watched:
        """The session, its eye rows noted on the way."""

        bundle = session.bundle

        @staticmethod
        def fuse(face, eye, gaze):
            seen.append(eye)
            return session.fuse(face, eye, gaze)

    robustness(Spread(Watched), windows, judge, count=5, ways=WAYS[:2])
    del seen[0]  # of the clips untouched
    levels = len(kept.levels)
    for moved, same in zip(seen[:levels], seen[levels:], strict=True):
        assert np.array_equal(moved[..., :32], same[..., :32])
        assert np.array_equal(same[..., EVENTS], windows.eye[..., EVENTS])
    assert not np.array_equal(seen[levels - 1][..., EVENTS], windows.eye[..., EVENTS])
