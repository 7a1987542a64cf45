from __future__ import annotations

import msgspec
import pytest
from typer.testing import CliRunner

from emer_edge.bench.accuracy.encoded import EncodedWindows, encode_clips
from emer_edge.bench.probes.run import PROBES, ProbeOptions, film_notes, probe_bundle, probes_named
from emer_edge.bench.records import FilmProbe, Probes
from emer_edge.bench.run import BenchOptions, run_bench
from emer_edge.bundle import Bundle
from emer_edge.cli.app import app
from emer_edge.data.dataset import EmerDataset
from emer_edge.errors import ConfigurationError
from emer_edge.runtime.session import Session

UNTIMED = {"repeats": 1, "warmup": 0, "rests": 0, "starts": 0, "streams": (), "min_seconds": 0.0, "min_queries": 0}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ablations"], ("ablations",)),
        (["films,ablations"], ("ablations", "films")),
        (["robustness", "films"], ("films", "robustness")),
        (["all"], PROBES),
        (["none"], ()),
        ([], ()),
    ],
)
def test_probes_are_named_in_one_word_or_several(words: list[str], expected: tuple[str, ...]) -> None:
    assert probes_named(words) == expected


@pytest.mark.parametrize(
    ("words", "told"), [(["film"], "there is no probe film; there are ablations"), (["none,films"], "not both")]
)
def test_probes_that_do_not_exist_are_refused(words: list[str], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        probes_named(words)


def test_robustness_needs_a_clip() -> None:
    with pytest.raises(ConfigurationError, match="at least 1 clip"):
        ProbeOptions(clips=0)


def test_a_bundle_is_probed_on_its_fold(bundle: Bundle, dataset: EmerDataset) -> None:
    told = []
    with Session(bundle) as session:
        windows = EncodedWindows.of(encode_clips(session, dataset.fold(1)))
        options = ProbeOptions(probes=("ablations", "films"), resamples=50)
        found = probe_bundle(session, windows, dataset.clips, options, lambda *each: told.append(each))
        assert probe_bundle(session, windows, dataset.clips, ProbeOptions()) is None
    assert found is not None
    assert found.films is not None
    assert msgspec.json.decode(msgspec.json.encode(found), type=Probes) == found
    assert found.curves == ()
    assert all(set(each.heads) == set(bundle.manifest.head_names) for each in found.ablations)
    assert sum(each.clips for each in found.films.by_film) == 3
    assert found.films.decoding is None
    assert {what for what, _, _ in told} == {"ablations", "looking up training clips"}


def test_bench_asks_for_ablations_and_films_unless_told_otherwise(bundle: Bundle, dataset: EmerDataset) -> None:
    measured = run_bench(
        BenchOptions(bundles=(bundle.path,), data=dataset, resamples=2, draws=1, stream_s=0, **UNTIMED)
    )
    found = measured.bundles[0].probes
    assert found is not None
    assert found.films is not None
    assert len(found.ablations) == 9 - 3  # one person sees each film once: nobody to exchange with inside a film
    assert found.curves == ()
    assert measured.options["probes"] == "ablations, films"
    assert f"bundle random may decode the film: {found.films.reason}" in measured.notes


def test_probes_need_clips_and_only_when_asked_for(bundle: Bundle) -> None:
    with pytest.raises(ConfigurationError, match="--data"):
        BenchOptions(bundles=(bundle.path,), probes=("films",))
    assert BenchOptions(bundles=(bundle.path,), probes=()).probing.probes == ()
    assert BenchOptions(bundles=(bundle.path,)).probing.probes == ("ablations", "films")


def test_an_unknown_probe_is_one_message_and_exit_code_2() -> None:
    error = CliRunner().invoke(app, ["bench", "--probes", "eyes"]).exception
    assert isinstance(error, ConfigurationError)
    assert "there is no probe eyes" in str(error)
    assert error.exit_code == 2


def test_a_note_that_is_true_of_several_bundles_is_told_once() -> None:
    same, other = (
        Probes(seed=0, films=FilmProbe(note="may decode the film", reason=reason))
        for reason in ("each film was trained on too", "another reason")
    )
    told = film_notes([("one", same), ("two", None), ("three", same), ("four", other)])
    assert told == [
        "bundles one, three may decode the film: each film was trained on too",
        "bundle four may decode the film: another reason",
    ]
