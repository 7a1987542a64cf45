"""Keys follow the contents of what was read, whatever is done to the files."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emer_edge.data import cache
from emer_edge.data.cache import cache_folder, contents_of

NAMES = ("0.png", "1.png", "2.png")


@pytest.fixture(autouse=True)
def settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, and no waiting: files settle when the disk's clock has ticked."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "SETTLED_NS", 0)


def files(folder: Path, text: bytes = b"frame") -> list[Path]:
    folder.mkdir(parents=True)
    for name in NAMES:
        (folder / name).write_bytes(text + name.encode())
    return [folder / name for name in NAMES]


def edited(path: Path) -> None:
    """Another content of the same size under the same mtime, as an archive with fixed times leaves it."""
    status = path.stat()
    path.write_bytes(bytes(reversed(path.read_bytes())))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes()[::-1])
    shutil.copystat(path, other)
    other.replace(path)


def linked(path: Path) -> None:
    """A link that leads to another file of the same size and times."""
    away = path.with_name(f"away from {len(list(path.parent.iterdir()))}")
    path.rename(away)
    edited(away)
    path.symlink_to(away)


CHANGES: dict[str, Callable[[Path], object]] = {
    "edited": edited,
    "replaced": replaced,
    "linked": linked,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "emptied": lambda path: path.write_bytes(b""),
    "gone": Path.unlink,
}


@pytest.mark.case(
    "a file is corrected without a change of its size or its mtime",
    source="https://github.com/ultralytics/yolov5/issues/306",
    before="answered from the cache, with the old content",
)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("at", range(len(NAMES)))
def test_every_change_of_every_file_is_seen(tmp_path: Path, change: str, at: int) -> None:
    paths = files(tmp_path / "clip")
    time.sleep(0.02)
    before = contents_of(paths)
    assert contents_of(paths) == before
    CHANGES[change](paths[at])
    assert contents_of(paths) != before


def test_two_clips_that_change_places_are_seen(tmp_path: Path) -> None:
    paths = files(tmp_path / "a")
    files(tmp_path / "b", b"FRAME")
    for path in tmp_path.glob("[ab]/*"):
        os.utime(path, ns=(0, 0))
    time.sleep(0.02)
    before = contents_of(paths)
    (tmp_path / "a").rename(tmp_path / "c")
    (tmp_path / "b").rename(tmp_path / "a")
    assert contents_of(paths) != before


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(sorted(CHANGES)), st.integers(0, 2)), max_size=5))
def test_whatever_is_done_the_answer_is_that_of_an_empty_cache(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, int]]
) -> None:
    paths = files(tmp_path_factory.mktemp("data") / "clip")
    for change, at in changes:
        time.sleep(0.02)
        contents_of(paths)
        if paths[at].exists():
            CHANGES[change](paths[at])
        kept = contents_of(paths)
        shutil.rmtree(cache_folder(), ignore_errors=True)
        assert contents_of(paths) == kept


def test_files_are_read_once_and_looked_at_after_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = files(tmp_path / "clip")
    time.sleep(0.02)
    before = contents_of(paths)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read again"))
        assert contents_of(paths) == before
    (entry,) = (path for path in cache_folder().rglob("*") if path.is_file())
    assert "png" not in entry.read_text()
    assert contents_of(paths[::-1]) != before


def test_what_was_written_just_now_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    paths = files(tmp_path / "clip")
    contents_of(paths)
    assert not cache_folder().exists()
