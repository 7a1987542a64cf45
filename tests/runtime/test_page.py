"""The page's answers to its visitors, over plain HTTP, and what visitors can't do to a run."""

from __future__ import annotations

import json
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from page_inputs import ask, event_stream, frame_of, result_of, show_face, show_gaze, until
from runtime_inputs import SCENE, sample

from emer_edge.bundle import Bundle
from emer_edge.core.results import State
from emer_edge.core.samples import Frame, Sent
from emer_edge.runtime.encoding import LOOK, encoded
from emer_edge.runtime.options import MachineOptions
from emer_edge.runtime.outputs import Host
from emer_edge.runtime.outputs.delivery import Delivery
from emer_edge.runtime.outputs.page.output import Page, PageOptions
from emer_edge.runtime.outputs.page.pictures import Video
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.play import play


def test_events_greet_and_then_tell_what_is_newest(page: Page) -> None:
    for number in range(1, 6):
        page.result(result_of(number))
    _, events = event_stream(page)
    name, told = next(events)
    assert name == "hello"
    assert [each["name"] for each in told["heads"]][:2] == ["er-7", "er-3"]
    name, told = next(events)
    assert (name, [each["end_ns"] // 300_000_000 for each in told["points"]]) == ("trace", [1, 2, 3, 4])
    name, told = next(events)
    assert (name, told["end_ns"]) == ("result", 5 * 300_000_000)
    assert told["heads"] == result_of(5).to_dict()["heads"]
    total = told["latency"]["total"]
    assert (total["count"], total["max_ms"]) == (5, 9.0)
    assert sum(count for _, count in total["bins"]) == 5
    until(lambda: page.feeds[None].visitors == 1)
    show_gaze(page)
    assert next(each for each in events if each[0] == "gaze") == ("gaze", {"at": [0.5, 0.5]})
    page.end(None)
    assert [name for name, _ in events][-1] == "end"


def test_sensors_rates_are_counted(page: Page) -> None:
    page.result(result_of(1))
    time.sleep(0.1)
    for number in range(10):
        show_face(page, number)
        show_gaze(page, seen=number < 5)
    page.result(result_of(2))
    _, events = event_stream(page)
    told = next(each for name, each in events if name == "result")["sensors"]
    assert told["camera_px"] == list(SCENE[::-1])
    assert told["counts"] == {"frames": 10, "samples": 10, "seen": 5}
    assert 0 < told["rates_hz"]["seen"] * 2 == pytest.approx(told["rates_hz"]["samples"], abs=0.2)


def test_an_eye_that_is_not_seen_is_no_gaze(page: Page) -> None:
    _, events = event_stream(page)
    next(events)
    until(lambda: page.feeds[None].visitors == 1)
    show_gaze(page, seen=False)
    assert next(each for each in events if each[0] == "gaze") == ("gaze", {"at": None})


def test_images_come_newest_first_with_the_face_in_them(page: Page) -> None:
    assert ask(page, "/frame?after=nonsense")[0].status == 204  # nobody watched until now
    for number in range(1, 8):
        show_face(page, number)
    answer, jpeg = ask(page, "/frame?after=0")
    assert answer.headers["X-Number"] == "7"
    face = json.loads(answer.headers["X-Face"])
    assert face["box"] == [0.25, 0.25, 0.5, 0.75]
    assert len(face["points"]) == 5
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (*SCENE, 3)
    assert float(np.abs(image.astype(float) - frame_of(7, 107).image).mean()) < 8


def test_a_visitor_of_an_earlier_run_is_not_kept_waiting(page: Page) -> None:
    page.feeds[None].video.newest(0, 0.0)  # watched from now on
    show_face(page, 1)
    assert ask(page, "/frame?after=5000")[0].headers["X-Number"] == "1"


def test_visitors_at_the_same_time_share_an_image(page: Page) -> None:
    page.feeds[None].video.newest(0, 0.0)
    show_face(page, 1)
    one, two = (page.feeds[None].video.newest(0, 1.0) for _ in range(2))
    assert one is two
    assert page.feeds[None].video.newest(1, 0.05) is None


def test_visitors_wait_side_by_side_for_a_camera_that_is_silent(page: Page) -> None:
    began_s = time.monotonic()
    with ThreadPoolExecutor(5) as visitors:
        assert list(visitors.map(lambda _: page.feeds[None].video.newest(0, 1.0), range(5))) == [None] * 5
    assert time.monotonic() - began_s < 4.5  # 5 s one after the other


def test_without_visitors_no_image_is_kept() -> None:
    now_s = 1000.0
    video = Video(lambda: now_s)

    def offered(number: int) -> weakref.ref[object]:
        frame = frame_of(number)
        video.offer(frame, None)
        return weakref.ref(frame.image)

    assert offered(1)() is None
    assert video.newest(0, 0.0) is None  # watched from now on
    second = offered(2)
    assert second() is not None
    picture = video.newest(0, 10.0)
    assert picture is not None
    now_s += 60
    assert offered(3)() is None
    assert second() is None
    assert video.newest(0, 0.0) is None  # nor the encoded one
    fourth = offered(4)
    now_s += 60  # the camera is silent from now on
    assert video.newest(0, 0.05) is None
    assert fourth() is None
    video.close()


def test_a_fault_of_the_page_stops_the_page_alone(page: Page, said: list[str]) -> None:
    delivery = Delivery(page, said.append)
    delivery.put("frame", None, None, None, 0)
    assert "the run goes on" in said[-1]
    count = len(said)
    assert delivery.put("result", None, result_of(1))
    delivery.put("frame", None, frame_of(1), None, 0)
    delivery.put("sample", None, sample(1), 0)
    assert len(said) == count
    assert page.feeds[None].results == 0
    assert ask(page)[0].status == 200


def test_a_run_with_its_page(bundle: Bundle, video: Path, tracker: Path, said: list[str]) -> None:
    pipeline = Pipeline(
        bundle, str(video), str(tracker), machine=MachineOptions(pace="fast"), offset_ms=0.0, say=said.append
    )
    page = Page(PageOptions("0"), Host(pipeline, say=said.append))
    summary = play(pipeline, [page])
    assert page.feeds[None].meter.counts == {
        "frames": summary.frames,
        "samples": summary.samples,
        "seen": summary.samples,
    }
    assert page.feeds[None].results == sum(summary.states.values()) == 20
    assert f"page: {page.url}" in said
    with pytest.raises(OSError, match="refused"):
        ask(page)


def test_a_state_without_emotion_tells_none(page: Page) -> None:
    page.result(result_of(1, state=State.NO_FACE))
    _, events = event_stream(page)
    told = next(each for name, each in events if name == "result")
    assert (told["state"], told["heads"], told["gap"]) == ("no_face", {}, None)


def test_a_camera_s_own_jpeg_is_shown_where_a_browser_can_read_it(page: Page) -> None:
    page.feeds[None].video.newest(0, 0.0)  # watched from now on
    jpeg = encoded(frame_of(1).image, LOOK)
    bare = jpeg.replace(b"\xff\xc4", b"\xff\xfe")  # without Huffman tables, which browsers need
    large = (
        jpeg[:2] + b"\xff\xfe\xff\xff" + bytes(65533) + b"\xff\xfe\xff\xff" + bytes(65533) + jpeg[2:] + bytes(99_999)
    )
    for number, (sent, own) in enumerate(((jpeg, True), (bare, False), (large, False)), 1):
        given = Photographed(sent, frame_of(1).image)
        page.feeds[None].video.offer(Frame(number, given, number, number, "arrival"), None)
        shown = ask(page, f"/frame?after={number - 1}")[1]
        assert (shown == sent) == own == (given.looks == 0)
        assert cv2.imdecode(np.frombuffer(shown, np.uint8), cv2.IMREAD_COLOR).shape == (*SCENE, 3)


class Photographed(Sent):
    """A JPEG and its image; counts who looks at the image."""

    def __init__(self, jpeg: bytes, image: NDArray[np.uint8]) -> None:
        self.jpeg, self.shape, self._image, self.looks = jpeg, image.shape, image, 0

    @property
    def image(self) -> NDArray[np.uint8]:
        self.looks += 1
        return self._image
