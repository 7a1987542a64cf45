from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted import PUPIL_LEFT, clip, fuse, judge_of, planted

from emer_edge.bench.accuracy.clip_scores import EncodedWindows
from emer_edge.bench.probes.ablations import (
    ablate,
    exchangeable,
    exchanged,
    film_and_class,
    no_eyes,
    no_face,
    strata,
    without_columns,
    without_gaze,
    without_pupils,
)
from emer_edge.bench.records.probe_records import Ablation
from emer_edge.core.columns import GAZE_POINT, PUPILS
from emer_edge.core.window import WindowSpec
from emer_edge.data.dataset import EmerDataset
from emer_edge.data.windows import PreparedClip
from emer_edge.metrics.prediction_metrics import uar, war


def test_strata_hold_items_of_one_key_and_leave_out_those_without() -> None:
    groups = strata(["a", None, "b", "a", "c", "b", "a"])
    assert [group.tolist() for group in groups] == [[0, 3, 6], [2, 5], [4]]
    assert exchangeable(groups).tolist() == [0, 2, 3, 5, 6]


@pytest.mark.parametrize("seed", range(5))
def test_permutations_stay_in_their_stratum_and_go_to_other_people(seed: int) -> None:
    rng = np.random.default_rng(seed)
    owners = [f"p{at % 9}" for at in range(90)]
    keys = [None if at % 17 == 0 else int(rng.integers(6)) for at in range(90)]
    order = exchanged(strata(keys), owners, rng)
    assert sorted(order) == list(range(90))
    for at, taken in enumerate(order):
        assert keys[at] == keys[taken]
        if keys[at] is None:
            assert taken == at
        else:
            assert owners[at] != owners[taken]


def test_someone_with_most_of_a_stratum_still_keeps_no_place() -> None:
    owners = ["most"] * 7 + ["other"] * 2
    order = exchanged([np.arange(9)], owners, np.random.default_rng(0))
    assert sorted(order) == list(range(9))
    assert (order != np.arange(9)).all()


def test_every_partner_is_as_likely_as_another() -> None:
    owners = [f"p{at}" for at in range(5)]
    rng = np.random.default_rng(1)
    counts = np.zeros((5, 5))
    for _ in range(4000):
        counts[np.arange(5), exchanged([np.arange(5)], owners, rng)] += 1
    assert np.diag(counts).sum() == 0
    assert counts[~np.eye(5, dtype=bool)] == pytest.approx(1000, abs=120)


def test_one_seed_gives_one_permutation() -> None:
    owners = [f"p{at % 4}" for at in range(40)]
    orders = [exchanged([np.arange(40)], owners, np.random.default_rng(item)).tolist() for item in (3, 3, 4)]
    assert orders[0] == orders[1] != orders[2]


OWNERS = ["a", "a", "b", "c"]


def test_no_eyes_is_what_a_tracker_that_finds_none_gives(dataset: EmerDataset) -> None:
    """The rows of a real clip, all of them lost, through the code that cuts windows."""
    spec = WindowSpec()
    lost = PreparedClip(
        dataset.clips[0], spec, alter=lambda rows, times, seen: (rows * 0, times, np.zeros_like(seen))
    ).window()
    eye, gaze = no_eyes(spec, "causal")
    assert eye.shape == (32, 39)
    assert not gaze.any()
    assert not lost.covered_eye.any()
    others = np.delete(np.arange(39), 33)
    assert np.array_equal(eye[:, others], lost.eye[:, others])
    # The clip has a few rows more or less than 12 s of them, so that the same event is told at slightly other times.
    assert eye[:, 33] == pytest.approx(lost.eye[:, 33], abs=250)
    assert (np.diff(eye[:, 33]) > 0).all()


def test_no_eyes_of_a_sheet_is_one_event_as_long_as_the_window() -> None:
    eye, _ = no_eyes(WindowSpec(), "published")
    assert (eye[:, 32:35] == (3, 12_000, 1)).all()


def test_no_face_is_the_mean_of_other_people_in_all_of_a_persons_clips() -> None:
    face = np.random.default_rng(0).normal(0, 1, (4, 8, 5)).astype(np.float32)
    faces = no_face(face, OWNERS)
    assert faces.shape == face.shape
    assert faces[0, 0] == pytest.approx(face[2:].mean(axis=(0, 1)), abs=1e-6)
    assert (faces[0] == faces[1, 3]).all()
    assert faces[3, 0] == pytest.approx(face[:3].mean(axis=(0, 1)), abs=1e-6)
    assert no_face(face, ["a"] * 4)[0, 0] == pytest.approx(face.mean(axis=(0, 1)), abs=1e-6)


def test_hidden_columns_hold_other_peoples_mean_where_something_was_seen() -> None:
    rows = np.random.default_rng(0).uniform(1, 9, (4, 32, 39)).astype(np.float32)
    rows[0, :5, 3] = 0
    rows[2, 7, 3] = 0
    hidden = without_columns(rows, [3], OWNERS)
    assert (hidden[0, :5, 3] == 0).all()
    assert hidden[2, 7, 3] == 0
    others = rows[2:, :, 3]
    assert hidden[1, :, 3] == pytest.approx(others[others > 0].mean(), rel=1e-6)
    assert np.array_equal(np.delete(hidden, 3, axis=2), np.delete(rows, 3, axis=2))


def test_gaze_and_pupils_are_hidden_apart() -> None:
    eye = np.random.default_rng(0).uniform(1, 9, (4, 32, 39)).astype(np.float32)
    hidden, gaze = without_gaze(eye, eye[..., GAZE_POINT].copy(), OWNERS)
    touched = {column for column in range(39) if not np.array_equal(hidden[..., column], eye[..., column])}
    assert touched == {*range(12), *range(22, 32), *range(35, 39)}
    assert np.array_equal(gaze, hidden[..., GAZE_POINT])
    without = without_pupils(eye, OWNERS)
    assert {column for column in range(39) if not np.array_equal(without[..., column], eye[..., column])} == {12, 13}
    assert np.ptp(without[0, :, PUPILS], axis=0) == pytest.approx(0)


