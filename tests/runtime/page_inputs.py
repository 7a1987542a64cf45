"""Results for a page, and a client that reads its answers and events byte by byte."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import numpy as np
from runtime_inputs import sample, scene

from emer_edge.bundle import Bundle
from emer_edge.core.heads import HEADS, ClassHead
from emer_edge.core.results import Gap, Result, State
from emer_edge.core.samples import Frame
from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.runtime.faces import Face, Look
from emer_edge.runtime.options import Source
from emer_edge.runtime.outputs import Host
from emer_edge.runtime.outputs.page.output import Page, PageOptions
from emer_edge.runtime.pipeline import Pipeline, Stream
from emer_edge.runtime.say import Say

__all__ = [
    "HEAD_VALUES",
    "OK",
    "TOKEN",
    "ask",
    "event_stream",
    "frame_of",
    "known",
    "page_of",
    "port_of",
    "result_of",
    "show_face",
    "show_gaze",
    "token_of",
    "until",
]

TOKEN = "correct-horse-battery"
HOP_NS = 300_000_000


HEAD_VALUES: dict[str, dict[str, float] | float] = {
    name: {each: 0.7 if at == 1 else 0.05 for at, each in enumerate(head.classes)}
    if isinstance(head, ClassHead)
    else 0.25
    for name, head in HEADS.items()
}
OK = Result(
    5_000_000_000,
    State.OK,
    heads=HEAD_VALUES,
    gap=Gap(0.42, (37, 40), 0.81, -0.5, 0.1),
    face_age_ms=12.0,
    sample_age_ms=4000.0,
    face_slots=8,
    eye_slots=31,
    degraded=("Gaze direction left X", "Gaze direction right X", "Pupil diameter left [mm]"),
    stages_ms={"encode": 3.1, "total": 4.2},
    dropped={"camera": 2},
    notes=("demo weights, trained on synthetic clips",),
)


def result_of(number: int, share: float = 0.7, state: State = State.OK) -> Result:
    """Result number `number`; `share` is the probability of the first class of every head."""
    heads: dict[str, dict[str, float] | float] = {
        name: {each: share if at == 0 else (1 - share) / (head.width - 1) for at, each in enumerate(head.classes)}
        if isinstance(head, ClassHead)
        else share
        for name, head in HEADS.items()
    }
    whole = Result(
        number * HOP_NS,
        state,
        heads=heads,
        gap=Gap(share / 2, (37, 40), 0.81, -0.5, 0.1),
        face_age_ms=12.0,
        sample_age_ms=3.0,
        face_slots=8,
        eye_slots=31,
        stages_ms={"encode": 3.1, "total": 4.0 + number},
        dropped={"camera": number},
        notes=("demo weights",),
    )
    return whole if state is State.OK else replace(whole, heads={}, gap=None)


def frame_of(number: int, x: int = 100) -> Frame:
    """Frame number `number` with the portrait at x."""
    return Frame(number, scene(x, 90), number * 33_000_000, number * 33_000_000, "arrival")


def show_face(page: Page, number: int) -> None:
    """Give a page a frame in which a face was found."""
    points = np.array([[200, 200], [300, 200], [250, 250], [210, 300], [290, 300]], np.float32)
    look = Look(Face((160.0, 120.0, 320.0, 360.0), points, 0.9), None, None, False, 1)
    page.feeds[None].frame(frame_of(number, 100 + number % 50), look, 0)


def show_gaze(page: Page, seen: bool = True) -> None:
    """Give a page a sample that looks at the middle of the display."""
    page.feeds[None].sample(sample(1, seen), 0)


class TimedStream(Stream):
    """A stream that has never run, with the latencies of results that were made up."""

    def __init__(self, bundle: Bundle, source: Source) -> None:
        super().__init__(bundle, source)
        self._times: dict[str, LatencyRecorder] = {}

    @property
    def latencies(self) -> dict[str, LatencyRecorder]:
        return self._times

    def time(self, result: Result) -> None:
        ages_ms = {"face age": result.face_age_ms, "sample age": result.sample_age_ms}
        whole_ms = {"end to end": (result.face_age_ms or 0.0) + 50.0 + result.stages_ms["total"]}
        for name, value_ms in (result.stages_ms | whole_ms | ages_ms).items():
            if value_ms is not None:
                self._times.setdefault(name, LatencyRecorder()).record(round(value_ms * 1e6))


class PageAlone(Page):
    """A page whose results were made up."""

    def __init__(self, options: PageOptions, host: Host) -> None:
        super().__init__(options, host)
        self._streams = host.pipeline.streams

    def result(self, result: Result) -> bool:
        stream = self._streams[result.stream]
        assert isinstance(stream, TimedStream)
        stream.time(result)
        return super().result(result)


def page_of(
    bundle: Bundle,
    address: str = "0",
    token: str | None = None,
    *,
    open_to_all: bool = False,
    say: Say = lambda sentence: None,
    sources: Sequence[Source] = (Source(),),
) -> Page:
    """A page without a run."""
    pipeline = Pipeline(bundle, sources=sources)
    pipeline.streams = {each.name: TimedStream(bundle, each) for each in sources}
    return PageAlone(PageOptions(address, token, open_to_all), Host(pipeline, say=say))


def port_of(page: Page) -> int:
    """Its port."""
    return page.server.address.port


def token_of(page: Page) -> str:
    """The token in the link that a page prints; empty where it was given, or there is none."""
    return page.url.partition("#token=")[2]


def known(page: Page) -> dict[str, str]:
    """What a visitor sends who has followed the link that a page prints."""
    return {"Authorization": f"Bearer {token_of(page)}"} if token_of(page) else {}


def ask(page: Page, path: str = "/", method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
    """One request on a connection of its own, with the printed token; underscores in names stand for hyphens."""
    headers = known(page) | headers
    connection = HTTPConnection("127.0.0.1", port_of(page), timeout=5)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def event_stream(page: Page, **headers: str) -> tuple[socket.socket, Iterator[tuple[str, Any]]]:
    """Open the page's events; the socket, and (name, data) pairs until the server closes."""
    connection = socket.create_connection(("127.0.0.1", port_of(page)), timeout=5)
    lines = [f"{name}: {value}" for name, value in ({"Host": "127.0.0.1"} | known(page) | headers).items()]
    connection.sendall("\r\n".join(["GET /events HTTP/1.1", *lines, "", ""]).encode())
    stream = connection.makefile("rb")
    assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
    while stream.readline() != b"\r\n":
        pass

    def events() -> Iterator[tuple[str, Any]]:
        name = ""
        with connection, stream:
            for line in stream:
                kind, _, value = line.decode().rstrip("\n").partition(": ")
                if kind == "event":
                    name = value
                elif kind == "data":
                    yield name, json.loads(value)

    return connection, events()


def until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until something is true."""
    deadline_s = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline_s, "it did not come"
        time.sleep(0.01)
