"""Images as files: lossless where that is asked for, small on the page, one error where they can't be."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from runtime_inputs import scene

from emer_edge.core.errors import EmerEdgeError
from emer_edge.runtime.encoding import CROP, LOOK, PAGE, WHOLE, Coding, encoded

IMAGE = scene(100, 90)


@pytest.mark.parametrize("coding", [WHOLE, CROP], ids=["whole", "crop"])
def test_lossless_is_lossless(coding: Coding) -> None:
    for image in (IMAGE, IMAGE[::-1, 5:]):  # the second is not contiguous
        read = cv2.imdecode(np.frombuffer(encoded(image, coding), np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(read, image)


def test_the_page_is_small() -> None:
    wide = np.tile(IMAGE, (1, 3, 1))
    looks = [cv2.imdecode(np.frombuffer(encoded(wide, coding), np.uint8), cv2.IMREAD_COLOR) for coding in (LOOK, PAGE)]
    assert [look.shape for look in looks] == [wide.shape, (160, 640, 3)]
    assert float(np.abs(looks[0].astype(float) - wide).mean()) < 3


def test_an_image_that_can_not_be_encoded_is_an_error() -> None:
    with pytest.raises(EmerEdgeError, match="70000x2 can't be encoded as jpg"):
        encoded(np.zeros((2, 70_000, 3), np.uint8), LOOK)  # JPEG ends at 65,535
