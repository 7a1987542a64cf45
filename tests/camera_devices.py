"""Cameras that misbehave on demand: Motion JPEG over HTTP, and through a named pipe.

Each image is a patch of noise about a grey level, with its number in sixteen black and white fields along its top.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import threading
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 96, 128
FIELD_PX = 8
RATE_HZ = 50


def picture(number: int, level: int = 100, seed: int = 0) -> NDArray[np.uint8]:
    """Image `number` of a camera that sees a grey wall."""
    noise = np.random.default_rng([seed, number]).normal(level, 6, (HEIGHT, WIDTH, 3))
    image = np.clip(noise, 0, 255).astype(np.uint8)
    for bit in range(16):
        image[:FIELD_PX, bit * FIELD_PX : (bit + 1) * FIELD_PX] = 255 * (number >> bit & 1)
    return image


def number_of(image: NDArray[np.uint8]) -> int:
    fields = image[:FIELD_PX].reshape(FIELD_PX, 16, FIELD_PX, 3).mean(axis=(0, 2, 3))
    return sum(1 << bit for bit in range(16) if fields[bit] > 128)


def level_of(image: NDArray[np.uint8]) -> float:
    return float(image[2 * FIELD_PX :].mean())


class Source:
    """What both devices send.

    `mode` is `run`, `freeze` (the same bytes again and again), `black`, `silence`, or `end`; `level` is the wall's.
    """

    rate_hz = RATE_HZ

    def draw(self) -> NDArray[np.uint8]:
        """The next image."""
        return picture(self.number, self.level)

    def __init__(self) -> None:
        self.mode = "run"
        self.level = 100
        self.number = 0
        self.stopped = threading.Event()
        self._last = b""

    def next_jpeg(self) -> bytes | None:
        """The next image when it is due; None at the end, nothing while silent."""
        if self.stopped.wait(1 / self.rate_hz) or self.mode == "end":
            return None
        if self.mode == "silence":
            return b""
        self.number = (self.number + 1) % 65536
        if self.mode == "freeze" and self._last:
            return self._last
        if self.mode == "black":
            image = np.random.default_rng(self.number).integers(0, 5, (HEIGHT, WIDTH, 3), np.uint8)
        else:
            image = self.draw()
        self._last = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        return self._last


class MjpegServer(Source):
    """A network camera on loopback that can be unplugged and plugged in again at the same address."""

    def __init__(self) -> None:
        super().__init__()
        self.port = 0
        self._server: _Server | None = None
        self.plug()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/stream.mjpg"

    def plug(self, level: int | None = None) -> None:
        self.level = self.level if level is None else level
        self.mode = "run"
        self.stopped.clear()
        self._server = _Server(("127.0.0.1", self.port), _Handler)
        self._server.source = self
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def unplug(self) -> None:
        self.stopped.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = True
    allow_reuse_address = True
    source: Source


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        with contextlib.suppress(OSError):
            while (jpeg := self.server.source.next_jpeg()) is not None:
                if jpeg:
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    self.wfile.write(head.encode() + jpeg + b"\r\n")

    def log_message(self, *_: object) -> None:
        pass


class VideoPipe(Source):
    """A named pipe that a Motion JPEG is written into; without a writer whoever opens it hangs."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._thread: threading.Thread | None = None
        os.mkfifo(path)

    def plug(self, level: int | None = None) -> None:
        """Start writing as soon as somebody reads."""
        self.level = self.level if level is None else level
        self.mode = "run"
        self.stopped.clear()
        if not self.path.exists():
            os.mkfifo(self.path)
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        """Stop writing and take the pipe away."""
        self.stopped.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    def _write(self) -> None:
        while not self.stopped.is_set():
            try:
                descriptor = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody reads yet
                time.sleep(0.02)
                continue
            os.set_blocking(descriptor, True)
            with contextlib.suppress(OSError):
                while (jpeg := self.next_jpeg()) is not None:
                    os.write(descriptor, jpeg)
            os.close(descriptor)
