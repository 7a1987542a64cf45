from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from emer_edge.core.errors import DataError, MissingExtraError
from emer_edge.data.images import import_cv2, read_crop


@pytest.mark.parametrize("size", [(112, 112), (40, 60), (300, 200), (150, 100), (1, 1)], ids=repr)
def test_any_size_becomes_a_crop(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "1.png"
    cv2.imwrite(str(path), np.full((*size, 3), (10, 20, 30), np.uint8))
    crop = read_crop(path)
    assert crop.shape == (112, 112, 3)
    assert crop.dtype == np.uint8
    assert (crop == (10, 20, 30)).all()


def test_a_grey_image_has_three_channels(tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    cv2.imwrite(str(path), np.full((50, 50), 77, np.uint8))
    assert read_crop(path).shape == (112, 112, 3)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\x00\x10JFIF"], ids=repr)
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "1.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"1\.png is not an image"):
        read_crop(path)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"can't open the frame .*1\.png: No such file"):
        read_crop(tmp_path / "1.png")


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[desktop\]'"):
        import_cv2()


def test_the_readers_load_nothing_heavy() -> None:
    code = """
import sys
from emer_edge.data import dataset, images, labels, layout, recordings, sheets, tables, windows
print(sorted({"torch", "onnx", "pandas", "matplotlib", "cv2", "xlsxwriter", "skimage"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
