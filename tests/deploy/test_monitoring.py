"""Alert rules and the dashboard, by a real Prometheus that scrapes a real run; Grafana was not run."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml
from held_run import PATIENCE_S, held_run
from machine import find_program, needs

from emer_edge.bundle import Bundle
from emer_edge.runtime.options import MachineOptions
from emer_edge.runtime.outputs import Host
from emer_edge.runtime.outputs.prometheus import METRICS_TOKEN, Metrics
from emer_edge.runtime.pipeline import Pipeline

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus/emer-edge.rules.yml"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/emer-edge.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
EMPTY_UNTIL = {panel["title"] for panel in PANELS if panel["description"].startswith("Empty until ")}
TOKEN = "fae81c07d94b3625"
pytestmark = [needs("promtool"), needs("prometheus")]


def promtool(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *words], cwd=cwd, capture_output=True, text=True, check=False)


def with_rules(folder: Path, change: Callable[[str], str] = str) -> Path:
    """The tests of the rules beside a copy of them."""
    (folder / RULES.name).write_text(change(RULES.read_text()))
    return Path(shutil.copy(Path(__file__).with_name("alert_rules.yml"), folder))


def test_every_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    done = promtool("test", "rules", with_rules(tmp_path), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    text = Path(__file__).with_name("alert_rules.yml").read_text()
    fired = set(re.findall(r"alertname: (\w+)[,\s]+exp_alerts:", text))
    quiet = set(re.findall(r"alertname: (\w+)}", text))
    assert set(alerts) == fired == quiet


def test_a_wrong_threshold_is_seen(tmp_path: Path) -> None:
    done = promtool(
        "test", "rules", with_rules(tmp_path, lambda text: text.replace("> 0.5\n", "> 1.5\n")), cwd=tmp_path
    )
    assert done.returncode != 0
    assert "EmerEdgeSensorLost" in done.stdout + done.stderr


def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    text = (DEPLOY / "prometheus/prometheus.yml").read_text()
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "prometheus.yml").write_text(text.replace("/run/secrets/metrics_token", str(tmp_path / "token")))
    with_rules(tmp_path)
    done = promtool("check", "config", "prometheus.yml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 rules found" in done.stdout


class Server:
    """A Prometheus with the configuration of deploy/, another target, port and pace."""

    def __init__(self, folder: Path, target: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        (job,) = config["scrape_configs"]
        job["static_configs"] = [{"targets": [target]}]
        job["authorization"] = {"credentials_file": str(folder / "token")}
        (folder / "token").write_text(TOKEN)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        shutil.copy(RULES, folder)
        program = find_program("prometheus")
        assert program is not None
        command = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=error"]
        self._process = subprocess.Popen(command)

    def ask(self, path: str, **parameters: str) -> Any:
        with urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{urlencode(parameters)}", timeout=30) as answer:
            told = json.load(answer)
        assert told["status"] == "success"
        return told["data"]

    def series(self, query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("query", query=query)["result"]
        return found

    def until(self, query: str, seconds: float = PATIENCE_S) -> None:
        deadline_s = time.monotonic() + seconds
        while True:
            try:
                if self.series(query):
                    return
            except URLError:
                pass
            assert time.monotonic() < deadline_s, f"{query} gave nothing"
            time.sleep(0.25)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


@pytest.fixture(scope="module")
def server(bundle: Bundle, video: Path, tracker: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Prometheus that has scraped a run several times, and still does."""
    pipeline = Pipeline(bundle, str(video), str(tracker), machine=MachineOptions(pace="fast"), offset_ms=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(METRICS_TOKEN, TOKEN)
        metrics = Metrics(("127.0.0.1", 0), Host(pipeline))
    made = Server(tmp_path_factory.mktemp("prometheus"), metrics.url.split("/")[2])
    try:
        with held_run(pipeline, [metrics]) as gate:
            gate.let(12)
            made.until('emer_edge_stage_seconds_count{stage="fuse"} > 0')
            gate.let(18)
            made.until('rate(emer_edge_stage_seconds_count{stage="fuse"}[1m]) > 0')
            yield made
    finally:
        made.close()


@pytest.mark.parametrize(("title", "query"), QUERIES, ids=[f"{at}-{title}" for at, (title, _) in enumerate(QUERIES)])
def test_every_query_of_the_dashboard_gives_series(server: Server, title: str, query: str) -> None:
    found = server.series(query.replace("$__rate_interval", "1m").replace("$instance", ".*"))
    if title not in EMPTY_UNTIL:
        assert found, query
        assert all(series["value"][1] != "NaN" for series in found) or "quantile" in query


def test_the_legends_of_the_dashboard_are_labels_that_there_are(server: Server) -> None:
    several = {"stream", "alertname", "output", "what", "place"}  # of several people, of alerts and losses
    for panel in PANELS:
        for target in panel["targets"]:
            found = server.series(target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*"))
            wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"])) - several
            assert all(wanted <= series["metric"].keys() for series in found), panel["title"]


def test_only_what_needs_an_event_is_empty() -> None:
    assert {"Alerts", "Dropped on the way in", "Lost by outputs"} == EMPTY_UNTIL


def test_the_rules_are_evaluated_on_the_run_and_none_fires(server: Server) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        (group,) = server.ask("rules")["groups"]
        states = {rule["name"]: (rule["health"], rule["state"]) for rule in group["rules"]}
        if all(health != "unknown" for health, _ in states.values()) or time.monotonic() > deadline_s:
            break
        time.sleep(0.25)
    assert set(states) == set(re.findall(r"- alert: (\w+)", RULES.read_text()))
    assert {health for health, _ in states.values()} == {"ok"}, group
    assert "firing" not in {state for _, state in states.values()}


def test_what_prometheus_has_holds_no_emotion_and_no_created(server: Server, bundle: Bundle) -> None:
    names = set(server.ask("label/__name__/values"))
    ours = {name for name in names if name.startswith("emer_edge")}
    assert len(ours) > 15
    assert [name for name in ours if name.endswith("_created")] == []
    words = {word for head in bundle.manifest.heads for word in (head.name, *head.classes)}
    for series in server.series('{__name__=~"emer_edge.*"}'):
        assert not words & set(series["metric"].values())


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    """Its shape, as far as that is known without Grafana: a grid of 24, and one data source by a variable."""
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    cells = [(x, y) for panel in PANELS for x, y in cells_of(panel["gridPos"])]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23
    assert {panel["datasource"]["uid"] for panel in PANELS} == {"${datasource}"}
    assert [variable["name"] for variable in DASHBOARD["templating"]["list"]] == ["datasource", "instance"]
    assert "id" not in DASHBOARD  # Grafana gives it one


def cells_of(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    yield from ((place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"]))