EYES = ("no eyes", "no pupils", "eyes of same film and face", "eyes of same film", "anyone's eyes")
FACES = ("no face", "faces of same film and feeling", "anyone's faces")


def ablated(windows: EncodedWindows, seed: int = 0) -> dict[str, Ablation]:
    return {
        item.name: item
        for item in ablate(fuse, windows, judge_of(windows, seed), spec=WindowSpec(), events="causal", permutations=6)
    }


@pytest.fixture(scope="module")
def ablations() -> dict[str, Ablation]:
    return ablated(planted())


@pytest.mark.parametrize("name", EYES)
def test_a_head_that_reads_the_eyes_loses_without_them(ablations: dict[str, Ablation], name: str) -> None:
    heads = ablations[name].heads
    assert heads["er-7"]["war"].change.value < -0.4
    assert heads["er-7"]["war"].change.high < -0.3
    assert heads["er-valence"]["mae"].change.low > 0.03
    assert ablations[name].takes == ("pupils" if name == "no pupils" else "eyes")


@pytest.mark.parametrize("name", EYES)
def test_a_head_that_reads_the_face_loses_nothing_without_the_eyes(ablations: dict[str, Ablation], name: str) -> None:
    for metric in ("war", "uar"):
        effect = ablations[name].heads["fer-7"][metric]
        assert (effect.value.value, effect.change.value, effect.change.low, effect.change.high) == (1, 0, 0, 0)


@pytest.mark.parametrize("name", FACES)
def test_and_the_other_way_round(ablations: dict[str, Ablation], name: str) -> None:
    heads = ablations[name].heads
    assert heads["fer-7"]["war"].change.high < -0.3
    assert heads["er-7"]["war"].change.value == heads["er-valence"]["mae"].change.value == 0
    assert ablations[name].takes == "face"


def test_gaze_that_nobody_reads_costs_nothing(ablations: dict[str, Ablation]) -> None:
    assert all(item.change.value == 0 for head in ablations["no gaze"].heads.values() for item in head.values())


def test_only_exchanges_vary_with_their_draw(ablations: dict[str, Ablation]) -> None:
    for name, item in ablations.items():
        sd = item.heads["er-7"]["war"].sd
        assert item.permutations == (6 if name.startswith(("eyes", "faces", "anyone")) else 0)
        assert (sd is not None) == (item.permutations > 0)
    assert ablations["anyone's eyes"].heads["er-7"]["war"].sd > 0


def test_an_exchanged_figure_is_the_mean_over_the_draws(ablations: dict[str, Ablation]) -> None:
    windows = planted()
    judge = judge_of(windows)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(windows)) for _ in range(3)]
    outputs = [fuse(windows.face, windows.eye[order], windows.gaze[order]) for order in orders]
    effect = judge.effects(fuse(windows.face, windows.eye, windows.gaze), outputs)["er-7"]
    truth = judge.targets[0].truth.astype(int)
    for name, metric in (("war", war), ("uar", uar)):
        drawn = [metric(truth, output["er-7"].argmax(axis=1)) for output in outputs]
        assert effect[name].value.value == pytest.approx(np.mean(drawn))
        assert effect[name].sd == pytest.approx(np.std(drawn, ddof=1))


def test_a_network_that_merely_tells_the_film_is_served_by_anyones_eyes_of_it() -> None:
    source = planted()
    clips = tuple(clip(item.name, int(str(item.stimulus)[-1])) for item in source.clips)
    eye = source.eye.copy()
    for at, item in enumerate(clips):
        eye[at, :, PUPIL_LEFT] = 1 + item.labels["er-7"]
    ablation = ablated(replace(source, clips=clips, eye=eye))
    assert ablation["eyes of same film"].heads["er-7"]["war"].change.value == 0
    assert ablation["anyone's eyes"].heads["er-7"]["war"].change.high < -0.5


def test_one_that_reads_the_person_is_not(ablations: dict[str, Ablation]) -> None:
    same, anyone = (ablations[item].heads["er-7"]["war"].change for item in ("eyes of same film", "anyone's eyes"))
    assert same.high < -0.3
    assert same.value == pytest.approx(anyone.value, abs=0.1)


def test_clips_alone_in_their_stratum_are_not_judged() -> None:
    windows = planted(people=3, films=6)
    ablation = ablated(windows)["eyes of same film and face"]
    partnered = [item for item in film_and_class(windows.clips, "fer") if len(item) > 1]
    assert ablation.clips == sum(map(len, partnered)) < len(windows)


def test_names_that_tell_no_film_leave_the_exchange_within_films_out() -> None:
    windows = planted()
    nameless = replace(windows, clips=tuple(replace(clip, stimulus=None) for clip in windows.clips))
    assert set(ablated(nameless)) == {
        "no eyes", "no face", "no gaze", "no pupils", "anyone's eyes", "anyone's faces"
    }  # fmt: skip


def test_the_induced_emotion_tells_films_apart_that_share_a_name() -> None:
    assert clip("3_film_happy").film == "film_happiness"
    assert clip("3_film_sad").film == "film_sadness"
    assert clip("unnamed").film is None


def test_the_same_seed_gives_the_same_figures(ablations: dict[str, Ablation]) -> None:
    assert ablated(planted()) == ablations
    other = ablated(planted(), seed=1)["anyone's eyes"].heads["er-7"]["war"]
    assert other.value != ablations["anyone's eyes"].heads["er-7"]["war"].value
