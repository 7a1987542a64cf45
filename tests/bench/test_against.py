from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from emer_edge.bench.against import compare, moved_table, read_report, verdict_of
from emer_edge.bench.latency.closed_loop import judge
from emer_edge.bench.records import Estimated
from emer_edge.bench.records.accuracy_records import Accuracy, HeadAccuracy
from emer_edge.bench.records.latency_records import (
    Energy,
    Environment,
    FirstResult,
    Latency,
    Loading,
    SeveralStreams,
    SingleStream,
)
from emer_edge.bench.records.report_records import BenchReport, BundleBench, Moved
from emer_edge.core.errors import DataError

HERE = Path("old.json")


def latency(p50_ms: float, count: int = 700) -> Latency:
    return Latency.of_durations((p50_ms * 1e6 * np.linspace(0.9, 1.1, count)).astype(int).tolist())


def closed(p50_ms: float, millijoules: float | None = None) -> SingleStream:
    return SingleStream(
        queries=700, seconds=10.0, turns=1, min_seconds=10.0, min_queries=64, latency=latency(p50_ms),
        p90_claimed_ms=p50_ms, p99_claimed_ms=p50_ms, discarded=50, queries_per_s=70.0, valid=True, mlperf=False,
        reason="", stability=judge([1, 1]), energy=Energy(millijoules=millijoules),
    )  # fmt: skip


def accuracy(war: float, mae: float = 0.5, **changes: Any) -> Accuracy:
    heads = {
        "er-7": HeadAccuracy(
            protocol="ER-7", clips=200, metrics={"war": Estimated(value=war), "ece": Estimated(value=0.1)},
            published_batch={},
        ),
        "er-valence": HeadAccuracy(
            protocol="ER-VA", clips=200, metrics={"mae": Estimated(value=mae)}, published_batch={}
        ),
    }  # fmt: skip
    record = Accuracy(
        fold=1, fingerprint="f", events="causal", clips=200, participants=20, uncovered=0, excluded=(), heads=heads,
        clips_per_s=1.0,
    )  # fmt: skip
    return msgspec.structs.replace(record, **changes)


def bundle(step_ms: float = 5.0, **changes: Any) -> BundleBench:
    record = BundleBench(
        name="int8", path="int8.emer", size_bytes=40_000_000, precision={}, engine="onnxruntime",
        device="CPU, 1 thread", threads=1, demo=False,
        loading=Loading(start_ms=1.0, verify_ms=1.0, open_ms=1.0, first_step_ms=1.0, rss_mb=None),
        latency={"live step": latency(step_ms)}, streaming=None, accuracy=None,
    )  # fmt: skip
    return msgspec.structs.replace(record, **changes)


def report(*bundles: BundleBench, **changes: Any) -> BenchReport:
    machine = Environment(
        machine="x86_64", cpu="A CPU", cores=4, governor=None, memory_mb=None, load_average=0.1,
        temperature_before_c=None, temperature_after_c=None, versions={},
    )  # fmt: skip
    environment = msgspec.structs.replace(machine, **changes)
    return BenchReport(created="2026-01-01T00:00:00+00:00", options={}, environment=environment, bundles=bundles)


def verdicts(new: BenchReport, old: BenchReport, limit: float = 0.1) -> dict[str, Moved]:
    return {figure.figure: figure for figure in compare(new, old, HERE, limit).figures}


def test_equal_reports_are_equal() -> None:
    one = report(bundle(accuracy=accuracy(0.6), single_stream={"live step": closed(5.0, 20.0)}))
    comparison = compare(one, one, HERE)
    assert {figure.verdict for figure in comparison.figures} == {"same"}
    assert (comparison.worse, comparison.incomparable) == ((), ())
    assert moved_table(comparison).rows == ()
    assert verdict_of(comparison)[-1].endswith("0 got worse by more than 10%, 0 got better")


def test_slower_by_more_than_the_limit_is_worse() -> None:
    verdicts_by_name = verdicts(report(bundle(5.6)), report(bundle(5.0)))
    for percentile in ("p50_ms", "p90_ms", "p99_ms"):
        moved = verdicts_by_name[f"latency/live step/{percentile}"]
        assert moved.verdict == "worse"
        assert moved.change == pytest.approx(0.12)
    assert verdicts(report(bundle(5.6)), report(bundle(5.0)), 0.15)["latency/live step/p50_ms"].verdict == "same"
    assert verdicts(report(bundle(5.4)), report(bundle(5.0)))["latency/live step/p50_ms"].verdict == "same"


def test_faster_is_better() -> None:
    assert verdicts(report(bundle(4.0)), report(bundle(5.0)))["latency/live step/p50_ms"].verdict == "better"


def test_tails_of_few_durations_are_shown_but_not_judged() -> None:
    few = bundle(latency={"live step": latency(9.0, count=100)})
    verdicts_by_name = verdicts(report(few), report(bundle(5.0)))
    assert verdicts_by_name["latency/live step/p50_ms"].verdict == "worse"
    assert verdicts_by_name["latency/live step/p90_ms"].verdict == "worse"  # 100 queries claim a p90
    assert verdicts_by_name["latency/live step/p99_ms"].verdict == "unjudged"


