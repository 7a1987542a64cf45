"""`--mqtt mqtt://host:1883/topic`: results to an MQTT broker, with QoS 1.

    TOPIC/results   a result as JSON; not retained
    TOPIC/status    retained: {"state": "online"}, {"state": "offline", "reason": "ended"}, or, from the broker when
                    this device is gone, {"state": "offline", "reason": "lost"}

A run of several streams publishes each under its name, TOPIC/STREAM/results, and names them all in its one status.

Results wait in the output's queue while the broker is away; when it is full the oldest are dropped and counted. QoS 1
delivers at least once: after a break the last ones may come twice, with the same `end_ns`.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
import uuid
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.public_text import one_line
from emer_edge.core.results import Result
from emer_edge.core.standard_streams import to_json
from emer_edge.runtime.outputs.base import Host, Output
from emer_edge.runtime.pipeline import Summary

BUFFERED: Final = 1200
"""Results of a stream that wait for the broker: ten minutes of two a second."""

CREDENTIALS: Final = {
    "username": "EMER_EDGE_MQTT_USERNAME",
    "password": "EMER_EDGE_MQTT_PASSWORD",
    "ca": "EMER_EDGE_MQTT_CA",
    "certificate": "EMER_EDGE_MQTT_CERT",
    "key": "EMER_EDGE_MQTT_KEY",
}
"""Environment variables: user and password; PEM files of the broker's CA, of our certificate and of its key."""

LARGEST: Final = 1 << 17  # bytes of a result: over a larger one a broker may end every connection
_IN_FLIGHT: Final = 20
_KEEPALIVE_S: Final = 15
_END_S: Final = 5.0
_PAUSES_S: Final = (1, 30)
_POLL_S: Final = 0.05


@dataclass(frozen=True)
class Broker:
    """Where results go.

    Attributes:
        topic: prefix of both topics.
        tls: whether the connection is encrypted.
    """

    host: str
    port: int
    topic: str
    tls: bool

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}/{self.topic}"


def parse_broker(text: str) -> Broker:
    """Parse `mqtt://host:1883/topic` or `mqtts://host/topic`.

    Raises:
        ConfigurationError: another scheme, no host, credentials in it, or a topic with wildcards.
    """
    example = "write mqtt://host:1883/topic, or mqtts:// for TLS"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:  # whose text may hold a part of a password
        raise ConfigurationError(f"can't read the broker {text!r}: its host or port can't be; {example}") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            f"the broker's address holds credentials, which every user of this machine could read; put them into "
            f"{CREDENTIALS['username']} and {CREDENTIALS['password']}"
        )
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.query or parts.fragment or port == 0:
        raise ConfigurationError(f"can't read the broker {text!r}; {example}")
    topic = unquote(parts.path).removeprefix("/").removesuffix("/") or "emer-edge"
    if not topic.isprintable() or re.search(r"[+#]|^[$/]|//|/$", topic) or len(topic.encode()) > 60_000:
        why = "it holds +, #, an empty level or what can't be printed, begins with $, or is too long"
        raise ConfigurationError(f"the topic {one_line(topic)!r} can't be published to: {why}")
    tls = parts.scheme == "mqtts"
    return Broker(parts.hostname, port or (8883 if tls else 1883), topic, tls)


