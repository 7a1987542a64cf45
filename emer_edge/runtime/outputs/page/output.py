"""The page as an output of a run: `--serve`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic, sleep
from typing import Final

from emer_edge.bundle import Manifest
from emer_edge.runtime.encoding import Encoder
from emer_edge.runtime.faces import Look
from emer_edge.runtime.outputs.page.address import page_address
from emer_edge.runtime.outputs.page.feed import Feed
from emer_edge.runtime.outputs.page.server import PageServer
from emer_edge.runtime.outputs.page.video import Video
from emer_edge.runtime.pipeline import Pipeline, Summary
from emer_edge.runtime.say import Say, say_to_log
from emer_edge.spec.results import Result
from emer_edge.spec.samples import Display, Frame, TrackerSample

__all__ = ["Page", "serve_page"]

_POLL_S: Final = 0.2
_GOODBYE_S: Final = 1.0


class Page:
    """Serves a web page that shows the run; hears frames and samples as a tap of the pipeline.

    The address is taken at once, so that a busy port is known before any sensor opens. Everything else happens on
    threads of its own: a run goes on whatever becomes of its page.

    Args:
        manifest: which heads there are.
        address: `[HOST:]PORT`, on loopback where no host is named; port 0 takes a free one.
        token: what visitors must know; needed where others can reach the address.
        display: the display that the gaze falls on; the bundle's training display by default.
        say: told where the page is, and once when it fails.
        encoder: makes the images; one of its own by default.

    Raises:
        ConfigurationError: an address that can't be read or taken, a token that is missing or too short.
    """

    name = "page"

    def __init__(
        self,
        manifest: Manifest,
        address: str,
        token: str | None = None,
        display: Display | None = None,
        say: Say = say_to_log,
        encoder: Encoder | None = None,
    ) -> None:
        wanted = page_address(address, token)
        self._say = say
        self._feed = Feed(manifest, display or manifest.display or Display())
        self._encoder = encoder or Encoder(say)
        self._video = Video(self._encoder)
        self._server = PageServer(wanted, token, self._feed, self._video, say)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="emer-edge page", daemon=True
        )
        self._ended = self._failed = False

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return self._server.address.url

    @property
    def helper_pid(self) -> int | None:
        """See `Helped`."""
        return self._encoder.pid

    def begin(self) -> None:
        """Start to answer, and say where."""
        self._thread.start()
        ask = "; add #token= and the token to it" if self._server.access.guarded else ""
        self._say(f"page: {self.url}{ask}")

    def result(self, result: Result) -> bool:
        """Show a result; always True: visitors come and go."""
        self._safely(lambda: self._feed.result(result))
        return True

    def on_origin(self, origin_ns: int) -> None:
        """Nothing to do."""

    def on_frame(self, frame: Frame, look: Look | None, taken_ns: int) -> None:
        """Count a frame, and keep it while somebody watches."""
        self._safely(lambda: self._seen(frame, look))

    def on_sample(self, sample: TrackerSample, taken_ns: int) -> None:
        """Count a sample, and keep where it looks while somebody watches."""
        self._safely(lambda: self._feed.sample(sample))

    def on_step(self, result: Result) -> None:
        """Nothing to do: results come by `result`."""

    def end(self, summary: Summary | None) -> None:
        """Say goodbye to the visitors, stop answering, give the address back; may be called twice."""
        if self._ended:
            return
        self._ended = True
        self._feed.close()
        self._video.close()
        if self._thread.is_alive():
            deadline_s = monotonic() + _GOODBYE_S
            while self._feed.visitors and monotonic() < deadline_s:
                sleep(0.01)
            self._server.shutdown()
            self._thread.join(_GOODBYE_S)
        self._server.end()

    def _seen(self, frame: Frame, look: Look | None) -> None:
        self._feed.frame(frame, look)
        self._video.offer(frame, look)

    def _safely(self, work: Callable[[], None]) -> None:
        """Do the page's part of a run's work; after a fault the page stands still, and the run goes on."""
        if self._failed:
            return
        try:
            work()
        except Exception as error:  # the page's own fault, whatever it is
            self._failed = True
            self._say(f"the page stands still, the run goes on: {type(error).__name__}: {error}")


def serve_page(
    pipeline: Pipeline, address: str, token: str | None = None, say: Say = say_to_log, encoder: Encoder | None = None
) -> Page:
    """Make the page of a pipeline that is not open yet; arguments and errors are those of `Page`."""
    page = Page(pipeline.bundle.manifest, address, token, pipeline.display, say, encoder)
    pipeline.tap(page)
    return page
