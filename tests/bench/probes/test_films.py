from __future__ import annotations

import msgspec
import numpy as np
import pytest
from planted import clip, fuse, judge_of, planted

from emer_edge.bench.accuracy.clip_scores import EncodedWindows
from emer_edge.bench.probes.film_decoding import decode, summarise
from emer_edge.bench.probes.films import MAY_DECODE, known_clips, probe_films
from emer_edge.bench.records.probe_records import FilmProbe
from emer_edge.bundle import Manifest
from emer_edge.core.columns import GAZE_POINT
from emer_edge.data.dataset import EmerDataset
from emer_edge.data.synth.gaze import film_target_px

PEOPLE, FILMS = 16, 6
OWNERS = [person for person in range(PEOPLE) for _ in range(FILMS)]
SEEN = [film for _ in range(PEOPLE) for film in range(FILMS)]


def eyes(signature: bool, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Gaze that wanders around a place of the film's own, or around the same one in all of them."""
    rng = np.random.default_rng(seed)
    eye = rng.normal(600, 150, (len(SEEN), 32, 39)).astype(np.float32)
    for at, film in enumerate(SEEN):
        place = film_target_px(film if signature else 0, np.linspace(0, 12, 32), (1920, 1080))
        eye[at, :, GAZE_POINT] = place + rng.normal(0, 150, (32, 2))
    return eye, eye[..., GAZE_POINT].copy()


def test_a_planted_film_is_told() -> None:
    decoded = decode(summarise(*eyes(signature=True)), SEEN, OWNERS, permutations=200, seed=0)
    assert decoded is not None
    assert decoded.hits.mean() > 0.8
    assert decoded.p == pytest.approx(1 / 201)
    assert decoded.chance.mean() == pytest.approx(1 / FILMS, abs=0.03)
    assert np.mean(decoded.answers == SEEN) == decoded.hits.mean()


def test_films_without_a_signature_are_not() -> None:
    """Of six such sets some are told better than others by chance, as p should say."""
    result = [
        decode(summarise(*eyes(signature=False, seed=seed)), SEEN, OWNERS, permutations=40, seed=0) for seed in range(6)
    ]
    assert all(item is not None and item.hits.mean() < 0.3 for item in result)
    assert 0.2 < np.mean([item.p for item in result if item is not None]) < 0.8


def test_what_tells_a_person_does_not_tell_a_film() -> None:
    """Every clip is marked by its person and film together: remembering other clips of a person would tell it."""
    rng = np.random.default_rng(0)
    marks = rng.normal(0, 1, (PEOPLE, 40))[OWNERS] * 5 + rng.normal(0, 0.1, (len(SEEN), 40))
    decoded = decode(marks, SEEN, OWNERS, permutations=200, seed=0)
    assert decoded is not None
    assert decoded.p > 0.05
    of_people = decode(marks, OWNERS, SEEN, permutations=50, seed=0)
    assert of_people is not None
    assert of_people.hits.mean() > 0.95


def test_chance_permutes_within_people() -> None:
    """Each person saw one film alone: permuting within people would change nothing, so all labels are permuted."""
    films = [owner % 2 for owner in OWNERS]
    decoded = decode(np.random.default_rng(0).normal(0, 1, (len(SEEN), 5)), films, OWNERS, permutations=100, seed=0)
    assert decoded is not None
    assert decoded.chance.std() > 0
    assert decoded.p > 0.05


def test_one_person_or_one_film_is_nothing_to_tell() -> None:
    features = np.random.default_rng(0).normal(0, 1, (6, 4))
    assert decode(features, list("abcabc"), ["one"] * 6, permutations=10, seed=0) is None
    assert decode(features, ["film"] * 6, list("abcabc"), permutations=10, seed=0) is None
    pair = decode(features, list("ababab"), list("xxxyyy"), permutations=10, seed=0)
    assert pair is not None
    assert pair.folds == 2


def test_missing_cells_do_not_pull_a_summary_towards_zero() -> None:
    eye, gaze = np.full((1, 32, 39), 640.0, np.float32), np.full((1, 32, 2), 640.0, np.float32)
    eye[0, ::2, 7], gaze[0, ::2] = 0, 0
    summary = summarise(eye, gaze)
    assert summary.shape == (1, 110)
    assert (summary[0, :39] == 640).all()
    assert (summary[0, 39:78] == 0).all()
    assert (summary[0, 78:] == 640).all()


def probed(windows: EncodedWindows, known: list | None) -> FilmProbe:
    outputs = fuse(windows.face, windows.eye, windows.gaze)
    return probe_films(outputs, windows, judge_of(windows), known, permutations=50)


@pytest.fixture(scope="module")
def windows() -> EncodedWindows:
    """Six films, film0_happy to film5_anger; what is felt and shown has nothing to do with them."""
    return planted()


def known_of(films: range) -> list:
    """Training clips of other people: in film n emotion n is felt, but by one."""
    words = ("happy", "sad", "fear", "surprise", "disgust", "anger")
    return [clip(f"t{person}_film{film}_{words[film]}", film if person else 0) for person in range(4) for film in films]


def test_films_that_were_all_trained_on_may_be_decoded(windows: EncodedWindows) -> None:
    probe = probed(windows, known_of(range(6)))
    assert probe.note == MAY_DECODE == "may decode the film"
    assert probe.reason == "each of the 6 films scored was trained on too"
    assert [item.trained_on for item in probe.by_film] == [4] * 6
    assert probe.unseen_clips == 0
    assert probe.unseen_films == {}


def test_films_never_trained_on_have_figures_of_their_own(windows: EncodedWindows) -> None:
    probe = probed(windows, known_of(range(4)))
    assert probe.note is None
    assert probe.reason == "2 of 6 films, 40 clips, were never trained on"
    assert probe.unseen_clips == 40
    assert probe.unseen_films["er-7"]["war"].value == 1
    usual = next(baseline for baseline in probe.baselines if baseline.name == "usual label")
    assert usual.clips == 80


def test_a_bundle_that_says_nothing_may_decode_the_film(windows: EncodedWindows) -> None:
    probe = probed(windows, None)
    assert (probe.note, probe.reason) == (MAY_DECODE, "nothing says which of these films it was trained on")
    assert all(item.trained_on is None for item in probe.by_film)
    assert "other people's scored clips" in probe.baselines[1].about


def test_names_that_tell_no_film_say_so(windows: EncodedWindows) -> None:
    nameless = EncodedWindows(
        tuple(clip(f"clip{at}", int(item.labels["er-7"])) for at, item in enumerate(windows.clips)),
        windows.face, windows.eye, windows.gaze, windows.face_slots, windows.eye_slots,
    )  # fmt: skip
    probe = probed(nameless, None)
    assert (probe.note, probe.reason) == (MAY_DECODE, "the names of the clips name no film")
    assert probe.decoding is None
    assert probe.by_film == ()
    assert probe.baselines == ()


def test_guesses_by_film_are_scored_beside_the_network(windows: EncodedWindows) -> None:
    result = {baseline.name: baseline for baseline in probed(windows, known_of(range(6))).baselines}
    felt = np.array([clip.labels["er-7"] for clip in windows.clips])
    film = np.array([int(str(clip.stimulus)[-1]) for clip in windows.clips])
    induced = result["induced emotion"].heads
    assert set(induced) == {"er-7", "fer-7"}
    assert induced["er-7"]["war"].value.value == pytest.approx(np.mean(felt == film))
    usual = result["usual label"].heads
    assert usual["er-7"]["war"].value.value == pytest.approx(np.mean(felt == film))
    assert usual["er-7"]["war"].change.value == pytest.approx(np.mean(felt == film) - 1)
    expected = np.mean(np.abs(felt / 10 - 0.75 * film / 10))
    assert usual["er-valence"]["mae"].value.value == pytest.approx(expected, rel=1e-4)
    assert usual["er-valence"]["mae"].change.value == pytest.approx(expected, rel=1e-4)


def test_what_is_usual_is_learnt_from_other_people(windows: EncodedWindows) -> None:
    """Two people: each is guessed by the other's labels, never by their own."""
    two = planted(people=2, films=3)
    usual = next(baseline for baseline in probed(two, None).baselines if baseline.name == "usual label").heads
    felt = [clip.labels["er-7"] for clip in two.clips]
    assert usual["er-7"]["war"].value.value == pytest.approx(np.mean(np.equal(felt[:3], felt[3:])))


def test_a_network_that_decodes_the_film_is_as_good_as_the_guess() -> None:
    """Felt emotions follow the film, and so do the eyes: decoding the film tells all that the network tells."""
    source = planted(seed=3)
    clips = tuple(clip(item.name, int(str(item.stimulus)[-1])) for item in source.clips)
    eye = source.eye.copy()
    for at, item in enumerate(clips):
        eye[at, :, 12:22] = 1 + item.labels["er-7"]
    same = EncodedWindows(clips, source.face, eye, source.gaze, source.face_slots, source.eye_slots)
    probe = probed(same, None)
    assert probe.decoding is not None
    assert probe.decoding.share.value > 0.9
    assert probe.decoding.p < 0.05
    assert probe.decoding.chance == pytest.approx(1 / 6, abs=0.05)
    decoded = next(baseline for baseline in probe.baselines if baseline.name == "film decoded from eyes")
    assert decoded.heads["er-7"]["war"].change.value > -0.1


def test_every_film_counts_once_over_films(windows: EncodedWindows) -> None:
    probe = probed(windows, None)
    figures = [item.heads["er-valence"] for item in probe.by_film]
    assert [item.film for item in probe.by_film] == [f"film{at}" for at in range(6)]
    assert [item.clips for item in probe.by_film] == [20] * 6
    assert probe.over_films["er-valence"].value == pytest.approx(np.mean(figures))
    assert min(figures) <= probe.over_films["er-valence"].low <= probe.over_films["er-valence"].high <= max(figures)


def test_training_clips_are_known_by_their_hashes(manifest: Manifest, dataset: EmerDataset) -> None:
    known = known_clips(manifest, dataset.clips)
    assert known is not None
    assert {item.name for item in known} == {item.name for item in dataset.training(1) + dataset.selection(1)}
    assert known_clips(manifest, dataset.fold(1)) is None
    assert known_clips(msgspec.structs.replace(manifest, data=None), dataset.clips) is None
