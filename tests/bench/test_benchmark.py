from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from bench_bundles import SALT, UNTIMED, write_bundle
from typer.testing import CliRunner

from benchmarks.json_schemas import bench_schema
from emer_edge.bench.accuracy.clip_scores import EncodedWindows, encode_clip
from emer_edge.bench.bench_options import (
    DEFAULT_PROBES,
    PROBES,
    BenchOptions,
    LatencyOptions,
    ProbeOptions,
    ScoringOptions,
    probes_named,
)
from emer_edge.bench.benchmark import film_notes, joined_probes, probe_bundle, run_bench, write_report
from emer_edge.bench.latency.timed_bundle import PARTS
from emer_edge.bench.pages import tables_of
from emer_edge.bench.records.probe_records import FilmProbe, Probes
from emer_edge.bench.records.report_records import SCHEMA, BenchReport
from emer_edge.bundle import Bundle, Manifest
from emer_edge.bundle.manifest import DataRecord
from emer_edge.cli.app import app
from emer_edge.core.errors import ConfigurationError, DataError, OutputExistsError
from emer_edge.data.dataset import EmerDataset
from emer_edge.runtime.session import Session
from emer_edge.runtime.spreading import Spread


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
    (written,) = report.bundles
    assert tuple(written.latency) == PARTS
    for item in written.latency.values():
        assert (item.count, item.warmup) == (12, 2)
        assert 0 < item.min_ms <= item.p50_ms <= item.p90_ms <= item.p99_ms <= item.max_ms
    assert written.latency["whole window"].p50_ms > written.latency["live step"].p50_ms
    assert written.loading.rss_mb is not None
    assert written.loading.rss_mb > 20
    assert min(written.loading.start_ms, written.loading.verify_ms, written.loading.open_ms) > 0


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
    (written,) = report.bundles[0].live_streams
    late = sum(count for place, count in written.dropped.items() if "late steps" in place)
    assert written.streams == 2
    assert 22 - late <= written.results <= 22
    assert written.states.get("ok", 0) >= 2 or late
    assert written.stages["total"].count >= 11  # one step for both
    assert written.samples > 500


def test_only_what_the_engine_ran_is_named(report: BenchReport) -> None:
    parts = "face_encoder", "fusion", "face_detector", "face_detector_near"
    assert report.bundles[0].precision == dict.fromkeys(parts, "fp32")
    assert report.bundles[0].engine == "onnxruntime"
    assert report.environment.cores >= 1
    assert report.environment.versions["emer-edge"]


def test_the_written_report_is_valid_and_is_the_report(report: BenchReport, folder: Path) -> None:
    text = (folder / "report.json").read_bytes()
    assert BenchReport.from_json(text) == report
    assert json.loads(text)["schema"] == "emer-edge/bench/2"
    names = {path.name for path in (folder / "tables").iterdir()}
    assert {"speed.csv", "live.tex", "classes.csv", "values.tex", "published_batch.csv"} <= names


def test_every_field_is_documented() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "bench-report.md").read_text()
    (schemas, definitions) = msgspec.json.schema_components([BenchReport])
    assert schemas
    missing = [
        f"{name}.{field}"
        for name, definition in definitions.items()
        for field in definition.get("properties", {})
        if f"`{field}`" not in page
    ]
    assert missing == []


def test_the_page_names_the_bundle_and_warns_of_demo_weights(report: BenchReport, folder: Path) -> None:
    page = (folder / "report.html").read_text()
    assert "random" in page
    assert "Demo weights, trained on synthetic clips." in page
    assert page.count("<script") == 1  # which sorts tables


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


