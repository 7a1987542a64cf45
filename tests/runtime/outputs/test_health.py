"""`/healthz` of the page and of the metrics, and the question that the images ask it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

import pytest
from page_inputs import result_of

from emer_edge.bundle import Bundle
from emer_edge.core.results import State
from emer_edge.runtime.outputs import Host
from emer_edge.runtime.outputs.pace import Pace
from emer_edge.runtime.outputs.page.output import Page
from emer_edge.runtime.outputs.prometheus import METRICS_TOKEN, Metrics
from emer_edge.runtime.pipeline import Pipeline

STARTING = "no result yet: the run is starting"
ON = "results come at their pace"
DOCKERFILES = sorted((Path(__file__).parents[3] / "deploy").glob("*.Dockerfile"))


def health(port: int, **headers: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/healthz", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode().strip()
    finally:
        connection.close()


def test_results_that_stay_away_are_trouble_and_pauses_are_not() -> None:
    now_s = 100.0
    quick, slow = Pace(500_000_000, lambda: now_s), Pace(2_000_000_000, lambda: now_s)
    assert quick.trouble() == slow.trouble() == STARTING
    quick.mark()
    slow.mark()
    now_s += 5.0  # ten hops of 0.5 s
    assert quick.trouble() is None
    now_s += 1.0
    assert quick.trouble() == "no result for 6 s, where one is due every 0.5 s"
    assert slow.trouble() is None
    now_s += 20.0
    assert slow.trouble() == "no result for 26 s, where one is due every 2 s"
    quick.mark()
    assert quick.trouble() is None


def test_the_page_answers_without_its_token_and_says_nothing_of_people(guarded: Page) -> None:
    port = guarded.server.address.port
    assert health(port) == (503, STARTING)
    for number, state in enumerate(State):
        guarded.feeds[None].result(result_of(number, state=state))
        assert health(port) == (200, ON)
    assert health(port, Host="evil.example")[0] == 421
    assert health(port, Origin="http://evil.example")[0] == 403


def test_a_run_whose_results_stop_is_not_healthy(guarded: Page) -> None:
    guarded.feeds[None].result(result_of(1))
    guarded.server.pace._clock = lambda: 1e9  # long after
    status, text = health(guarded.server.address.port)
    assert status == 503
    assert re.fullmatch(r"no result for \d+ s, where one is due every 0\.3 s", text)


def test_the_images_ask_the_metrics(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(METRICS_TOKEN, "fae81c07d94b3625")
    metrics = Metrics(("127.0.0.1", 0), Host(Pipeline(bundle)))
    metrics._pace._clock = lambda: 0.0  # a busy machine takes seconds to start the programs that ask
    port = re.search(r":(\d+)/metrics$", metrics.url)
    assert port is not None

    def asked(path: Path) -> tuple[int, str]:
        command = re.search(r"^HEALTHCHECK .*CMD (\[.*\])$", path.read_text(), re.MULTILINE)
        assert command is not None
        program, *arguments = json.loads(command[1].replace("9108", port[1]))
        assert program == "python3"
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.strip()

    try:
        assert {asked(path) for path in DOCKERFILES} == {(1, STARTING)}
        metrics.result(result_of(1))
        assert {asked(path) for path in DOCKERFILES} == {(0, ON)}
    finally:
        metrics.end(None)
    code, said = asked(DOCKERFILES[0])
    assert (code, said) == (1, "")
