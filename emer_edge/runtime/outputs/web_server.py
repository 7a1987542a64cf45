"""The HTTP server under the page and the metrics: one thread a connection, and bounds for strangers.

Strangers, who have not proved that they may read, share half of the connections. They are not refused: the oldest makes
room, of the address that has the most. So neither slow nor many connections keep out one whose request comes at once.
"""

from __future__ import annotations

import contextlib
import ipaddress
import math
import select
import socket
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from time import monotonic, sleep
from typing import Any, Final, cast
from urllib.parse import SplitResult, urlsplit

from emer_edge.runtime.outputs.pace import Pace
from emer_edge.runtime.outputs.web_access import Access, PageAddress, refused_binding
from emer_edge.runtime.say import Say

CONNECTIONS, STRANGERS, STRANGERS_OF_AN_ADDRESS = 128, 64, 32
"""Most at once: in all; of visitors who have not proved that they may read; of these, of one IPv4 address or /64."""

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
_BUFFER_BYTES: Final = 1 << 16  # a visitor that reads nothing is noticed after this much
_TURN_S: Final = 0.002  # so that those who have just come get their turn before they are displaced
_BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class WebServer(ThreadingHTTPServer):
    """Binds its address at once (ConfigurationError where it can't); its owner calls `serve_forever` and `end`.

    Args:
        flag: of the command line, for messages.
        address: port 0 takes a free one.
        token: that visitors must give, or None.
        pace: of the run's results.
        say: called once when answering fails.

    Attributes:
        handler: answers on a connection.
        pace: as above.
        address: with its real port.
        access: decides who may read.
        head_s: a request whose head is not whole after so long is dropped; so is a connection without one.
        write_s: a visitor that takes nothing for so long is dropped.
        wrong_s: a wrong token is answered so late; the right one at once.
    """

    handler: type[WebHandler]
    head_s = 5.0
    write_s = 5.0
    wrong_s = 1.0
    daemon_threads = True
    block_on_close = False
    allow_reuse_port = False  # newer Pythons would share a busy port silently
    request_queue_size = 128

    def __init__(self, flag: str, address: PageAddress, token: str | None, *, pace: Pace, say: Say) -> None:
        self.address_family, self.pace, self._say = address.family, pace, say
        self._strangers: dict[socket.socket, str] = {}  # connection -> whose; the oldest first
        self._proved: set[socket.socket] = set()
        self._due_s: dict[socket.socket, float] = {}  # connection -> when the head of its next request is to be whole
        self._counting = threading.Lock()
        self._failed = False
        try:
            super().__init__((address.host, address.port), self.handler)
        except OSError as error:
            raise refused_binding(address, error, flag) from None
        self.address = PageAddress(address.host, self.server_port)
        self.access = Access(self.address, token)

    def server_bind(self) -> None:
        """Bind without asking the network for this machine's name, which can take long."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)  # its connections inherit that
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Count a connection, in the place of a stranger's where there are too many; whether there is room."""
        whose = _network(client_address[0])
        with self._counting:
            displaced = self._displaced(whose)
            self._strangers.pop(displaced, None)
            full = len(self._strangers) + len(self._proved) >= CONNECTIONS
            if not full:
                self._strangers[request] = whose
        if displaced is not None:
            _shut(displaced)
            sleep(_TURN_S)
        if full:
            with contextlib.suppress(OSError):
                request.send(_BUSY)
        return not full

    def _displaced(self, whose: str) -> Any:
        """The stranger that makes room for another of an address; None where there is room, or nobody to displace."""
        counts = Counter(self._strangers.values())
        if counts[whose] < STRANGERS_OF_AN_ADDRESS:
            if len(self._strangers) < STRANGERS and len(self._strangers) + len(self._proved) < CONNECTIONS:
                return None
            whose = max(counts, key=counts.__getitem__, default="")
        return next((request for request, other in self._strangers.items() if other == whose), None)

    def expect(self, request: socket.socket, is_due: bool = True) -> None:
        """A connection is to send a whole head in time, or nothing for now."""
        self._due_s[request] = monotonic() + (self.head_s if is_due else math.inf)

    def service_actions(self) -> None:
        """Close connections that are overdue; called between connections, several times a second."""
        for request, due_s in list(self._due_s.items()):
            if due_s < monotonic():
                _shut(request)

    def prove(self, request: socket.socket) -> None:
        """A connection's visitor may read."""
        self.expect(request, False)
        with self._counting:
            if self._strangers.pop(request, None) is not None:
                self._proved.add(request)

    def close_request(self, request: Any) -> None:
        """Forget a connection, and close it."""
        with self._counting:
            self._strangers.pop(request, None)
            self._proved.discard(request)
            self._due_s.pop(request, None)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report our own fault once; visitors that leave or stall are no fault."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError) and not self._failed:
            self._failed = True
            self._say(f"the web server could not answer: {type(error).__name__}: {error}")

    def end(self) -> None:
        """Close every connection and the address."""
        self.server_close()
        with self._counting:
            still_open = [*self._strangers, *self._proved]
        for connection in still_open:
            _shut(connection)


