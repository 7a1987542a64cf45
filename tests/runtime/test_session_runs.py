"""Saved sessions: whole runs of the command line, with a tracker and a keyboard on pseudo-terminals."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import stat
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mcap.reader import make_reader
from runtime_inputs import RATE_HZ, WINDOW, LiveCamera, LiveTracker, scene

from emer_edge.bundle import Bundle
from emer_edge.core.errors import CameraError, ConfigurationError, DataError
from emer_edge.core.results import Result, State
from emer_edge.core.samples import Frame
from emer_edge.core.whole_file import SYNC_S
from emer_edge.data.sessions import MARKERS_FILE, RESULTS_FILE, SESSION_FILE, open_session, session_place
from emer_edge.runtime.markers.stdin import Keyboard
from emer_edge.runtime.outputs import Host
from emer_edge.runtime.outputs.recorder import Recorder
from emer_edge.runtime.outputs.session_folder import SessionFolder
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.play import play
from emer_edge.runtime.recording.keep import RecordOptions
from emer_edge.runtime.recording.mcap_reader import read_messages
from emer_edge.runtime.recording.mcap_writer import JUMP_NAME
from emer_edge.runtime.recording.messages import RESULTS
from emer_edge.tools.simulate import SimulatedTracker, TrackerSimulator

HOP_NS, LENGTH_NS = WINDOW.hop_ns, WINDOW.length_ns
_MAIN = [sys.executable, "-c", "from emer_edge.cli import main; main()"]


@pytest.fixture
def simulated() -> Iterator[str]:
    """The address of a tracker on a pseudo-terminal that plays."""
    stop = threading.Event()
    with TrackerSimulator(SimulatedTracker("emer", RATE_HZ)) as simulator:
        thread = threading.Thread(target=simulator.play, args=(None, stop), daemon=True)
        thread.start()
        yield f"{simulator.path}?format=emer&rate={RATE_HZ}"
        stop.set()
        thread.join()


@contextmanager
def running(bundle: Bundle, tracker: str, folder: Path, *more: str, stdin: int) -> Iterator[subprocess.Popen[str]]:
    command = [*_MAIN, "run", str(bundle.path), "--camera", "synthetic://", "--tracker", tracker, "--json"]
    command += ["--save", str(folder), "--participant", "p017", "--session", "s1", *more]
    process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def results_of(process: subprocess.Popen[str], until: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """Read results as they come, until they are enough or a minute is over."""
    assert process.stdout is not None
    results: list[dict[str, Any]] = []
    deadline = time.monotonic() + 60
    while not until(results) and time.monotonic() < deadline:
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        results.append(json.loads(line))
    return results


def test_a_run_saves_its_session_and_gives_the_terminal_back(bundle: Bundle, simulated: str, tmp_path: Path) -> None:
    folder = tmp_path / "sessions"
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    with running(bundle, simulated, folder, "--baseline", "2500ms", "--apply-baseline", stdin=slave) as process:
        first = results_of(process, lambda results: bool(results))
        assert not termios.tcgetattr(slave)[3] & termios.ICANON
        os.write(master, b"s")
        results = first + results_of(process, lambda results: any(each["from_baseline"] for each in results))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    results += [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 143, err
    assert "Traceback" not in err
    assert termios.tcgetattr(slave) == before
    os.close(slave)
    os.close(master)

    saved = open_session(folder / "p017" / "s1")
    head = saved.head
    assert (head.participant, head.session, head.state) == ("p017", "s1", "ended")
    assert list(saved.results) == results
    assert (head.results, head.markers, saved.cut) == (len(results), 1, 0)
    (marker,) = saved.markers
    assert (marker.label, marker.source) == ("key s", "keyboard")
    assert [each["markers"] for each in results if each["markers"]] == [[marker.to_dict()]]
    for each in results:
        assert each["crosses"] == (["key s"] if each["end_ns"] - LENGTH_NS < marker.stamp_ns < each["end_ns"] else [])
    baseline = head.baseline
    assert baseline is not None
    assert baseline.seconds >= 2.5  # a busy machine ends it later
    assert set(baseline.pupils) == {"left", "right"}
    last = next(each for each in reversed(results) if each["from_baseline"])
    for name, change in last["from_baseline"]["heads"].items():
        assert change == pytest.approx(last["heads"][name] - baseline.heads[name])
    assert head.summary is not None
    assert head.summary["markers"] == 1
    assert head.tracker.startswith("/dev/pts/")
    assert head.camera.startswith("synthetic://")
    assert f"saved {len(results)} results and 1 marker" in err
    assert "baseline, " in err
    private = {each: stat.S_IMODE(each.stat().st_mode) for each in (folder / "p017").rglob("*")}
    assert {each.name: oct(mode) for each, mode in private.items()} == {
        "s1": "0o700",
        SESSION_FILE: "0o600",
        RESULTS_FILE: "0o600",
        MARKERS_FILE: "0o600",
    }


def test_a_run_that_is_killed_leaves_what_it_had_said(bundle: Bundle, simulated: str, tmp_path: Path) -> None:
    read, write = os.pipe()
    with running(bundle, simulated, tmp_path, "--baseline", "1s", "--markers", "lines", stdin=read) as process:
        results = results_of(process, lambda results: len(results) >= 2)
        os.write(write, b"stimulus 1\nstimulus 2\n")
        results += results_of(process, lambda results: any(each["state"] == "ok" for each in results))
        results += results_of(process, lambda results: len(results) >= 2)
        process.kill()
        process.wait(10)
    os.close(read)
    os.close(write)
    saved = open_session(tmp_path / "p017" / "s1")
    assert saved.head.state == "running"
    assert saved.head.ended is None
    assert saved.head.baseline is not None
    assert list(saved.results)[: len(results)] == results  # a result is saved before anybody else sees it
    assert [each.label for each in saved.markers] == ["stimulus 1", "stimulus 2"]
    assert saved.cut == 0
    assert {each.name for each in (tmp_path / "p017" / "s1").iterdir()} == {SESSION_FILE, RESULTS_FILE, MARKERS_FILE}


# The real command, which also writes down how much of a file each fsync(2) has put onto the disk.
_LOGGED = """
import os, sys
log, synced = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), os.fsync
def fsync(descriptor):
    size = os.fstat(descriptor).st_size
    synced(descriptor)
    os.write(log, f"{os.readlink(f'/proc/self/fd/{descriptor}')}|{size}\\n".encode())
