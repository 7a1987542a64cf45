"""Send every signal to every command that writes, at several moments, and write the table of what came of it.

    python -m benchmarks.signal_matrix BUNDLE [--output docs/signals.md] [--only run,export]

A command is right when it ends with the signal's exit code, leaves no process behind (this script is the subreaper of
all of them), nothing unfinished in its output, among the temporary files and in the cache, and no traceback. After
SIGKILL, which nobody can act on, what is unfinished must be hidden, and the next run of the same command must sweep it;
a session and a recording are read. A cell that is not right says why, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.common import ONE_THREAD, TESTS
from emer_edge.data.sessions import open_session
from emer_edge.data.synth import synthesise, write_recording
from emer_edge.runtime.recording.mcap_reader import read_head

sys.path.insert(0, str(TESTS / "cli"))  # the commands, which the tests of disks use too

_MAIN: Final = [sys.executable, "-c", "from emer_edge.cli import main; main()"]
_ROOT: Final = Path(__file__).resolve().parent.parent
_PATIENCE_S: Final = 120.0
_LATER_S: Final = 1.0
_NEVER: Final = -1  # stands for the exit code of a command that goes on
_SUBREAPER: Final = 36  # PR_SET_CHILD_SUBREAPER of <linux/prctl.h>

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
MOMENTS: Final = ("starting", "first output", "a second later")
CODES: Final = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143, signal.SIGKILL: 137}


class Cell(NamedTuple):
    """What came of a signal: how the command ended, and what was wrong; empty where all was right."""

    ended: str
    wrong: str


class Stage:
    """What commands read, and a place that each of them writes to.

    Args:
        bundle: that they use.
        work: an empty folder.
    """

    def __init__(self, bundle: Path, work: Path) -> None:
        from bad_disks import commands

        self._work, self.out = work, work / "out"
        data = synthesise(work / "data", 5, seed=1, clips_per_participant=2, frames=8, workers=1)
        visit = write_recording(work / "visit", 8.0)
        record = commands(bundle, data, visit, visit)["run --record"]
        subprocess.run([*_MAIN, *record], env=self._environment(), check=True, capture_output=True)
        scored = commands(bundle, data, visit, visit)["predict"]
        subprocess.run([*_MAIN, *scored], env=self._environment(), check=True, capture_output=True)
        self._short, self.commands = (commands(bundle, data, visit, self.out) for _ in range(2))
        for name in ("run --save", "run --record"):  # live, so that they go on
            self.commands[name] = [each if each != "fast" else "real" for each in self.commands[name]]
        self.commands["simulate"][-1] = "60"
        self.commands["synth"][-1] = "40"
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)

    def _environment(self) -> dict[str, str]:
        places = {"TMPDIR": "tmp", "XDG_CACHE_HOME": "cache"}
        for place in places.values():
            (self._work / place).mkdir(exist_ok=True)
        own = {name: str(self._work / place) for name, place in places.items()}
        return {**os.environ, **ONE_THREAD, **own, "PYTHONPATH": str(_ROOT)}

    def send(self, command: str, number: signal.Signals, moment: str) -> Cell:
        """Start a command, send it a signal at a moment, and look at what is left."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()
        before = set(self._left())
        started = self._start(self.commands[command])
        code = self._signalled(started, number, moment)
        said = (self._work / "said").read_text()
        if code == 0:
            return Cell("ended before", "")
        wrong = []
        right = CODES[number]
        if code != right and (moment == MOMENTS[1] or code != 128 + number):  # Python itself is starting or leaving
            wrong.append(f"exit code {code} instead of {right}")
        if "Traceback" in said and moment != MOMENTS[0]:
            wrong.append("traceback")
        if orphans := list(self._orphans()):
            wrong.append(f"left running: {', '.join(orphans)}")
        left = [path for path in self._left() if path not in before]
        wrong += self._unfinished(command, left, number, moment=moment)
        return Cell(str(code), "; ".join(wrong))

    def _start(self, arguments: Sequence[str]) -> subprocess.Popen[str]:
        def usual() -> None:
            for each in SIGNALS[:3]:
                signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL)

        said = (self._work / "said").open("w")  # no pipe: whoever is left behind would hold it open
        return subprocess.Popen(
            [*_MAIN, *arguments],
            cwd=self._work, env=self._environment(), stdout=subprocess.DEVNULL, stderr=said, text=True,
            start_new_session=True, preexec_fn=usual,
        )  # fmt: skip

    def _signalled(self, started: subprocess.Popen[str], number: signal.Signals, moment: str) -> int:
        """Send the signal and return the exit code as a shell gives it."""
        if moment == MOMENTS[0]:
            time.sleep(0.3)
        else:
            _until(lambda: started.poll() is not None or any(self.out.iterdir()))
            time.sleep(_LATER_S if moment == MOMENTS[2] else 0.0)
        if started.poll() is None:
            started.send_signal(number)
        try:
            code = started.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            started.kill()
            return started.wait() and _NEVER
        return 128 - code if code < 0 else code

    def _orphans(self) -> Iterator[str]:
        """Processes that outlived their command by ten seconds; they are killed."""

        def children() -> list[int]:
            own = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            for pid in map(int, own):
                _reap(pid)
            return [int(pid) for pid in own if Path(f"/proc/{pid}").exists()]

        _until(lambda: not children(), 10.0)
        for pid in children():
            yield Path(f"/proc/{pid}/comm").read_text().strip()
            os.kill(pid, signal.SIGKILL)

    def _left(self) -> list[Path]:
        places = (self.out, self._work / "tmp", self._work / "cache", self._work / "visit")
        return [path for place in places if place.exists() for path in sorted(place.rglob("*"))]

    def _is_left(self, path: Path) -> bool:
        return "cache" not in path.parts and path.suffix != ".resume"  # entries are whole; train goes on from the other

    def _unfinished(self, command: str, left: Sequence[Path], number: signal.Signals, *, moment: str) -> list[str]:
        """What is wrong with what is left: a session and a recording are whole, all else is not there.

        A second later a short command may have given its output its name, which then is whole.
        """
        hidden = [path for path in left if any(part.startswith(".") for part in path.relative_to(self._work).parts)]
        shown = [path for path in left if path not in hidden and not path.is_dir()]
        wrong = []
        if command.startswith("run"):
            state = "running" if number == signal.SIGKILL else "ended"
            for path in shown:
                if path.name == "session.json" and open_session(path.parent).head.state != state:
                    wrong.append("the session's state is wrong")
                if path.suffix == ".mcap":
                    read_head(path)
                    if number != signal.SIGKILL and not path.read_bytes().endswith(b"\x89MCAP0\r\n"):
                        wrong.append("the recording has no end")
        elif others := [path for path in shown if self._is_left(path) and moment != MOMENTS[2]]:
            wrong.append(f"left {others[0].relative_to(self._work)}")
        if hidden and number != signal.SIGKILL:
            wrong.append(f"left {hidden[0].relative_to(self._work)}")
        if hidden and number == signal.SIGKILL and not command.startswith("run"):
            again = self._start(self._short[command])
            again.wait(timeout=10 * _PATIENCE_S)
            if kept := [path for path in hidden if path.exists()]:
                wrong.append(f"not swept: {kept[0].relative_to(self._work)}")
        return wrong


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):  # gone by itself
        os.waitpid(pid, os.WNOHANG)


