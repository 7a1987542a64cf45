"""A camera, `ramp://?size=320x240`: grey that grows brighter from image to image."""

import time

import numpy as np

from emer_edge.core.errors import ConfigurationError
from emer_edge.runtime.cameras import CameraDriver, Grab, Grabber, Target


class RampGrabber(Grabber):
    """Lives in the capture process, where it may wait, hang or die: the run goes on and starts another."""

    fps = 50.0

    def __init__(self, address):
        self._width, self._height = address.size_px() or (320, 240)
        self._level = 40

    def read(self, into):
        time.sleep(1 / self.fps)
        self._level = 40 + (self._level - 39) % 200
        image = np.full((self._height, self._width, 3), self._level, np.uint8)
        return Grab(image, time.monotonic_ns(), "capture")

    def close(self):
        pass


def _check(address):
    """Called before a run, and by `--check`, from outside of the capture process."""
    if address.path:
        raise ConfigurationError(f"{address.text}: a ramp has no path; write ramp://?size=320x240")
    address.size_px()
    return Target(address.text)


RAMP = CameraDriver(
    name="ramp",
    help="grey that grows brighter",
    example="ramp://?size=320x240",
    parameters={"size": "320x240 by default"},
    schemes=("ramp",),
    check=_check,
    grab=RampGrabber,
)
