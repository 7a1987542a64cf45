"""The frames of a clip: which files they are, and whether each can be used as it is."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from emer_folders import write_frames

from emer_edge.core.errors import DataError
from emer_edge.data.frames import check_frames, is_litter, list_frames
from emer_edge.data.images import decode

FACE = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
FACE[:10] = 250  # its upper edge


def written(path: Path, image: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


def with_orientation(content: bytes, orientation: int) -> bytes:
    """A JPEG or PNG with an EXIF orientation."""
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + struct.pack(">HH", orientation, 0) + b"\0\0\0\0"
    if content.startswith(b"\xff\xd8"):
        return content[:2] + b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff + content[2:]
    chunk = b"eXIf" + tiff
    return content[:33] + struct.pack(">I", len(tiff)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[33:]


@pytest.mark.case(
    "crops with an EXIF orientation",
    source="https://github.com/ultralytics/yolov5/pull/5270",
    before="turned, without a word",
)
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_an_exif_orientation_is_followed_and_noted(tmp_path: Path, suffix: str) -> None:
    upright = np.repeat(np.repeat(FACE[::8, ::8], 8, axis=0), 8, axis=1)
    as_stored = {
        2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1), 7: upright[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(upright, -1),
    }  # fmt: skip
    for orientation, image in as_stored.items():
        path = written(tmp_path / f"1{suffix}", np.ascontiguousarray(image))
        path.write_bytes(with_orientation(path.read_bytes(), orientation))
        seen, notes = decode(path)
        assert np.abs(seen.astype(int) - upright).mean() < 12, orientation
        assert notes == ("turned as the EXIF orientation says",)
    path.write_bytes(with_orientation(written(path, upright).read_bytes(), 9))
    assert decode(path)[1] == ()


@pytest.mark.case(
    "16-bit PNG files that hold 8-, 10- or 12-bit values",
    source="https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix/issues/321",
    before="black pictures, in training too",
)
@pytest.mark.parametrize(("factor", "bits"), [(1, 8), (4, 10), (16, 12)])
def test_sixteen_bits_of_fewer_are_refused(tmp_path: Path, factor: int, bits: int) -> None:
    with pytest.raises(DataError, match=f"16 bits and values up to .* made from {bits} bits"):
        decode(written(tmp_path / "1.png", FACE.astype(np.uint16) * factor))
    seen, notes = decode(written(tmp_path / "2.png", FACE.astype(np.uint16) * 257))
    np.testing.assert_array_equal(seen, FACE)
    assert notes == ("16 bits, read as 8",)


@pytest.mark.case(
    "a crop whose background is transparent, with junk below",
    source="https://github.com/davisking/dlib/issues/1425",
    before="the junk was seen",
)
def test_transparent_parts_are_refused_and_an_opaque_alpha_is_not(tmp_path: Path) -> None:
    alpha = np.full((40, 40, 1), 255, np.uint8)
    seen, notes = decode(written(tmp_path / "1.png", np.dstack([FACE, alpha])))
    np.testing.assert_array_equal(seen, FACE)
    assert notes == ()
    alpha[:5] = 0
    with pytest.raises(DataError, match="transparent in parts"):
        decode(written(tmp_path / "2.png", np.dstack([FACE, alpha])))


@pytest.mark.case("a crop that was copied half", before="grey below, or found in the middle of training")
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_cut_image_is_named(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path / f"1{suffix}", FACE)
    content = path.read_bytes()
    path.write_bytes(content + b"\0" * 20)  # some cameras fill up their files
    decode(path)
    for size in (0, len(content) // 2, len(content) - 2 if suffix == ".jpg" else len(content) - 12):
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match=f"cut short, at {size} bytes"):
            decode(path)


@pytest.mark.case(
    "thumbnail and resource folders of NAS boxes and Macs",
    source="https://github.com/motioneye-project/motioneye/issues/89",
    before="@eaDir and __MACOSX were clips, and good ones were dropped for them",
)
def test_litter_is_known_by_its_name() -> None:
    litter = [".DS_Store", "._1.png", ".@__thumb", ".AppleDouble", ".ipynb_checkpoints", ".Trash-1000", "Thumbs.db"]
    litter += ["__MACOSX", "@eaDir", "@Recycle", "#recycle", "$RECYCLE.BIN", "lost+found", "~$3_film_happy.xlsx"]
    litter += ["desktop.ini", "System Volume Information", "1.png.part", ".~lock.labels.xlsx#", "found.000"]
    assert [name for name in litter if not is_litter(name)] == []
    names = ["1.png", "3_film_happy", "set1", "happy.xlsx", "lost.png", "found", "P1@home_film", "part 1"]
    assert [name for name in names if is_litter(name)] == []


@pytest.mark.case("1 - Copy.png, 1 (1).png and others beside 1.png", before="three frames more, in wrong places")
def test_copies_of_frames_are_left_out(tmp_path: Path) -> None:
    write_frames(tmp_path / "clip", 3)
    content = (tmp_path / "clip" / "1.png").read_bytes()
    copies = ["1 - Copy.png", "1 (1).png", "1 copy.png", "1 copy 2.png", "1 - Kopie (2).png", "Copy of 1.png"]
    for name in copies:
        (tmp_path / "clip" / name).write_bytes(content)
    listed = list_frames(tmp_path / "clip")
    assert listed.names == ("1.png", "2.png", "3.png")
    assert sorted(listed.copies) == sorted(copies)
    assert check_frames(tmp_path / "clip").copies == len(copies)
    (tmp_path / "clip" / "2 (1).png").write_bytes(content)
    with pytest.raises(DataError, match=r"2\.png and 2 \(1\)\.png, which differ"):
        list_frames(tmp_path / "clip")


def test_a_sequence_named_by_a_file_manager_is_one(tmp_path: Path) -> None:
    for number in range(1, 12):
        (tmp_path / f"frame ({number}).png").write_bytes(b"same")
    assert len(list_frames(tmp_path).names) == 11


@pytest.mark.case("frames without numbers, or a frame in two formats", before="sorted by their letters; counted twice")
@pytest.mark.parametrize("names", [("one.png", "two.png"), ("1.png", "1.jpg"), ("01.png", "1.png")], ids=str)
def test_an_order_that_cannot_be_told_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"no number in its name|which of them is the frame"):
        list_frames(tmp_path)


@pytest.mark.case("a whole camera frame among the crops", before="squeezed into a crop")
def test_a_frame_of_other_proportions_is_named_and_other_sizes_are_counted(tmp_path: Path) -> None:
    write_frames(tmp_path / "clip", 4, size=20)
    written(tmp_path / "clip" / "5.png", np.full((60, 60, 3), 9, np.uint8))
    (tmp_path / "clip" / "notes.txt").write_text("first take")
    facts = check_frames(tmp_path / "clip")
    assert (facts.sizes, facts.count, facts.others) == ({"20 x 20": 4, "60 x 60": 1}, 5, 1)
    written(tmp_path / "clip" / "6.png", np.full((480, 640, 3), 9, np.uint8))
    with pytest.raises(DataError, match=r"6\.png has 640 x 480 px, other proportions"):
        check_frames(tmp_path / "clip")
    written(tmp_path / "clip" / "6.png", np.full((1, 1, 3), 9, np.uint8))
    with pytest.raises(DataError, match="too few for a face"):
        check_frames(tmp_path / "clip")


def test_what_was_found_is_kept_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_frames(tmp_path / "clip", 3)
    first = check_frames(tmp_path / "clip")
    with monkeypatch.context() as patch:
        patch.setattr("emer_edge.data.frames.decode", lambda path: pytest.fail("decoded again"))
        assert check_frames(tmp_path / "clip") == first
    content = (tmp_path / "clip" / "2.png").read_bytes()
    (tmp_path / "clip" / "2.png").write_bytes(bytes(len(content)))
    with pytest.raises(DataError, match=r"2\.png is not an image"):
        check_frames(tmp_path / "clip")
