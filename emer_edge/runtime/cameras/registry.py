"""The camera drivers. A new driver is one module and one line in `CAMERAS`.

Other packages add drivers (`CameraDriver`) by entry points of the group `emer_edge.cameras`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from emer_edge.core.errors import CameraError
from emer_edge.core.packages import with_plugins
from emer_edge.runtime.address import Address
from emer_edge.runtime.cameras.base import Camera
from emer_edge.runtime.cameras.grabber import CameraDriver
from emer_edge.runtime.cameras.gstreamer import CSI, GSTREAMER
from emer_edge.runtime.cameras.network import NETWORK, PIPE
from emer_edge.runtime.cameras.synthetic import SYNTHETIC
from emer_edge.runtime.cameras.v4l2 import V4L2
from emer_edge.runtime.cameras.video import FOLDER, VIDEO
from emer_edge.runtime.capture.grabber import Grabber
from emer_edge.runtime.drivers import find_driver

# Playing recordings imports the faces' room, which the capture process must not carry.


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
"""In the order in which their `claims` are called."""


def cameras() -> dict[str, CameraDriver]:
    """Name -> driver: built-in ones, and those of other packages."""
    return with_plugins("emer_edge.cameras", CAMERAS, CameraDriver)


def find_camera(source: str) -> tuple[CameraDriver, Address]:
    """The driver of a source, and the parsed source.

    Raises:
        CameraError: no driver knows it.
        ConfigurationError: it can't be read, or has a parameter that its driver does not know.
    """
    return find_driver(cameras().values(), source, "camera", CameraError)


def grabber_for(source: str) -> Grabber:
    """Open a live source inside the capture process; raise CameraError where it can't be."""
    driver, address = find_camera(source)
    if driver.grab is None:
        raise CameraError(f"{address.name} is no live camera")
    return driver.grab(address)
