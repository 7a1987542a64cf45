"""The page of a run that reads two people: whose stream is shown, and that nothing of the other is."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPConnection
from typing import Any

import cv2
import numpy as np
import pytest
from chromium import CHROMIUM, Chromium
from page_inputs import frame_of, known, page_of, port_of, result_of, token_of
from runtime_inputs import LiveCamera, LiveTracker, sample, scene

from emer_edge.bundle import Bundle
from emer_edge.core.results import State
from emer_edge.core.samples import Display
from emer_edge.runtime.options import Source
from emer_edge.runtime.outputs import Host
from emer_edge.runtime.outputs.delivery import Delivery
from emer_edge.runtime.outputs.page.output import Page, PageOptions
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.play import play

DISPLAYS = {"left": Display(1920, 1080), "right": Display(1280, 1024)}
PEOPLE = [Source(name=name, display=display) for name, display in DISPLAYS.items()]
FIGURE = "document.querySelector('#venn .figure').textContent"
CHOSEN = "document.querySelector('#streams :checked').value"


@pytest.fixture
def both(bundle: Bundle) -> Iterator[Page]:
    """A page of two streams, without a run."""
    made = page_of(bundle, sources=PEOPLE)
    made.begin()
    yield made
    made.end(None)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (make test-deps)")
    with Chromium(tmp_path_factory.mktemp("profile")) as made:
        yield made


def events(page: Page, path: str, count: int) -> list[tuple[str, Any]]:
    """The first events of a visitor."""
    with socket.create_connection(("127.0.0.1", port_of(page)), timeout=5) as connection:
        lines = [f"{name}: {value}" for name, value in known(page).items()]
        connection.sendall("\r\n".join([f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *lines, "", ""]).encode())
        with connection.makefile("rb") as stream:
            assert stream.readline() == b"HTTP/1.1 200 OK\r\n"
            heard: list[tuple[str, Any]] = []
            name = ""
            while len(heard) < count:
                kind, _, value = stream.readline().decode().rstrip("\n").partition(": ")
                if kind == "event":
                    name = value
                elif kind == "data" and name != "pulse":
                    heard.append((name, json.loads(value)))
            return heard


def get(page: Page, path: str) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port_of(page), timeout=5)
    try:
        connection.request("GET", path, headers=known(page))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_each_stream_has_its_events(both: Page) -> None:
    both.result(replace(result_of(1, 0.6), stream="left"))
    both.result(replace(result_of(1, state=State.NO_FACE), stream="right"))
    both.result(replace(result_of(2, 0.8), stream="left"))
    (_, hello), (_, trace), (_, result) = events(both, "/events?stream=left", 3)
    assert hello["stream"] == "left"
    assert hello["display"] == [1920, 1080]
    assert [each["end_ns"] for each in trace["points"]] == [result_of(1).end_ns]
    assert (result["stream"], result["state"]) == ("left", "ok")
    told = [
        {"name": "left", "state": "ok", "gap": 0.4},
        {"name": "right", "state": "no_face", "gap": None},
    ]
    assert hello["streams"] == result["streams"] == told
    (_, hello), (_, result) = events(both, "/events?stream=right", 2)
    assert (hello["stream"], hello["display"]) == ("right", [1280, 1024])
    assert (result["stream"], result["state"]) == ("right", "no_face")
    assert events(both, "/events", 1)[0][1]["stream"] == "left"  # the first, where none is named


def test_each_stream_has_its_images_and_gaze(both: Page) -> None:
    for name, channel in both.feeds.items():
        channel.video.newest(0, 0.0)  # watched from now on
        frame = frame_of(1)
        bright = np.full_like(frame.image, 250 if name == "left" else 5)
        channel.frame(replace(frame, given=bright), None, 0)
    for name, low, high in (("left", 240, 256), ("right", 0, 15)):
        status, jpeg = get(both, f"/frame?after=0&stream={name}")
        assert status == 200
        assert low <= cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).mean() < high
    both.feeds["right"].sample(sample(1), 0)
    assert both.feeds["right"].meter.counts["samples"] == 1
    assert both.feeds["left"].meter.counts["samples"] == 0


@pytest.mark.parametrize("path", ["/events?stream=third", "/frame?stream=third", "/frame?stream=../left"])
def test_a_stream_that_is_not_there(both: Page, path: str) -> None:
    assert get(both, path) == (404, b"this run has no such stream\n")


def test_one_stream_has_no_name(page: Page) -> None:
    hello = events(page, "/events", 1)[0][1]
    assert "streams" not in hello
    assert "stream" not in hello
    assert get(page, "/events?stream=left")[0] == 404


def test_a_fault_of_one_stream_leaves_the_other(bundle: Bundle, said: list[str]) -> None:
    page = page_of(bundle, sources=PEOPLE)
    delivery = Delivery(page, said.append)
    delivery.begin()
    try:
        delivery.put("frame", "left", None, None, 0)
        for name in DISPLAYS:
            delivery.put("result", name, replace(result_of(1), stream=name))
        assert page.feeds["left"].results == 0
        assert page.feeds["right"].results == 1
        assert sum("the output page failed" in each for each in said) == 1
    finally:
        page.end(None)


def press(browser: Chromium, key: str, code: int) -> None:
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)


def test_a_reader_chooses_with_the_keyboard(browser: Chromium, both: Page) -> None:
    both.result(replace(result_of(1, 0.6), stream="left"))
    both.result(replace(result_of(1, 0.9), stream="right"))
    both.result(replace(result_of(2, 0.6), stream="left"))
    browser.forget()
    browser.open(both.url)
    browser.until(f"{FIGURE} === '0.30'")
    assert browser.value(CHOSEN) == "left"
    assert browser.value("document.title").startswith("emer-edge · left · ")
    assert [browser.text(f"#streams label[data-stream={each}] .how") for each in DISPLAYS] == ["gap 0.30", "gap 0.45"]
    press(browser, "Tab", 9)  # the skip link
    press(browser, "Tab", 9)
    assert browser.value("document.activeElement.value") == "left"
    press(browser, "ArrowRight", 39)
    browser.until(f"{FIGURE} === '0.45'")
    assert browser.value(CHOSEN) == "right"
    assert browser.value("location.search") == "?stream=right"
    assert browser.value("document.querySelectorAll('#valence polyline').length") <= 2
    both.result(replace(result_of(3, 0.2), stream="left"))  # nothing of the other reaches the page
    both.result(replace(result_of(3, state=State.NO_FACE), stream="right"))
    browser.until("document.getElementById('state').dataset.state === 'no_face'")
    assert browser.text("#felt-word") == "–"
    browser.until("document.querySelector('#streams label[data-stream=left] .how').textContent === 'gap 0.10'")
    assert browser.text("#streams label[data-stream=right] .how") == "no face"
    browser.open(f"{both.server.address.url}?stream=right")  # a bookmark
    browser.until("document.getElementById('state').dataset.state === 'no_face'")
    assert [each for each in browser.complaints() if "#token=" not in each] == []


def test_what_one_left_is_gone_when_another_without_results_is_chosen(browser: Chromium, both: Page) -> None:
    both.result(replace(result_of(1, 0.6), stream="left"))
    browser.open(both.url)
    browser.until(f"{FIGURE} === '0.30'")
    browser.value("document.querySelector('#streams [value=right]').click()")
    browser.until(f"{CHOSEN} === 'right' && {FIGURE} === '–'")
    assert browser.text("#felt-word") == browser.text("#shown-word") == "–"
    assert browser.text("#sensors") == ""
    assert browser.text("#percentiles") == "nothing measured so far"
    assert browser.value("document.getElementById('state').dataset.state") == "connecting"


def test_a_bookmark_of_a_stream_that_is_gone_shows_another(browser: Chromium, both: Page) -> None:
    both.result(replace(result_of(1, 0.6), stream="left"))
    browser.open(f"{both.server.address.url}?stream=third#token={token_of(both)}")
    browser.until(f"{FIGURE} === '0.30'")
    assert browser.value("location.search") == "?stream=left"


@pytest.mark.parametrize("width", [320, 1280])
def test_many_streams_stick_out_nowhere(browser: Chromium, bundle: Bundle, width: int) -> None:
    names = [f"a-seat-with-a-rather-long-name-{at}" for at in range(8)]
    page = page_of(bundle, sources=[Source(name=each, display=Display()) for each in names])
    page.begin()
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
    try:
        for each in names:
            page.result(replace(result_of(1), stream=each))
        browser.open(page.url)
        browser.until("document.getElementById('state').dataset.state === 'ok'")
        assert browser.value("document.querySelectorAll('#streams label').length") == 8
        assert browser.value("document.documentElement.scrollWidth") <= width
    finally:
        page.end(None)


def test_a_run_of_two_is_seen(browser: Chromium, bundle: Bundle) -> None:
    pictures = {"left": [scene(100 + n, 90) for n in range(60)], "right": [scene(60, 90, 0.0)]}
    sources = [Source(LiveCamera(each), LiveTracker(), name=name) for name, each in pictures.items()]
    run = Pipeline(bundle, sources=sources)
    page = Page(PageOptions("0"), Host(run))
    thread = threading.Thread(target=play, args=(run, [page]))
    browser.call("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
    browser.open("about:blank")  # the page before asks its own server no more
    browser.forget()
    thread.start()
    try:
        browser.open(page.url)
        browser.until("document.getElementById('state').dataset.state === 'ok'", 30.0)
        browser.until("document.getElementById('face-note').textContent === 'face detected'")
        browser.until("document.querySelector('#streams label[data-stream=right] .how').textContent === 'no face'")
        browser.value("document.querySelector('#streams [value=right]').click()")
        browser.until("document.getElementById('state').dataset.state === 'no_face'")
        browser.until("document.getElementById('face-note').textContent !== 'face detected'")
        assert "0 of 8 slots covered" in browser.text("#slots")
    finally:
        run.stop()
        thread.join()
    browser.until("document.getElementById('state').dataset.state === 'ended'")
    assert all(each.startswith(page.server.address.url) for each in browser.requests() if each != "about:blank")
    assert [each for each in browser.complaints() if "ERR_" not in each and "#token=" not in each] == []
