from __future__ import annotations

from pathlib import Path

import pytest

from emer_edge.core.errors import DataError
from emer_edge.data.dataset import Clip, clip_hash, new_salt


def clip(folder: Path, name: str, *contents: bytes) -> Clip:
    frames = folder / name
    frames.mkdir(parents=True)
    for at, content in enumerate(contents):
        (frames / f"{at}.png").write_bytes(content)
    return Clip(name, None, None, None, fold=0, frames_path=frames, sheet_path=folder / "none.xlsx", labels={})


def test_a_renamed_clip_keeps_its_hash_and_another_of_its_name_does_not(tmp_path: Path) -> None:
    one = clip(tmp_path, "1_film_happy", b"a", b"b", b"c")
    renamed = clip(tmp_path, "x", b"a", b"b", b"c")
    other = clip(tmp_path / "other", "1_film_happy", b"a", b"B", b"c")
    assert clip_hash("salt", one) == clip_hash("salt", renamed)
    assert clip_hash("salt", one) != clip_hash("salt", other)
    assert len(clip_hash("salt", one)) == 32


def test_another_salt_gives_another_hash(tmp_path: Path) -> None:
    one = clip(tmp_path, "a", b"a")
    assert clip_hash(new_salt(), one) != clip_hash(new_salt(), one)


def test_a_clip_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"clip a: .*holds no frame"):
        clip_hash("", clip(tmp_path, "a"))
    gone = clip(tmp_path, "b", b"b")
    assert gone.frame_names == ("0.png",)
    (gone.frames_path / "0.png").unlink()
    with pytest.raises(DataError, match=r"0\.png"):
        clip_hash("", gone)
