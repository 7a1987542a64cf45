"""Cameras behind a GStreamer pipeline, and NVIDIA's elements: CSI sensors and the decoder of a Jetson.

`gst://ELEMENTS` takes the elements that make the images (`v4l2src device=/dev/video0 ! image/jpeg ! jpegdec`); what
turns them into B, G, R and keeps the newest is added. `csi://0`, a camera on a Jetson's CSI connector, is such a
pipeline with nvarguscamerasrc, and `decoder=hardware` of an RTSP camera or a file is one with nvv4l2decoder. The
properties of these elements are those of NVIDIA's Accelerated GStreamer guide (Jetson Linux r36).
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from typing import Any, Final

from emer_edge.core.errors import CameraError, ConfigurationError
from emer_edge.data.images import import_cv2
from emer_edge.runtime.address import Address
from emer_edge.runtime.cameras.grabber import CameraDriver, Target
from emer_edge.runtime.cameras.gst_launch import GstLaunchGrabber, check_gstreamer
from emer_edge.runtime.capture.grabber import Grabber

DECODERS: Final = ("software", "hardware")
"""What decodes a video: this machine's CPU, or a Jetson's decoder."""

ARGUS_SOCKET: Final = "/tmp/argus_socket"
"""Where nvargus-daemon, which owns a Jetson's CSI sensors, is spoken to."""

_CODECS: Final[Mapping[str, str]] = {"h264": "h264", "avc1": "h264", "hevc": "h265", "hvc1": "h265", "hev1": "h265"}
_SENDERS: Final = re.compile(r"\b(rtsp|udp|tcp\w*|souphttp|srt\w*|rtmp\w*|uridecode\w*)(src|bin)\b")
_PACKAGES: Final = "it is in JetPack's packages (on a Jetson: sudo apt install nvidia-l4t-gstreamer); "
_STUCK: Final = (
    "does another program use this sensor? Else nvargus-daemon may be stuck: sudo systemctl restart nvargus-daemon"
)


def _check_pipeline(address: Address) -> Target:
    if not address.path.strip():
        raise ConfigurationError("gst:// needs elements that make images, for example: gst://videotestsrc is-live=true")
    try:
        shlex.split(address.path)
    except ValueError as error:
        raise ConfigurationError(f"{address.text}: can't be read as a pipeline: {error}") from None
    check_gstreamer(address.text)
    return Target(address.text)


def _grab_pipeline(address: Address) -> Grabber:
    clock = "stream" if _SENDERS.search(address.path) else "capture"
    return GstLaunchGrabber(address.name, address.path, clock=clock)


_SIZE_PX: Final = (1280, 720)
_RATE_HZ: Final = 30.0
_FLIPS: Final = 7
_MODES: Final = 64
_LONGEST_MS: Final = 1000.0


def elements(address: Address) -> str:
    """Elements that make a sensor's images.

    Raises:
        ConfigurationError: no sensor number, or parameters that make no sense.
    """
    if not (address.path.isascii() and address.path.isdigit()):
        raise ConfigurationError(f"{address.text}: a CSI camera is written with its sensor's number, as csi://0")
    width, height = address.size_px() or _SIZE_PX
    rate_hz = address.number("rate", 1, 240) or _RATE_HZ
    mode, flip = (address.whole_number(name, most) for name, most in (("mode", _MODES), ("flip", _FLIPS)))
    exposure_ms = address.number("exposure", 0.01, _LONGEST_MS)
    sensor = f"nvarguscamerasrc sensor-id={int(address.path)}"
    if mode is not None:
        sensor += f" sensor-mode={mode}"
    if exposure_ms is not None:
        exposure_ns = round(exposure_ms * 1e6)
        sensor += f' exposuretimerange="{exposure_ns} {exposure_ns}"'
    return (
        f"{sensor} ! video/x-raw(memory:NVMM),width={width},height={height},framerate={round(rate_hz)}/1 ! "
        f"nvvidconv{'' if flip is None else f' flip-method={flip}'} ! video/x-raw,format=BGRx"
    )


def _check_sensor(address: Address) -> Target:
    elements(address)
    import_cv2()
    check_gstreamer(address.text, "nvarguscamerasrc", f"{_PACKAGES}a USB camera is --camera 0")
    if not os.path.exists(ARGUS_SOCKET):
        raise CameraError(
            f"{address.text} needs nvargus-daemon, which does not run: sudo systemctl restart nvargus-daemon; a "
            f"container needs its socket, too: docker run -v {ARGUS_SOCKET}:{ARGUS_SOCKET}"
        )
    return Target(address.text, stuck=_STUCK)


