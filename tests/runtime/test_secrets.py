"""Secrets in every source and every failure, looked for wherever a run leaves anything."""

from __future__ import annotations

import io
import os
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from camera_devices import MjpegServer
from machine import needs
from page_inputs import event_stream
from recording_inputs import Kept
from rtsp_server import RtspServer
from runtime_inputs import sample

from emer_edge.bundle import Bundle
from emer_edge.core.errors import EmerEdgeError
from emer_edge.core.results import Result
from emer_edge.core.samples import Display
from emer_edge.runtime.cameras.registry import find_camera, grabber_for
from emer_edge.runtime.options import Source
from emer_edge.runtime.outputs import Host, check_outputs, open_outputs
from emer_edge.runtime.outputs.json_lines import JsonLines
from emer_edge.runtime.outputs.page.output import Page, PageOptions
from emer_edge.runtime.outputs.prometheus import Metrics
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.play import play
from emer_edge.runtime.trackers import open_tracker
from emer_edge.tools.simulate.opengaze_server import OpenGazeServer

SECRET = "S3CRET"


def children(parent: int) -> Iterator[int]:
    """All processes that a process has started, and they."""
    for task in Path(f"/proc/{parent}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            yield child
            yield from children(child)


def look_on(server: OpenGazeServer, over: threading.Event) -> None:
    while not over.wait(0.01):
        server.send(sample(time.monotonic_ns()))


class Spy(Kept):
    """Notes what every user can read of the run's children, and the page's events; unplugs a camera."""

    name = "spy"

    def __init__(self, page: Page, metrics: Metrics, rtsp: RtspServer, before: set[int]) -> None:
        super().__init__()
        self._page, self._metrics, self._rtsp, self._before = page, metrics, rtsp, before
        self.processes: dict[int, str] = {}
        self.events = self.scraped = ""
        self.unplugged = False

    def result(self, result: Result) -> bool:
        for child in set(children(os.getpid())) - self._before:
            try:
                read = [Path(f"/proc/{child}/{name}").read_bytes().decode() for name in ("cmdline", "environ")]
            except OSError:
                continue
            self.processes[child] = "\n".join(read)
        if self._rtsp.packets > 100 and not self._rtsp.is_over:
            self._rtsp.__exit__(None, None, None)
        if len(self.results) > 12 and not self.events:
            connection, events = event_stream(self._page)
            self.events = str([next(events) for _ in range(4)])
            connection.close()
            self.scraped = urllib.request.urlopen(self._metrics.url, timeout=10).read().decode()
        self.unplugged |= any("lost" in note and "rtsp://" in note for note in result.notes)
        return super().result(result) and not (self.unplugged and self.scraped and len(self.processes) >= 4)


@needs("gst-launch-1.0")
@pytest.mark.case(
    "secrets in RTSP, HTTP, GStreamer and Open Gaze sources, in MQTT's environment and the secrets of `${NAME}`",
    source="",
    before="the command line of every child held its source, and its environment all that the parent's held",
)
def test_no_secret_is_left_anywhere(
    bundle: Bundle, tracker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, said: list[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("EMER_EDGE_MQTT_USERNAME", f"{SECRET}-user")
    monkeypatch.setenv("EMER_EDGE_MQTT_PASSWORD", f"{SECRET}-mqtt")
    monkeypatch.setenv("LAB_USER", f"{SECRET}-lab")
    monkeypatch.setenv("LAB_PASSWORD", f"{SECRET} @lab/")
    http, gaze = MjpegServer(), OpenGazeServer(Display(), 60.0)
    over = threading.Event()
    sender = threading.Thread(target=look_on, args=(gaze, over))
    sender.start()
    with RtspServer() as rtsp:
        host = rtsp.url.removeprefix("rtsp://")
        sources = [
            Source(f"rtsp://me:{SECRET}-a@{SECRET}-b@{host}?token={SECRET}", name="rtsp", participant="a",
                   tracker=gaze.address.replace("//", f"//me:{SECRET}@")),
            Source(http.url.replace("//", "//${LAB_USER}:${LAB_PASSWORD}@") + f"?key={SECRET}",
                   str(tracker), name="http", participant="b"),
            Source("gst://videotestsrc is-live=true ! video/x-raw,width=160,height=120 ! identity name=${LAB_PASSWORD}",
                   str(tracker), name="gst", participant="c"),
        ]  # fmt: skip
        pipeline = Pipeline(bundle, sources=sources, say=said.append)
        written = io.StringIO()
        before = set(children(os.getpid()))
        page = Page(PageOptions("0", None), Host(pipeline, say=said.append))
        kept = [
            "metrics://:0",
            "mqtt://127.0.0.1:9/lab",
            f"session:{tmp_path}/sessions",
            f"mcap:{tmp_path}/recordings/",
        ]
        made = open_outputs(pipeline, kept, say=said.append)
        metrics = next(output for output in made if isinstance(output, Metrics))
        spy = Spy(page, metrics, rtsp, before)
        summary = play(pipeline, [*made, page, JsonLines(written), spy], 60.0)
    over.set()
    sender.join()
    gaze.close()
    http.unplug()
    assert len(spy.processes) >= 4, "three captures, and GStreamer"
    notes = [note for result in spy.results for note in result.notes]
    assert any("lost" in note and "rtsp://***@127" in note for note in notes), "a failure with an address"
    assert any("mqtt: no connection" in each for each in said)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".mcap", ".json", ".jsonl"}
    found = {
        **{f"process {pid}": text for pid, text in spy.processes.items()},
        **{str(path): path.read_bytes().decode("latin-1") for path in files},
        "said": "\n".join(said),
        "log": caplog.text,
        "streams": "".join(capfd.readouterr()),
        "json": written.getvalue(),
        "metrics": spy.scraped,
        "page": spy.events,
        "summary": str(summary),
    }
    assert all(found[name] for name in ("said", "json", "page", "metrics"))
    assert [name for name, text in found.items() if SECRET in text] == []


def opened(text: str) -> None:
    driver, address = find_camera(text)
    if driver.check is not None:
        driver.check(address)
    grabber_for(text).close()


@pytest.mark.parametrize(
    "text",
    [
        f"rtsp://me:{SECRET}/x@127.0.0.1/live",
        f"rtsp://me:{SECRET} {SECRET}@127.0.0.1:9/live",
        f"rtsp://me:{SECRET}@127.0.0.1:9/live?decoder=gpu",
        f"http://me:{SECRET}@127.0.0.1:9/x?token={SECRET}",
        f"http://me:{SECRET}@[::1/x",
        f"http://me:{SECRET}@no.such.host.invalid/x y?pwd={SECRET}",
        f"gst://rtspsrc location=rtsp://a:{SECRET}@127.0.0.1:9/x user-pw={SECRET} ! nonsense",
        f"gst://rtspsrc location=rtsp://127.0.0.1:9/x user-pw='{SECRET}",
        f"csi://0?password={SECRET}",
        f"ftp://me:{SECRET}@host/x",
    ],
)
def test_no_error_of_a_camera_tells_a_secret(text: str) -> None:
    with pytest.raises(EmerEdgeError) as failed:
        opened(text)
    assert SECRET not in str(failed.value)


@pytest.mark.parametrize(
    "text",
    [
        f"opengaze://me:{SECRET}@127.0.0.1:9",
        f"opengaze://me:{SECRET}/x@127.0.0.1",
        f"opengaze://me:{SECRET}@127.0.0.1?token={SECRET}",
        f"serial:///dev/none?password={SECRET}",
        f"what://me:{SECRET}@host",
    ],
)
def test_no_error_of_a_tracker_tells_a_secret(text: str) -> None:
    with pytest.raises(EmerEdgeError) as failed:
        open_tracker(text)
    assert SECRET not in str(failed.value)


@pytest.mark.parametrize(
    "text",
    [f"mqtt://me:{SECRET}@host/t", f"mqtt://me:{SECRET}/9@host/t", f"http://x:{SECRET}@0:80", f"no://x:{SECRET}@y"],
)
def test_no_error_of_an_output_tells_a_secret(text: str) -> None:
    with pytest.raises(EmerEdgeError) as failed:
        check_outputs([text], [Source()])
    assert SECRET not in str(failed.value)
