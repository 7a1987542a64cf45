"""JPEGs without a decoder: checked, cut from a stream; and decoded, with the same pixels by either decoder."""

from __future__ import annotations

from random import Random

import cv2
import numpy as np
import pytest
from camera_devices import picture

from emer_edge.core.errors import CameraError
from emer_edge.runtime.cameras import open_camera, sent
from emer_edge.runtime.capture.jpeg import Splitter, whole


def jpeg(number: int, *options: int) -> bytes:
    return cv2.imencode(".jpg", picture(number), list(options))[1].tobytes()


PROGRESSIVE = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
RESTARTS = (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)
THUMBNAIL = b"\xff\xd8\xff\xe1" + (2 + len(jpeg(9))).to_bytes(2, "big") + jpeg(9)  # a JPEG within a segment
IMAGES = [jpeg(1), jpeg(2, *PROGRESSIVE), THUMBNAIL + jpeg(3)[2:], jpeg(4, *RESTARTS)]


@pytest.mark.parametrize("image", IMAGES, ids=["plain", "progressive", "thumbnail", "restarts"])
def test_a_whole_jpeg_tells_its_size(image: bytes) -> None:
    layout = whole(image + bytes(64))  # cameras pad
    assert layout is not None
    assert (layout.height, layout.width) == (96, 128)
    assert whole(image[:-2]) is None
    assert whole(image[: layout.scan - 5]) is None
    assert whole(image[1:]) is None
    assert whole(b"") is None


@pytest.mark.parametrize("step", [1, 7, 1000, 100_000])
def test_a_stream_is_cut_into_its_images_however_it_comes(step: int) -> None:
    splitter, got = Splitter(), []
    data = b"noise" + b"".join(IMAGES) + IMAGES[0][:700] + IMAGES[1] + b"--boundary\r\n" + IMAGES[0]
    for at in range(0, len(data), step):
        got += splitter.feed(data[at : at + step])
    assert got == [*IMAGES, IMAGES[1], IMAGES[0]]
    assert splitter.damaged == 1


def test_any_bytes_are_survived() -> None:
    random, data = Random(0), b"".join(IMAGES)
    for _ in range(60):
        broken = bytearray(data)
        for _ in range(random.randint(1, 30)):
            broken[random.randrange(len(broken))] = random.randrange(256)
        splitter = Splitter()
        images = [image for at in range(0, len(broken), 997) for image in splitter.feed(bytes(broken[at : at + 997]))]
        assert sum(map(len, images)) <= len(broken)
        for image in images:
            assert whole(image) is not None


def test_both_decoders_give_the_same_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("simplejpeg")
    grey = cv2.imencode(".jpg", picture(5)[:, :, 0])[1].tobytes()
    halves = [
        jpeg(6, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor)
        for factor in (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
                       cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    ]  # fmt: skip
    images = [*IMAGES, grey, *halves]
    fast = [sent.decoded(image) for image in images]
    monkeypatch.setattr(sent, "jpeg_decoder", lambda: None)
    for one, image in zip(fast, images, strict=True):
        np.testing.assert_array_equal(one, sent.decoded(image))


def test_without_simplejpeg_opencv_decodes_and_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "simplejpeg", None)
    sent.jpeg_decoder.cache_clear()
    try:
        assert [sent.decoded(IMAGES[0]).shape for _ in range(3)] == [(96, 128, 3)] * 3
    finally:
        sent.jpeg_decoder.cache_clear()
    assert [record.message for record in caplog.records if "decoded by OpenCV" in record.message] == [
        "the camera's JPEGs are decoded by OpenCV, in twice the time of simplejpeg (pip install simplejpeg)"
    ]


def test_a_damaged_jpeg_is_one_error() -> None:
    with pytest.raises(CameraError, match="can't be decoded"):
        sent.decoded(IMAGES[0][:2] + IMAGES[0][-2:])


def test_an_image_is_converted_once_and_where_somebody_looks() -> None:
    for data, coding in ((jpeg(7), "jpeg"), (picture(7).tobytes(), "bgr")):
        seen: list[int] = []
        one = sent.SentImage(data, coding, 96, 128, seen=lambda image: seen.append(image.size))  # noqa: B023
        assert (one.shape, one.jpeg, seen) == ((96, 128, 3), data if coding == "jpeg" else None, [])
        assert one.image is one.image
        assert seen == [96 * 128 * 3]
        assert float(np.abs(one.image.astype(int) - picture(7)).mean()) < 4
        assert one.equals(sent.SentImage(data, coding, 96, 128, seen=lambda image: None))
        assert not one.equals(None)


def test_a_camera_that_sends_no_jpeg_has_no_originals() -> None:
    with open_camera("synthetic://?fps=30&seed=0") as camera:
        frame = next(camera)
    assert frame.original is None
    assert frame.shape == frame.image.shape == (480, 640, 3)
