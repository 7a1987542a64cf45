"""Which driver opens which camera source. A new driver is one module and one line in `CAMERAS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from emer_edge.errors import CameraError
from emer_edge.runtime.cameras import csi, folder, gstreamer, network, pipe, synthetic, v4l2, video
from emer_edge.runtime.cameras.base import Camera, check_pace
from emer_edge.runtime.cameras.grabber import Grabber
from emer_edge.runtime.cameras.live import LiveCapture, Target
from emer_edge.runtime.cameras.source import CameraSource, parse_camera
from emer_edge.runtime.say import Say, say_to_log

__all__ = ["CAMERAS", "CameraDriver", "check_camera", "grabber_for", "open_camera"]


@dataclass(frozen=True)
class CameraDriver:
    """One way to get frames.

    Attributes:
        name: short name.
        example: a source that it opens, for messages.
        claims: whether this driver is the one for a source.
        grab: live drivers: opens the source inside the capture process.
        check: live drivers: raises CameraError or ConfigurationError where a look from outside tells that the source
            can't be opened; returns where the capture process finds it.
        play: drivers of files: opens the source; takes the pace and the start time.
    """

    name: str
    example: str
    claims: Callable[[CameraSource], bool]
    grab: Callable[[CameraSource], Grabber] | None = None
    check: Callable[[CameraSource], Target] | None = None
    play: Callable[[CameraSource, str, int | None], Camera] | None = None


def _claims_recording(source: CameraSource) -> bool:
    from emer_edge.runtime.cameras import mcap  # brings the faces' room along: the capture process must not carry it

    return mcap.claims(source)


def _open_recording(source: CameraSource, pace: str, start_ns: int | None) -> Camera:
    from emer_edge.runtime.cameras import mcap

    return mcap.open_recorded(source, pace, start_ns)


CAMERAS: Final = (
    CameraDriver("v4l2", "0 or /dev/video0?size=640x480&rate=30", v4l2.claims, v4l2.grab, v4l2.check),
    CameraDriver("csi", "csi://0", csi.claims, csi.grab, csi.check),
    CameraDriver("network", "rtsp://host/path or http://host/stream", network.claims, network.grab, network.check),
    CameraDriver("gstreamer", "gst://PIPELINE", gstreamer.claims, gstreamer.grab, gstreamer.check),
    CameraDriver("synthetic", "synthetic://?fps=30&seed=0", synthetic.claims, synthetic.grab, synthetic.check),
    CameraDriver("pipe", "a named pipe", pipe.claims, pipe.grab, pipe.check),
    CameraDriver("folder", "a folder of images", folder.claims, play=folder.open_folder),
    CameraDriver("recording", "run.mcap", _claims_recording, play=_open_recording),
    CameraDriver("video", "talk.mp4", video.claims, play=video.open_video),
)


def open_camera(
    source: str, pace: str = "real", start_ns: int | None = None, say: Say = say_to_log, originals: bool = False
) -> Camera:
    """Open a camera or a video.

    Args:
        source: index (`0`), device path, address (`csi://0`, `rtsp://...`), video file or folder of images.
        pace: files only: `real` plays it as a camera would deliver it, `fast` never sleeps and loses no frame.
        start_ns: files only: host time of the video's time 0; None: the first read with pace `real`, 0 with `fast`.
        say: live cameras only: told in a sentence when the camera is lost and when it is back.
        originals: live cameras only: whether frames bring along the JPEGs of a camera that sends such.

    Raises:
        CameraError: it does not exist, can't be opened, or is no video.
        ConfigurationError: another pace, or parameters that make no sense.
        MissingExtraError: OpenCV is not installed.
    """
    check_pace(pace)
    parsed = parse_camera(source)
    driver = _driver_for(parsed)
    if driver.play is not None:
        return driver.play(parsed, pace, start_ns)
    assert driver.check is not None
    return LiveCapture(parsed, say, driver.check(parsed), originals=originals)


def check_camera(source: str, pace: str = "real") -> bool:
    """Raise what `open_camera` would, as far as a look tells; say whether the camera is live.

    A video is opened and closed again; no live camera is.
    """
    check_pace(pace)
    parsed = parse_camera(source)
    driver = _driver_for(parsed)
    if driver.play is not None:
        driver.play(parsed, pace, None).close()
        return False
    assert driver.check is not None
    driver.check(parsed)
    return True


def grabber_for(source: CameraSource) -> Grabber:
    """Open a live source inside the capture process; raise CameraError where it can't be."""
    driver = _driver_for(source)
    if driver.grab is None:
        raise CameraError(f"{source.name} is no live camera")
    return driver.grab(source)


def _driver_for(source: CameraSource) -> CameraDriver:
    for driver in CAMERAS:
        if driver.claims(source):
            return driver
    known = "; ".join(f"{each.name}: {each.example}" for each in CAMERAS)
    raise CameraError(f"no camera driver knows {source.name!r}; sources look like {known}")
