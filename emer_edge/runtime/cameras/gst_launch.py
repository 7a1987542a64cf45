"""A GStreamer pipeline run by gst-launch-1.0: its images, and when each of them was taken.

gst-launch-1.0 writes the raw images into a pipe and prints on its standard output the time of each (`identity
silent=false`), counted from the pipeline's base time, which GStreamer logs in CLOCK_MONOTONIC: the host clock of all
stamps. OpenCV's own GStreamer gives no base time, so that it could stamp arrivals only; it is not used.
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
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import CameraError
from emer_edge.core.public_text import holds_secret
from emer_edge.core.secrets import filled, seen_by_children
from emer_edge.runtime.cameras import gst_parse
from emer_edge.runtime.capture.grabber import Grab, Grabber, frame_stamp
from emer_edge.runtime.child_process import BOOT, booted, end_program, start_program
from emer_edge.runtime.clock import monotonic_ns

_LAUNCH: Final = "gst-launch-1.0"
_NEWEST: Final = "queue leaky=downstream max-size-buffers=1"
_EVERY: Final = "queue max-size-buffers=1"
_TO_BGR: Final = "videoconvert ! video/x-raw,format=BGR"
_PIPE_BYTES: Final = 1 << 20
_OPEN_S: Final = 8.0  # less than a live camera may take to open
_WAIT_S: Final = 2.0
_CAPS: Final = re.compile(r"E \(type: caps.*width=\(int\)(\d+), height=\(int\)(\d+)(.*)")
_RATE: Final = re.compile(r"framerate=\(fraction\)(\d+)/(\d+)")
_TAKEN: Final = re.compile(r"last-message = chain .*pts: (?:(\d+):(\d\d):(\d\d)\.(\d{9})|none)")
_BASE: Final = re.compile(r"<pipeline\d+> set base_time=(\d+):(\d\d):(\d\d)\.(\d{9})")
_ERROR: Final = re.compile(
    r"ERROR: (?:from element \S+: |pipeline could not be constructed: )?(.*)|erroneous pipeline: (.*)"
)
# What nvarguscamerasrc prints where others post an error: "Error generated. FILE, execute:751 No cameras available".
_ARGUS: Final = re.compile(r"Error generated\. .*:\d+ (.*)|\(Argus\) Error \w+: +(?!\(propagating)(.*?)(?: \(in .*)?$")
_ENVIRONMENT: Final[Mapping[str, str]] = {
    "GST_DEBUG": "1,GST_CLOCK:5",
    "GST_DEBUG_NO_COLOR": "1",
    "LC_ALL": "C",  # its errors are read
}


def check_gstreamer(text: str, needed: str = "", why: str = "") -> None:
    """Raise CameraError unless a pipeline can be run.

    Args:
        text: the address, for the message.
        needed: an element that GStreamer must have.
        why: what is so where it has not, and what to do.
    """
    if shutil.which(_LAUNCH) is None:
        raise CameraError(
            f"{text} needs {_LAUNCH}, which is not installed; "
            "sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
        )
    if needed and has_element(needed) is False:
        raise CameraError(f"{text} needs NVIDIA's {needed}, which this machine's GStreamer lacks: {why}")


def has_element(name: str) -> bool | None:
    """Whether GStreamer has an element; None where gst-inspect-1.0 is missing."""
    if shutil.which("gst-inspect-1.0") is None:
        return None
    command, seen = ["gst-inspect-1.0", "--exists", name], seen_by_children()
    return subprocess.run(command, capture_output=True, check=False, env=seen).returncode == 0


class GstLaunchGrabber(Grabber):
    """A pipeline run by gst-launch-1.0, or, where it holds secrets, by `gst_parse`.

    Args:
        name: of the source, for messages.
        elements: that make the images.
        clock: what a stamp within a second of the arrival is: `capture`, or `stream` where it is the sender's.
        every: wait for the reader, and lose no image; else the newest wins.
        stuck: what to do where it gives no image.

    Raises:
        CameraError: there is no gst-launch-1.0, it can't run the pipeline, or it gives no image within 8 s.
    """

    def __init__(
        self, name: str, elements: str, *, clock: str = "capture", every: bool = False, stuck: str = ""
    ) -> None:
        self._name, self._clock, self._stuck = name, clock, f"; {stuck}" if stuck else ""
        self._images, theirs = os.pipe()
        with contextlib.suppress(OSError):  # fewer, larger reads
            fcntl.fcntl(self._images, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        os.set_blocking(theirs, False)  # who waits in a write would not hear that it is to end
        sink = f"{_TO_BGR} ! {_EVERY if every else _NEWEST} ! identity silent=false ! fdsink fd={theirs} sync=false"
        given = shlex.split(f"{elements} ! {sink}")
        words = [filled(word) for word in given]
        secret = words != given or any(map(holds_secret, words))
        try:
            self._process: subprocess.Popen[Any] = start_program(
                BOOT if secret else [_LAUNCH, "-v", *words],
                stdin=subprocess.PIPE if secret else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs,),
                env={**seen_by_children(), **_ENVIRONMENT},
                text=True,
                errors="replace",
            )
            if self._process.stdin is not None:
                with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
                    pipe.write(booted(gst_parse.__name__, *words).decode())
        except OSError as error:
            os.close(self._images)
            raise CameraError(f"{name}: can't start {_LAUNCH}: {error}") from error
        finally:
            os.close(theirs)
        self._taken: queue.SimpleQueue[int | None] = queue.SimpleQueue()  # never more than the pipe has images
        self._ready = threading.Event()  # the first image, or the end
        self._size_px: tuple[int, int] | None = None
        self._base_ns: int | None = None
        self._error = self._argus = ""
        self.media_ns: int | None = None  # the newest image's own time in its file or stream, where it has one
        threading.Thread(target=self._listen, daemon=True).start()
        in_time = self._ready.wait(_OPEN_S)
        if self._taken.empty() or self._size_px is None:
            self.close()
            late = "it ended without an image" if in_time else f"it gave no image within {_OPEN_S:g} s"
            why = self._error or self._argus or late
            raise CameraError(f"{name}: GStreamer can't run this pipeline: {why}{self._stuck}")
        self.mode = f"{_LAUNCH}, {self._size_px[0]}x{self._size_px[1]}"

    @property
    def failed(self) -> bool:
        """Whether the pipeline ended because of an error, once it has ended."""
        return bool(self._error)

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
        self.media_ns = taken_ns
        if taken_ns is None or self._base_ns is None:
            return Grab(image, arrival_ns, "arrival")
        stamp_ns, clock = frame_stamp((self._base_ns + taken_ns) * 1e-6, arrival_ns)
        self.lag_ns = stamp_ns - self._base_ns - taken_ns if clock == "arrival" else 0
        return Grab(image, stamp_ns, self._clock if clock == "capture" else clock)

    def close(self) -> None:
        """End gst-launch, which takes down the pipeline and lets its devices and daemons go."""
        end_program(self._process)
        if self._images >= 0:
            os.close(self._images)
        self._images = -1

    def _fill(self, view: memoryview) -> None:
        got = 0
        while got < len(view):
            count = os.readv(self._images, [view[got:]])
            if count == 0:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(1.0)
                why = self._error or self._argus or "the pipeline ended"
                raise CameraError(f"{self._name} stopped sending images: {why}{self._stuck}")
            got += count

    def _listen(self) -> None:
        """Read gst-launch's output: the size, the base time, when each image was taken, and errors."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if (match := _TAKEN.search(line)) is not None:
                self._taken.put(None if match[1] is None else _clock_ns(match))
                self._ready.set()
            elif (match := _BASE.search(line)) is not None:
                self._base_ns = _clock_ns(match) or self._base_ns
            elif (match := _CAPS.search(line.replace("\\", ""))) is not None:
                rate = _RATE.search(match[3])
                self.fps = int(rate[1]) / int(rate[2]) if rate is not None and int(rate[2]) else 0.0
                self._size_px = (int(match[1]), int(match[2]))
            elif (match := _ERROR.search(line)) is not None:
                self._error = self._error or (match[1] or match[2]).strip()
            elif (match := _ARGUS.search(line)) is not None:
                self._argus = self._argus or (match[1] or match[2]).strip()
        self._ready.set()


def _clock_ns(match: re.Match[str]) -> int:
    hours, minutes, seconds, nanoseconds = (int(group) for group in match.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1_000_000_000 + nanoseconds
