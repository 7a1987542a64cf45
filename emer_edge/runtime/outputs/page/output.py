"""The page as an output of a run: `--serve`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from time import monotonic, sleep
from typing import Final

from emer_edge.bundle import Manifest
from emer_edge.runtime.encoding import Encoder
from emer_edge.runtime.outputs.of_stream import Run, streams_of
from emer_edge.runtime.outputs.page.address import page_address
from emer_edge.runtime.outputs.page.channel import Channel
from emer_edge.runtime.outputs.page.feed import Feed
from emer_edge.runtime.outputs.page.server import PageServer
from emer_edge.runtime.outputs.page.video import Video
from emer_edge.runtime.pipeline import Summary
from emer_edge.runtime.say import Say, say_to_log
from emer_edge.spec.results import Result
from emer_edge.spec.samples import Display

__all__ = ["Page", "serve_page"]

_POLL_S: Final = 0.2
_GOODBYE_S: Final = 1.0


class Page:
    """Serves a web page that shows the run; each of its channels hears frames and samples as a tap of a stream.

    The address is taken at once, so that a busy port is known before any sensor opens. Everything else happens on
    threads of its own: a run goes on whatever becomes of its page.

    Args:
        manifest: which heads there are.
        address: `[HOST:]PORT`, on loopback where no host is named; port 0 takes a free one.
        token: what visitors must know; needed where others can reach the address.
        displays: stream -> the display that its gaze falls on; a run of one stream has it under None. By default there
            is one stream, with the bundle's training display.
        say: told where the page is, and once when it fails.
        encoder: makes the images; one of its own by default.

    Attributes:
        name: `page`.
        channels: stream -> what visitors of it are shown.

    Raises:
        ConfigurationError: an address that can't be read or taken, a token that is missing or too short.
    """

    name = "page"

    def __init__(
        self,
        manifest: Manifest,
        address: str,
        token: str | None = None,
        displays: Mapping[str | None, Display] | None = None,
        say: Say = say_to_log,
        encoder: Encoder | None = None,
    ) -> None:
        wanted = page_address(address, token)
        self._say = say
        self._encoder = encoder or Encoder(say)
        feeds: dict[str | None, Feed] = {}
        for stream, display in (displays or {None: manifest.display or Display()}).items():
            feeds[stream] = Feed(manifest, display, stream, feeds)
        self.channels = {stream: Channel(feed, Video(self._encoder), say) for stream, feed in feeds.items()}
        self._server = PageServer(wanted, token, self.channels, say)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="emer-edge page", daemon=True
        )
        self._ended = False

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return self._server.address.url

    @property
    def helper_pid(self) -> int | None:
        """See `Helped`."""
        return self._encoder.pid

    @property
    def visitors(self) -> int:
        """How many watch."""
        return sum(each.feed.visitors for each in self.channels.values())

    def begin(self) -> None:
        """Start to answer, and say where."""
        self._thread.start()
        ask = "; add #token= and the token to it" if self._server.access.guarded else ""
        self._say(f"page: {self.url}{ask}")

    def result(self, result: Result) -> bool:
        """Show a result; always True: visitors come and go."""
        self.channels[result.stream].result(result)
        return True

    def end(self, summary: Summary | None) -> None:
        """Say goodbye to the visitors, stop answering, give the address back; may be called twice."""
        if self._ended:
            return
        self._ended = True
        for each in self.channels.values():
            each.close()
        if self._thread.is_alive():
            deadline_s = monotonic() + _GOODBYE_S
            while self.visitors and monotonic() < deadline_s:
                sleep(0.01)
            self._server.shutdown()
            self._thread.join(_GOODBYE_S)
        self._server.end()


def serve_page(
    run: Run, address: str, token: str | None = None, say: Say = say_to_log, encoder: Encoder | None = None
) -> Page:
    """Make the page of a run that is not open yet; arguments and errors are those of `Page`."""
    streams = streams_of(run)
    displays = {name: each.display for name, each in streams.items()}
    page = Page(run.bundle.manifest, address, token, displays, say, encoder)
    for name, stream in streams.items():
        stream.tap(page.channels[name])
    return page
