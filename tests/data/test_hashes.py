from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from emer_edge.data.hashes import clip_hash, new_salt
from emer_edge.errors import DataError


@dataclass(frozen=True)
class Clip:
    name: str
    frame_paths: tuple[Path, ...]


def clip(folder: Path, name: str, *contents: bytes) -> Clip:
    paths = []
    for at, content in enumerate(contents):
        path = folder / f"{name}-{at}.png"
        path.write_bytes(content)
        paths.append(path)
    return Clip(name, tuple(paths))


def test_a_renamed_clip_keeps_its_hash_and_another_of_its_name_does_not(tmp_path: Path) -> None:
    one = clip(tmp_path, "1_film_happy", b"a", b"b", b"c")
    renamed = clip(tmp_path, "x", b"a", b"b", b"c")
    (tmp_path / "other").mkdir()
    other = clip(tmp_path / "other", "1_film_happy", b"a", b"B", b"c")
    assert clip_hash("salt", one) == clip_hash("salt", renamed)
    assert clip_hash("salt", one) != clip_hash("salt", other)
    assert len(clip_hash("salt", one)) == 32


def test_another_salt_gives_another_hash(tmp_path: Path) -> None:
    one = clip(tmp_path, "a", b"a")
    assert clip_hash(new_salt(), one) != clip_hash(new_salt(), one)


def test_a_clip_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="clip a has no frames"):
        clip_hash("", Clip("a", ()))
    with pytest.raises(DataError, match=r"gone\.png"):
        clip_hash("", Clip("a", (tmp_path / "gone.png",)))
