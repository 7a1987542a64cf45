"""How a run's two sources belong together: their times, and whether one recording holds both."""

from __future__ import annotations

from collections.abc import Iterator

from emer_edge.runtime.cameras import Camera
from emer_edge.runtime.cameras.mcap import RecordedCamera
from emer_edge.runtime.recording.reader import recorded_steps_ns
from emer_edge.runtime.trackers import Tracker
from emer_edge.runtime.trackers.mcap import RecordedTracker

__all__ = ["recorded_steps", "synchrony_notes"]


def synchrony_notes(camera: Camera, tracker: Tracker) -> tuple[str, ...]:
    """What a reader should know about how the two sources' times relate."""
    if camera.live != tracker.live:
        live, played = ("camera", "tracker") if camera.live else ("tracker", "video")
        return (f"unsynchronised: the {live} is live, the {played} is a file played beside it",)
    if not tracker.synchronised:
        return ("unsynchronised: nobody has said how the video's and the tracker's times relate; use --offset-ms",)
    return ()


def recorded_steps(camera: Camera, tracker: Tracker, hop_ns: int) -> Iterator[int] | None:
    """Ends of the windows of a recording that both sources play, or None: they play none, or one with other hops."""
    if not isinstance(camera, RecordedCamera) or not isinstance(tracker, RecordedTracker):
        return None
    if not camera.recording.samefile(tracker.recording) or camera.head.hop_ns != hop_ns:
        return None
    return recorded_steps_ns(camera.recording, camera.head.origin_ns)
