"""Cameras behind a GStreamer pipeline: through OpenCV where it was built with GStreamer, else through gst-launch-1.0.

`gst://ELEMENTS` takes the elements that make the images (`v4l2src device=/dev/video0 ! image/jpeg ! jpegdec`); what
turns them into B, G, R and keeps the newest is added. `csi://0`, a camera on a Jetson's CSI connector, is such a
pipeline with NVIDIA's nvarguscamerasrc. gst-launch-1.0 writes the raw images into a pipe and prints on its standard
output when each of them was taken (`identity silent=false`), counted from the pipeline's base time, which GStreamer
logs in CLOCK_MONOTONIC: the host clock of all stamps.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import re
import shlex
import shutil
import subprocess
import threading
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import CameraError, ConfigurationError
from emer_edge.data.images import import_cv2
from emer_edge.runtime.address import Address
from emer_edge.runtime.cameras.base import open_capture
from emer_edge.runtime.cameras.grabber import CameraDriver, CaptureGrabber, Grab, Grabber, Target, frame_stamp
from emer_edge.runtime.clock import monotonic_ns

_LAUNCH: Final = "gst-launch-1.0"
_NEWEST: Final = "queue leaky=downstream max-size-buffers=1"
_TO_BGR: Final = "videoconvert ! video/x-raw,format=BGR"
_PIPE_BYTES: Final = 1 << 20
_WAIT_S: Final = 2.0
_TIMES: Final = 64  # of images that are not read yet: the pipe holds fewer, and who writes into it waits
_CAPS: Final = re.compile(r"E \(type: caps.*width=\(int\)(\d+), height=\(int\)(\d+)(.*)")
_RATE: Final = re.compile(r"framerate=\(fraction\)(\d+)/(\d+)")
_TAKEN: Final = re.compile(r"last-message = chain .*pts: (?:(\d+):(\d\d):(\d\d)\.(\d{9})|none)")
_BASE: Final = re.compile(r"<pipeline\d+> set base_time=(\d+):(\d\d):(\d\d)\.(\d{9})")
_ERROR: Final = re.compile(
    r"ERROR: (?:from element \S+: |pipeline could not be constructed: )?(.*)|erroneous pipeline: (.*)"
)


def _check_pipeline(address: Address) -> Target:
    if not address.path.strip():
        raise ConfigurationError("gst:// needs elements that make images, for example: gst://videotestsrc is-live=true")
    try:
        shlex.split(address.path)
    except ValueError as error:
        raise ConfigurationError(f"{address.text}: can't be read as a pipeline: {error}") from None
    _check_gstreamer(address.text)
    return Target(address.text)


def _check_gstreamer(text: str) -> None:
    """Raise CameraError unless OpenCV or gst-launch-1.0 can run a pipeline."""
    if not _opencv_has_gstreamer() and shutil.which(_LAUNCH) is None:
        raise CameraError(
            f"{text} needs GStreamer: this OpenCV was built without it, and there is no {_LAUNCH}; "
            "sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-good"
        )


def _has_element(name: str) -> bool | None:
    """Whether GStreamer has an element; None where gst-inspect-1.0 is missing."""
    if shutil.which("gst-inspect-1.0") is None:
        return None
    return subprocess.run(["gst-inspect-1.0", "--exists", name], capture_output=True, check=False).returncode == 0


def _open_pipeline(name: str, elements: str) -> Grabber:
    if _opencv_has_gstreamer():
        cv2 = import_cv2()
        whole = f"{elements} ! {_TO_BGR} ! appsink drop=true max-buffers=1 sync=false"
        capture = open_capture(cv2, whole, (cv2.CAP_GSTREAMER,))
        if capture is None:
            raise CameraError(f"{name}: GStreamer can't run this pipeline; try it with: {_LAUNCH} {whole}")
        return CaptureGrabber(name, capture, "GStreamer in OpenCV")
    return GstLaunchGrabber(name, elements)


def _opencv_has_gstreamer() -> bool:
    cv2 = import_cv2()
    return bool(cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER))


class GstLaunchGrabber(Grabber):
    """A pipeline run by gst-launch-1.0.

    Raises:
        CameraError: there is no gst-launch-1.0, or it can't run the pipeline.
    """

    def __init__(self, name: str, elements: str) -> None:
        self._name = name
        self._images, theirs = os.pipe()
        with contextlib.suppress(OSError):  # fewer, larger reads
            fcntl.fcntl(self._images, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        sink = f"{_TO_BGR} ! {_NEWEST} ! identity silent=false ! fdsink fd={theirs} sync=false"
        environment = {**os.environ, "GST_DEBUG": "1,GST_CLOCK:5", "GST_DEBUG_NO_COLOR": "1"}
        try:
            self._process = subprocess.Popen(
                [_LAUNCH, "-v", *shlex.split(f"{elements} ! {sink}")],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs,),
                env=environment,
                text=True,
                errors="replace",
            )
        except OSError as error:
            os.close(self._images)
            raise CameraError(f"{name}: can't start {_LAUNCH}: {error}") from error
        finally:
            os.close(theirs)
        self._taken: queue.Queue[int | None] = queue.Queue(_TIMES)
        self._ready = threading.Event()  # caps, or the end
        self._size_px: tuple[int, int] | None = None
        self._base_ns: int | None = None
        self._error = ""
        threading.Thread(target=self._listen, daemon=True).start()
        self._ready.wait()
        if self._size_px is None:
            self.close()
            raise CameraError(
                f"{name}: GStreamer can't run this pipeline: {self._error or 'it ended without an image'}"
            )
        self.mode = f"{_LAUNCH}, {self._size_px[0]}x{self._size_px[1]}"

    def read(self, into: NDArray[np.uint8] | None) -> Grab:
        """Wait for the next image."""
        assert self._size_px is not None
        shape = (self._size_px[1], self._size_px[0], 3)
        image = into if into is not None and into.shape == shape else np.empty(shape, np.uint8)
        # GStreamer pads rows to multiples of four bytes.
        stride = -(-shape[1] * 3 // 4) * 4
        if stride == shape[1] * 3:
            self._fill(image.data.cast("B"))
        else:
            padded = np.empty((shape[0], stride), np.uint8)
            self._fill(padded.data.cast("B"))
            image[:] = padded[:, : shape[1] * 3].reshape(shape)
        arrival_ns = monotonic_ns()
        try:
            taken_ns = self._taken.get(timeout=_WAIT_S)
        except queue.Empty:
            taken_ns = None
        if taken_ns is None or self._base_ns is None:
            return Grab(image, arrival_ns, "arrival")
        return Grab(image, *frame_stamp((self._base_ns + taken_ns) * 1e-6, arrival_ns))

    def close(self) -> None:
        """End gst-launch."""
        self._process.kill()
        self._process.wait()
        os.close(self._images)

    def _fill(self, view: memoryview) -> None:
        got = 0
        while got < len(view):
            count = os.readv(self._images, [view[got:]])
            if count == 0:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(1.0)
                raise CameraError(f"{self._name} stopped sending images: {self._error or 'the pipeline ended'}")
            got += count

    def _listen(self) -> None:
        """Read gst-launch's output: the size, the base time, when each image was taken, and errors."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if (match := _TAKEN.search(line)) is not None:
                self._taken.put(None if match[1] is None else _clock_ns(match))
            elif (match := _BASE.search(line)) is not None:
                self._base_ns = _clock_ns(match) or self._base_ns
            elif (match := _CAPS.search(line.replace("\\", ""))) is not None:
                rate = _RATE.search(match[3])
                self.fps = int(rate[1]) / int(rate[2]) if rate is not None and int(rate[2]) else 0.0
                self._size_px = (int(match[1]), int(match[2]))
                self._ready.set()
            elif (match := _ERROR.search(line)) is not None:
                self._error = self._error or (match[1] or match[2]).strip()
        self._ready.set()


