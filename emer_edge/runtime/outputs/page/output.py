"""`--serve 8080` or `http://127.0.0.1:8080`: a web page that shows the run."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic, sleep
from typing import Final

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.results import Result
from emer_edge.runtime.options import Source
from emer_edge.runtime.outputs.base import Host, Output, target_of
from emer_edge.runtime.outputs.pace import Pace
from emer_edge.runtime.outputs.page import events
from emer_edge.runtime.outputs.page.browser_link import BrowserLink
from emer_edge.runtime.outputs.page.feed import Feed
from emer_edge.runtime.outputs.page.on_request import OnRequest
from emer_edge.runtime.outputs.page.pictures import Video
from emer_edge.runtime.outputs.page.server import PageServer
from emer_edge.runtime.outputs.web_access import page_address
from emer_edge.runtime.pipeline import Pipeline, Summary

TOKEN_VARIABLE: Final = "EMER_EDGE_SERVE_TOKEN"
"""Environment variable of the token."""

_TOKEN_BYTES: Final = 16
_POLL_S: Final = 0.2
_GOODBYE_S: Final = 1.0


@dataclass(frozen=True)
class PageOptions:
    """Where a page is served.

    Attributes:
        address: `[HOST:]PORT`, on loopback without a host; port 0 takes a free one.
        token: that visitors must give; needed where others can reach the address, else one is made for each run.
        open_to_all: no token; refused where others can reach the address.
        shown: open it in the user's browser.
    """

    address: str
    token: str | None = None
    open_to_all: bool = False
    shown: bool = False


class Page(Output):
    """Serves a web page that shows the run; each of its feeds takes frames and samples of a stream.

    The address is bound at once, so that a busy port is known before any sensor opens. Everything else happens on
    threads of its own: a failure of the page does not stop the run.

    Attributes:
        feeds: stream -> its data for visitors.
        server: answers the visitors.

    Raises:
        ConfigurationError: an address that can't be bound.
    """

    name = "page"

    def __init__(self, options: PageOptions, host: Host) -> None:
        self._say = host.say
        self.feeds: dict[str | None, Feed] = {}
        pace = Pace(host.pipeline.bundle.manifest.window.hop_ns)
        for name, stream in host.pipeline.streams.items():
            self.feeds[name] = Feed(stream, self.feeds, Video(), pace)
        if not options.open_to_all and host.pipeline.machine.pace == "real":
            self._give_controls(host)
        where = page_address(options.address, options.token, options.open_to_all)
        self._made = None if options.token or options.open_to_all else secrets.token_urlsafe(_TOKEN_BYTES)
        server = self.server = PageServer(where, options.token or self._made, self.feeds, pace=pace, say=host.say)
        self._thread = threading.Thread(
            target=server.serve_forever, args=(_POLL_S,), name="emer-edge page", daemon=True
        )
        self._ended = False
        self._link = BrowserLink() if options.shown else None

    def _give_controls(self, host: Host) -> None:
        """Let visitors set markers, in all streams, and record the stream that they see where the run has a folder."""
        recorders = {output.stream: output for output in host.outputs if isinstance(output, OnRequest)}
        for name, feed in self.feeds.items():
            feed.controls["marker"] = partial(_mark, host.pipeline)
            if (recorder := recorders.get(name)) is not None:
                feed.recorder, feed.controls["record"] = recorder, partial(_record, recorder)

    @classmethod
    def parse(cls, address: str) -> PageOptions:
        """The options of `http://HOST:PORT`; the token comes from the environment."""
        where = target_of(address)[0].rstrip("/")
        if "@" in where:
            raise ConfigurationError(f"a page's address holds no password: put the token into {TOKEN_VARIABLE}")
        return PageOptions(where, os.environ.get(TOKEN_VARIABLE) or None)

    @classmethod
    def settle(cls, options: PageOptions, sources: Sequence[Source]) -> Sequence[PageOptions]:
        """Check address and token, as `page_address`."""
        page_address(options.address, options.token, options.open_to_all)
        return [options]

    @property
    def url(self) -> str:
        """The address for a browser, with the token where this run has made it."""
        return self.server.address.url + ("" if self._made is None else f"#token={self._made}")

    @property
    def visitors(self) -> int:
        """How many watch."""
        return sum(feed.visitors for feed in self.feeds.values())

    def part(self, stream: str | None) -> Output:
        """The feed of a stream."""
        return self.feeds[stream]

    def begin(self) -> None:
        """Start to answer, and print the address: with a token that this run has made, without one that was given."""
        self._thread.start()
        hint = "; add #token= and the token to it" if self.server.access.guarded and not self._made else ""
        self._say(f"page: {self.url}{hint}")
        if self._link is not None and (problem := self._link.open(self.url)):
            self._say(f"--open: {problem}; open the address above yourself")

    def result(self, result: Result) -> bool:
        """Show a result of any stream."""
        return self.feeds[result.stream].result(result)

    def end(self, summary: Summary | None) -> None:
        """End the visitors' streams, stop answering, free the address; may be called twice."""
        if self._ended:
            return
        self._ended = True
        if self._link is not None:
            self._link.remove()
        for feed in self.feeds.values():
            feed.close()
        if self._thread.is_alive():
            deadline_s = monotonic() + _GOODBYE_S
            while self.visitors and monotonic() < deadline_s:
                sleep(0.01)
            self.server.shutdown()
            self._thread.join(_GOODBYE_S)
        self.server.end()


def _mark(pipeline: Pipeline, asked: events.Asked) -> None:
    pipeline.markers.add(asked["label"] or "", "page")


def _record(recorder: OnRequest, asked: events.Asked) -> None:
    if (consent_id := asked["consent_id"]) is None:
        recorder.stop()
    else:
        recorder.start(consent_id)
