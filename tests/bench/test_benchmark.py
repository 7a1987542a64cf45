from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from bench_bundles import SALT, UNTIMED, write_bundle
from typer.testing import CliRunner

from emer_edge.bench.accuracy.clip_scores import EncodedWindows, encode_clip
from emer_edge.bench.benchmark import film_notes, joined_probes, probe_bundle, run_bench, write_report
from emer_edge.bench.executors import Spread
from emer_edge.bench.latency.timed_bundle import PARTS
from emer_edge.bench.options import (
    DEFAULT_PROBES,
    PROBES,
    BenchOptions,
    LatencyOptions,
    ProbeOptions,
    ScoringOptions,
    probes_named,
)
from emer_edge.bench.pages import tables_of
from emer_edge.bench.records.probe_records import FilmProbe, Probes
from emer_edge.bench.records.report_records import SCHEMA, BenchReport, json_schema, schema_text
from emer_edge.bundle import Bundle, Manifest
from emer_edge.bundle.manifest import DataRecord
from emer_edge.cli.app import app
from emer_edge.core.errors import ConfigurationError, DataError, OutputExistsError
from emer_edge.data.dataset import EmerDataset
from emer_edge.runtime.session import Session


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench") / "out"


@pytest.fixture(scope="module")
def report(bundle: Bundle, data: Path, folder: Path) -> BenchReport:
    options = BenchOptions(
        bundles=(bundle.path,),
        data=data,
        output=folder,
        latency=LatencyOptions(
            repeats=12, warmup=2, rests=0, starts=0, streams=(1, 2), min_seconds=0.0, min_queries=3, stream_s=3.3
        ),
        scoring=ScoringOptions(resamples=20),
    )
    return run_bench(options)


def test_every_part_is_timed_with_its_count(report: BenchReport) -> None:
    (found,) = report.bundles
    assert tuple(found.latency) == PARTS
    for each in found.latency.values():
        assert (each.count, each.warmup) == (12, 2)
        assert 0 < each.min_ms <= each.p50_ms <= each.p90_ms <= each.p99_ms <= each.max_ms
    assert found.latency["whole window"].p50_ms > found.latency["live step"].p50_ms
    assert found.loading.rss_mb is not None
    assert found.loading.rss_mb > 20
    assert min(found.loading.start_ms, found.loading.verify_ms, found.loading.open_ms) > 0


def test_the_live_run_gives_results(report: BenchReport) -> None:
    streaming = report.bundles[0].streaming
    assert streaming is not None
    late = streaming.dropped.get("late steps", 0)  # a busy machine skips some
    assert 11 - late <= streaming.results == sum(streaming.states.values()) <= 11
    assert streaming.states.get("ok", 0) >= 1 or late
    assert streaming.stages["total"].count == streaming.results
    assert sum(count for _, count in streaming.stages["total"].bins) == streaming.results
    assert streaming.frames > 60
    assert streaming.samples > 250


def test_two_people_at_once_are_run_too(report: BenchReport) -> None:
    (found,) = report.bundles[0].live_streams
    late = sum(count for place, count in found.dropped.items() if "late steps" in place)
    assert found.streams == 2
    assert 22 - late <= found.results <= 22
    assert found.states.get("ok", 0) >= 2 or late
    assert found.stages["total"].count >= 11  # one step for both
    assert found.samples > 500


def test_only_what_the_engine_ran_is_named(report: BenchReport) -> None:
    assert report.bundles[0].precision == {"face_encoder": "fp32"}
    assert report.bundles[0].engine == "onnxruntime"
    assert report.environment.cores >= 1
    assert report.environment.versions["emer-edge"]


def test_the_written_report_is_valid_and_is_the_report(report: BenchReport, folder: Path) -> None:
    text = (folder / "report.json").read_bytes()
    assert BenchReport.from_json(text) == report
    assert json.loads(text)["schema"] == "emer-edge/bench/2"
    names = {each.name for each in (folder / "tables").iterdir()}
    assert {"speed.csv", "live.tex", "classes.csv", "values.tex", "published_batch.csv"} <= names


def test_every_field_is_documented() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "bench-report.md").read_text()
    (schemas, definitions) = msgspec.json.schema_components([BenchReport])
    assert schemas
    missing = [
        f"{name}.{field}"
        for name, each in definitions.items()
        for field in each.get("properties", {})
        if f"`{field}`" not in page
    ]
    assert missing == []