class Mqtt(Output):
    """Publishes results; nothing that the broker does stops the run. When it goes and comes back is said.

    Raises:
        ConfigurationError: certificate files that can't be read, or a password without a user.
    """

    name = "mqtt"
    awaited = False  # the broker may be away for good

    def __init__(self, options: Broker, host: Host) -> None:
        from paho.mqtt.client import MQTT_LOG_ERR, Client
        from paho.mqtt.enums import CallbackAPIVersion

        self._broker, self._say = options, host.say
        self._streams = tuple(name for name in host.pipeline.streams if name is not None)
        self.queued = {"result": BUFFERED * max(1, len(self._streams))}
        self._in_flight: set[int] = set()  # not confirmed by the broker yet: the client sends them again
        self._confirmed: deque[int] = deque()
        self._errors: deque[str] = deque(maxlen=1)
        self._unsent = self._too_large = 0
        self._is_away = self._began = False
        self._deadline_s: float | None = None
        identity = f"emer-edge-{socket.gethostname()[:20]}-{uuid.uuid4().hex[:8]}"
        client: Any = Client(CallbackAPIVersion.VERSION2, client_id=identity)
        client.max_inflight_messages_set(_IN_FLIGHT)
        client.reconnect_delay_set(*_PAUSES_S)
        _identify(client, options)
        client.will_set(self._topic("status"), self._status("offline", "lost"), qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_connect_fail = lambda *_: self._away(f"it does not answer: {sys.exc_info()[1]}")  # being handled
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_log = lambda client, data, level, text: self._errors.append(text) if level == MQTT_LOG_ERR else None
        self._client, self._identity = client, identity

    @classmethod
    def parse(cls, address: str) -> Broker:
        """The broker of an address."""
        return parse_broker(address)

    def begin(self) -> None:
        """Connect, in the background and for as long as it takes."""
        self._began = True
        self._client.connect_async(self._broker.host, self._broker.port, keepalive=_KEEPALIVE_S)
        self._client.loop_start()
        self._network = next(one for one in threading.enumerate() if one.name.endswith(self._identity))

    def result(self, result: Result) -> bool:
        """Publish a result, once the broker is there and has confirmed enough of those before.

        The client holds few at a time, so that the others wait in the queue, where the oldest can be dropped.
        """
        content = to_json(result.to_dict())
        if len(content) > LARGEST:
            self._too_large += 1
            if self._too_large == 1:
                self._say(f"mqtt: a result of {len(content)} bytes is not sent; {LARGEST} are the most")
            return True
        while not self._client.is_connected() or self._pending() >= _IN_FLIGHT:
            if self._out_of_time():
                self._unsent += 1
                return True
            sleep(_POLL_S)
        topic = self._topic("results" if result.stream is None else f"{result.stream}/results")
        self._in_flight.add(self._client.publish(topic, content, qos=1).mid)
        return True

    def end(self, summary: Summary | None) -> None:
        """Wait for the confirmations, publish the last status, and disconnect."""
        if not self._began:
            return
        while self._client.is_connected() and self._pending() and not self._out_of_time():
            sleep(_POLL_S)
        self._unsent += self._pending()
        if self._client.is_connected():
            sent = self._client.publish(self._topic("status"), self._status("offline", "ended"), qos=1, retain=True)
            with suppress(RuntimeError):  # it has gone between these two lines
                sent.wait_for_publish(max(0.1, self._left_s()))
        self._client.disconnect()
        self._client.loop_stop()
        if self._unsent:
            self._say(f"mqtt: {self._unsent} results never reached {self._broker}")

    def losses(self) -> dict[str, int]:
        """Results that never reached the broker."""
        losses = {"unsent at the end": self._unsent, "too large": self._too_large}
        return {what: count for what, count in losses.items() if count}

    def _left_s(self) -> float:
        """Time left to send what waits: 5 s from the end of the run on."""
        if self._deadline_s is None:
            self._deadline_s = monotonic() + _END_S
        return self._deadline_s - monotonic()

    def _out_of_time(self) -> bool:
        return self.ending and (not self._client.is_connected() or self._left_s() < 0)

    def _topic(self, name: str) -> str:
        return f"{self._broker.topic}/{name}"

    def _status(self, state: str, reason: str | None = None) -> bytes:
        status: dict[str, Any] = {"state": state} if reason is None else {"state": state, "reason": reason}
        return msgspec.json.encode(status | ({"streams": self._streams} if self._streams else {}))

    def _pending(self) -> int:
        while self._confirmed:
            self._in_flight.discard(self._confirmed.popleft())
        return len(self._in_flight)

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._away(str(reason))
        else:
            client.publish(self._topic("status"), self._status("online"), qos=1, retain=True)

    def _on_publish(self, client: Any, data: Any, number: int, reason: Any, properties: Any) -> None:
        self._confirmed.append(number)
        if self._is_away:
            self._say(f"mqtt: {self._broker} is back")
        self._is_away = False

    def _on_disconnect(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._away(": ".join((str(reason), *self._errors)))
        self._errors.clear()

    def _away(self, why: str) -> None:
        if not self._is_away and not self.ending:
            self._is_away = True
            waiting = f"up to {self.queued['result']} results wait for it"
            self._say(f"mqtt: no connection to {self._broker} ({why}); {waiting}")


def _identify(client: Any, broker: Broker) -> None:
    values = {name: os.environ.get(variable) or None for name, variable in CREDENTIALS.items()}
    if values["username"] is not None:
        client.username_pw_set(values["username"], values["password"])
    elif values["password"] is not None:
        raise ConfigurationError(f"{CREDENTIALS['password']} is set and {CREDENTIALS['username']} is not")
    files = {CREDENTIALS[name]: values[name] for name in ("ca", "certificate", "key") if values[name] is not None}
    if not broker.tls:
        if files:
            raise ConfigurationError(f"{', '.join(files)} belong to TLS: write mqtts://{broker.host}, or unset them")
        return
    try:
        client.tls_set(values["ca"], values["certificate"], values["key"])
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        named = ", ".join(f"{variable} ({path})" for variable, path in files.items()) or "this system's CAs"
        raise ConfigurationError(f"can't set up TLS with {named}: {error}") from None
