"""An Open Gaze server on TCP, written from the API's manual: answers, and a stream that clients switch on.

A client sends `<SET ID="ENABLE_SEND_x" STATE="1" />` or `<GET ID="y" />`, each ended by CR LF; the server answers each
with `<ACK ID=... />`, or `<NACK ID=... />` where it does not know it. Every client has switches of its own; it gets
records once its ENABLE_SEND_DATA is on.
"""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from typing import Final

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.samples import Display, TrackerSample
from emer_edge.runtime.trackers.codec import Counters, LineSplitter
from emer_edge.runtime.trackers.formats.opengaze import GROUPS, TICK_HZ, record_fields, record_line
from emer_edge.tools.simulate.transport import Outbox, Transport

_COMMAND: Final = re.compile(rb'<(GET|SET)\s+ID="(\w+)"(?:\s+STATE="(\w*)")?\s*/>\Z')
_ENABLE: Final = "ENABLE_SEND_"
_POLL_S: Final = 0.1
_HOST: Final = "127.0.0.1"


class OpenGazeServer(Transport):
    """A simulated Gazepoint tracker.

    Args:
        display: the tracked screen.
        rate_hz: of PRODUCT_ID.
        port: to listen on; 0: any free one.

    Attributes:
        sequence: number of the last record.

    Raises:
        ConfigurationError: the port can't be used.
    """

    def __init__(self, display: Display, rate_hz: float, port: int = 0) -> None:
        self._display, self._port = display, port
        self._facts = {
            "SCREEN_SIZE": f'X="0" Y="0" WIDTH="{display.width_px}" HEIGHT="{display.height_px}"',
            "PRODUCT_ID": f'VALUE="SIMULATED" BUS="USB" RATE="{rate_hz:g}"',
            "TIME_TICK_FREQUENCY": f'FREQ="{TICK_HZ}"',
        }
        self.sequence = -1
        self._lock = threading.Lock()
        self._clients: list[_Client] = []
        self._listener: socket.socket | None = None
        self.plug()

    @property
    def address(self) -> str:
        """`opengaze://host:port`."""
        return f"opengaze://{_HOST}:{self._port}"

    def plug(self) -> None:
        """Listen."""
        self.unplug()
        try:
            self._listener = socket.create_server((_HOST, self._port))
        except OSError as error:
            raise ConfigurationError(f"can't listen on {_HOST}:{self._port}: {error.strerror or error}") from error
        self._listener.settimeout(_POLL_S)
        self._port = self._listener.getsockname()[1]
        thread = threading.Thread(target=self._accept, args=(self._listener,), name="Open Gaze server", daemon=True)
        thread.start()

    def unplug(self) -> None:
        """Drop the clients and stop listening."""
        listener, self._listener = self._listener, None
        if listener is not None:
            _close(listener)
        with self._lock:
            clients, self._clients = self._clients, []
        for client in clients:
            client.close()

    def send(self, sample: TrackerSample) -> bool:
        """Send a record to every client that has switched records on; false where none took it."""
        self.sequence += 1
        groups = record_fields(sample, self.sequence, self._display)
        taken = False
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            fields = client.selected(groups)
            if fields is not None:
                taken |= client.send(self.change(record_line(fields)))
        return taken

    def _accept(self, listener: socket.socket) -> None:
        while self._listener is listener:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return  # unplugged
            client = _Client(connection, self._facts)
            with self._lock:
                if self._listener is not listener:  # unplugged meanwhile
                    client.close()
                    return
                self._clients.append(client)
            threading.Thread(target=self._serve, args=(client,), name="Open Gaze client", daemon=True).start()

    def _serve(self, client: _Client) -> None:
        client.serve()
        with self._lock, suppress(ValueError):
            self._clients.remove(client)


class _Client:
    """One connection: its switches, its commands, its records."""

    def __init__(self, connection: socket.socket, facts: dict[str, str]) -> None:
        self._connection, self._facts = connection, facts
        self._on: set[str] = set()
        self._outbox = Outbox()
        self._lock = threading.Lock()  # answers and records must not mix
        connection.settimeout(_POLL_S)
        self._open = True

    def serve(self) -> None:
        """Answer commands until the client goes."""
        lines = LineSplitter(Counters())
        while self._open:
            try:
                data = self._connection.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                break
            if not data:
                break
            for line in lines.split(data):
                self.send(self._answer(line))
        self.close()

    def selected(self, groups: dict[str, dict[str, str]]) -> dict[str, str] | None:
        """Fields that this client has switched on; None while its records are off."""
        if "DATA" not in self._on:
            return None
        return {name: text for group in GROUPS if group in self._on for name, text in groups[group].items()}

    def send(self, data: bytes) -> bool:
        """Send without waiting; false where there is no room."""
        with self._lock, suppress(OSError, ValueError):
            descriptor = self._connection.fileno()
            return not data or (descriptor >= 0 and self._outbox.push(data, descriptor))
        return False

    def close(self) -> None:
        """Hang up."""
        self._open = False
        with self._lock:
            _close(self._connection)

    def _answer(self, line: bytes) -> bytes:
        match = _COMMAND.match(line)
        if match is None:
            return b'<NACK ID="" />\r\n'
        kind, name, state = match[1], match[2].decode(), (match[3] or b"").decode()
        if kind == b"GET" and name in self._facts:
            return f'<ACK ID="{name}" {self._facts[name]} />\r\n'.encode()
        group = name.removeprefix(_ENABLE)
        if name.startswith(_ENABLE) and (group == "DATA" or group in GROUPS):
            if kind == b"SET":
                (self._on.add if state == "1" else self._on.discard)(group)
            return f'<ACK ID="{name}" STATE="{int(group in self._on)}" />\r\n'.encode()
        return f'<NACK ID="{name}" />\r\n'.encode()


def _close(connection: socket.socket) -> None:
    """Close at once: closing alone leaves a socket open for as long as another thread waits for it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