os.fsync = fsync
from emer_edge.cli import main
main()
"""


@pytest.mark.case("the power is cut: what was not synced is gone", before="all of it might be", source="")
@pytest.mark.parametrize("hops", [6, pytest.param(60, marks=pytest.mark.slow)])
def test_what_was_synced_survives_a_kill_and_a_power_cut(
    bundle: Bundle, simulated: str, tmp_path: Path, hops: int
) -> None:
    """The layer that is tested is this process and the kernel: files are cut to what fsync(2) was called for."""
    log, recording = tmp_path / "log", tmp_path / "run.mcap"
    command = [sys.executable, "-c", _LOGGED, str(log), "run", str(bundle.path), "--camera", "synthetic://"]
    command += ["--tracker", simulated, "--json", "--save", str(tmp_path), "--participant", "p017", "--session", "s1"]
    process = subprocess.Popen([*command, "--record", str(recording)], stdout=subprocess.PIPE, text=True)
    folder = tmp_path / "p017" / "s1"

    def synced() -> dict[str, int]:
        lines = log.read_text().splitlines() if log.exists() else []
        return {Path(name).name: int(size) for name, _, size in (line.rpartition("|") for line in lines)}

    def kept(results: list[dict[str, Any]]) -> bool:
        if not folder.exists():
            return False
        lines = (folder / RESULTS_FILE).read_bytes()[: synced().get(RESULTS_FILE, 0)].count(b"\n")
        return lines >= hops and synced().get(recording.name, 0) > 20_000

    try:
        results_of(process, kept)
    finally:
        process.kill()
        process.communicate()
    killed = open_session(folder)
    for file in (folder / RESULTS_FILE, folder / MARKERS_FILE, recording):
        os.truncate(file, synced()[file.name])
    cut = open_session(folder)
    assert (cut.head.state, cut.head.participant) == ("running", "p017")
    assert len(cut.results) >= hops
    assert killed.results[: len(cut.results)] == cut.results
    again = [each.decode() for each in read_messages(recording, {RESULTS})]
    assert len(again) >= 1
    assert [each["end_ns"] for each in again] == [each["end_ns"] for each in cut.results[: len(again)]]
    with (folder / RESULTS_FILE).open("ab") as file:
        file.write(bytes(4096))  # a size that reached the disk before its bytes
    assert len(open_session(folder).results) == len(cut.results)
    assert open_session(folder).cut >= 1
    if hops > 20:
        # A quiet machine is needed for these two: two seconds, and what lies between a hop and its line.
        assert (len(killed.results) - len(cut.results)) * HOP_NS <= SYNC_S * 1e9 + 2 * HOP_NS
        assert (len(killed.results) - len(again)) * HOP_NS <= 2 * SYNC_S * 1e9 + 2 * HOP_NS


@pytest.mark.case("the clock is set while a run goes on", before="ended before it had started", source="")
@pytest.mark.parametrize("by_s", [-7200.0, 86_400.0])
def test_a_wall_clock_that_jumps_is_recorded_and_changes_no_time(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str], by_s: float
) -> None:
    real_ns = time.time_ns
    pipeline = Pipeline(bundle, LiveCamera([scene(100, 90)]), LiveTracker())
    with pipeline:
        host = Host(pipeline, say=said.append)
        session = SessionFolder(session_place(tmp_path, "p1", "s1"), host)
        record = Recorder(RecordOptions(tmp_path / "r.mcap"), host)
        session.begin()
        for hop in range(6):
            if hop == 3:
                monkeypatch.setattr(time, "time_ns", lambda: real_ns() + round(by_s * 1e9))
            for output in (session, record):
                assert output.result(Result(hop, State.FILLING))
        session.end(None)
        record.end(None)
    head = open_session(tmp_path / "p1" / "s1").head
    assert head.ended is not None
    assert head.started <= head.ended
    (jump,) = head.clock_jumps
    assert jump.seconds == pytest.approx(by_s, abs=0.4)
    assert jump.at_ns >= head.started_ns
    assert sum("the wall clock was set by" in each for each in said) == 1
    with (tmp_path / "r.mcap").open("rb") as file:
        jumps = [each.metadata for each in make_reader(file).iter_metadata() if each.name == JUMP_NAME]
    assert [float(each["seconds"]) for each in jumps] == [pytest.approx(by_s, abs=0.4)]


@pytest.mark.case("somebody removes a session's folder while it is written", before="it was made anew", source="")
def test_a_folder_that_is_removed_during_a_run_does_not_come_back(bundle: Bundle, tmp_path: Path) -> None:
    pipeline = Pipeline(bundle, LiveCamera([scene(100, 90)]), LiveTracker())
    with pipeline:
        out = SessionFolder(session_place(tmp_path, "p1", "s1"), Host(pipeline))
        out.begin()
        shutil.rmtree(tmp_path / "p1")
        with pytest.raises(DataError, match="can't save the session"):
            out.end(None)
    assert list(tmp_path.iterdir()) == []


def test_a_session_that_is_there_is_not_written_into(bundle: Bundle, tmp_path: Path) -> None:
    place = session_place(tmp_path, "p1", "s1")
    pipeline = Pipeline(bundle, LiveCamera([scene(100, 90)]), LiveTracker())
    place.folder.mkdir(parents=True)
    (place.folder / RESULTS_FILE).write_text("{}\n")
    with pytest.raises(ConfigurationError, match="another --session"):
        play(pipeline, [SessionFolder(place, Host(pipeline))])
    assert (place.folder / RESULTS_FILE).read_text() == "{}\n"


def test_a_folder_that_cant_be_made_is_one_error(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    pipeline = Pipeline(bundle, LiveCamera([scene(100, 90)]), LiveTracker())
    with pytest.raises(ConfigurationError, match=r"can't save the session|is there already"):
        play(
            pipeline,
            [SessionFolder(session_place(tmp_path / "file" / "below", "p1", "s1"), Host(pipeline))],
        )


def test_a_full_disk_is_said_once_and_what_was_written_can_be_read(bundle: Bundle, tmp_path: Path) -> None:
    code = (
        "import resource, signal, time\n"
        "from pathlib import Path\n"
        "from emer_edge.data.sessions import session_place\n"
        "from emer_edge.runtime.outputs import Host\n"
        "from emer_edge.runtime.outputs.delivery import Outputs\n"
        "from emer_edge.runtime.outputs.session_folder import SessionFolder\n"
        "from emer_edge.runtime.pipeline import Pipeline\n"
        "from emer_edge.core.results import Result, State\n"
        "from runtime_inputs import LiveCamera, LiveTracker, scene\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"pipeline = Pipeline({str(bundle.path)!r}, LiveCamera([scene(100, 90)]), LiveTracker(), say=print)\n"
        "pipeline.mark('before')\n"
        f"place = session_place(Path({str(tmp_path)!r}), 'p1', 's1')\n"
        "out = Outputs(pipeline, [SessionFolder(place, Host(pipeline, say=print))])\n"
        "with pipeline:\n"
        "    pipeline.mark('early')\n"
        "    out.begin()\n"
        "    kept = place.folder / 'markers.jsonl'\n"
        "    while not kept.exists() or kept.read_text().count('\\n') < 2: time.sleep(0.01)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "    for hop in range(40): assert out.result(Result(hop, State.FILLING))\n"
        "    out.end(None)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "the output session failed" in done.stdout
    assert "any more (File too large)" in done.stdout
    saved = open_session(tmp_path / "p1" / "s1")
    assert 5 < len(saved.results) < 40
    assert saved.cut == 1
    assert [each["end_ns"] for each in saved.results] == list(range(len(saved.results)))
    assert [each.label for each in saved.markers] == ["before", "early"]
    assert (saved.head.state, saved.head.results) == ("ended", len(saved.results))


def test_results_are_plain_numbers_in_the_file(bundle: Bundle, tmp_path: Path) -> None:
    pipeline = Pipeline(bundle, LiveCamera([scene(100, 90)]), LiveTracker())
    with pipeline:
        out = SessionFolder(session_place(tmp_path, "p1", "s1"), Host(pipeline))
        out.begin()
        result = Result(5, State.OK, heads={"fer-7": {"happiness": 0.25}, "fer-valence": -0.1}, notes=("é",))
        assert out.result(result)
        out.end(None)
    line = (tmp_path / "p1" / "s1" / RESULTS_FILE).read_text(encoding="utf-8")
    assert json.loads(line) == result.to_dict()


def test_a_run_that_fails_gives_the_terminal_back(bundle: Bundle) -> None:
    class Failing(LiveCamera):
        def __next__(self) -> Frame:
            if self._index > 20:
                raise CameraError("test camera was pulled out")
            return super().__next__()

    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    during = []
    pipeline = Pipeline(bundle, Failing([scene(100, 90)]), LiveTracker())
    keyboard = Keyboard(slave, lambda sentence: during.append(termios.tcgetattr(slave)))
    with pytest.raises(CameraError, match="pulled out"):
        play(pipeline, [], sources=[keyboard])
    assert during[0] != before
    assert termios.tcgetattr(slave) == before
    os.close(slave)
    os.close(master)


def test_a_validation_waits_for_enter_and_ends_at_ctrl_c(bundle: Bundle, simulated: str, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    targets = ("--validation-by", "terminal", "--validation-targets", "960,540;192,108")
    with running(bundle, simulated, tmp_path, "--validate", *targets, stdin=slave) as process:
        assert process.stderr is not None
        assert "target 1 of 2: look at x 960, y 540 px; press Enter" in process.stderr.readline()
        os.write(master, b"\n")
        assert "target 2 of 2: look at x 192, y 108 px; press Enter" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert out == ""
    assert "Traceback" not in err
    assert process.returncode == 130
    assert termios.tcgetattr(slave) == before
    assert list(tmp_path.iterdir()) == []  # there was no run
    os.close(slave)
    os.close(master)
