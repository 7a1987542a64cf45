"""HTTP cameras: servers that refuse, that send something else, and that put a boundary behind each image."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from emer_edge.core.errors import CameraError
from emer_edge.runtime.cameras import open_camera
from emer_edge.runtime.cameras.registry import grabber_for
from emer_edge.runtime.cameras.sent import decoded

JPEG = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
PART = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(JPEG), JPEG)


@contextmanager
def serving(status: int, kind: str, pieces: list[bytes], endless: bool = False) -> Iterator[tuple[str, list[str]]]:
    """A server of one answer; yields its address, and the logins that were given."""
    logins: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            logins.append(self.headers.get("Authorization", ""))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            try:
                for piece in pieces * (2000 if endless else 1):
                    self.wfile.write(piece)
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}/stream", logins
    server.shutdown()
    server.server_close()


@pytest.mark.case("an HTTP camera that asks for a login", before="'is the address right?', its 401 hidden")
@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (401, "text/plain", r"the server answers 401 Unauthorized: it wants user and password before the host\."),
        (404, "text/plain", r"the server answers 404 Not Found: is the path right\?"),
        (503, "text/plain", r"the server answers 503 Service Unavailable\."),
        (200, "text/html", r"the server answers text/html, a page"),
    ],
)
def test_the_servers_reason_is_shown(status: int, kind: str, says: str) -> None:
    with serving(status, kind, [b"<html></html>"]) as (address, logins):
        with pytest.raises(CameraError, match=says) as error:
            grabber_for(f"http://someone:secret@{address}")
        assert "secret" not in str(error.value)
        assert "Basic c29tZW9uZTpzZWNyZXQ=" in logins


@contextmanager
def answering(answers: dict[str, tuple[int, dict[str, str], bytes]]) -> Iterator[tuple[str, list[str]]]:
    """A server of several paths: status, headers, body; yields its address, and what was asked, with its login."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path} {self.headers.get('Authorization', '')}".strip())
            status, headers, body = answers[self.path]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value.replace("HERE", f"http://127.0.0.1:{self.server.server_address[1]}"))
            self.end_headers()
            self.wfile.write(body.replace(b"HERE", b"http://127.0.0.1:%d" % self.server.server_address[1]))

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


PLAYLISTS = {
    "m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nHERE/else\n#EXTINF:2,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "concat": b"ffconcat version 1.0\nfile HERE/else\n",
    "sdp": b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 5004 RTP/AVP 26\r\n",
}


@pytest.mark.case(
    "a camera that answers with a playlist, by its type or as if it were a video",
    source="https://ffmpeg.org/ffmpeg-protocols.html#hls",
    before="FFmpeg opened what the playlist named, where its version allowed it",
)
@pytest.mark.parametrize("kind", ["application/vnd.apple.mpegurl", "video/mp4"])
@pytest.mark.parametrize("content", PLAYLISTS.values(), ids=PLAYLISTS)
def test_no_playlist_is_followed(kind: str, content: bytes) -> None:
    says = "a playlist, and none is followed" if "mpegurl" in kind else kind
    served = {"/list.m3u8": (200, {"Content-Type": kind}, content)}
    with answering(served) as (host, asked), pytest.raises(CameraError, match=says):
        grabber_for(f"http://{host}/list.m3u8")
    assert set(asked) == {"/list.m3u8"}


@pytest.mark.case(
    "redirections without end, to files, and to another host", before="ten were followed, logins with them"
)
@pytest.mark.parametrize(
    ("place", "says"), [("HERE/", "sends on to http"), ("file:///etc/passwd", "sends on to file:///etc/passwd")]
)
def test_redirections_are_few_and_by_http_alone(place: str, says: str) -> None:
    with answering({"/": (302, {"Location": place}, b"")}) as (host, asked), pytest.raises(CameraError, match=says):
        grabber_for(f"http://{host}/")
    assert len(asked) <= 10  # those of the oldest OpenCV


def test_no_login_follows_a_redirection() -> None:
    with answering({"/else": (404, {}, b"")}) as (other, asked):
        redirected = {"/": (302, {"Location": f"http://{other}/else"}, b"")}
        with answering(redirected) as (host, _), pytest.raises(CameraError, match="302"):
            grabber_for(f"http://someone:secret@{host}/")
    assert set(asked) == {"/else"}


def test_a_servers_words_steer_no_terminal() -> None:
    with (
        answering({"/": (302, {"Location": "\x1b[2J\u202e/x?token=S3CRET".encode().decode("latin-1")}, b"")}) as (
            host,
            _,
        ),
        pytest.raises(CameraError, match="sends on to") as failed,
    ):
        grabber_for(f"http://{host}/")
    assert str(failed.value).isprintable()
    assert "S3CRET" not in str(failed.value)


def test_a_process_that_reads_the_network_has_bounded_memory() -> None:
    pieces = [b"--frame\r\n" + PART]
    kind = "multipart/x-mixed-replace; boundary=frame"
    with serving(200, kind, pieces, endless=True) as (address, _), open_camera(f"http://{address}") as camera:
        limits = Path(f"/proc/{camera.pid}/limits").read_text()
    assert re.search(rf"^Max data size +{1 << 30} ", limits, re.MULTILINE)


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(CameraError, match=r"answers nothing .*refused"):
        grabber_for("http://127.0.0.1:9/stream")


@pytest.mark.parametrize(
    ("begins", "boundary"),
    [
        pytest.param(
            b"",
            "frame",
            marks=pytest.mark.case(
                "an ESP32 camera, which sends each image's boundary behind it",
                source="https://github.com/espressif/esp32-camera/pull/120",
                before="'can't be opened: is the address right?'",
            ),
        ),
        pytest.param(
            b"--frame\r\n",
            "--frame",
            marks=pytest.mark.case(
                "a camera that names its boundary with the two dashes",
                source="https://github.com/janakj/py-mjpeg/pull/2",
                before="read",
            ),
        ),
    ],
)
def test_odd_boundaries_are_read(begins: bytes, boundary: str) -> None:
    pieces = [begins + PART if begins else PART + b"--frame\r\n"]
    with serving(200, f"multipart/x-mixed-replace; boundary={boundary}", pieces, endless=True) as (address, _):
        grabber = grabber_for(f"http://{address}")
        sent = [grabber.read(None).image for _ in range(5)]
        grabber.close()
    images = [decoded(image) if isinstance(image, bytes) else image for image in sent]
    assert all(image.shape == (48, 64, 3) and abs(int(image.mean()) - 90) < 5 for image in images)
