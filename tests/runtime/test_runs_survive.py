"""Whole runs of the command line whose terminal, streams or paths fail."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from emer_edge.bundle import Bundle
from emer_edge.data.sessions import open_session
from emer_edge.runtime.recording.mcap_reader import read_head

_MAIN = [sys.executable, "-c", "from emer_edge.cli import main; main()", "run"]


def replay(bundle: Bundle, video: Path, tracker: object, *more: object) -> list[str]:
    files = ["--camera", str(video), "--tracker", os.fsdecode(os.fsencode(str(tracker))), "--offset-ms", "0"]
    return [*_MAIN, str(bundle.path), *files, "--pace", "fast", *map(str, more)]


@pytest.mark.case("`2>/dev/full`, as on a full disk, and closed streams", before="exit 1 after some results; exit 120",
                  source="https://github.com/mlcommons/GaNDLF/issues/581")  # fmt: skip
@pytest.mark.parametrize(
    ("redirect", "results", "code"),
    [("2>/dev/full >$OUT", 20, 0), ("2>&- >$OUT", 20, 0), (">/dev/full", 0, 3), (">&- 2>&- <&-", 0, 0)],
    ids=["stderr-full", "stderr-closed", "stdout-full", "all-closed"],
)
def test_no_stream_ends_a_run(
    bundle: Bundle, video: Path, tracker: Path, tmp_path: Path, redirect: str, results: int, code: int
) -> None:
    command = replay(bundle, video, tracker, "--json", "--save", tmp_path / "s", "--participant", "p1")
    done = subprocess.run(
        ["bash", "-c", f'"$@" {redirect}', "-", *command],
        env={**os.environ, "OUT": str(tmp_path / "out")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    (folder,) = (tmp_path / "s" / "p1").iterdir()
    saved = open_session(folder)
    assert (saved.head.state, len(saved.results)) == ("ended", 20)
    if results:
        assert len((tmp_path / "out").read_text().splitlines()) == results
    if "/dev/full" in redirect and not results:
        assert "the output json failed and gets nothing more; the run goes on" in done.stderr


@pytest.mark.case("`| head -1` beside `--save`", source="", before="the reader's end was the run's")
def test_a_reader_that_leaves_ends_a_run_only_where_nobody_else_is_left(
    bundle: Bundle, video: Path, tracker: Path, tmp_path: Path
) -> None:
    for more, expected in (((), 20), (("--save", tmp_path / "s", "--participant", "p1"), 20)):
        command = replay(bundle, video, tracker, "--json", *more)
        script = 'set -o pipefail; "$@" | head -1'
        done = subprocess.run(["bash", "-c", script, "-", *command], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["state"] == "filling"
        if more:
            (folder,) = (tmp_path / "s" / "p1").iterdir()
            assert len(open_session(folder).results) == expected
            assert "nobody reads stdout any more; the run goes on" in done.stderr


@contextmanager
def on_a_terminal(command: list[str], out: Path, ignored: bool = False) -> Iterator[tuple[int, int]]:
    """A live run whose terminal this test holds; it has said something when this yields its number and the terminal."""
    process, terminal = pty.fork()
    if process == 0:
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)  # as nohup does, and a shell
        os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT, 0o600), 1)
        os.execv(command[0], command)
    try:
        fcntl.fcntl(terminal, fcntl.F_SETFL, os.O_NONBLOCK)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (out.exists() and out.read_text().count("\n") > 2):
            if select.select([terminal], [], [], 0.2)[0]:
                os.read(terminal, 65536)
        assert out.read_text().count("\n") > 2
        yield process, terminal
    finally:
        try:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        except (ProcessLookupError, ChildProcessError):
            pass  # it has ended, as it should


@pytest.mark.case("a terminal that closes, as that of ssh or tmux", before="killed; session 'running', no MCAP index",
                  source="https://github.com/seeing-things/track/issues/253")  # fmt: skip
@pytest.mark.parametrize("ignored", [False, True], ids=["hang-up", "nohup"])
def test_a_terminal_that_closes(bundle: Bundle, tracker: Path, tmp_path: Path, ignored: bool) -> None:
    files = ["--camera", "synthetic://", "--tracker", str(tracker), "--json", "--record", str(tmp_path / "r.mcap")]
    command = [*_MAIN, str(bundle.path), *files, "--save", str(tmp_path / "s"), "--participant", "p1"]
    with on_a_terminal(command, tmp_path / "out", ignored) as (process, terminal):
        os.close(terminal)  # the kernel's SIGHUP
        if not ignored:
            os.kill(process, signal.SIGHUP)  # and the shell's
        _, status = os.waitpid(process, 0)
    # The tracker's file ends a run that goes on.
    assert os.waitstatus_to_exitcode(status) == (0 if ignored else 143)
    (folder,) = (tmp_path / "s" / "p1").iterdir()
    saved = open_session(folder)
    assert saved.head.state == "ended"
    assert len(saved.results) == saved.head.results == len((tmp_path / "out").read_text().splitlines())
    if ignored:
        assert len(saved.results) >= 18  # to the file's end
    assert read_head(tmp_path / "r.mcap").participant == "p1"
    assert (tmp_path / "r.mcap").read_bytes().endswith(b"\x89MCAP0\r\n")  # with its index


@pytest.mark.case("a tracker's file in a folder that is named in Latin-1", before="traceback, and an empty session",
                  source="https://github.com/kz26/dottorrent/issues/9")  # fmt: skip
def test_paths_that_are_no_utf_8(bundle: Bundle, video: Path, tracker: Path, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/m\xfcller"))
    folder.mkdir()
    (folder / "gaze.csv").write_bytes(tracker.read_bytes())
    kept = ("--save", folder / "s", "--participant", "p1", "--record", folder / "r.mcap")
    command = replay(bundle, video, folder / "gaze.csv", "--json", *kept, "--baseline", "60s")
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (session,) = (folder / "s" / "p1").iterdir()
    saved = open_session(session)
    assert saved.head.tracker.endswith(r"m\xfcller/gaze.csv")
    assert read_head(folder / "r.mcap").tracker.endswith(r"m\xfcller/gaze.csv")
    (purge,) = (line for line in done.stderr.split(b"\n") if b"emer-edge purge" in line)
    printed = purge.partition(b"emer-edge ")[2].partition(b" removes")[0]  # runs as it is printed
    main = f'"{sys.executable}" -c "from emer_edge.cli import main; main()" '
    again = subprocess.run(["bash", "-c", main.encode() + printed], capture_output=True, timeout=60)
    assert again.returncode == 0, again.stderr
    assert not (folder / "s" / "p1").exists()
    assert saved.head.summary is not None
    (unfinished,) = (note for note in saved.head.summary["notes"] if note.startswith("baseline"))
    assert "of 60 s of valid data: it was not completed" in unfinished
    assert unfinished.encode() in done.stderr
