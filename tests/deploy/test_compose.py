"""compose.yaml and what it mounts, by the Compose specification's schema and the real broker; no container was run."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from machine import find_program, needs
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from emer_edge.runtime.outputs.web_access import Access, PageAddress

DEPLOY = Path(__file__).parents[2] / "deploy"
TEXT = (DEPLOY / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

# Tags that were met in public.
IMAGES = {
    "emer-edge": "emer-edge",
    "mosquitto": "eclipse-mosquitto:2.0.22",
    "prometheus": "prom/prometheus:v3.5.0",
    "grafana": "grafana/grafana:12.3.1",
}


def test_compose_is_valid_by_the_specification() -> None:
    schema = files("check_jsonschema.builtin_schemas.vendor").joinpath("compose-spec.json").read_text()
    Draft202012Validator(json.loads(schema)).validate(COMPOSE)
    assert {name: service["image"] for name, service in SERVICES.items()} == IMAGES


def test_nothing_has_a_default_password_and_nothing_is_open_to_others() -> None:
    required = set(re.findall(r"\$\{(\w+):\?set it in deploy/\.env\}", TEXT))
    secret = {"EMER_EDGE_MQTT_PASSWORD", "EMER_EDGE_METRICS_TOKEN", "GRAFANA_ADMIN_PASSWORD"}
    assert required == {*secret, "BUNDLE", "VIDEO_GROUP"}
    lines = (DEPLOY / "compose.env").read_text().splitlines()
    assert {line for line in lines if line and not line.startswith("#")} == {f"{name}=" for name in required}
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        for name, value in service.get("environment", {}).items():
            assert "PASSWORD" not in name or re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name
    ignored = (DEPLOY.parent / ".gitignore").read_text().splitlines()
    assert "/deploy/.env" in ignored
    assert COMPOSE["secrets"] == {"metrics_token": {"environment": "EMER_EDGE_METRICS_TOKEN"}}


def test_services_are_held_small() -> None:
    for service in SERVICES.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
    assert [name for name, service in SERVICES.items() if not service.get("read_only")] == ["grafana"]


def test_what_is_mounted_is_there_and_services_find_each_other() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            if isinstance(volume, str) and volume.startswith("./"):
                assert (DEPLOY / volume.partition(":")[0]).exists(), volume
            elif isinstance(volume, str):
                assert volume.partition(":")[0] in COMPOSE["volumes"]
    run = SERVICES["emer-edge"]
    assert (DEPLOY / run["build"]["context"] / run["build"]["dockerfile"]).exists()
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/emer-edge.yaml").read_text())["providers"][0]
    folder = provider["options"]["path"]
    assert any(volume.endswith(f"{folder}/emer-edge.json:ro") for volume in SERVICES["grafana"]["volumes"])
    scrape = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"][0]
    assert scrape["static_configs"] == [{"targets": [f"{run['hostname']}:9108"]}]
    assert scrape["authorization"]["credentials_file"] == "/run/secrets/metrics_token"


def test_the_run_answers_by_the_name_that_prometheus_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: SERVICES["emer-edge"]["hostname"])
    access = Access(PageAddress("0.0.0.0", 9108), None)
    assert access.is_ours("emer-edge:9108")
    assert not access.is_ours("evil.example:9108")


def test_the_runs_options_are_options(capsys: pytest.CaptureFixture[str]) -> None:
    from typer.main import get_command

    from emer_edge.cli.app import app

    words = [word.replace("${TRACKER:-none}", "none") for word in SERVICES["emer-edge"]["command"]]
    command = get_command(app)
    run = command.get_command(None, words[0])  # type: ignore[attr-defined]
    given = run.make_context("run", words[1:]).params
    assert (str(given["bundle"]), given["camera"], given["tracker"]) == ("/bundle.emer", "/dev/video0", "none")


@needs("mosquitto")
@needs("mosquitto_passwd")
def test_the_broker_takes_its_user_and_nobody_else(tmp_path: Path) -> None:
    """The start that compose.yaml writes, with this machine's mosquitto and another port and folder."""
    service = SERVICES["mosquitto"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = (DEPLOY / "mosquitto/mosquitto.conf").read_text()
    assert "listener 1883\n" in settings
    settings = settings.replace("listener 1883", f"listener {port} 127.0.0.1").replace("/tmp/", f"{tmp_path}/")
    (tmp_path / "mosquitto.conf").write_text(f"{settings}user root\n")
    script = service["command"][0].replace("$$", "$").replace("/tmp/", f"{tmp_path}/")
    script = script.replace("/mosquitto/config/mosquitto.conf", f"{tmp_path}/mosquitto.conf")
    password = "a pass:word with $signs '\" and more"
    user = service["environment"]["USERNAME"]
    folders = {str(Path(found).parent) for name in ("mosquitto", "mosquitto_passwd") if (found := find_program(name))}
    environment = {"PATH": os.pathsep.join([*folders, os.environ["PATH"]]), "USERNAME": user, "PASSWORD": password}
    shell = [shutil.which("sh") or "sh", *service["entrypoint"][1:], script]
    broker = subprocess.Popen(shell, env=environment, stderr=subprocess.DEVNULL)
    try:
        assert answer(port, user, password) == "Success"
        assert answer(port, user, "another") == "Not authorized"
        assert answer(port, None, None) == "Not authorized"
        kept = (tmp_path / "passwords").read_text()
        assert kept.startswith(f"{user}:$")
        assert password not in kept
        assert (tmp_path / "passwords").stat().st_mode & 0o077 == 0
        shown = Path(f"/proc/{broker.pid}/cmdline").read_bytes()
        assert shown.startswith(b"mosquitto\0")  # it has taken the shell's place, so that it gets the signals
        assert password.encode() not in Path(f"/proc/{broker.pid}/environ").read_bytes()
    finally:
        broker.kill()
        broker.wait()


def answer(port: int, user: str | None, password: str | None) -> str:
    """What a broker says to one who connects, once it is there."""
    said: list[str] = []
    client = Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(user, password)
    client.on_connect = lambda c, d, flags, reason, properties: said.append(str(reason))
    deadline_s = time.monotonic() + 30.0
    while True:
        try:
            client.connect("127.0.0.1", port)
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline_s, "there is no broker"
            time.sleep(0.05)
    while not said:
        assert time.monotonic() < deadline_s, "it says nothing"
        client.loop(0.1)
    client.disconnect()
    return said[0]