def check_decoder(text: str) -> None:
    """Raise CameraError unless this machine's GStreamer can decode in hardware; `text` is the address."""
    check_gstreamer(text, "nvv4l2decoder", f"{_PACKAGES}without decoder=hardware the CPU decodes")


def grab_decoded(name: str, url: str, capture: Any) -> Grabber:
    """Open an RTSP camera whose video a Jetson's decoder decodes.

    Args:
        name: of the source, for messages.
        url: its address.
        capture: the same, opened as a cv2.VideoCapture, which tells the codec; released here.

    Raises:
        CameraError: it can't be opened, or the decoder does not know its codec.
    """
    codec = _codec(name, capture)
    capture.release()
    source = f"rtspsrc location={_quoted(url)} protocols=tcp latency=0 ! application/x-rtp,media=video"
    return GstLaunchGrabber(name, f"{source} ! rtp{codec}depay ! {_decoded(codec)}", clock="stream")


class DecodedFile:
    """A video file that a Jetson's decoder decodes, with those methods of cv2.VideoCapture that its player calls.

    Args:
        path: of the file.
        capture: the same, opened as a cv2.VideoCapture, which tells codec, rate and count; owned from here on.

    Raises:
        CameraError: GStreamer can't read the file, the file turns its images, or the decoder does not know its codec.
    """

    def __init__(self, path: str, capture: Any) -> None:
        self._capture = capture
        source = f"filesrc location={_quoted(path)} ! parsebin ! {_decoded(_codec(path, capture))}"
        if capture.get(import_cv2().CAP_PROP_ORIENTATION_META):
            raise CameraError(f"{path} is turned, which the decoder does not undo; leave decoder=hardware out")
        self._image: Any = None
        self._grabber = GstLaunchGrabber(path, source, every=True)

    def grab(self) -> bool:
        """Decode the next image; false at the end. Raise CameraError where decoding fails."""
        try:
            self._image = self._grabber.read(None).image
        except CameraError:
            if self._grabber.failed:
                raise
            return False
        return True

    def retrieve(self) -> tuple[bool, Any]:
        """The image that was decoded last."""
        return self._image is not None, self._image

    def read(self) -> tuple[bool, Any]:
        """The next image, or false at the end."""
        return self.retrieve() if self.grab() else (False, None)

    def get(self, what: int) -> float:
        """The newest image's time in the file, in ms; any other property of the file as OpenCV states it."""
        if what == import_cv2().CAP_PROP_POS_MSEC:
            return (self._grabber.media_ns or 0) * 1e-6
        return float(self._capture.get(what))

    def getBackendName(self) -> str:  # noqa: N802 - the name that cv2.VideoCapture gives it
        """What reads the file's times: OpenCV's FFmpeg, or nothing that does."""
        return str(self._capture.getBackendName())

    def release(self) -> None:
        """End the decoding, and close the file."""
        self._capture.release()
        self._grabber.close()


def _codec(name: str, capture: Any) -> str:
    fourcc = int(capture.get(import_cv2().CAP_PROP_FOURCC)).to_bytes(4, "little").decode("latin-1")
    if fourcc.lower() not in _CODECS:
        raise CameraError(
            f"{name} is a {fourcc} video, and nvv4l2decoder is used for H.264 and H.265; leave decoder=hardware out"
        )
    return _CODECS[fourcc.lower()]


def _decoded(codec: str) -> str:
    return f"{codec}parse ! nvv4l2decoder ! nvvidconv ! video/x-raw,format=BGRx"  # the decoder takes byte streams alone


def _quoted(value: str) -> str:
    """A property's value, for gst-launch's parser inside a shell's word."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return shlex.quote(f'"{escaped}"')


GSTREAMER: Final = CameraDriver(
    name="gstreamer",
    help="elements that make images, as gst-launch-1.0 takes them",
    example="gst://PIPELINE",
    schemes=("gst",),
    whole=True,
    grab=_grab_pipeline,
    check=_check_pipeline,
)

CSI: Final = CameraDriver(
    name="csi",
    help="a sensor on a Jetson's CSI connector, by number",
    example="csi://0",
    parameters={
        "size": "1280x720 by default",
        "rate": "images per second, 30 by default: one of the sensor's modes",
        "mode": "number of the sensor's mode; chosen by size and rate by default",
        "flip": "nvvidconv's flip-method: 2 is upside down, 1 and 3 are quarter turns, 4 and 6 mirror",
        "exposure": "held at so many milliseconds; automatic by default",
    },
    schemes=("csi",),
    grab=lambda address: GstLaunchGrabber(address.name, elements(address), stuck=_STUCK),
    check=_check_sensor,
)
