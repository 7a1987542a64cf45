from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted import PUPIL_LEFT, clip, fuse, judge_of, planted

from emer_edge.bench.accuracy.encoded import EncodedWindows
from emer_edge.bench.probes.ablations import ablate, film_and_class, film_of
from emer_edge.bench.records import Ablation
from emer_edge.metrics.classification import uar, war
from emer_edge.spec.window import WindowSpec

EYES = ("no eyes", "no pupils", "eyes of same film and face", "eyes of same film", "anyone's eyes")
FACES = ("no face", "faces of same film and feeling", "anyone's faces")


def ablated(windows: EncodedWindows, seed: int = 0) -> dict[str, Ablation]:
    return {each.name: each for each in ablate(fuse, windows, judge_of(windows, seed), WindowSpec(), "causal", 6)}


@pytest.fixture(scope="module")
def found() -> dict[str, Ablation]:
    return ablated(planted())


@pytest.mark.parametrize("name", EYES)
def test_a_head_that_reads_the_eyes_loses_without_them(found: dict[str, Ablation], name: str) -> None:
    heads = found[name].heads
    assert heads["er-7"]["war"].change.value < -0.4
    assert heads["er-7"]["war"].change.high < -0.3
    assert heads["er-valence"]["mae"].change.low > 0.03
    assert found[name].takes == ("pupils" if name == "no pupils" else "eyes")


@pytest.mark.parametrize("name", EYES)
def test_a_head_that_reads_the_face_loses_nothing_without_the_eyes(found: dict[str, Ablation], name: str) -> None:
    for metric in ("war", "uar"):
        effect = found[name].heads["fer-7"][metric]
        assert (effect.value.value, effect.change.value, effect.change.low, effect.change.high) == (1, 0, 0, 0)


@pytest.mark.parametrize("name", FACES)
def test_and_the_other_way_round(found: dict[str, Ablation], name: str) -> None:
    heads = found[name].heads
    assert heads["fer-7"]["war"].change.high < -0.3
    assert heads["er-7"]["war"].change.value == heads["er-valence"]["mae"].change.value == 0
    assert found[name].takes == "face"


def test_gaze_that_nobody_reads_costs_nothing(found: dict[str, Ablation]) -> None:
    assert all(each.change.value == 0 for head in found["no gaze"].heads.values() for each in head.values())


def test_only_exchanges_vary_with_their_draw(found: dict[str, Ablation]) -> None:
    for name, each in found.items():
        sd = each.heads["er-7"]["war"].sd
        assert each.permutations == (6 if name.startswith(("eyes", "faces", "anyone")) else 0)
        assert (sd is not None) == (each.permutations > 0)
    assert found["anyone's eyes"].heads["er-7"]["war"].sd > 0


def test_an_exchanged_figure_is_the_mean_over_the_draws(found: dict[str, Ablation]) -> None:
    windows = planted()
    judge = judge_of(windows)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(windows)) for _ in range(3)]
    outputs = [fuse(windows.face, windows.eye[each], windows.gaze[each]) for each in orders]
    effect = judge.effects(fuse(windows.face, windows.eye, windows.gaze), outputs)["er-7"]
    truth = judge.targets[0].truth.astype(int)
    for name, metric in (("war", war), ("uar", uar)):
        drawn = [metric(truth, each["er-7"].argmax(axis=1)) for each in outputs]
        assert effect[name].value.value == pytest.approx(np.mean(drawn))
        assert effect[name].sd == pytest.approx(np.std(drawn, ddof=1))


def test_a_network_that_merely_tells_the_film_is_served_by_anyones_eyes_of_it() -> None:
    source = planted()
    clips = tuple(clip(each.name, int(str(each.stimulus)[-1])) for each in source.clips)
    eye = source.eye.copy()
    for at, each in enumerate(clips):
        eye[at, :, PUPIL_LEFT] = 1 + each.labels["er-7"]
    found = ablated(replace(source, clips=clips, eye=eye))
    assert found["eyes of same film"].heads["er-7"]["war"].change.value == 0
    assert found["anyone's eyes"].heads["er-7"]["war"].change.high < -0.5


def test_one_that_reads_the_person_is_not(found: dict[str, Ablation]) -> None:
    same, anyone = (found[each].heads["er-7"]["war"].change for each in ("eyes of same film", "anyone's eyes"))
    assert same.high < -0.3
    assert same.value == pytest.approx(anyone.value, abs=0.1)


def test_clips_alone_in_their_stratum_are_not_judged() -> None:
    windows = planted(people=3, films=6)
    found = ablated(windows)["eyes of same film and face"]
    partnered = [each for each in film_and_class(windows.clips, "fer") if len(each) > 1]
    assert found.clips == sum(map(len, partnered)) < len(windows)


def test_names_that_tell_no_film_leave_the_exchange_within_films_out() -> None:
    windows = planted()
    nameless = replace(windows, clips=tuple(replace(each, stimulus=None) for each in windows.clips))
    assert set(ablated(nameless)) == {
        "no eyes", "no face", "no gaze", "no pupils", "anyone's eyes", "anyone's faces"
    }  # fmt: skip


def test_the_induced_emotion_tells_films_apart_that_share_a_name() -> None:
    assert film_of(clip("3_film_happy")) == "film_happiness"
    assert film_of(clip("3_film_sad")) == "film_sadness"
    assert film_of(clip("unnamed")) is None


def test_the_same_seed_gives_the_same_figures(found: dict[str, Ablation]) -> None:
    assert ablated(planted()) == found
    other = ablated(planted(), seed=1)["anyone's eyes"].heads["er-7"]["war"]
    assert other.value != found["anyone's eyes"].heads["er-7"]["war"].value