def _until(true: Callable[[], bool], seconds: float = _PATIENCE_S) -> None:
    end_s = time.monotonic() + seconds
    while not true() and time.monotonic() < end_s:
        time.sleep(0.02)


def table(cells: dict[tuple[str, str, str], Cell]) -> str:
    """Return the page: a row a command and moment, a column a signal."""
    names = [number.name for number in SIGNALS]
    rows = list(dict.fromkeys((command, moment) for command, moment, _ in cells))
    right = sum(not cell.wrong for cell in cells.values())
    lines = [
        "# Signals: what commands leave when they are ended",
        "",
        f"Written by `python -m benchmarks.signal_matrix` on {date.today().isoformat()}, Python "
        f"{platform.python_version()} on {platform.machine()}: {len(cells)} cases, {right} right. A number is the exit "
        "code as a shell gives it; it stands alone where no process was left, nothing unfinished in the output, among "
        "the temporary files and in the cache, and no traceback was printed. After SIGKILL what is unfinished is "
        "hidden, and the next run of the command swept it; an output that was whole before the signal stays. 129 is "
        "SIGHUP while Python itself was starting or leaving.",
        "",
        f"| command | moment | {' | '.join(names)} |",
        f"| --- | --- |{' --- |' * len(names)}",
    ]
    for command, moment in rows:
        made = [cells[command, moment, name] for name in names]
        lines.append(f"| `{command}` | {moment} | " + " | ".join(f"{c.ended} {c.wrong}".strip() for c in made) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the matrix and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="that the commands use")
    parser.add_argument("--output", type=Path, default=_ROOT / "docs" / "signals.md", help="the page to write")
    parser.add_argument("--only", default="", help="commands, separated by commas")
    options = parser.parse_args()
    cells: dict[tuple[str, str, str], Cell] = {}
    with tempfile.TemporaryDirectory() as work:
        stage = Stage(options.bundle.resolve(), Path(work))
        for command in options.only.split(",") if options.only else stage.commands:
            for moment in MOMENTS:
                for number in SIGNALS:
                    cell = cells[command, moment, number.name] = stage.send(command, number, moment)
                    print(f"{command}, {moment}, {number.name}: {cell.ended} {cell.wrong}", flush=True)
    options.output.write_text(table(cells), encoding="utf-8")
    return int(any(cell.wrong for cell in cells.values()))


if __name__ == "__main__":
    sys.exit(main())
