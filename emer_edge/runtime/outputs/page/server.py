"""The page's HTTP server: a thread a connection, so many connections and no more."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Mapping
from http.server import ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Final

from emer_edge.runtime.outputs.page.access import Access
from emer_edge.runtime.outputs.page.address import Address, refused_binding
from emer_edge.runtime.outputs.page.channel import Channel
from emer_edge.runtime.outputs.page.handler import PageHandler, static_files
from emer_edge.runtime.say import Say

__all__ = ["CONNECTIONS", "VISITORS", "PageServer"]

CONNECTIONS: Final = 32
"""More are closed at once."""

VISITORS: Final = 8
"""More are told that too many watch."""

_BUFFER_BYTES: Final = 1 << 16  # a visitor that reads nothing is noticed after this much
_BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class PageServer(ThreadingHTTPServer):
    """Binds its address at once; `serve_forever` and `end` are the output's.

    Args:
        address: where to; port 0 takes a free one.
        token: what visitors must know, or None.
        channels: stream -> its results, gaze and images; one stream's under None.
        say: told once when answering fails.

    Raises:
        ConfigurationError: the address is taken, unknown, or not this machine's.
    """

    daemon_threads = True
    block_on_close = False
    allow_reuse_port = False  # newer Pythons would share a busy port silently
    request_queue_size = 16

    def __init__(self, address: Address, token: str | None, channels: Mapping[str | None, Channel], say: Say) -> None:
        self.address_family = address.family
        self._channels, self._say = channels, say
        self.files = static_files()
        self.visitors = threading.BoundedSemaphore(VISITORS)
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        self._open: set[socket.socket] = set()
        self._told = False
        try:
            super().__init__((address.host, address.port), PageHandler)
        except OSError as error:
            raise refused_binding(address, error) from None
        self.address = Address(address.host, self.server_port)
        self.access = Access(self.address, token)

    def channel(self, stream: str | None) -> Channel | None:
        """The channel of a stream, the first where none is named; None where there is no such stream."""
        return next(iter(self._channels.values())) if stream is None else self._channels.get(stream)

    def server_bind(self) -> None:
        """Bind without asking the network for this machine's name, which can take long."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection its thread, or close it where there are too many."""
        if not self._free.acquire(blocking=False):
            with contextlib.suppress(OSError):
                request.send(_BUSY)
            self.shutdown_request(request)
            return
        self._open.add(request)
        try:
            request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
            super().process_request(request, client_address)
        except BaseException:
            self._open.discard(request)
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.discard(request)
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell once of a fault of ours; visitors that leave or stall are no fault."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError) and not self._told:
            self._told = True
            self._say(f"the page could not answer: {type(error).__name__}: {error}")

    def service_actions(self) -> None:
        """Between connections, several times a second."""
        for each in self._channels.values():
            each.video.rest()

    def end(self) -> None:
        """Close every connection and the address."""
        self.server_close()
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
