"""A minimal RTSP camera (RFC 2326) on loopback: ffmpeg makes the RTP packets, this hands them on inside the connection.

RTP over TCP, section 10.12: each packet is preceded by a dollar sign, its channel and its length.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import threading
from types import TracebackType

FILTER = "testsrc=size=160x120:rate=25,noise=alls=20:allf=t"
SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
JPEG = ("-c:v mjpeg -pix_fmt yuvj420p -huffman default -force_duplicated_matrix 1", "m=video 0 RTP/AVP 26\r\n")
H264 = (
    "-c:v libx264 -pix_fmt yuv420p -tune zerolatency -x264-params keyint=10:repeat-headers=1",
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n",
)


class RtspServer:
    """One camera for one client at a time, 160x120 at 25 Hz.

    `coding` is `JPEG` (RTP payload type 26) or `H264`: options of ffmpeg and lines of the session's description.
    """

    def __init__(self, coding: tuple[str, str] = JPEG) -> None:
        self._packets = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._packets.bind(("127.0.0.1", 0))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/live"
        rtp = f"rtp://127.0.0.1:{self._packets.getsockname()[1]}?pkt_size=1400"
        options, self._media = coding
        source = ["-re", "-f", "lavfi", "-i", FILTER, *options.split()]
        self._ffmpeg = subprocess.Popen(
            ["ffmpeg", "-loglevel", "quiet", *source, "-f", "rtp", rtp],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        self._over = threading.Event()
        self.packets = 0  # sent to clients
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether it was switched off."""
        return self._over.is_set()

    def __enter__(self) -> RtspServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._ffmpeg.kill()
        self._ffmpeg.wait()
        self._listener.close()
        self._packets.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            self._serve_one()

    def _serve_one(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._listener.accept()
            with client, client.makefile("rb") as requests:
                while (line := requests.readline()) and not self._over.is_set():
                    method = line.split()[0].decode()
                    headers = {}
                    while header := requests.readline().strip():
                        name, _, value = header.decode().partition(":")
                        headers[name.lower()] = value.strip()
                    more, body = "", ""
                    if method == "OPTIONS":
                        more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
                    elif method == "DESCRIBE":
                        body = f"{SDP}{self._media}a=control:track0\r\n"
                        more = f"Content-Base: {self.url}/\r\nContent-Type: application/sdp\r\n"
                    elif method == "SETUP":
                        more = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
                    elif method == "PLAY":
                        more = "Session: 1\r\n"
                    answer = (
                        f"RTSP/1.0 200 OK\r\nCSeq: {headers['cseq']}\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}"
                    )
                    client.sendall(answer.encode())
                    if method == "PLAY":
                        self._play(client)
                        return

    def _play(self, client: socket.socket) -> None:
        self._packets.settimeout(0.5)
        self._packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                packet = self._packets.recv(65536)
                client.sendall(b"$\0" + struct.pack(">H", len(packet)) + packet)
                self.packets += 1