@pytest.mark.slow
def test_bundles_of_several_folds_are_averaged(
    tmp_path: Path, parts: dict[str, bytes], manifest: Manifest, dataset: EmerDataset, data: Path
) -> None:
    record = DataRecord(fingerprint="", salt=SALT, fold=0, training_hashes=(), selection_hashes=())
    paths = [write_bundle(tmp_path / f"{at}.emer", parts, manifest, name=str(at), data=record).path for at in (1, 2)]
    scoring = ScoringOptions(resamples=2, draws=1)
    options = BenchOptions(bundles=tuple(paths), data=data, folds=(1, 2), latency=UNTIMED, scoring=scoring)
    report = run_bench(options)
    values = [bundle.accuracy.heads["er-7"].metrics["war"].value for bundle in report.bundles if bundle.accuracy]
    (written,) = report.sets
    assert (written.name, written.folds, written.bundles) == ("fp32", (1, 2), ("1", "2"))
    spread = written.spread["er-7/newest/war"]
    assert list(spread.values) == values
    assert spread.mean == pytest.approx(sum(values) / 2)
    assert spread.sd == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert written.pooled["er-7"].clips == sum(bundle.accuracy.clips for bundle in report.bundles if bundle.accuracy)
    assert report.pairs == ()
    assert "folds" in tables_of(report)
    assert all(bundle.streaming is None for bundle in report.bundles)


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


def test_every_reference_of_the_schema_leads_somewhere() -> None:
    schema = bench_schema()
    used = {part.split('"')[0] for part in json.dumps(schema).split('"#/$defs/')[1:]}
    assert schema["title"] == SCHEMA
    assert used == set(schema["$defs"])


def test_unknown_fields_are_refused_as_the_decoder_does() -> None:
    objects = [item for item in bench_schema()["$defs"].values() if item.get("type") == "object"]
    assert len(objects) > 20
    assert [item["title"] for item in objects if item.get("additionalProperties") is not False] == ["ReliabilityBin"]


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
    ("words", "message"), [(["film"], "there is no probe film; there are ablations"), (["none,films"], "not both")]
)
def test_probes_that_do_not_exist_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        probes_named(words)


def test_robustness_needs_a_clip() -> None:
    with pytest.raises(ConfigurationError, match="at least 1 clip"):
        ProbeOptions(clips=0)


def test_a_bundle_is_probed_on_its_fold(bundle: Bundle, dataset: EmerDataset) -> None:
    reported = []
    with Session(bundle) as session:
        windows = EncodedWindows.of(encode_clip(session, item) for item in dataset.fold(1))
        options = ScoringOptions(resamples=50)
        result = joined_probes(
            [
                probe_bundle(
                    Spread(session),
                    windows,
                    dataset.clips,
                    probe,
                    count=60,
                    options=options,
                    progress=lambda *item: reported.append(item),
                )
                for probe in DEFAULT_PROBES
            ]
        )
    assert joined_probes([]) is None
    assert result is not None
    assert result.films is not None
    assert msgspec.json.decode(msgspec.json.encode(result), type=Probes) == result
    assert result.curves == ()
    assert all(set(ablation.heads) == set(bundle.manifest.head_names) for ablation in result.ablations)
    assert sum(item.clips for item in result.films.by_film) == 3
    assert result.films.decoding is None
    assert {what for what, _, _ in reported} == {"ablations", "looking up training clips"}


def test_bench_asks_for_ablations_and_films_unless_told_otherwise(bundle: Bundle, dataset: EmerDataset) -> None:
    measured = run_bench(
        BenchOptions(
            bundles=(bundle.path,), data=dataset, latency=UNTIMED, scoring=ScoringOptions(resamples=2, draws=1)
        )
    )
    result = measured.bundles[0].probes
    assert result is not None
    assert result.films is not None
    assert len(result.ablations) == 9 - 3  # one person sees each film once: nobody to exchange with inside a film
    assert result.curves == ()
    assert measured.options["probes"] == "ablations, films"
    assert f"bundle random may decode the film: {result.films.reason}" in measured.notes


def test_probes_need_clips_and_only_when_asked_for(bundle: Bundle) -> None:
    with pytest.raises(ConfigurationError, match="--data"):
        BenchOptions(bundles=(bundle.path,), probing=ProbeOptions(probes=("films",)))
    assert ProbeOptions(probes=()).requested == ()
    assert BenchOptions(bundles=(bundle.path,)).probing.requested == ("ablations", "films")


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
    reported = film_notes([("one", same), ("two", None), ("three", same), ("four", other)])
    assert reported == [
        "bundles one, three may decode the film: each film was trained on too",
        "bundle four may decode the film: another reason",
    ]
