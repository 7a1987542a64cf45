"""HTTP cameras: servers that refuse, that send something else, and that put a boundary behind each image."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from emer_edge.core.errors import CameraError
from emer_edge.runtime.cameras.registry import grabber_for

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
        (401, "text/plain", r"the server answers 401 Unauthorized: give them as http://USER:PASSWORD@HOST/PATH\."),
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
        images = [grabber.read(None).image for _ in range(5)]
        grabber.close()
    assert all(image.shape == (48, 64, 3) and abs(int(image.mean()) - 90) < 5 for image in images)