def _clock_ns(match: re.Match[str]) -> int:
    hours, minutes, seconds, nanoseconds = (int(group) for group in match.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1_000_000_000 + nanoseconds


_SIZE_PX = (1280, 720)
_RATE_HZ = 30.0


def elements(address: Address) -> str:
    """Elements that make a sensor's images.

    Raises:
        ConfigurationError: no sensor number, or parameters that make no sense.
    """
    if not (address.path.isascii() and address.path.isdigit()):
        raise ConfigurationError(f"{address.text}: a CSI camera is written with its sensor's number, as csi://0")
    width, height = address.size_px() or _SIZE_PX
    rate_hz = address.number("rate", 1, 240) or _RATE_HZ
    return (
        f"nvarguscamerasrc sensor-id={int(address.path)} ! "
        f"video/x-raw(memory:NVMM),width={width},height={height},framerate={round(rate_hz)}/1 ! "
        "nvvidconv ! video/x-raw,format=BGRx"
    )


def _check_sensor(address: Address) -> Target:
    elements(address)
    import_cv2()
    _check_gstreamer(address.text)
    if _has_element("nvarguscamerasrc") is False:
        raise CameraError(
            f"{address.text} needs NVIDIA's nvarguscamerasrc, which this machine's GStreamer lacks: CSI cameras work "
            "on a Jetson with JetPack's packages (sudo apt install nvidia-l4t-gstreamer); a USB camera is --camera 0"
        )
    return Target(address.text)


def _grab_sensor(address: Address) -> Grabber:
    return _open_pipeline(address.name, elements(address))


GSTREAMER: Final = CameraDriver(
    name="gstreamer",
    help="elements that make images, as gst-launch-1.0 takes them",
    example="gst://PIPELINE",
    schemes=("gst",),
    whole=True,
    grab=lambda address: _open_pipeline(address.name, address.path),
    check=_check_pipeline,
)

CSI: Final = CameraDriver(
    name="csi",
    help="a sensor on a Jetson's CSI connector, by number",
    example="csi://0",
    parameters={"size": "1280x720 by default", "rate": "images per second, 30 by default: one of the sensor's modes"},
    schemes=("csi",),
    grab=_grab_sensor,
    check=_check_sensor,
)
