"""The page's HTTP server: files of the package, events, images, and what visitors ask of the run."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http import HTTPStatus
from importlib.resources import files
from typing import Final, cast
from urllib.parse import SplitResult, parse_qs

import msgspec

from emer_edge.core.errors import EmerEdgeError
from emer_edge.runtime.outputs.pace import Pace
from emer_edge.runtime.outputs.page.events import Asked
from emer_edge.runtime.outputs.page.feed import Feed
from emer_edge.runtime.outputs.page.pictures import Video
from emer_edge.runtime.outputs.web_access import PageAddress
from emer_edge.runtime.outputs.web_server import WebHandler, WebServer
from emer_edge.runtime.say import Say

VISITORS: Final = 8
"""More get the answer that too many watch."""

_KINDS: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_PICTURE_S: Final = 2.0
_BODY_BYTES: Final = 2048


class PageServer(WebServer):
    """The page's `WebServer`; `feeds`: stream -> its results, gaze and images, the only stream of a run under None."""

    def __init__(
        self, address: PageAddress, token: str | None, feeds: Mapping[str | None, Feed], *, pace: Pace, say: Say
    ) -> None:
        self._feeds = feeds
        self.files = static_files()
        self.visitors = threading.BoundedSemaphore(VISITORS)
        self.handler = PageHandler
        super().__init__("--serve", address, token, pace=pace, say=say)

    def feed(self, stream: str | None) -> Feed | None:
        """The feed of a stream, the first by default; None where there is no such stream."""
        return next(iter(self._feeds.values())) if stream is None else self._feeds.get(stream)


class PageHandler(WebHandler):
    """One connection of a browser."""

    @property
    def _page(self) -> PageServer:
        return cast(PageServer, self.server)

    def answer(self, target: SplitResult) -> None:
        """Answer with a file, the page, events or an image."""
        name, access = target.path[1:], self._page.access
        admitted = self.admitted()
        if name in self._page.files and not name.endswith(".html"):
            self.send(HTTPStatus.OK, *self._page.files[name])
        elif target.path not in ("/", "/events", "/frame", *(["/enter"] if access.guarded else [])):
            self.refuse(HTTPStatus.NOT_FOUND, "there is nothing here")
        elif target.path == "/enter" and access.knows_token(self.headers):
            self.send(HTTPStatus.NO_CONTENT, more={"Set-Cookie": access.cookie()})
        elif target.path == "/" and not admitted:
            self.lock(self._page.files["locked.html"])
        elif target.path == "/enter" or not admitted:
            self.lock()
        elif target.path == "/":
            self.send(HTTPStatus.OK, *self._page.files["index.html"])
        else:
            query = parse_qs(target.query)
            feed = self._page.feed(query.get("stream", [None])[0])
            if feed is None:
                self.refuse(HTTPStatus.NOT_FOUND, "this run has no such stream")
            elif target.path == "/events":
                self._events(feed)
            else:
                self._picture(feed.video, query.get("after", ["0"])[0])

    def do_POST(self) -> None:  # noqa: N802  its name in http.server
        """Do what a visitor asks: `/marker` with `{"label": TEXT}`, `/record` with `{"consent_id": TEXT or null}`."""
        target = self.checked(_BODY_BYTES)
        if target is None:
            return
        feed = self._page.feed(parse_qs(target.query).get("stream", [None])[0])
        control = target.path[1:]
        if control not in ("marker", "record"):
            self.refuse(HTTPStatus.METHOD_NOT_ALLOWED, "this can be read, not changed")
        elif not self.admitted():
            self.lock()
        elif feed is None or control not in feed.controls:
            self.refuse(HTTPStatus.NOT_FOUND, "this run lets no visitor do that")
        else:
            self._web.expect(self.connection)
            try:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                feed.controls[control](msgspec.json.decode(body, type=Asked))
            except (EmerEdgeError, KeyError, ValueError, msgspec.DecodeError) as error:
                why = str(error) if isinstance(error, EmerEdgeError) else f"/{control} takes other JSON than this"
                self.refuse(HTTPStatus.BAD_REQUEST, why)
            else:
                self.send(HTTPStatus.NO_CONTENT)

    def _picture(self, video: Video, number: str) -> None:
        after = int(number) if number.isascii() and number.isdigit() and len(number) < 16 else 0
        picture = video.newest(after, _PICTURE_S)
        if picture is None:
            self.send(HTTPStatus.NO_CONTENT)
        else:
            more = {"X-Number": str(picture.number), "X-Face": json.dumps(picture.face)}
            self.send(HTTPStatus.OK, picture.jpeg, "image/jpeg", more)

    def _events(self, feed: Feed) -> None:
        if not self._page.visitors.acquire(blocking=False):
            self.refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many watch already")
            return
        cursor = feed.enter()
        try:
            self.close_connection = True
            self.begin(HTTPStatus.OK, {"Content-Type": "text/event-stream; charset=utf-8", "Connection": "close"})
            over = False
            while not over:
                over = feed.closed
                self.wfile.write(feed.next(cursor))
        finally:
            feed.leave()
            self._page.visitors.release()


def static_files() -> dict[str, tuple[bytes, str]]:
    """File name -> (content, media type) of the package's static files."""
    folder = files("emer_edge.runtime.outputs.page").joinpath("static")
    kinds = {file: _KINDS.get(file.name.rpartition(".")[2]) for file in folder.iterdir()}
    return {file.name: (file.read_bytes(), kind) for file, kind in kinds.items() if kind is not None}
