"""Decoders of what arrives in pieces: trackers' bytes, LSL channels, a camera's records.

A decoder raises nothing at all, keeps little, and decodes the next intact frames after any bytes.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from functools import cache
from itertools import islice
from random import Random
from typing import Any

from fuzz_mutations import Target, mutated

from emer_edge.core.errors import EmerEdgeError
from emer_edge.core.samples import Display, EyeReading, TrackerSample
from emer_edge.runtime.capture.records import Kind, Record, Records, packed
from emer_edge.runtime.outputs.pace import Pace
from emer_edge.runtime.outputs.page.server import PageHandler, PageServer
from emer_edge.runtime.outputs.web_access import PageAddress
from emer_edge.runtime.trackers.codec import Decoder
from emer_edge.runtime.trackers.formats import FormatFinder, stream_formats
from emer_edge.runtime.trackers.formats.csv_lines import CSV_HEADER, CsvDecoder
from emer_edge.runtime.trackers.formats.emer import EmerDecoder, EmerEncoder
from emer_edge.runtime.trackers.formats.iscan import MARK, IscanDecoder, IscanEncoder
from emer_edge.runtime.trackers.formats.iviewx import IviewxDecoder, start_commands
from emer_edge.runtime.trackers.formats.opengaze import OpenGazeDecoder
from emer_edge.runtime.trackers.lsl_channels import Channel, ChannelReader
from emer_edge.tools.simulate import simulated_samples

DISPLAY = Display()
_TRACKERS = "emer_edge.runtime.trackers."
HELD_BYTES = 8192
"""What a decoder may keep of bytes that have not become a sample."""


def samples(count: int, x: float = 0.25, first: int = 0) -> list[TrackerSample]:
    """Samples of both eyes with everything; gaze at fraction `x` of the width."""
    made = []
    for number in range(first, first + count):
        gaze_px, position_mm = (x * DISPLAY.width_px, 300.0), (260.0, 150.0, 600.0)
        eye = EyeReading(gaze_px, (300.0, 80.0), (0.0, 0.0, -1.0), position_mm, 3.4, valid=True)
        time_ns = (number + 1) * 8_000_000
        made.append(TrackerSample(time_ns, time_ns, time_ns, eye, eye))
    return made


def _pieces(data: bytes, random: Random) -> list[bytes]:
    """`data` as a line hands it over: at once, in a few pieces, or byte by byte."""
    how = random.random()
    if how < 0.4 or not data:
        return [data]
    if how < 0.45:
        return [data[at : at + 1] for at in range(len(data))]
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(random.randrange(1, 6)))
    return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def _gaze_x(sample: TrackerSample) -> float:
    return round(sample.left.gaze_px[0] / DISPLAY.width_px, 2)


def _held(thing: Any) -> int:
    """Bytes that an object of emer-edge and its parts hold."""
    if isinstance(thing, (bytes, bytearray)):
        return len(thing)
    return sum(map(_held, vars(thing).values())) if type(thing).__module__.startswith("emer_edge.runtime") else 0


def _stream(
    make: Callable[[], Decoder], end: bytes, intact: Callable[[], bytes], numbers: tuple[float, ...]
) -> Callable[[bytes, Random], None]:
    """Feeds a decoder; then `intact` frames, whose gaze must come out as `numbers`.

    Half of the time `end` ends the last frame before them; without it the first of them may be taken for its rest.
    """

    def one(data: bytes, random: Random) -> None:
        decoder = make()
        for piece in _pieces(data, random):
            decoder.feed(piece, 0)
            assert _held(decoder) <= HELD_BYTES, f"it keeps {_held(decoder)} bytes"
        ended = not end or random.random() < 0.5
        decoded = tuple(_gaze_x(sample) for sample in decoder.feed(end * ended + intact(), 1))
        expected = numbers if ended else numbers[1:]
        assert decoded[-len(expected) :] == expected, f"of intact frames at {expected} it decodes {decoded}"

    return one


def _encoded(name: str, chosen: list[TrackerSample]) -> list[bytes]:
    encoder = stream_formats()[name].encoder(DISPLAY, 120.0)
    encoder.receive(start_commands())
    return [encoder.encode(item) for item in chosen]


@cache
def _stream_seeds(name: str) -> tuple[bytes, ...]:
    name = "iscan" if name == "iscan-2" else name
    some = list(islice(simulated_samples(seed=5), 40))
    streams = [some[:1], some[:4], some[36:], samples(3)]
    if name in ("opengaze", "csv"):  # long lines
        streams = [some[:1], some[:2], some[38:], samples(2)]
    if name == "iscan-3":
        encoder = IscanEncoder(DISPLAY, items=3)
        return tuple(b"".join(encoder.encode(item) for item in chosen) for chosen in streams)
    return tuple(b"".join(_encoded(name, chosen)) for chosen in streams)


@cache
def _emer_end() -> bytes:
    encoder = EmerEncoder(DISPLAY)
    for each in samples(777):
        encoder.encode(each)  # numbers that no seed has
    return b"".join(encoder.encode(sample) for sample in samples(2, 0.75, 50_000))


@cache
def _csv_end() -> bytes:
    rows = _encoded("csv", samples(1000, 0.75, 50_000))[-2:]
    header = f"{CSV_HEADER}\n".encode()
    return 3 * header + b"".join(rows)  # a new header counts when it comes twice; the first may end a damaged line


@cache
def _text_end(name: str) -> bytes:
    return b"".join(_encoded(name, samples(1000, 0.75, 50_000))[-2:])


@cache
def _iscan_end(items: int) -> bytes:
    encoder = IscanEncoder(DISPLAY, items=items)
    return b"".join(encoder.encode(sample) for x in (0.75, 0.5, 0.1) for sample in samples(1, x)) + MARK


_TOKENS = {
    "csv": (CSV_HEADER.encode() + b"\n", b"x,y\n1,2\n", b"time_s;x;y\n", b"x_px\ty_px\n", b"left_x,left_y\n0.5,0.5\n"),
    "opengaze": (b"<REC ", b" />\r\n", b'<ACK ID="SCREEN_SIZE" WIDTH="1e9" />\r\n', b'CNT="', b'TIME="1e300"',
                 b'LPOGX="nan"', b'LPMM="', b'TIME_TICK="99999999999999999999"', b'USER="x"'),
    "iviewx": (b"ET_SPL ", b"ET_CHG 1\r\n", b" b ", b" l ", b" r ", b"ET_SPL 1 l 1 1 1 1 1 1 1\r\n"),
}  # fmt: skip


def _decoder_target(
    name: str,
    make: Callable[[], Decoder],
    end: bytes,
    intact: Callable[[], bytes],
    numbers: tuple[float, ...] = (0.75, 0.75),
    module: str = "",
) -> Target:
    tokens = _TOKENS.get(name, ())
    return Target(
        name,
        lambda: _stream_seeds(name),
        lambda random, data: mutated(random, data, tokens),
        _stream(make, end, intact, numbers),
        1_000_000,
        (f"{_TRACKERS}formats.{module or name.partition('-')[0]}", f"{_TRACKERS}codec"),
    )


def _finder(data: bytes, random: Random) -> None:
    finder = FormatFinder(DISPLAY)
    for piece in _pieces(data, random):
        if finder.feed(piece, 0) is not None:
            return
    for candidate in (part for parts in vars(finder).values() if isinstance(parts, list) for part in parts):
        assert _held(candidate) <= HELD_BYTES


def _any_seed() -> tuple[bytes, ...]:
    return tuple(item for name in ("emer", "csv", "opengaze", "iviewx", "iscan") for item in _stream_seeds(name))


def _records(data: bytes, random: Random) -> None:
    records = Records()
    try:
        for piece in _pieces(data, random):
            records.feed(piece)
    except EmerEdgeError:
        return
    assert _held(records) < 1 << 17


def _record_seeds() -> tuple[bytes, ...]:
    image = Record(Kind.IMAGE, height=480, width=640, slot_bytes=921_600, number=7, stamp_ns=10**12, size=921_600)
    opened = Record(Kind.OPENED, text={"fps": 30.0, "size": [640, 480], "mode": "MJPG", "clock": "capture"})
    failed = Record(Kind.FAILED, text={"error": "x" * 300})
    return (packed(image) * 4, packed(opened) + packed(image) * 2, packed(failed))


def _channels(data: bytes, random: Random) -> None:
    """Labels and metadata of an LSL stream, and numbers in it: a line a channel, five words, then a value."""
    rows = [line.split("|") for line in data.decode("utf-8", "replace").split("\n")][:64]
    channels = [Channel(*(row + [""] * 5)[:5]) for row in rows]
    values = [_float(row[-1]) for row in rows]
    try:
        reader = ChannelReader(channels, DISPLAY, None, lambda text: None)
    except EmerEdgeError:
        return
    for _ in range(3):
        reader.read(values, None, 0)


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float(struct.unpack("<d", text.encode("utf-8", "replace")[:8].ljust(8, b"\xf0"))[0])


def _channel_seeds() -> tuple[bytes, ...]:
    parts = ("x|ScreenX|normalized", "y|ScreenY|normalized", "pos_x|PositionX|mm", "pos_y|PositionY|mm")
    parts = (*parts, "pos_z|PositionZ|mm", "pupil|Diameter|mm", "valid|Validity|")
    whole = [f"{eye}_{label}|{eye}|{rest}|DACS|0.5" for eye in ("left", "right") for label, rest in (
        item.split("|", 1) for item in parts)]  # fmt: skip
    gazepoint = [f"{name}||||||0.5" for name in ("LPOGX", "LPOGY", "LPOGV", "RPOGX", "RPOGY", "LPMM", "CNT", "TIME")]
    return "\n".join(whole).encode(), "\n".join(gazepoint).encode(), b"gaze_x|||pixels||900\ngaze_y|||pixels||nan"


@cache
def _page() -> PageServer:
    address, pace = PageAddress("127.0.0.1", 0), Pace(500_000_000)
    return PageServer(address, "correct-horse-battery", {}, pace=pace, say=lambda text: None)


def _request(data: bytes, random: Random) -> None:
    """One connection to the page, with any bytes: every answer has a status, and nothing is said to go wrong."""
    page = _page()
    page.wrong_s = 0.0
    browser, server = socket.socketpair()
    with browser, server:
        browser.settimeout(10.0)
        browser.sendall(data[:32_768])
        browser.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):  # it has been closed, as a visitor may
            PageHandler(server, ("127.0.0.1", 1), page)
        page.close_request(server)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while piece := browser.recv(1 << 20):
                answer += piece
    assert not answer or answer.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")), answer[:40]
    assert b"Python" not in answer.split(b"\r\n\r\n")[0]


def _request_seeds() -> tuple[bytes, ...]:
    bearer = b"Authorization: Bearer correct-horse-battery\r\n"
    lines = (
        b"GET / HTTP/1.1",
        b"GET /enter HTTP/1.1",
        b"GET /page.js HTTP/1.0",
        b"OPTIONS * HTTP/1.1",
        b"OPTIONS * HTTP/1.1 HTTP/0.9",
        b"GET / HTTP/0.9",
        b"GET http://localhost/ HTTP/1.1",
    )
    heads = [
        line + b"\r\nHost: localhost\r\n" + each + b"\r\n"
        for line in lines
        for each in (bearer, b"Cookie: emer-edge-1=1.2\r\n")
    ]
    return (
        *heads,
        heads[0] + heads[1],
        b"GET /%00/../x HTTP/1.1\r\nHost: [::1]:8080\r\nOrigin: null\r\nContent-Length: 0\r\n\r\n",
    )


_HTTP_TOKENS = (
    b"\r\n", b"Host: ", b"//", b"http://[", b"%00", b"..", b"Sec-Fetch-Site: cross-site\r\n", b"Content-Length: -1\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"HTTP/0.9", b"HTTP/2.0", b"\xe2\x84\x80", b"@",
)  # fmt: skip

STREAMS: tuple[Target, ...] = (
    _decoder_target("emer", lambda: EmerDecoder(DISPLAY), b"\0", _emer_end),
    _decoder_target("csv", lambda: CsvDecoder(DISPLAY), b"\n", _csv_end, module="csv_lines"),
    _decoder_target("opengaze", lambda: OpenGazeDecoder(DISPLAY), b"\r\n", lambda: _text_end("opengaze")),
    _decoder_target("iviewx", lambda: IviewxDecoder(DISPLAY), b"\r\n", lambda: _text_end("iviewx")),
    _decoder_target("iscan-2", lambda: IscanDecoder(DISPLAY), b"", lambda: _iscan_end(2), (0.75, 0.5, 0.1)),
    _decoder_target("iscan-3", lambda: IscanDecoder(DISPLAY, 3), b"", lambda: _iscan_end(3), (0.75, 0.5, 0.1)),
    Target("format-finder", _any_seed, mutated, _finder, 100_000, (f"{_TRACKERS}formats",)),
    Target("lsl-channels", _channel_seeds, mutated, _channels, 1_000_000, (f"{_TRACKERS}lsl_channels",)),
    Target(
        "page-request",
        _request_seeds,
        lambda random, data: mutated(random, data, _HTTP_TOKENS),
        _request,
        200_000,
        ("emer_edge.runtime.outputs.web_server", "emer_edge.runtime.outputs.web_access"),
    ),
    Target("camera-records", _record_seeds, mutated, _records, 1_000_000, ("emer_edge.runtime.capture.records",)),
)
