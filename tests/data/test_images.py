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


HUGE = """
import re, struct, sys, zlib
from pathlib import Path
from emer_edge.data.images import read_crop

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

size = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
content = chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(90_000))) + chunk(b"IEND", b"")
Path(sys.argv[1]).write_bytes(bytes([137]) + b"PNG\\r\\n\\x1a\\n" + content)
try:
    read_crop(Path(sys.argv[1]))
except Exception as error:
    print(error)
# Not getrusage: its peak begins with that of the process which this one was forked from.
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.case("a PNG that says it has 30,000 x 30,000 pixels", before="took memory for all of them", source="seen")
def test_an_image_is_refused_by_its_header_before_it_takes_memory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HUGE, str(tmp_path / "1.png")]  # OpenCV reads the bound when it is loaded
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    message, taken_mb = done.stdout.splitlines()
    assert "1.png has more than 67,108,864 pixels, so it was not decoded" in message
    assert int(taken_mb) < 500


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