@pytest.mark.parametrize(
    ("changes", "figure"),
    [
        ({"single_stream": {"live step": closed(9.0)}}, "closed loop/live step/p90_ms"),
        ({"single_stream": {"live step": closed(5.0, 30.0)}}, "energy/live step/millijoules"),
        ({"first_result": FirstResult(cold_ms=(900.0,) * 3, warm_ms=(500.0,) * 3)}, "first result/cold_ms"),
        (
            {
                "several_streams": (
                    SeveralStreams(
                        streams=4, latency=latency(40.0), per_stream_ms=10.0, against_one=1.0, most_streams=50
                    ),
                )
            },
            "4 streams/per_stream_ms",
        ),
        ({"size_bytes": 50_000_000}, "size_bytes"),
    ],
    ids=["closed loop", "energy", "first result", "streams", "size"],
)
def test_every_kind_of_figure_is_compared(changes: dict[str, Any], figure: str) -> None:
    before = bundle(
        single_stream={"live step": closed(5.0, 20.0)},
        first_result=FirstResult(cold_ms=(800.0,) * 3, warm_ms=(500.0,) * 3),
        several_streams=(
            SeveralStreams(streams=4, latency=latency(20.0), per_stream_ms=5.0, against_one=1.0, most_streams=100),
        ),
    )
    comparison = compare(report(msgspec.structs.replace(before, **changes)), report(before), HERE)
    assert figure in {item.figure for item in comparison.worse}


def test_accuracy_knows_its_direction() -> None:
    before = report(bundle(accuracy=accuracy(0.60, 0.50)))
    worse = verdicts(report(bundle(accuracy=accuracy(0.53, 0.56))), before)
    assert worse["accuracy/fold 1/er-7/war"].verdict == "worse"
    assert worse["accuracy/fold 1/er-valence/mae"].verdict == "worse"
    better = verdicts(report(bundle(accuracy=accuracy(0.67, 0.44))), before)
    assert better["accuracy/fold 1/er-7/war"].verdict == "better"
    assert better["accuracy/fold 1/er-valence/mae"].verdict == "better"


def test_calibration_error_is_shown_but_not_judged() -> None:
    heads = accuracy(0.6).heads
    metrics = {"war": Estimated(value=0.6), "ece": Estimated(value=0.3)}
    now = accuracy(0.6, heads=heads | {"er-7": msgspec.structs.replace(heads["er-7"], metrics=metrics)})
    verdicts_by_name = verdicts(report(bundle(accuracy=now)), report(bundle(accuracy=accuracy(0.6))))
    assert verdicts_by_name["accuracy/fold 1/er-7/ece"].verdict == "unjudged"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cpu": "Another CPU"}, "another machine: cpu A CPU then, Another CPU now"),
        ({"cores": 8}, "another machine: cores 4 then, 8 now"),
        ({"power_mode": "1 15W"}, "another machine: power mode None then, 1 15W now"),
    ],
    ids=["cpu", "cores", "power mode"],
)
def test_times_of_another_machine_are_not_compared_but_accuracy_is(changes: dict[str, Any], said: str) -> None:
    old = report(bundle(1.0, accuracy=accuracy(0.6)))
    comparison = compare(report(bundle(50.0, accuracy=accuracy(0.3)), **changes), old, HERE)
    (reason,) = comparison.incomparable
    assert reason.startswith(said)
    assert {item.figure for item in comparison.worse} == {"accuracy/fold 1/er-7/war"}
    assert not any(figure.figure.startswith("latency") for figure in comparison.figures)


@pytest.mark.parametrize(
    ("now", "then", "said"),
    [
        ({"name": "fp32"}, {}, "fp32 in onnxruntime is not in the older report"),
        ({"engine": "tensorrt"}, {}, "int8 in tensorrt is not in the older report"),
        ({"threads": 2}, {}, "threads 1 then, 2 now"),
        ({"device": "another GPU"}, {}, "device CPU, 1 thread then, another GPU now"),
        ({"accuracy": accuracy(0.1)}, {}, "scored on clips in one of the two reports alone"),
        ({"accuracy": accuracy(0.1)}, {"accuracy": accuracy(0.9, fingerprint="g")}, "scored on other data"),
        ({"accuracy": accuracy(0.1)}, {"accuracy": accuracy(0.9, fold=2)}, "scored on fold 2 then, 1 now"),
        ({"accuracy": accuracy(0.1)}, {"accuracy": accuracy(0.9, split_hash="s")}, "fold 1 holds other clips"),
    ],
    ids=["name", "engine", "threads", "device", "one scored", "data", "fold", "clips"],
)
def test_what_differs_is_not_compared_but_said(now: dict[str, Any], then: dict[str, Any], said: str) -> None:
    comparison = compare(report(bundle(**now)), report(bundle(**then)), HERE)
    assert any(said in item for item in comparison.incomparable)
    assert comparison.worse == ()
    assert any(said in line for line in verdict_of(comparison))


