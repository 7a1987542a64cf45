"""Which driver opens which camera. A new driver is one module and one line in `CAMERAS`.

Other packages add drivers (`CameraDriver`) by entry points of the group `emer_edge.cameras`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from emer_edge.errors import CameraError
from emer_edge.plugins import with_plugins
from emer_edge.runtime.address import Address
from emer_edge.runtime.cameras.base import Camera, check_pace
from emer_edge.runtime.cameras.grabber import CameraDriver, Grabber
from emer_edge.runtime.cameras.gstreamer import CSI, GSTREAMER
from emer_edge.runtime.cameras.live import LiveCapture
from emer_edge.runtime.cameras.network import NETWORK, PIPE
from emer_edge.runtime.cameras.synthetic import SYNTHETIC
from emer_edge.runtime.cameras.v4l2 import V4L2
from emer_edge.runtime.cameras.video import FOLDER, VIDEO
from emer_edge.runtime.drivers import find_driver
from emer_edge.runtime.say import Say, say_to_log

__all__ = ["CAMERAS", "cameras", "check_camera", "find_camera", "grabber_for", "open_camera"]


# What plays recordings brings the faces' room along: the capture process must not carry it.


def _is_recording(address: Address) -> bool:
    from emer_edge.runtime.recording.mcap_reader import is_mcap

    return is_mcap(Path(address.path))


def _open_recording(address: Address, pace: str, start_ns: int | None) -> Camera:
    from emer_edge.runtime.cameras.mcap import open_recorded

    return open_recorded(address, pace, start_ns)


_RECORDING: Final = CameraDriver(
    name="recording",
    help="the images of a recorded run",
    example="run.mcap",
    claims=_is_recording,
    play=_open_recording,
)

CAMERAS: Final = (V4L2, CSI, NETWORK, GSTREAMER, SYNTHETIC, PIPE, FOLDER, _RECORDING, VIDEO)
"""In the order in which they are asked whether an address is their own."""


def cameras() -> dict[str, CameraDriver]:
    """Name -> driver: ours, and those of other packages."""
    return with_plugins("emer_edge.cameras", CAMERAS, CameraDriver)


def find_camera(source: str) -> tuple[CameraDriver, Address]:
    """The driver of a source, and the source taken apart.

    Raises:
        CameraError: no driver knows it.
        ConfigurationError: it can't be read, or has a parameter that its driver does not know.
    """
    return find_driver(cameras().values(), source, "camera", CameraError)


def open_camera(
    source: str, pace: str = "real", start_ns: int | None = None, say: Say = say_to_log, *, originals: bool = False
) -> Camera:
    """Open a camera or a video.

    Args:
        source: an address that one of `cameras()` knows: an index (`0`), a device path, `csi://0`, `rtsp://...`, a
            video file, a folder of images ...
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
    driver, address = find_camera(source)
    if driver.play is not None:
        return driver.play(address, pace, start_ns)
    assert driver.check is not None
    return LiveCapture(address, driver.check(address), say, originals=originals)


def check_camera(source: str, pace: str = "real") -> bool:
    """Raise what `open_camera` would, as far as a look tells; say whether the camera is live.

    A video is opened and closed again; no live camera is.
    """
    check_pace(pace)
    driver, address = find_camera(source)
    if driver.play is not None:
        driver.play(address, pace, None).close()
        return False
    assert driver.check is not None
    driver.check(address)
    return True


def grabber_for(source: str) -> Grabber:
    """Open a live source inside the capture process; raise CameraError where it can't be."""
    driver, address = find_camera(source)
    if driver.grab is None:
        raise CameraError(f"{address.name} is no live camera")
    return driver.grab(address)
