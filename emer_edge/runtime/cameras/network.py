"""Network cameras (`rtsp://`, and Motion JPEG or a video over `http://`) and named pipes, read by OpenCV's FFmpeg.

`decoder=hardware` among the parameters of an RTSP address is this project's, not the camera's: GStreamer then reads it,
and a Jetson's decoder decodes it (see `gstreamer`).

RTSP carries the camera's own times, which are mapped to the host's clock by their least delay; Motion JPEG over HTTP
carries none, so that its images are stamped when they arrive.
"""

from __future__ import annotations

import os
import re
import stat
from base64 import b64encode
from collections.abc import Sequence
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from emer_edge.core.errors import CameraError, ConfigurationError
from emer_edge.core.secrets import filled
from emer_edge.data.images import import_cv2
from emer_edge.runtime.address import Address
from emer_edge.runtime.cameras.base import file_mode, open_capture
from emer_edge.runtime.cameras.grabber import CameraDriver, CaptureGrabber, Target
from emer_edge.runtime.cameras.gstreamer import DECODERS, check_decoder, grab_decoded
from emer_edge.runtime.capture.grabber import Grabber
from emer_edge.runtime.capture.pipe import OTHER, open_pipe
from emer_edge.runtime.clock import ClockMapper

_WITH_TIMES: Final = ("rtsp", "rtsps")
_SCHEMES: Final = (*_WITH_TIMES, "http", "https")
_TIMES_OF_CODED: Final = (4, 9)  # older versions of OpenCV (4.6 to 4.8.1 tried) give no times of JPEGs left as they are
_DECODER: Final = re.compile(r"(?<=[?&])decoder=([^&]*)(&|$)")

_PARTS: Final = "multipart/x-mixed-replace"
_ANSWER_S: Final = 3.0
_VARIABLE: Final = "OPENCV_FFMPEG_CAPTURE_OPTIONS"

_VIDEOS: Final = "mpjpeg,mjpeg,jpeg_pipe,mov,matroska,webm,mpegts,mpeg,avi,flv,ogg,asf,h264,hevc,m4v"
_LOCKED: Final = {  # no playlist, which would have FFmpeg open whatever that names
    "http": f"protocol_whitelist;http,https,tcp,tls|format_whitelist;{_VIDEOS}|max_redirects;4|",
    "rtsp": "protocol_whitelist;rtsp,rtp,srtp,udp,tcp,tls|",
}
_PLAYLIST: Final = re.compile("mpegurl|dash|sdp|xspf")

# FFmpeg probes a stream by reading seconds of it, and would then yield them as if they were new.
_OPTIONS: Final = "rtsp_transport;tcp|fflags;nobuffer|probesize;200000|analyzeduration;200000"


def _check_stream(address: Address) -> Target:
    try:
        _ = urlsplit(address.text).port  # raises where it is no number
    except ValueError:  # whose text may hold a part of a password
        raise ConfigurationError(f"can't read the address {address.text!r}: its host or port can't be") from None
    import_cv2()
    if _decoder(address)[0] == "hardware":
        check_decoder(address.name)
    return Target(address.text)


def _decoder(address: Address) -> tuple[str, str]:
    """What decodes the stream, and the address that the camera gets; raise ConfigurationError for anything unknown."""
    match = _DECODER.search(address.text)
    if match is None or (match[1] not in DECODERS and address.scheme not in _WITH_TIMES):
        return DECODERS[0], address.text
    if address.scheme not in _WITH_TIMES or match[1] not in DECODERS:
        raise ConfigurationError(f"{address.name}: decoder= is {' or '.join(DECODERS)}, and for rtsp:// alone")
    return match[1], _DECODER.sub("", address.text).rstrip("?&")


def _open(name: str, parameters: Sequence[int], options: str = "") -> Any:
    """Open without holding images back, or None; a user's own OPENCV_FFMPEG_CAPTURE_OPTIONS takes precedence."""
    cv2 = import_cv2()
    own = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = options + (own or _OPTIONS)  # read when it opens; a file opened later must not have them
    try:
        return open_capture(cv2, name, (cv2.CAP_FFMPEG,), parameters)
    finally:
        del os.environ[_VARIABLE]
        if own is not None:
            os.environ[_VARIABLE] = own


