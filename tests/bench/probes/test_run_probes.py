from __future__ import annotations

import msgspec
import pytest

from emer_edge.bench.accuracy.encoded import EncodedWindows, encode_clips
from emer_edge.bench.probes.run import PROBES, ProbeOptions, probe_bundle, probes_named
from emer_edge.bench.records import Probes
from emer_edge.bundle import Bundle
from emer_edge.data.dataset import EmerDataset
from emer_edge.errors import ConfigurationError


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
    with bundle.open() as session:
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