def test_the_page_names_the_bundle_and_warns_of_demo_weights(report: BenchReport, folder: Path) -> None:
    page = (folder / "report.html").read_text()
    assert "random" in page
    assert "Demo weights, trained on synthetic clips." in page
    assert "<script" not in page


def test_a_report_is_not_overwritten_unasked(report: BenchReport, bundle: Bundle, folder: Path) -> None:
    with pytest.raises(OutputExistsError, match="--force"):
        run_bench(BenchOptions(bundles=(bundle.path,), output=folder))
    assert write_report(report, folder, force=True)[0] == folder / "report.json"


@pytest.mark.parametrize(
    ("text", "message"),
    [(b"{", "not a report"), (b'{"schema": "emer-edge/bench/9"}', "bench/9"), (b"[]", "Expected `object`")],
    ids=["no JSON", "newer", "another type"],
)
def test_what_is_no_report_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        BenchReport.from_json(text)


def test_bundles_of_several_folds_are_averaged(
    tmp_path: Path, parts: dict[str, bytes], manifest: Manifest, dataset: EmerDataset, data: Path
) -> None:
    record = DataRecord(fingerprint="", salt=SALT, fold=0, training_hashes=(), selection_hashes=())
    paths = [write_bundle(tmp_path / f"{at}.emer", parts, manifest, name=str(at), data=record).path for at in (1, 2)]
    scoring = ScoringOptions(resamples=2, draws=1)
    options = BenchOptions(bundles=tuple(paths), data=data, folds=(1, 2), latency=UNTIMED, scoring=scoring)
    report = run_bench(options)
    values = [each.accuracy.heads["er-7"].metrics["war"].value for each in report.bundles if each.accuracy]
    (found,) = report.sets
    assert (found.name, found.folds, found.bundles) == ("fp32", (1, 2), ("1", "2"))
    spread = found.spread["er-7/newest/war"]
    assert list(spread.values) == values
    assert spread.mean == pytest.approx(sum(values) / 2)
    assert spread.sd == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert found.pooled["er-7"].clips == sum(each.accuracy.clips for each in report.bundles if each.accuracy)
    assert report.pairs == ()
    assert "folds" in tables_of(report)
    assert all(each.streaming is None for each in report.bundles)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bundles": ()}, "at least one bundle"),
        ({"folds": (1, 2)}, "2 folds for 1 bundles"),
        ({"folds": (1,)}, "--data"),
        ({"max_regression": 0.0}, "above 0"),
    ],
    ids=["no bundle", "folds", "folds without data", "regression"],
)
def test_options_that_make_no_sense_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        BenchOptions(**{"bundles": (Path("a.emer"),), **changes})  # type: ignore[arg-type]


COMMITTED = Path(__file__).parents[2] / "docs" / "bench-report.schema.json"


def test_the_committed_schema_is_that_of_the_records() -> None:
    assert COMMITTED.read_text() == schema_text(), (
        "the records have changed: python -m emer_edge.bench.records.report_records docs/bench-report.schema.json"
    )


def test_every_reference_of_the_schema_leads_somewhere() -> None:
    schema = json_schema()
    used = {part.split('"')[0] for part in json.dumps(schema).split('"#/$defs/')[1:]}
    assert schema["title"] == SCHEMA
    assert used == set(schema["$defs"])


def test_unknown_fields_are_refused_as_the_decoder_does() -> None:
    objects = [each for each in json_schema()["$defs"].values() if each.get("type") == "object"]
    assert len(objects) > 20
    assert [each["title"] for each in objects if each.get("additionalProperties") is not False] == ["ReliabilityBin"]


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
        windows = EncodedWindows.of(encode_clip(session, each) for each in dataset.fold(1))
        options = ScoringOptions(resamples=50)
        found = joined_probes(
            [
                probe_bundle(
                    Spread(session),
                    windows,
                    dataset.clips,
                    probe,
                    count=60,
                    options=options,
                    progress=lambda *each: told.append(each),
                )
                for probe in DEFAULT_PROBES
            ]
        )
    assert joined_probes([]) is None
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
        BenchOptions(
            bundles=(bundle.path,), data=dataset, latency=UNTIMED, scoring=ScoringOptions(resamples=2, draws=1)
        )
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
        BenchOptions(bundles=(bundle.path,), probing=ProbeOptions(probes=("films",)))
    assert ProbeOptions(probes=()).asked == ()
    assert BenchOptions(bundles=(bundle.path,)).probing.asked == ("ablations", "films")


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
