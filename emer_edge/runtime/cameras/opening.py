"""Opens and checks cameras by their address: live ones in a capture process, recordings and videos in this one."""

from __future__ import annotations

from emer_edge.core.secrets import named
from emer_edge.runtime.cameras.base import Camera, check_pace
from emer_edge.runtime.cameras.live_camera import LiveCapture
from emer_edge.runtime.cameras.registry import find_camera
from emer_edge.runtime.say import Say, say_to_log


def open_camera(source: str, pace: str = "real", start_ns: int | None = None, say: Say = say_to_log) -> Camera:
    """Open a camera or a video.

    Args:
        source: an address that one of `cameras()` knows: an index (`0`), a device path, `csi://0`, `rtsp://...`, a
            video file, a folder of images ...
        pace: files only: `real` plays it as a camera would deliver it, `fast` never sleeps and loses no frame.
        start_ns: files only: host time of the video's time 0; None: the first read with pace `real`, 0 with `fast`.
        say: live cameras only: takes a sentence when the camera is lost and when it is back.

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
    return LiveCapture(address, driver.check(address), say)


def check_camera(source: str, pace: str = "real") -> bool:
    """Raise what `open_camera` would, without opening live cameras; return whether the camera is live.

    A video is opened and closed again.
    """
    check_pace(pace)
    driver, address = find_camera(source)
    if driver.play is not None:
        driver.play(address, pace, None).close()
        return False
    assert driver.check is not None
    driver.check(address)
    named(address.text)
    return True
