from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from machine import find_program, needs
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from emer_edge.bundle import Bundle
from emer_edge.core.errors import ConfigurationError
from emer_edge.core.results import Result, State
from emer_edge.runtime.outputs import Host
from emer_edge.runtime.outputs.delivery import Delivery
from emer_edge.runtime.outputs.mqtt import CREDENTIALS, LARGEST, Broker, Mqtt, parse_broker
from emer_edge.runtime.pipeline import Pipeline

MOSQUITTO = find_program("mosquitto")
needs_mosquitto = needs("mosquitto")
PATIENCE_S = 20.0


def until(holds: Callable[[], Any]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s, "waited too long"
        time.sleep(0.01)


class RealBroker:
    """A mosquitto on loopback that remembers its subscribers when it is killed."""

    def __init__(self, folder: Path, *settings: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._config = folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", "persistence true", f"persistence_location {folder}/"]
        lines += ["autosave_on_changes true", "autosave_interval 1", "max_queued_messages 0", "user root"]
        self._config.write_text("\n".join([*lines, *(settings or ("allow_anonymous true",))]) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert MOSQUITTO is not None
        self._process = subprocess.Popen([MOSQUITTO, "-c", str(self._config)], stderr=subprocess.DEVNULL)

        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        until(answers)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


class Subscriber:
    """Keeps what it hears, with a session that outlives the broker."""

    def __init__(self, port: int, topic: str) -> None:
        self.heard: list[tuple[str, Any, bool]] = []
        self._topic = topic
        self.subscribed = threading.Event()
        client = Client(CallbackAPIVersion.VERSION2, client_id="subscriber", clean_session=False)
        client.reconnect_delay_set(1, 1)
        client.on_connect = lambda *_: client.subscribe(topic, qos=1)
        client.on_subscribe = lambda *_: self.subscribed.set()
        client.on_message = lambda c, d, message: self.heard.append(
            (message.topic, json.loads(message.payload), message.retain)
        )
        client.connect("127.0.0.1", port)
        client.loop_start()
        self._client = client

    def ends(self) -> list[int]:
        return list(dict.fromkeys(body["end_ns"] for topic, body, _ in self.heard if topic.endswith("/results")))

    def states(self) -> list[tuple[Any, ...]]:
        return [(body["state"], body.get("reason")) for topic, body, _ in self.heard if topic.endswith("/status")]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RealBroker]:
    made = RealBroker(tmp_path)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def subscriber(broker: RealBroker) -> Iterator[Subscriber]:
    made = Subscriber(broker.port, "lab/seat 4/#")
    assert made.subscribed.wait(PATIENCE_S)
    yield made
    made.close()


def result(number: int) -> Result:
    return Result(number, State.OK, heads={"er-valence": 0.5})


def delivery(bundle: Bundle, broker: Broker, said: list[str], buffered: int = 500) -> Delivery:
    mqtt = Mqtt(broker, Host(Pipeline(bundle), say=said.append))
    mqtt.queued = {"result": buffered}
    return Delivery(mqtt, said.append)


def seat(port: int) -> Broker:
    return Broker("127.0.0.1", port, "lab/seat 4", tls=False)


def give(mqtt: Delivery, numbers: range) -> None:
    for number in numbers:
        mqtt.put("result", None, result(number))


@needs_mosquitto
def test_nothing_is_lost_when_the_broker_is_killed_and_comes_back(
    bundle: Bundle, broker: RealBroker, subscriber: Subscriber
) -> None:
    said: list[str] = []
    mqtt = delivery(bundle, seat(broker.port), said)
    mqtt.begin()
    give(mqtt, range(100))
    until(lambda: len(subscriber.ends()) == 100)
    time.sleep(1.2)  # mosquitto saves its subscribers once a second
    broker.kill()
    give(mqtt, range(100, 300))
    until(lambda: any("no connection" in each for each in said))
    broker.start()
    give(mqtt, range(300, 320))
    until(lambda: len(subscriber.ends()) == 320)
    mqtt.end(None)
    until(lambda: subscriber.states()[-1] == ("offline", "ended"))
    assert subscriber.ends() == list(range(320))
    assert subscriber.states()[0] == ("online", None)
    assert mqtt.losses() == {}
    assert sum("no connection" in each for each in said) == 1
    assert any("is back" in each for each in said)


@needs_mosquitto
@pytest.mark.case(
    "results published in the moment in which the broker goes",
    source="",
    before="Message publish failed: the output failed, and got nothing more",
)
def test_what_is_on_its_way_when_the_broker_goes_is_sent_again(
    bundle: Bundle, broker: RealBroker, subscriber: Subscriber
) -> None:
    said: list[str] = []
    mqtt = delivery(bundle, seat(broker.port), said)
    mqtt.begin()
    give(mqtt, range(1))
    until(lambda: subscriber.ends() == [0])
    time.sleep(1.2)  # mosquitto saves its subscribers once a second
    for number in (1, 2):
        broker.kill()
        for at in range(100):  # until after the client has noticed
            give(mqtt, range(100 * number + at, 100 * number + at + 1))
            time.sleep(0.002)
        broker.start()
        until(lambda number=number: subscriber.ends()[-1:] == [100 * number + 99])
    mqtt.end(None)
    assert sorted(subscriber.ends()) == [0, *range(100, 300)]
    assert mqtt.losses() == {}
    assert not any("failed" in each for each in said)


@needs_mosquitto
def test_a_result_that_is_too_large_is_counted_and_the_next_is_sent(
    bundle: Bundle, broker: RealBroker, subscriber: Subscriber
) -> None:
    said: list[str] = []
    mqtt = delivery(bundle, seat(broker.port), said)
    mqtt.begin()
    mqtt.put("result", None, replace(result(1), notes=("x" * LARGEST,)))
    give(mqtt, range(2, 4))
    until(lambda: subscriber.ends() == [2, 3])
    mqtt.end(None)
    assert mqtt.losses() == {"too large": 1}
    assert sum("is not sent" in each for each in said) == 1


@needs_mosquitto
def test_beyond_the_bound_the_oldest_go_and_are_counted(
    bundle: Bundle, broker: RealBroker, subscriber: Subscriber
) -> None:
    said: list[str] = []
    mqtt = delivery(bundle, seat(broker.port), said, buffered=50)
    time.sleep(1.2)  # mosquitto saves its subscribers once a second
    broker.kill()
    mqtt.begin()
    until(lambda: any("up to 50 results wait" in each for each in said))
    give(mqtt, range(1))
    time.sleep(0.2)  # it has left the queue, and waits for the broker
    give(mqtt, range(1, 81))
    assert mqtt.losses() == {"results": 30}
    broker.start()
    until(lambda: len(subscriber.ends()) == 51)
    mqtt.end(None)
    assert subscriber.ends() == [0, *range(31, 81)]
    assert mqtt.losses() == {"results": 30}


@needs_mosquitto
def test_the_status_is_retained_and_the_broker_tells_when_we_vanish(bundle: Bundle, broker: RealBroker) -> None:
    code = (
        "import time\nfrom emer_edge.runtime.outputs import open_outputs\n"
        "from emer_edge.runtime.pipeline import Pipeline\n"
        f"pipeline = Pipeline({str(bundle.path)!r})\n"
        f"(mqtt,) = open_outputs(pipeline, ['mqtt://127.0.0.1:{broker.port}/lab/seat%204'])\n"
        "mqtt.begin()\ntime.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    late: Subscriber | None = None
    try:
        until(lambda: _retained(broker.port) == {"state": "online"})
        late = Subscriber(broker.port, "lab/+/status")
        until(lambda: late.heard)  # type: ignore[union-attr]
        assert late.heard[0] == ("lab/seat 4/status", {"state": "online"}, True)
        process.kill()
        until(lambda: late.states()[-1] == ("offline", "lost"))  # type: ignore[union-attr]
    finally:
        process.kill()
        process.wait()
        if late is not None:
            late.close()
    assert _retained(broker.port) == {"state": "offline", "reason": "lost"}


def _retained(port: int) -> Any:
    heard: list[Any] = []
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda *_: client.subscribe("lab/#", qos=1)
    client.on_message = lambda c, d, message: heard.append(json.loads(message.payload))
    client.connect("127.0.0.1", port)
    deadline_s = time.monotonic() + 0.5
    while not heard and time.monotonic() < deadline_s:
        client.loop(0.05)
    client.disconnect()
    return heard[0] if heard else None


@needs_mosquitto
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves refused TLS sockets open
def test_credentials_and_tls_come_from_the_environment(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "broker.pem", tmp_path / "broker.key"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    passwords = tmp_path / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run(["mosquitto_passwd", "-b", str(passwords), "board", "secret"], check=True, capture_output=True)
    settings = (f"certfile {certificate}", f"keyfile {key}", f"password_file {passwords}", "allow_anonymous false")
    broker = RealBroker(tmp_path, *settings)
    broker.start()
    said: list[str] = []
    address = parse_broker(f"mqtts://127.0.0.1:{broker.port}/lab")
    monkeypatch.setenv(CREDENTIALS["ca"], str(certificate))
    monkeypatch.setenv(CREDENTIALS["username"], "board")
    try:
        monkeypatch.setenv(CREDENTIALS["password"], "wrong")
        refused = delivery(bundle, address, said)
        refused.begin()
        until(lambda: said)
        assert "Not authorized" in said[0]
        assert "wrong" not in said[0]
        refused.end(None)
        monkeypatch.setenv(CREDENTIALS["password"], "secret")
        mqtt = delivery(bundle, address, said)
        mqtt.begin()
        give(mqtt, range(10))
        time.sleep(1.0)  # to connect
        mqtt.end(None)
        assert mqtt.losses() == {}
        monkeypatch.delenv(CREDENTIALS["ca"])
        stranger = delivery(bundle, address, said)  # nobody vouches for this broker
        stranger.begin()
        give(stranger, range(1))
        until(lambda: len(said) == 2)
        assert "certificate verify failed" in said[1]
        stranger.end(None)
        assert stranger.losses() == {"unsent at the end": 1}
    finally:
        broker.kill()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("http://host/topic", "can't read the broker"),
        ("mqtt:///topic", "can't read the broker"),
        ("mqtt://host:99999/t", "can't read the broker"),
        ("mqtt://user:secret@host/t", CREDENTIALS["username"]),
        ("mqtt://host/a/%23", "can't be published to"),
        ("mqtt://host/a/+/b", "can't be published to"),
        ("mqtt://host/a//b", "can't be published to"),
        ("mqtt://host//a", "can't be published to"),
        ("mqtt://host/a%2F%2Fb", "can't be published to"),
        ("mqtt://host/a%00b", "can't be published to"),
        ("mqtt://host/a%1Bb", "can't be published to"),
        ("mqtt://host/a%FFb%E2%80%AE", "can't be published to"),
        ("mqtt://host/$SYS/a", "can't be published to"),
        ("mqtt://host/" + "a" * 60_001, "can't be published to"),
    ],
)
def test_brokers_that_can_not_be(text: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named) as caught:
        parse_broker(text)
    assert "secret" not in str(caught.value)


def test_brokers() -> None:
    assert parse_broker("mqtt://host") == Broker("host", 1883, "emer-edge", False)
    assert parse_broker("mqtts://host/a/b%20c/") == Broker("host", 8883, "a/b c", True)
    assert str(parse_broker("mqtt://[::1]:99/x")) == "mqtt://::1:99/x"


@pytest.mark.parametrize(
    ("variable", "broker", "named"),
    [
        ("password", "mqtt://host", "is set and"),
        ("ca", "mqtt://host", "belong to TLS"),
        ("ca", "mqtts://host", "can't set up TLS with"),
    ],
)
def test_environments_that_make_no_sense(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, variable: str, broker: str, named: str
) -> None:
    monkeypatch.setenv(CREDENTIALS[variable], "/nowhere")
    with pytest.raises(ConfigurationError, match=named):
        Mqtt(parse_broker(broker), Host(Pipeline(bundle)))