class WebHandler(BaseHTTPRequestHandler):
    """One connection; subclasses override `answer`."""

    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # of a request without one: 0.9 would get an answer without a status
    server_version, sys_version = "emer-edge", ""
    _refused = False

    @property
    def _web(self) -> WebServer:
        return cast(WebServer, self.server)

    def answer(self, target: SplitResult) -> None:
        """Answer a GET that is well formed, names this machine, and comes from no other site."""
        raise NotImplementedError

    def send_response_only(self, code: int, message: str | None = None) -> None:
        """Send the status; to a request that names HTTP/0.9, too."""
        if self.request_version == "HTTP/0.9":
            self.request_version = self.default_request_version
        super().send_response_only(code, message)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name in http.server
        """Log nothing: requests and visitors are not recorded."""

    def handle_one_request(self) -> None:
        """Take a request, whose whole head must come in time."""
        self._web.expect(self.connection)
        super().handle_one_request()

    def finish(self) -> None:
        """Take what a refused visitor still sends: closed before that, the kernel would take the answer back."""
        with contextlib.suppress(OSError):
            if self._refused:
                self._web.expect(self.connection)
                self.connection.shutdown(socket.SHUT_WR)
                while self.connection.recv(_BUFFER_BYTES):
                    pass
        super().finish()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a request that http.server itself refuses, such as an unknown method."""
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self.refuse(status, message or status.phrase)

    def do_GET(self) -> None:
        """Check a request, and answer it."""
        target = self.checked(0)
        if target is None:
            return
        if target.path == "/healthz":  # without a token: it says no more than that a run is on
            trouble = self._web.pace.trouble()
            status = HTTPStatus.SERVICE_UNAVAILABLE if trouble else HTTPStatus.OK
            self.send(status, f"{trouble or 'results come at their pace'}\n".encode(), "text/plain")
        else:
            self.answer(target)

    def checked(self, most_bytes: int) -> SplitResult | None:
        """The target of a request that is well formed, names this machine, and comes from no other site; else None.

        What is wrong has been answered by then. `most_bytes`: of its body.
        """
        access, headers = self._web.access, self.headers
        try:
            target = urlsplit(self.path)
            _ = target.port
        except ValueError:
            target = urlsplit("")
        lengths = headers.get_all("Content-Length") or []
        if target.scheme not in ("", "http", "https") or not target.path.startswith("/"):
            self.refuse(HTTPStatus.BAD_REQUEST, "this is no address of a page")
        elif any(not _small(length, most_bytes) for length in lengths) or "Transfer-Encoding" in headers:
            self.refuse(HTTPStatus.BAD_REQUEST, f"a request like this has a body of {most_bytes} bytes at most")
        elif not access.named(headers) or (target.netloc and not access.is_ours(target.netloc)):
            self.refuse(HTTPStatus.MISDIRECTED_REQUEST, "this machine has no such name; use its IP address")
        elif access.foreign(headers):
            self.refuse(HTTPStatus.FORBIDDEN, "another site asks for this page; open it by its address")
        else:
            return target
        return None

    def admitted(self) -> bool:
        """Whether the visitor may read; the connection is a known visitor's from then on."""
        admitted = self._web.access.admits(self.headers)
        if admitted:
            self._web.prove(self.connection)
        return admitted

    def lock(self, page: tuple[bytes, str] = (b"the token is missing or wrong\n", "text/plain")) -> None:
        """Tell a visitor to give the token; late, where it was wrong; ConnectionAbortedError where he left by then."""
        more = {"WWW-Authenticate": 'Bearer realm="emer-edge"'}
        if self.headers.get("Authorization"):
            left = select.poll()
            left.register(self.connection, select.POLLRDHUP)
            if left.poll(self._web.wrong_s * 1e3):
                raise ConnectionAbortedError
            self.close_connection = True
            more["Connection"] = "close"
        self.send(HTTPStatus.UNAUTHORIZED, *page, more=more)

    def refuse(self, status: HTTPStatus, why: str) -> None:
        """Answer with a status and a reason, and close the connection."""
        self.close_connection = self._refused = True
        more = {"Connection": "close"} | ({"Allow": "GET"} if status is HTTPStatus.METHOD_NOT_ALLOWED else {})
        self.send(status, f"{why}\n".encode(), "text/plain", more=more)

    def send(
        self, status: HTTPStatus, body: bytes = b"", kind: str = "", more: Mapping[str, str] | None = None
    ) -> None:
        """Send a whole answer."""
        headers = dict(more or {})
        if status is not HTTPStatus.NO_CONTENT:
            headers |= {"Content-Type": kind, "Content-Length": str(len(body))}
        self.begin(status, headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def begin(self, status: HTTPStatus, more: Mapping[str, str]) -> None:
        """Send the head of an answer."""
        self._web.expect(self.connection, False)
        self.connection.settimeout(self._web.write_s)
        self.send_response(status)
        for name, value in (_HEADERS | dict(more)).items():
            self.send_header(name, value)
        self.end_headers()


def _network(address: str) -> str:
    """Whose connection it is: an IPv4 address, or the 64 bits of an IPv6 network."""
    number = ipaddress.ip_address(address.partition("%")[0])
    number = getattr(number, "ipv4_mapped", None) or number
    return str(ipaddress.ip_network(f"{number}/{32 if number.version == 4 else 64}", strict=False))


def _small(length: str, most_bytes: int) -> bool:
    """Whether a `Content-Length` is a plain number, and no more than that."""
    return length.strip().isascii() and length.strip().isdigit() and int(length.strip()[:9]) <= most_bytes


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
