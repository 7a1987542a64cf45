"""Files and folders that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from emer_edge.core.whole_file import whole_file, whole_folder, write_private


def break_off_a_file(path: Path) -> None:
    with whole_file(path) as unfinished:
        unfinished.write_bytes(b"thi")
        raise KeyboardInterrupt


def break_off_a_folder(path: Path) -> None:
    with whole_folder(path) as unfinished:
        (unfinished / "third").touch()
        raise KeyboardInterrupt


def test_a_file_is_there_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for content in (b"first", b"second"):
        with whole_file(path) as unfinished:
            unfinished.write_bytes(content)
    with pytest.raises(KeyboardInterrupt):
        break_off_a_file(path)
    assert [(each.name, each.read_bytes()) for each in path.parent.iterdir()] == [("a.csv", b"second")]
    assert path.stat().st_mode & 0o077  # as the user's umask has it


def test_a_private_file_is_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    write_private(path, b"{}")
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_folder_is_there_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "clips"
    for name in ("first", "second"):
        with whole_folder(path) as unfinished:
            (unfinished / name).touch()
    with pytest.raises(KeyboardInterrupt):
        break_off_a_folder(path)
    with whole_folder(path):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["clips", "second"]
