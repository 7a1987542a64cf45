"""The receivers of a run's outputs: a broker and its subscriber, visitors of the page, a scraper."""

from __future__ import annotations

import contextlib
import shutil
import socket
import struct
import subprocess
import threading
import urllib.request
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

__all__ = ["Broker", "PageVisitor", "Scraper", "Subscriber", "free_port", "mosquitto"]

_CHUNK: Final = 65_536
_PATIENCE_S: Final = 10.0
_AGAIN_S: Final = 0.5


def mosquitto() -> str | None:
    """Where the broker is installed; None where it is not."""
    return shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """A mosquitto on loopback.

    Args:
        folder: for its settings.
    """

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._settings = folder / "mosquitto.conf"
        self._settings.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\n")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        program = mosquitto()
        assert program is not None
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen([program, "-c", str(self._settings)], stdout=quiet, stderr=quiet)
        deadline_s = monotonic() + _PATIENCE_S
        while monotonic() < deadline_s:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            sleep(0.02)
        raise RuntimeError(f"mosquitto does not answer on port {self.port}")

    def kill(self) -> None:
        """Kill it; may be called twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Subscriber:
    """Counts the results that a broker passes on.

    Attributes:
        heard: how many.
        last_s: monotonic time of the last.
    """

    def __init__(self, port: int, topic: str) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.heard, self.last_s = 0, 0.0
        client: Any = Client(CallbackAPIVersion.VERSION2)
        client.reconnect_delay_set(1, 1)
        client.on_connect = lambda *_: client.subscribe(f"{topic}/results", qos=1)
        client.on_message = self._hear
        client.connect("127.0.0.1", port)
        client.loop_start()
        self._client = client

    def close(self) -> None:
        """Go."""
        self._client.disconnect()
        self._client.loop_stop()

    def _hear(self, *_: object) -> None:
        self.heard += 1
        self.last_s = monotonic()


class PageVisitor:
    """Watches the page as a browser does: its events as they come, and image after image.

    Attributes:
        events, images: how many were read.
        last_s: monotonic time at which the last event was read.
    """

    def __init__(self, port: int) -> None:
        self.events = self.images = 0
        self.last_s = 0.0
        self._port = port
        self._here = threading.Event()
        self._over = threading.Event()
        self._stalled = threading.Event()
        self._here.set()
        self._socket: socket.socket | None = None
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._listen, self._look)]
        for thread in self._threads:
            thread.start()

    def vanish(self) -> None:
        """Be gone without a word, as a phone that leaves the network."""
        self._here.clear()
        listening = self._socket
        if listening is not None:
            with contextlib.suppress(OSError):
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                listening.shutdown(socket.SHUT_RDWR)

    def stall(self) -> None:
        """Stay, and read nothing."""
        self._stalled.set()

    def come_back(self) -> None:
        """Watch again."""
        self._stalled.clear()
        self._here.set()

    def close(self) -> None:
        """Go for good."""
        self._over.set()
        self.vanish()

    def _listen(self) -> None:
        while not self._over.wait(_AGAIN_S):
            if not self._here.is_set():
                continue
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 5) as line:
                line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
                line.sendall(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                self._socket = line
                while self._here.is_set() and not self._over.is_set():
                    if self._stalled.is_set():
                        sleep(0.1)
                        continue
                    data = line.recv(_CHUNK)
                    if not data:
                        break
                    self.events += data.count(b"event: ")
                    self.last_s = monotonic()
            self._socket = None

    def _look(self) -> None:
        number = "0"
        while not self._over.is_set():
            if not self._here.is_set() or self._stalled.is_set():
                sleep(0.1)
                continue
            try:
                address = f"http://127.0.0.1:{self._port}/frame?after={number}"
                with urllib.request.urlopen(address, timeout=5) as answer:
                    number = answer.headers.get("X-Number", number)
                    self.images += bool(answer.read())
            except OSError:
                self._over.wait(_AGAIN_S)


class Scraper:
    """Asks for the metrics, as Prometheus does.

    Attributes:
        scrapes: answers so far.
        last: the newest one: name with labels -> value.
    """

    def __init__(self, port: int, every_s: float = 5.0) -> None:
        self.scrapes = 0
        self.last: dict[str, float] = {}
        self._address = f"http://127.0.0.1:{port}/metrics"
        self._every_s = every_s
        self._over = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        """Stop asking."""
        self._over.set()

    def _run(self) -> None:
        while not self._over.wait(self._every_s):
            with contextlib.suppress(OSError), urllib.request.urlopen(self._address, timeout=5) as answer:
                lines = answer.read().decode().splitlines()
                parted = (line.rpartition(" ") for line in lines if not line.startswith("#"))
                self.last = {name: float(value) for name, _, value in parted}
                self.scrapes += 1