def _grab_stream(address: Address) -> Grabber:
    cv2 = import_cv2()
    decoder, url = _decoder(address)
    name, url, locked = address.name, filled(url), _LOCKED[address.scheme.lower()[:4]]
    # A decoder with n threads would be n - 1 images late.
    one_thread = (cv2.CAP_PROP_N_THREADS, 1) if hasattr(cv2, "CAP_PROP_N_THREADS") else ()
    capture, answer = _open(url, one_thread, locked), ""
    if capture is None and address.scheme not in _WITH_TIMES:
        answer = _answer(url)
        if answer.startswith(_PARTS):  # some servers put the boundary behind each image: read the images alone
            capture = _open(url, one_thread, f"{locked}input_format;mjpeg|")
    if capture is None:
        why = (
            f"the server answers {answer}" if answer else "is the address right, the camera on, and its stream a video?"
        )
        raise CameraError(f"{name} can't be opened: {why} Try it with: ffplay ADDRESS")
    if decoder == "hardware":
        return grab_decoded(name, url, capture)
    return (_TimedGrabber if address.scheme in _WITH_TIMES else CaptureGrabber)(name, capture)


def _answer(url: str) -> str:
    """What an HTTP server answers: why not, or the type of what it sends, and what that means, as a sentence's end."""
    parts = urlsplit(url)
    target, headers = urlunsplit(("", "", parts.path or "/", parts.query, "")), {}
    if parts.username:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + b64encode(login.encode()).decode()
    speak = HTTPSConnection if parts.scheme == "https" else HTTPConnection  # neither follows a redirection
    try:
        with closing(speak(parts.hostname or "", parts.port, timeout=_ANSWER_S)) as connection:
            connection.request("GET", target, headers=headers)
            reply = connection.getresponse()
    except (OSError, ValueError, HTTPException) as error:
        return f"nothing ({error}): is the address right, and the camera on?"
    if reply.status >= 300:
        hint = {401: "it wants user and password before the host", 404: "is the path right?"}.get(reply.status, "")
        hint = f"it sends on to {reply.headers['Location']}" if "Location" in reply.headers else hint
        return f"{reply.status} {reply.reason}{hint and ': '}{hint}."
    kind = reply.headers.get_content_type()
    meaning = {
        "text/html": ", a page: open it in a browser, and take the address of the picture in it",
        "image/jpeg": ", a single image and no stream",
    }
    if _PLAYLIST.search(kind):
        return f"{kind}, a playlist, and none is followed: give the address of a video."
    return f"{kind}{meaning.get(kind, '')}."


class _TimedGrabber(CaptureGrabber):
    """Maps the stream's own times to the host's clock."""

    def __init__(self, source: str, capture: Any) -> None:
        super().__init__(source, capture)
        self._mapper = ClockMapper()
        self._last_ms = -1.0

    def _leave_coded(self) -> bool:
        return tuple(map(int, self._cv2.__version__.split(".")[:2])) >= _TIMES_OF_CODED and super()._leave_coded()

    def stamp(self, position_ms: float, arrival_ns: int) -> tuple[int, str]:
        """Stamp of an image, and its clock; its arrival where the stream's time does not advance."""
        if not self._last_ms < position_ms < 1e15:
            return arrival_ns, "arrival"
        self._last_ms = position_ms
        stamp_ns = min(self._mapper.map(round(position_ms * 1e6), arrival_ns), arrival_ns)
        self.lag_ns = self._mapper.behind_ns
        return stamp_ns, "stream"


def _check_pipe(address: Address) -> Target:
    import_cv2()
    light = f"{open_pipe.__module__}:{open_pipe.__name__}"
    return Target(address.path, lambda: stat.S_ISFIFO(file_mode(address.path)), light=light)


def _grab_pipe(address: Address) -> CaptureGrabber:
    failure = (
        f"{address.name}: what comes through this pipe is no video that OpenCV can read; "
        "try for example: ffmpeg -i INPUT -c:v mjpeg -f mjpeg PIPE"
    )
    known = OTHER.get(address.path)
    capture = _open(address.path if known is None else f"pipe:{known}", ())  # waits until somebody writes
    if capture is None:
        raise CameraError(failure)
    return CaptureGrabber(address.name, capture)


NETWORK: Final = CameraDriver(
    name="network",
    help="a network camera: RTSP, and Motion JPEG or a video over HTTP",
    example="rtsp://host/path, rtsp://host/path?decoder=hardware (on a Jetson) or http://host/stream",
    schemes=_SCHEMES,
    whole=True,
    grab=_grab_stream,
    check=_check_stream,
)

PIPE: Final = CameraDriver(
    name="pipe",
    help="a named pipe into which another program writes a video: Motion JPEG, MPEG-TS, Matroska, AVI",
    example="a named pipe",
    claims=lambda address: stat.S_ISFIFO(file_mode(address.path)),
    grab=_grab_pipe,
    check=_check_pipe,
)