FULL = bundle(
    accuracy=accuracy(0.6),
    latency={"live step": latency(5.0), "fusion": latency(2.0)},
    single_stream={"live step": closed(5.0, 20.0)},
)


def without_a_head() -> Accuracy:
    return accuracy(0.6, heads={"er-7": accuracy(0.6).heads["er-7"]})


def with_war(value: float | None) -> Accuracy:
    heads = accuracy(0.6).heads
    metrics = {"ece": Estimated(value=0.1)} | ({} if value is None else {"war": Estimated(value=value)})
    return accuracy(0.6, heads=heads | {"er-7": msgspec.structs.replace(heads["er-7"], metrics=metrics)})


@pytest.mark.case(
    "--against an older report with a bundle, head, part or metric that the new one lacks",
    source="https://github.com/rjmurillo/moq.analyzers/issues/1266",
    before="0 compared, 0 got worse, exit 0",
)
@pytest.mark.parametrize(
    ("new", "missing"),
    [
        (report(), "int8 in onnxruntime"),
        (report(msgspec.structs.replace(FULL, engine="tensorrt")), "int8 in onnxruntime"),
        (report(msgspec.structs.replace(FULL, accuracy=None)), "int8: accuracy/fold 1/er-valence"),
        (report(msgspec.structs.replace(FULL, accuracy=without_a_head())), "int8: accuracy/fold 1/er-valence"),
        (report(msgspec.structs.replace(FULL, accuracy=with_war(None))), "int8: accuracy/fold 1/er-7/war"),
        (report(msgspec.structs.replace(FULL, accuracy=with_war(float("nan")))), "int8: accuracy/fold 1/er-7/war"),
        (report(msgspec.structs.replace(FULL, latency={"live step": latency(5.0)})), "int8: latency/fusion"),
        (
            report(msgspec.structs.replace(FULL, single_stream={"live step": closed(5.0)})),
            "int8: energy/live step",
        ),
    ],
    ids=["bundle", "engine", "accuracy", "head", "metric", "NaN", "part", "energy"],
)
def test_what_is_missing_is_named_and_is_no_pass(new: BenchReport, missing: str) -> None:
    comparison = compare(new, report(FULL), HERE)
    assert missing in comparison.missing
    assert not comparison.passed
    assert f"missing now: {missing}" in verdict_of(comparison)
    assert compare(report(FULL), new, HERE).missing == () or "tensorrt" in str(compare(report(FULL), new, HERE).missing)


def test_equal_reports_pass_and_nothing_compared_does_not() -> None:
    assert compare(report(FULL), report(FULL), HERE).passed
    alone = compare(report(bundle()), report(bundle(), cpu="Another CPU"), HERE)
    assert (alone.figures, alone.missing, alone.passed) == ((), (), False)


def test_a_change_of_exactly_the_limit_passes_and_one_just_beyond_it_shows() -> None:
    before = report(bundle(accuracy=accuracy(0.6, mae=1.0)))
    assert compare(report(bundle(accuracy=accuracy(0.6, mae=1.1))), before, HERE).worse == ()  # 1.1 - 1 > 0.1, just
    beyond = compare(report(bundle(accuracy=accuracy(0.6, mae=1.10004))), before, HERE)
    assert [row[-2] for row in moved_table(beyond).rows] == ["+10.004%"]


def test_bundles_of_one_name_are_paired_in_order() -> None:
    old = report(bundle(5.0), bundle(50.0))
    assert compare(report(bundle(5.0), bundle(50.0)), old, HERE).worse == ()
    assert len(compare(report(bundle(5.0), bundle(5.0), bundle(5.0)), old, HERE).incomparable) == 1


def test_the_worst_stands_first_in_the_table() -> None:
    new = bundle(6.0, accuracy=accuracy(0.3), size_bytes=10_000_000)
    table = moved_table(compare(report(new), report(bundle(5.0, accuracy=accuracy(0.6))), HERE))
    assert next(row[1] for row in table.rows) == "accuracy/fold 1/er-7/war"
    assert [row[-1] for row in table.rows] == ["worse"] * 4 + ["better"]


def test_a_report_or_its_folder_is_read(tmp_path: Path) -> None:
    written = report(bundle())
    (tmp_path / "report.json").write_bytes(written.to_json())
    assert read_report(tmp_path) == read_report(tmp_path / "report.json") == written


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "can't be read"), (b"{", "is not a report"), (b'{"schema": "emer-edge/bench/0"}', "bench/0")],
    ids=["missing", "no JSON", "another schema"],
)
def test_what_is_no_report_is_one_clear_error(tmp_path: Path, text: bytes | None, said: str) -> None:
    path = tmp_path / "old.json"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(DataError, match=said):
        read_report(path)
