from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import cv2
import numpy as np
import pytest

from emer_edge.errors import ConfigurationError
from emer_edge.report.heat_map import heat_map_png, heat_map_svg


def test_png_runs_from_black_to_light_yellow() -> None:
    values = np.array([[0.0, 1.0, 2.0], [4.0, 3.0, 0.5]], np.float32)
    image = cv2.imdecode(np.frombuffer(heat_map_png(values), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (2, 3, 3)
    assert image[0, 0].tolist() == [4, 0, 0]  # B, G, R
    assert image[1, 0].tolist() == [164, 255, 252]
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    assert (np.argsort(grey.ravel()) == np.argsort(values.ravel())).all()
    assert cv2.imdecode(np.frombuffer(heat_map_png(np.zeros((5, 7))), np.uint8), cv2.IMREAD_COLOR).max() == 4


def test_a_common_scale() -> None:
    image = cv2.imdecode(np.frombuffer(heat_map_png(np.ones((2, 2)), highest=2.0), np.uint8), cv2.IMREAD_COLOR)
    assert image[0, 0].tolist() == [85, 54, 186]


def test_svg_holds_its_images_itself() -> None:
    svg = heat_map_svg(np.eye(4, 8), "<clip> & more", "who looked where")
    root = ElementTree.fromstring(svg)
    images = root.findall("{http://www.w3.org/2000/svg}image")
    assert len(images) == 2
    assert all(each.get("href", "").startswith("data:image/png;base64,") for each in images)
    assert "<clip> & more" in "".join(root.itertext())


def test_what_is_no_map() -> None:
    for wrong in (np.zeros(3), np.zeros((0, 4)), np.array([[np.nan]])):
        with pytest.raises(ConfigurationError, match="heat map"):
            heat_map_png(wrong)
