from __future__ import annotations

import re
import socket
import urllib.request
from http.client import HTTPConnection
from pathlib import Path

import pytest
from recording_inputs import Kept

from emer_edge.bundle import Bundle
from emer_edge.core.errors import ConfigurationError
from emer_edge.core.results import Result, State
from emer_edge.runtime.options import MachineOptions
from emer_edge.runtime.outputs import Host
from emer_edge.runtime.outputs.prometheus import EDGES_S, METRICS_TOKEN, Metrics, parse_address
from emer_edge.runtime.pipeline import Pipeline, Summary
from emer_edge.runtime.play import play


def scrape(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        text = answer.read().decode()
    lines = (each.rsplit(" ", 1) for each in text.splitlines() if not each.startswith("#"))
    return {name: float(value) for name, value in lines}


class Scraping(Kept):
    """Scrapes at the last result, while the run goes on."""

    def __init__(self, url: str, at: int) -> None:
        super().__init__()
        self._url, self._at = url, at
        self.scraped: dict[str, float] = {}

    def result(self, result: Result) -> bool:
        super().result(result)
        if len(self.results) == self._at:
            self.scraped = scrape(self._url)
        return True


class Losing(Kept):
    name = "some output"

    def losses(self) -> dict[str, int]:
        return {"results": 3}


@pytest.fixture(scope="module")
def scraped(bundle: Bundle, video: Path, tracker: Path) -> tuple[dict[str, float], Summary, list[Result]]:
    pipeline = Pipeline(bundle, str(video), str(tracker), machine=MachineOptions(pace="fast"), offset_ms=0.0)
    metrics = Metrics(("127.0.0.1", 0), Host(pipeline, outputs=[Losing()]))
    assert metrics.url.startswith("http://127.0.0.1:")
    kept = Scraping(metrics.url, 20)
    summary = play(pipeline, [metrics, kept])
    with pytest.raises(OSError, match="refused"):
        scrape(metrics.url)
    return kept.scraped, summary, kept.results


def test_engine_and_precision_of_every_part_are_named(scraped: tuple[dict[str, float], Summary, list[Result]]) -> None:
    seen, summary, results = scraped
    parts = ("face_encoder", "fusion", "face_detector")
    for part in parts:
        labels = f'engine="onnxruntime",file="cpu/{part}",part="{part}",precision="fp32"'
        assert seen[f"emer_edge_engine_info{{{labels}}}"] == 1
        assert summary.engines[part] == "fp32 on onnxruntime"
        assert summary.to_dict()["engines"][part] == "fp32 on onnxruntime"
        assert {result.engines[part] for result in results} == {"onnxruntime"}


def test_the_histograms_hold_every_step_whole(scraped: tuple[dict[str, float], Summary, list[Result]]) -> None:
    seen, summary, results = scraped
    for stage, latency in summary.stages.items():
        name = f'emer_edge_stage_seconds_%s{{stage="{stage}"}}'
        assert seen[name % "count"] == latency.count
        bucket = f'emer_edge_stage_seconds_bucket{{le="%s",stage="{stage}"}}'
        buckets = [seen[bucket % edge] for edge in (*EDGES_S, "+Inf")]
        assert buckets == sorted(buckets)
        assert buckets[-1] == latency.count
        slowest_s = latency.max_ms * 1e-3
        assert all(count == latency.count for edge, count in zip(EDGES_S, buckets) if edge > 1.02 * slowest_s)  # noqa: B905
        assert seen[name % "sum"] <= latency.count * slowest_s * 1.02
        assert seen[f'emer_edge_stage_max_seconds{{stage="{stage}"}}'] == pytest.approx(slowest_s)
    ages = [each.face_age_ms for each in results if each.face_age_ms is not None]
    assert seen['emer_edge_evidence_age_seconds_count{source="face"}'] == len(ages)
    assert seen['emer_edge_evidence_age_seconds_sum{source="face"}'] == pytest.approx(sum(ages) * 1e-3)
    assert seen['emer_edge_evidence_age_max_seconds{source="face"}'] == pytest.approx(max(ages) * 1e-3)


def test_counters_and_gauges(scraped: tuple[dict[str, float], Summary, list[Result]]) -> None:
    seen, summary, _ = scraped
    states = {each.value: seen[f'emer_edge_results_total{{state="{each.value}"}}'] for each in State}
    assert {name: count for name, count in states.items() if count} == summary.states
    assert seen["emer_edge_frames_total"] == 180
    assert seen["emer_edge_samples_total"] == summary.samples
    assert seen['emer_edge_covered_slots{source="face"}'] == 8
    assert seen['emer_edge_covered_slots{source="sample"}'] == 32
    assert seen["emer_edge_filling_seconds"] == 0
    assert 50e6 < seen["emer_edge_resident_bytes"] < 4e9
    assert seen['emer_edge_output_lost_total{output="some output",what="results"}'] == 3
    assert any(name.startswith("emer_edge_info{bundle=") for name in seen)


def test_no_emotion_is_told(scraped: tuple[dict[str, float], Summary, list[Result]], bundle: Bundle) -> None:
    text = " ".join(scraped[0])
    assert not any(
        re.search(rf"\b{name}\b", text) for head in bundle.manifest.heads for name in (head.name, *head.classes)
    )
    assert "gap" not in text
    assert "_created" not in text  # a series beside each counter, that nobody asks for


def test_drops_are_told_as_the_run_counts_them(bundle: Bundle, video: Path, tracker: Path) -> None:
    pipeline = Pipeline(bundle, str(video), str(tracker), machine=MachineOptions(pace="fast"), offset_ms=0.0)
    metrics = Metrics(("127.0.0.1", 0), Host(pipeline))
    try:
        with pipeline:
            next(pipeline)
            core = pipeline.streams[None].core
            assert core is not None
            core.dropped |= {"camera": 5, "results": 1}
            seen = scrape(metrics.url)
    finally:
        metrics.end(None)
    assert seen['emer_edge_dropped_total{place="camera"}'] == 5
    assert seen['emer_edge_dropped_total{place="results"}'] == 1


@pytest.mark.case("a website that rebinds its name to 127.0.0.1 and reads /metrics", source="", before="answered")
def test_only_who_names_this_machine_and_knows_the_token_reads(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    token = "fae81c07d94b3625"
    monkeypatch.setenv(METRICS_TOKEN, token)
    metrics = Metrics(("127.0.0.1", 0), Host(Pipeline(bundle)))
    known = {"Authorization": f"Bearer {token}"}
    try:
        for path, headers, status in (
            ("/metrics", known, 200),
            ("/metrics", {}, 401),
            ("/metrics", {"Authorization": "Bearer wrong"}, 401),
            ("/metrics", known | {"Host": "evil.example"}, 421),
            ("/metrics", known | {"Sec-Fetch-Site": "cross-site"}, 403),
            ("/metrics", known | {"Origin": "http://evil.example"}, 403),
            ("/other", known, 404),
        ):
            connection = HTTPConnection(
                "127.0.0.1", int(metrics.url.rpartition(":")[2].removesuffix("/metrics")), timeout=10
            )
            connection.request("GET", path, headers=headers)
            assert connection.getresponse().status == status, (path, headers)
            connection.close()
        monkeypatch.setenv(METRICS_TOKEN, "aaaaaaaaaaaaaaaa")
        with pytest.raises(ConfigurationError, match="easy to guess"):
            Metrics(("127.0.0.1", 0), Host(Pipeline(bundle)))
    finally:
        metrics.end(None)


def test_others_who_can_read_are_said(bundle: Bundle, said: list[str]) -> None:
    for host, count in (("127.0.0.1", 0), ("::1", 0), ("0.0.0.0", 1)):
        Metrics((host, 0), Host(Pipeline(bundle), say=said.append)).end(None)
        assert len(said) == count
    assert "other machines can read" in said[0]
    assert METRICS_TOKEN in said[0]


def test_a_busy_port_is_one_line_with_the_command_that_works(bundle: Bundle) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigurationError, match=r"in use by another program; this one is free: emer-edge run \.\.\. --metrics"
        ) as caught:
            Metrics(parse_address(f":{port}"), Host(Pipeline(bundle)))
    assert "\n" not in str(caught.value)
    offered = str(caught.value).rsplit(" ", 1)[1]
    metrics = Metrics(parse_address(offered), Host(Pipeline(bundle)))
    metrics.end(None)


@pytest.mark.parametrize("text", ["", "port", ":99999", "host", ":-1", "::"])
def test_addresses_that_can_not_be_read(text: str) -> None:
    with pytest.raises(ConfigurationError, match="write --metrics :9108"):
        parse_address(text)


def test_addresses() -> None:
    assert parse_address(":9108") == parse_address("9108") == ("127.0.0.1", 9108)
    assert parse_address("0.0.0.0:80") == ("0.0.0.0", 80)
    assert parse_address("[::1]:80") == ("::1", 80)
