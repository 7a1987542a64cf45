from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from bench_bundles import SALT, write_bundle

from emer_edge.bench import BenchOptions, BenchReport, run_bench, tables_of, write_report
from emer_edge.bench.latency.candidate import PARTS
from emer_edge.bundle import Bundle, Manifest
from emer_edge.bundle.manifest import DataRecord
from emer_edge.data.dataset import EmerDataset
from emer_edge.errors import ConfigurationError, DataError, OutputExistsError

NO_TIMES = {"repeats": 1, "warmup": 0, "rests": 0, "starts": 0, "streams": (), "min_seconds": 0.0, "min_queries": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench") / "out"


@pytest.fixture(scope="module")
def report(bundle: Bundle, data: Path, folder: Path) -> BenchReport:
    options = BenchOptions(
        bundles=(bundle.path,),
        data=data,
        output=folder,
        repeats=12,
        warmup=2,
        rests=0,
        starts=0,
        streams=(1, 2),
        min_seconds=0.0,
        min_queries=3,
        stream_s=3.3,
        resamples=20,
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
    [
        (b"{", "not a report"),
        (b'{"schema": "emer-edge/bench/9"}', "bench/9"),
        (b"[]", "Expected `object`"),
    ],
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
    options = BenchOptions(bundles=tuple(paths), data=data, folds=(1, 2), **NO_TIMES, stream_s=0, resamples=2, draws=1)
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
        ({"repeats": 0}, "at least 1"),
    ],
    ids=["no bundle", "folds", "folds without data", "repeats"],
)
def test_options_that_make_no_sense_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        BenchOptions(**{"bundles": (Path("a.emer"),), **changes})  # type: ignore[arg-type]
