"""The examples for products, each against the real thing: a run, a broker, a browser."""

from __future__ import annotations

import http.server
import io
import os
import re
import runpy
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
from chromium import CHROMIUM, Chromium
from held_run import PATIENCE_S, held_run
from machine import find_program, needs

from emer_edge.bundle import Bundle
from emer_edge.core.results import Result, State
from emer_edge.runtime.options import MachineOptions
from emer_edge.runtime.outputs import Host
from emer_edge.runtime.outputs.json_lines import JsonLines
from emer_edge.runtime.outputs.page.output import Page, PageOptions
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.play import play

EXAMPLES = Path(__file__).parents[2] / "examples"
TOKEN = "fae81c07d94b3625"


def replay(bundle: Bundle, video: Path, tracker: Path) -> Pipeline:
    return Pipeline(bundle, str(video), str(tracker), machine=MachineOptions(pace="fast"), offset_ms=0.0)


@pytest.fixture(scope="module")
def lines(bundle: Bundle, video: Path, tracker: Path) -> str:
    """What `--json` writes of a run."""
    written = io.StringIO()
    play(replay(bundle, video, tracker), [JsonLines(written)])
    return written.getvalue()


def test_each_is_short() -> None:
    names = {path.name for path in EXAMPLES.iterdir() if path.is_file()}
    assert names >= {"read_json_lines.py", "read_mqtt.py", "kiosk.html", "consumer.py"}
    script = re.search(r"<script>\n(.*)</script>", (EXAMPLES / "kiosk.html").read_text(), re.DOTALL)
    assert script is not None
    assert len(script[1].splitlines()) <= 20


def test_json_lines_are_read(lines: str) -> None:
    command = [sys.executable, str(EXAMPLES / "read_json_lines.py")]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert said[0] == "run: filling"
    assert re.fullmatch(r"run: felt \w+, shown \w+, \d\.\d\d apart", said[-1])
    assert len(said) == len(lines.splitlines())
    newer = lines.replace("emer-edge/result/1", "emer-edge/result/2")
    refused = subprocess.run(command, input=newer, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "not emer-edge/result/2" in refused.stderr


@needs("mosquitto")
def test_a_broker_is_read(bundle: Bundle, video: Path, tracker: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    program = find_program("mosquitto")
    assert program is not None
    broker = subprocess.Popen([program, "-c", str(tmp_path / "mosquitto.conf")], stderr=subprocess.DEVNULL)
    reader = None
    try:
        deadline_s = time.monotonic() + 30.0
        while not answers(port):
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        command = [sys.executable, "-u", str(EXAMPLES / "read_mqtt.py"), "127.0.0.1", str(port), "lab/seat"]
        reader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert reader.stdout is not None
        heard = iter(reader.stdout)
        wait_for_subscriber(port, heard)
        play(replay(bundle, video, tracker), [f"mqtt://127.0.0.1:{port}/lab/seat"])
        said = []
        for line in heard:
            said.append(line.strip())
            if said[-1].startswith("lab/seat/status offline"):
                break
    finally:
        for process in (reader, broker):
            if process is not None:
                process.kill()
                process.wait()
        if reader is not None and reader.stdout is not None:
            reader.stdout.close()
    assert said[0] == "lab/seat/status online"
    results = [line for line in said if line.startswith("lab/seat/results ")]
    assert "lab/seat/results filling" in results
    assert any(re.fullmatch(r"lab/seat/results ok \d\.\d\d", line) for line in results)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return not probe.connect_ex(("127.0.0.1", port))


def wait_for_subscriber(port: int, heard: Iterator[str]) -> None:
    """Publish a status until the example repeats it."""
    from paho.mqtt.publish import single

    over = threading.Event()

    def publish() -> None:
        while not over.wait(0.2):
            single("lab/seat/status", '{"state": "here"}', hostname="127.0.0.1", port=port)

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        assert next(heard).strip() == "lab/seat/status here"
    finally:
        over.set()
        thread.join()
    single("lab/seat/status", '{"state": "last"}', hostname="127.0.0.1", port=port)
    assert any(line.strip() == "lab/seat/status last" for line in heard)


class Site(http.server.BaseHTTPRequestHandler):
    """A server of somebody else's: the example at /, and a run's /events with the token, as nginx in docs/page.md."""

    page_port = 0

    def do_GET(self) -> None:
        if self.path == "/events":
            return self.forward()
        body = (EXAMPLES / "kiosk.html").read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None

    def forward(self) -> None:
        connection = HTTPConnection("127.0.0.1", self.page_port, timeout=30)
        connection.request("GET", "/events", headers={"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.end_headers()
        while data := answer.read1():
            self.wfile.write(data)
        connection.close()

    def log_message(self, *args: object) -> None: ...


@contextmanager
def site(page_port: int) -> Iterator[str]:
    handler = type("Handler", (Site,), {"page_port": page_port})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (make test-deps)")
def test_a_page_of_ones_own_shows_a_run(bundle: Bundle, video: Path, tracker: Path, tmp_path: Path) -> None:
    pipeline = replay(bundle, video, tracker)
    page = Page(PageOptions("0", TOKEN), Host(pipeline))
    state = "document.getElementById('state').textContent"
    with Chromium(tmp_path) as browser, held_run(pipeline, [page]) as gate, site(page.server.address.port) as address:
        gate.let(1)
        browser.open(address)
        browser.until(f"/^ready in \\d+ s$/.test({state})", PATIENCE_S)
        gate.let(12)
        browser.until(f"{state} === 'ok'", PATIENCE_S)
        classes = {name for head in bundle.manifest.heads if head.name.endswith("-7") for name in head.classes}
        assert browser.text("#felt") in classes
        assert browser.text("#shown") in classes
        pipeline.stop()
        gate.open()
        browser.until(f"/ended|no connection/.test({state})", PATIENCE_S)
        assert [text for text in browser.complaints() if "ERR_" not in text] == []  # the server has gone by then


def test_python_is_read(bundle: Bundle, video: Path, tracker: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "consumer.py"), str(bundle.path), str(video), str(tracker)]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True, env=environment)
    said = done.stdout.splitlines()
    assert said[0] == "filling"
    assert any(re.fullmatch(r"felt \w+ \(\d+%\), shown \w+ \(\d+%\), \d\.\d\d apart", line) for line in said)
    sentence = runpy.run_path(str(EXAMPLES / "consumer.py"))["sentence"]
    assert sentence(Result(1, State.NO_FACE)) == "no_face"
