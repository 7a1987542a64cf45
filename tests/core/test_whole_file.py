"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emer_edge.core.errors import OutputExistsError
from emer_edge.core.whole_file import Target, scratch_folder, whole_file, whole_folder, write_private


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


WRITER = """
import sys, time
from pathlib import Path
from emer_edge.core.whole_file import scratch_folder, whole_file, whole_folder
write = {"file": whole_file, "folder": whole_folder, "scratch": scratch_folder}[sys.argv[1]]
with write(Path(sys.argv[2])) as unfinished:
    (unfinished / "part" if unfinished.is_dir() else unfinished).write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""


def started(kind: str, path: Path) -> subprocess.Popen[str]:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, kind, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    return writer


@pytest.mark.case(
    "an export is killed, and the same command given again",
    source="https://github.com/Lightning-AI/pytorch-lightning/issues/688",
    before="28 MB stayed in .k.emer.XXXXXXXX for good",
)
@pytest.mark.parametrize("kind", ["file", "folder", "scratch"])
def test_the_next_write_removes_what_a_killed_one_left_and_nothing_else(tmp_path: Path, kind: str) -> None:
    others = [".x.emer.0a1b2c3d", ".x.emer.0a1b2c3d.tmp", "x.emer-edge-new"]
    for name in others:
        (tmp_path / name).write_text("of somebody else")
    killed, alive = started(kind, tmp_path / "x.emer"), started(kind, tmp_path / "y.emer")
    with killed:
        killed.kill()
    assert len(list(tmp_path.iterdir())) == 5
    with whole_file(tmp_path / "z.csv") as unfinished:
        unfinished.write_bytes(b"whole")
    (left,) = {path.name for path in tmp_path.iterdir()} - {*others, "z.csv"}
    assert left.startswith(".y.emer.")
    with alive:
        alive.kill()
    with scratch_folder(tmp_path / "w"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {*others, "z.csv"}


def test_a_folder_that_a_killed_writer_had_moved_aside_is_given_back(tmp_path: Path) -> None:
    aside = tmp_path / ".clips.0a1b2c3d.emer-edge-old"
    aside.mkdir()
    (aside / "labels").write_text("the only copy")
    write_private(tmp_path / "other", b"")
    assert (tmp_path / "clips" / "labels").read_text() == "the only copy"


def folder_with(path: Path, name: str) -> Path:
    path.mkdir(exist_ok=True)
    (path / name).write_text("my only copy")
    return path


@pytest.mark.case(
    "a folder or file comes to --output while the command runs",
    source="",
    before="it was removed, and the command ended with exit 0",
)
@pytest.mark.parametrize("force", [False, True], ids=["new", "replaced"])
@pytest.mark.parametrize("comes", ["folder", "file", "link", "empty folder"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_output_that_came_meanwhile_stays(tmp_path: Path, kind: str, comes: str, force: bool) -> None:
    path = tmp_path / "out"
    if force:
        (folder_with(path, "old") if kind == "folder" else path).touch()
    target = Target.of(path, force)
    write = whole_file if kind == "file" else whole_folder

    def written() -> None:
        with write(target) as unfinished:
            folder_with(unfinished, "new") if kind == "folder" else unfinished.write_bytes(b"new")
            if force:
                path.rename(tmp_path / "was")
            {
                "folder": lambda: folder_with(path, "thesis.txt"),
                "file": lambda: path.write_text("thesis"),
                "link": lambda: path.symlink_to("nowhere"),
                "empty folder": path.mkdir,
            }[comes]()

    with pytest.raises(OutputExistsError, match="made or changed by another program while this command ran"):
        written()
    assert {entry.name for entry in tmp_path.iterdir()} == ({"out", "was"} if force else {"out"})
    assert (path.is_symlink(), path.is_file()) == (comes == "link", comes == "file")
    assert comes != "folder" or (path / "thesis.txt").read_text() == "my only copy"


def test_of_two_writers_of_one_file_the_first_wins(tmp_path: Path) -> None:
    first, second = Target.of(tmp_path / "a.csv"), Target.of(tmp_path / "a.csv")

    def both() -> None:
        with whole_file(second) as later:
            with whole_file(first) as sooner:
                sooner.write_bytes(b"first")
            later.write_bytes(b"second")

    with pytest.raises(OutputExistsError):
        both()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.csv", b"first")]


def test_files_of_others_in_a_folder_are_not_removed_with_it(tmp_path: Path) -> None:
    path = folder_with(tmp_path / "clips", "1.png")
    target = Target.of(path, True, lambda file: file.suffix == ".png")
    folder_with(path / "notes", "thesis.txt")
    with pytest.raises(OutputExistsError, match=r"holds notes/thesis\.txt, which emer-edge did not write"):
        Target.of(path, True, lambda file: file.suffix == ".png")

    def replaced() -> None:
        with whole_folder(target) as unfinished:
            (unfinished / "2.png").touch()

    with pytest.raises(OutputExistsError):
        replaced()
    assert sorted(file.name for file in path.rglob("*")) == ["1.png", "notes", "thesis.txt"]


@pytest.mark.case("an output with a name of 84 Chinese characters", source="", before="OSError: File name too long")
def test_names_as_long_as_the_disk_allows_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("情" * 84)
    write_private(path, b"{}")
    assert os.listdir(tmp_path) == [path.name]


def test_an_error_of_the_disk_names_the_output(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "clips"

    def written() -> None:
        with whole_folder(path) as unfinished:
            unfinished.rename(tmp_path / "away")
            (unfinished / "1.png").touch()

    with pytest.raises(FileNotFoundError) as caught:
        written()
    assert caught.value.filename == str(path / "1.png")
