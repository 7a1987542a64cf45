"""The page's HTTP server, one thread per connection; it answers only GET: files of the package, events, and images."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from socketserver import TCPServer
from typing import Any, Final, cast
from urllib.parse import parse_qs, urlsplit

from emer_edge.runtime.outputs.page.access import Access, PageAddress, refused_binding
from emer_edge.runtime.outputs.page.feed import Feed
from emer_edge.runtime.outputs.page.pictures import Video
from emer_edge.runtime.say import Say

CONNECTIONS: Final = 32
"""More are closed at once."""

VISITORS: Final = 8
"""More get the answer that too many watch."""

_BUFFER_BYTES: Final = 1 << 16  # a visitor that reads nothing is noticed after this much
_BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

POLICY: Final = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""Content Security Policy of every answer: nothing from elsewhere, no inline script or style, in no frame."""

_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
_KINDS: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_REQUEST_S: Final = 15.0  # an idle or dribbling connection is closed after this
_PICTURE_S: Final = 2.0


class PageServer(ThreadingHTTPServer):
    """Binds its address at once; the output calls `serve_forever` and `end`.

    Args:
        address: of the page; port 0 takes a free one.
        token: that visitors must give, or None.
        feeds: stream -> its results, gaze and images; the only stream of a run is under None.
        say: called once when answering fails.

    Attributes:
        write_s: a visitor that takes nothing for so long is dropped.

    Raises:
        ConfigurationError: the address is taken, unknown, or not this machine's.
    """

    write_s = 5.0
    daemon_threads = True
    block_on_close = False
    allow_reuse_port = False  # newer Pythons would share a busy port silently
    request_queue_size = 16

    def __init__(self, address: PageAddress, token: str | None, feeds: Mapping[str | None, Feed], *, say: Say) -> None:
        self.address_family = address.family
        self._feeds, self._say = feeds, say
        self.files = static_files()
        self.visitors = threading.BoundedSemaphore(VISITORS)
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        self._open: set[socket.socket] = set()
        self._failed = False
        try:
            super().__init__((address.host, address.port), PageHandler)
        except OSError as error:
            raise refused_binding(address, error) from None
        self.address = PageAddress(address.host, self.server_port)
        self.access = Access(self.address, token)

    def feed(self, stream: str | None) -> Feed | None:
        """The feed of a stream, the first by default; None where there is no such stream."""
        return next(iter(self._feeds.values())) if stream is None else self._feeds.get(stream)

    def server_bind(self) -> None:
        """Bind without asking the network for this machine's name, which can take long."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a connection's thread, or close it where there are too many."""
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
        """Report our own fault once; visitors that leave or stall are no fault."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError) and not self._failed:
            self._failed = True
            self._say(f"the page could not answer: {type(error).__name__}: {error}")

    def service_actions(self) -> None:
        """Let idle encoders end; called between connections, several times a second."""
        for feed in self._feeds.values():
            feed.video.rest()

    def end(self) -> None:
        """Close every connection and the address."""
        self.server_close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class PageHandler(BaseHTTPRequestHandler):
    """One connection of a browser."""

    protocol_version = "HTTP/1.1"
    timeout = _REQUEST_S

    @property
    def _page(self) -> PageServer:
        return cast(PageServer, self.server)

    def version_string(self) -> str:
        """The server's name alone."""
        return "emer-edge"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name in http.server
        """Log nothing: requests and visitors are not recorded."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a request that http.server itself refuses, such as an unknown method."""
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self._refuse(status, message or status.phrase)

    def do_GET(self) -> None:
        """Answer a request."""
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self._refuse(HTTPStatus.BAD_REQUEST, "a request for this page has no body")
            return
        access = self._page.access
        if not access.named(self.headers):
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "this machine has no such name; use its IP address")
            return
        target = urlsplit(self.path)
        if target.path.lstrip("/") in self._page.files and not target.path.endswith(".html"):
            self._send(HTTPStatus.OK, *self._page.files[target.path.lstrip("/")])
        elif target.path == "/enter" and access.guarded:
            self._enter()
        elif target.path not in ("/", "/events", "/frame"):
            self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")
        elif not access.admits(self.headers):
            self._lock(target.path)
        elif target.path == "/":
            self._send(HTTPStatus.OK, *self._page.files["index.html"])
        else:
            query = parse_qs(target.query)
            feed = self._page.feed(query.get("stream", [None])[0])
            if feed is None:
                self._refuse(HTTPStatus.NOT_FOUND, "this run has no such stream")
            elif target.path == "/events":
                self._events(feed)
            else:
                self._picture(feed.video, query.get("after", ["0"])[0])

    def _enter(self) -> None:
        if self._page.access.knows_token(self.headers):
            self._send(HTTPStatus.NO_CONTENT, more={"Set-Cookie": self._page.access.cookie()})
        else:
            self._lock("/enter")

    def _lock(self, path: str) -> None:
        more = {"WWW-Authenticate": 'Bearer realm="emer-edge"'}
        if path == "/":
            self._send(HTTPStatus.UNAUTHORIZED, *self._page.files["locked.html"], more=more)
        else:
            self._send(HTTPStatus.UNAUTHORIZED, b"the token is missing or wrong\n", "text/plain", more=more)

    def _picture(self, video: Video, number: str) -> None:
        after = int(number) if number.isascii() and number.isdigit() and len(number) < 16 else 0
        picture = video.newest(after, _PICTURE_S)
        if picture is None:
            self._send(HTTPStatus.NO_CONTENT)
        else:
            self.connection.settimeout(self._page.write_s)
            more = {"X-Number": str(picture.number), "X-Face": json.dumps(picture.face)}
            self._send(HTTPStatus.OK, picture.jpeg, "image/jpeg", more)
            self.connection.settimeout(self.timeout)

    def _events(self, feed: Feed) -> None:
        if not self._page.visitors.acquire(blocking=False):
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many watch already")
            return
        cursor = feed.enter()
        try:
            self.close_connection = True
            self.connection.settimeout(self._page.write_s)
            self.send_response(HTTPStatus.OK)
            self._headers({"Content-Type": "text/event-stream; charset=utf-8", "Connection": "close"})
            over = False
            while not over:
                over = feed.closed
                self.wfile.write(feed.next(cursor))
        finally:
            feed.leave()
            self._page.visitors.release()

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.close_connection = True
        more = {"Connection": "close"} | ({"Allow": "GET"} if status is HTTPStatus.METHOD_NOT_ALLOWED else {})
        self._send(status, f"{why}\n".encode(), "text/plain", more=more)

    def _send(
        self, status: HTTPStatus, body: bytes = b"", kind: str = "", more: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        headers = dict(more or {})
        if status is not HTTPStatus.NO_CONTENT:
            headers |= {"Content-Type": kind, "Content-Length": str(len(body))}
        self._headers(headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _headers(self, more: Mapping[str, str]) -> None:
        for name, value in (_HEADERS | dict(more)).items():
            self.send_header(name, value)
        self.end_headers()


def static_files() -> dict[str, tuple[bytes, str]]:
    """File name -> (content, media type) of the package's static files."""
    folder = files("emer_edge.runtime.outputs.page").joinpath("static")
    kinds = {file: _KINDS.get(file.name.rpartition(".")[2]) for file in folder.iterdir()}
    return {file.name: (file.read_bytes(), kind) for file, kind in kinds.items() if kind is not None}
