"""Cameras on a Jetson's CSI connectors (`csi://0`), read by NVIDIA's nvarguscamerasrc through GStreamer."""

from __future__ import annotations

from emer_edge.data.images import import_cv2
from emer_edge.errors import CameraError, ConfigurationError
from emer_edge.runtime.cameras.grabber import Grabber
from emer_edge.runtime.cameras.gstreamer import check_gstreamer, grab_pipeline, has_element
from emer_edge.runtime.cameras.live import Target
from emer_edge.runtime.cameras.source import CameraSource

__all__ = ["check", "claims", "elements", "grab"]

_SIZE_PX = (1280, 720)
_RATE_HZ = 30.0


def claims(source: CameraSource) -> bool:
    """Whether the source is a CSI sensor."""
    return source.scheme == "csi"


def elements(source: CameraSource) -> str:
    """The elements that make a sensor's images.

    Parameters: `size` (1280x720) and `rate` in Hz (30), one of the sensor's modes.

    Raises:
        ConfigurationError: no sensor number, or parameters that make no sense.
    """
    source.allow("size", "rate")
    if not (source.path.isascii() and source.path.isdigit()):
        raise ConfigurationError(f"{source.text}: a CSI camera is written with its sensor's number, as csi://0")
    width, height = source.size_px() or _SIZE_PX
    rate_hz = source.number("rate", 1, 240) or _RATE_HZ
    return (
        f"nvarguscamerasrc sensor-id={int(source.path)} ! "
        f"video/x-raw(memory:NVMM),width={width},height={height},framerate={round(rate_hz)}/1 ! "
        "nvvidconv ! video/x-raw,format=BGRx"
    )


def check(source: CameraSource) -> Target:
    """See `CameraDriver.check`."""
    elements(source)
    import_cv2()
    check_gstreamer(source.text)
    if has_element("nvarguscamerasrc") is False:
        raise CameraError(
            f"{source.text} needs NVIDIA's nvarguscamerasrc, which this machine's GStreamer lacks: CSI cameras work "
            "on a Jetson with JetPack's packages (sudo apt install nvidia-l4t-gstreamer); a USB camera is --camera 0"
        )
    return Target(source.text)


def grab(source: CameraSource) -> Grabber:
    """See `CameraDriver.grab`."""
    return grab_pipeline(source.name, elements(source))
