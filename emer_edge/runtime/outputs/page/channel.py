"""One stream on the page: what its visitors hear and see, fed as a tap of the stream."""

from __future__ import annotations

from collections.abc import Callable

from emer_edge.runtime.faces import Look
from emer_edge.runtime.outputs.page.feed import Feed
from emer_edge.runtime.outputs.page.video import Video
from emer_edge.runtime.say import Say
from emer_edge.spec.results import Result
from emer_edge.spec.samples import Frame, TrackerSample

__all__ = ["Channel"]


class Channel:
    """Feeds a stream's events and images; whatever fails in it, the run goes on.

    Args:
        feed: results and gaze.
        video: images.
        say: told once when it fails.

    Attributes:
        feed, video: as above.
    """

    def __init__(self, feed: Feed, video: Video, say: Say) -> None:
        self.feed, self.video, self._say = feed, video, say
        self._failed = False

    def result(self, result: Result) -> None:
        """Show a result."""
        self._safely(lambda: self.feed.result(result))

    def on_origin(self, origin_ns: int) -> None:
        """Nothing to do."""

    def on_frame(self, frame: Frame, look: Look | None, taken_ns: int) -> None:
        """Count a frame, and keep it while somebody watches."""
        self._safely(lambda: self._seen(frame, look))

    def on_sample(self, sample: TrackerSample, taken_ns: int) -> None:
        """Count a sample, and keep where it looks while somebody watches."""
        self._safely(lambda: self.feed.sample(sample))

    def on_step(self, result: Result) -> None:
        """Nothing to do: results come by `result`."""

    def close(self) -> None:
        """Say goodbye to the visitors, and forget the image."""
        self.feed.close()
        self.video.close()

    def _seen(self, frame: Frame, look: Look | None) -> None:
        self.feed.frame(frame, look)
        self.video.offer(frame, look)

    def _safely(self, work: Callable[[], None]) -> None:
        """Do the page's part of a run's work; after a fault the page stands still, and the run goes on."""
        if self._failed:
            return
        try:
            work()
        except Exception as error:  # the page's own fault, whatever it is
            self._failed = True
            self._say(f"the page stands still, the run goes on: {type(error).__name__}: {error}")
