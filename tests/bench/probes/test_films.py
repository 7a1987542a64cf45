from __future__ import annotations

import msgspec
import numpy as np
import pytest
from planted import clip, fuse, judge_of, planted

from emer_edge.bench.accuracy.encoded import EncodedWindows
from emer_edge.bench.probes.films import MAY_DECODE, known_clips, probe_films
from emer_edge.bench.records import FilmProbe
from emer_edge.bundle import Manifest
from emer_edge.data.dataset import EmerDataset


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
    found = probed(windows, known_of(range(6)))
    assert found.note == MAY_DECODE == "may decode the film"
    assert found.reason == "each of the 6 films scored was trained on too"
    assert [each.trained_on for each in found.by_film] == [4] * 6
    assert found.unseen_clips == 0
    assert found.unseen_films == {}


def test_films_never_trained_on_have_figures_of_their_own(windows: EncodedWindows) -> None:
    found = probed(windows, known_of(range(4)))
    assert found.note is None
    assert found.reason == "2 of 6 films, 40 clips, were never trained on"
    assert found.unseen_clips == 40
    assert found.unseen_films["er-7"]["war"].value == 1
    usual = next(each for each in found.baselines if each.name == "usual label")
    assert usual.clips == 80


def test_a_bundle_that_says_nothing_may_decode_the_film(windows: EncodedWindows) -> None:
    found = probed(windows, None)
    assert (found.note, found.reason) == (MAY_DECODE, "nothing says which of these films it was trained on")
    assert all(each.trained_on is None for each in found.by_film)
    assert "other people's scored clips" in found.baselines[1].about


def test_names_that_tell_no_film_say_so(windows: EncodedWindows) -> None:
    nameless = EncodedWindows(
        tuple(clip(f"clip{at}", int(each.labels["er-7"])) for at, each in enumerate(windows.clips)),
        windows.face, windows.eye, windows.gaze, windows.face_slots, windows.eye_slots,
    )  # fmt: skip
    found = probed(nameless, None)
    assert (found.note, found.reason) == (MAY_DECODE, "the names of the clips tell no film")
    assert found.decoding is None
    assert found.by_film == ()
    assert found.baselines == ()


def test_guesses_by_film_are_scored_beside_the_network(windows: EncodedWindows) -> None:
    found = {each.name: each for each in probed(windows, known_of(range(6))).baselines}
    felt = np.array([each.labels["er-7"] for each in windows.clips])
    film = np.array([int(str(each.stimulus)[-1]) for each in windows.clips])
    induced = found["induced emotion"].heads
    assert set(induced) == {"er-7", "fer-7"}
    assert induced["er-7"]["war"].value.value == pytest.approx(np.mean(felt == film))
    usual = found["usual label"].heads
    assert usual["er-7"]["war"].value.value == pytest.approx(np.mean(felt == film))
    assert usual["er-7"]["war"].change.value == pytest.approx(np.mean(felt == film) - 1)
    expected = np.mean(np.abs(felt / 10 - 0.75 * film / 10))
    assert usual["er-valence"]["mae"].value.value == pytest.approx(expected, rel=1e-4)
    assert usual["er-valence"]["mae"].change.value == pytest.approx(expected, rel=1e-4)


def test_what_is_usual_is_learnt_from_other_people(windows: EncodedWindows) -> None:
    """Two people: each is guessed by the other's labels, never by their own."""
    two = planted(people=2, films=3)
    usual = next(each for each in probed(two, None).baselines if each.name == "usual label").heads
    felt = [each.labels["er-7"] for each in two.clips]
    assert usual["er-7"]["war"].value.value == pytest.approx(np.mean(np.equal(felt[:3], felt[3:])))


def test_a_network_that_decodes_the_film_is_as_good_as_the_guess() -> None:
    """Felt emotions follow the film, and so do the eyes: decoding the film tells all that the network tells."""
    source = planted(seed=3)
    clips = tuple(clip(each.name, int(str(each.stimulus)[-1])) for each in source.clips)
    eye = source.eye.copy()
    for at, each in enumerate(clips):
        eye[at, :, 12:22] = 1 + each.labels["er-7"]
    same = EncodedWindows(clips, source.face, eye, source.gaze, source.face_slots, source.eye_slots)
    found = probed(same, None)
    assert found.decoding is not None
    assert found.decoding.share.value > 0.9
    assert found.decoding.p < 0.05
    assert found.decoding.chance == pytest.approx(1 / 6, abs=0.05)
    decoded = next(each for each in found.baselines if each.name == "film decoded from eyes")
    assert decoded.heads["er-7"]["war"].change.value > -0.1


def test_every_film_counts_once_over_films(windows: EncodedWindows) -> None:
    found = probed(windows, None)
    figures = [each.heads["er-valence"] for each in found.by_film]
    assert [each.film for each in found.by_film] == [f"film{at}" for at in range(6)]
    assert [each.clips for each in found.by_film] == [20] * 6
    assert found.over_films["er-valence"].value == pytest.approx(np.mean(figures))
    assert min(figures) <= found.over_films["er-valence"].low <= found.over_films["er-valence"].high <= max(figures)


def test_training_clips_are_known_by_their_hashes(manifest: Manifest, dataset: EmerDataset) -> None:
    found = known_clips(manifest, dataset.clips)
    assert found is not None
    assert {each.name for each in found} == {each.name for each in dataset.training(1) + dataset.selection(1)}
    assert known_clips(manifest, dataset.fold(1)) is None
    assert known_clips(msgspec.structs.replace(manifest, data=None), dataset.clips) is None
