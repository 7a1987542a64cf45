"""Runs the blocks of a page in order, in a folder of their own, as a reader would.

What a test machine lacks has a stand-in, and nothing else: they are all in `main` below, which takes the place of
`emer-edge`, `pip`, `make` and `scp` on the PATH. Files that a block needs (`needs` in its comment) come from a stock.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["Place", "Stock", "as_on_a_desk"]

ROOT = Path(__file__).parents[2]
RUN_SECONDS = "14"
QUICK = {
    # A live run goes on until Ctrl-C; these sensors and durations take the place of a reader's.
    "run": (("--seconds", RUN_SECONDS),),
    "train": (("--frozen-backbone",), ("--epochs", "3")),
    "bench": (("--min-seconds", "0"), ("--min-queries", "0"), ("--starts", "0"), ("--streams", "1"),
              ("--stream-seconds", "0"), ("--repeats", "3"), ("--probes", "none"), ("--draws", "1")),
    "synth": (("--participants", "10"), ("--clips", "7")),
}  # fmt: skip
CAMERA = "synthetic://"
TRACKER = "/dev/ttyUSB0"
STOCK = {
    "demo.emer": "demo.emer", "emert-int8.emer": "demo.emer", "NAME.emer": "fp32.emer", "int8.emer": "demo.emer",
    "fp32.emer": "fp32.emer", "visit": "visit", "emert.pt": "emert.pt", "EMER": "EMER", "visit.mcap": "visit.mcap",
    "lab_sensors": "lab_sensors", "sessions": "sessions", "report": "report",
}  # fmt: skip
"""What a block may need -> what it is in the stock. Bundles of a page's own names are the demo's, but for the one that
is built: the demo's has no parts for TensorRT."""
HOME = {"EMER": "home/EMER", "lab_sensors": "packages"}
"""Where it lies in a page's folder, if not under its name."""


class Stock:
    """What blocks need, made by emer-edge itself when it is first needed.

    Args:
        folder: for all of it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """Where it is."""
        made = self._folder / STOCK[name]
        if not made.exists():
            self._make(STOCK[name])
        return made

    def _make(self, name: str) -> None:
        if name == "lab_sensors":
            shutil.copytree(ROOT / "tests/extending/installed", self._folder / name)
        elif name == "demo.emer":
            from emer_edge.demo import READY

            shutil.copytree(READY, self._folder / name)
        elif name == "fp32.emer":
            self._call("export", "--precision", "fp32", "--output", name)
        elif name == "visit":
            self._call("simulate", "recording", name, "--seconds", 50)
        elif name == "visit.mcap":
            files = ("--camera", self.path("visit") / "video.avi", "--tracker", self.path("visit"), "--pace", "fast")
            kept = ("--record", name, "--record-video", "--consent-id", "made-up", "--participant", "p017")
            self._call("run", self.path("demo.emer"), *files, *kept)
        elif name == "sessions":
            files = ("--camera", self.path("visit") / "video.avi", "--tracker", self.path("visit"), "--pace", "fast")
            self._call("run", self.path("demo.emer"), *files, "--save", name, "--participant", "p017")
        elif name == "report":
            self._call("report", self.path("sessions"), "--output", name)
        elif name == "EMER":
            # Of another seed than what the packaged bundle was trained on: bench refuses clips that a bundle has seen.
            self._call("synth", name, "--participants", 10, "--clips", 7, "--seed", 4711)
        else:
            recipe = ("--fold", 1, "--frozen-backbone", "--epochs", 3)
            self._call("train", "--data", self.path("EMER"), *recipe, "--output", name)

    def _call(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "emer_edge", *map(str, arguments)]
        environment = environment_in(self._folder)
        done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, (arguments, done.stderr[-2000:])


def environment_in(folder: Path) -> dict[str, str]:
    """The environment of a reader who sits in a folder: commands on the PATH, a home, a cache."""
    names = ("XDG_CACHE_HOME", "LSLAPICFG", "OMP_NUM_THREADS", "LANG")
    places = [folder / "bin", Path(sys.executable).parent, os.environ.get("PATH", os.defpath), "/usr/sbin"]
    own = {
        "PATH": os.pathsep.join(map(str, places)),
        "HOME": str(folder / "home"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder / "packages")]),
        "PYTHONUNBUFFERED": "1",
        "COLUMNS": "100",
        "TERM": "dumb",
    }
    return {name: os.environ[name] for name in names if name in os.environ} | own


class Place:
    """The folder of a page.

    Args:
        folder: made for it.
        stock: of what its blocks need.
    """

    def __init__(self, folder: Path, stock: Stock) -> None:
        self.folder, self._stock = folder, stock
        self._running: list[tuple[str, subprocess.Popen[bytes], Path, str]] = []
        (folder / "bin").mkdir(parents=True)
        (folder / "home").mkdir()
        for name in ("emer-edge", "pip", "make", "scp"):
            stand_in = folder / "bin" / name
            stand_in.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "$@"\n')
            stand_in.chmod(0o755)

    def provide(self, names: Sequence[str]) -> None:
        """Lay out what a block needs and the page has not made itself."""
        for name in names:
            place = self.folder / HOME.get(name, name)
            if place.exists():
                continue
            source = self._stock.path(name)
            if source.is_dir():
                shutil.copytree(source, place)
            else:
                shutil.copy(source, place)

    def run(self, command: Sequence[str], name: str, timeout_s: float) -> str:
        """Run to its end; return what it said. AssertionError with that where it fails."""
        done = subprocess.run(
            command, cwd=self.folder, env=environment_in(self.folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{name} ended with {done.returncode}:\n{done.stdout[-3000:]}"
        return done.stdout

    def start(self, command: Sequence[str], name: str, prints: str = "") -> None:
        """Run until the page is over."""
        log = self.folder / f"background-{len(self._running)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=self.folder, env={**environment_in(self.folder), "EMER_EDGE_DOCS_BACKGROUND": "1"},
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self._running.append((name, process, log, prints))
        time.sleep(3.0)
        assert process.poll() is None, f"{name} ended at once:\n{log.read_text(errors='replace')[-2000:]}"

    def close(self) -> None:
        """End what is still running; AssertionError where it had ended by itself or has not said what it should."""
        ended = []
        for name, process, log, prints in self._running:
            alive = process.poll() is None
            if alive:
                os.killpg(process.pid, signal.SIGINT)
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            ended.append(
                (name, alive, prints in log.read_text(errors="replace"), log.read_text(errors="replace")[-800:])
            )
        self._running.clear()
        assert all(alive and said for _, alive, said, _ in ended), ended


def main() -> None:
    """Stand in for a command: `docs_runner.py NAME ARGUMENT ...`."""
    name, *arguments = sys.argv[1:]
    if name == "pip":  # what would be installed is; here it is resolved against this checkout's own extras
        words = [f"{ROOT}{each[1:]}" if each.startswith(".[") or each == "." else each for each in arguments[1:]]
        command = [sys.executable, "-m", "pip", arguments[0], "--dry-run", "--no-deps", "--no-index",
                   "--no-build-isolation", "--quiet", "--disable-pip-version-check", *words]  # fmt: skip
    elif name == "make":
        command = ["/usr/bin/make", "--dry-run", "--directory", str(ROOT), *arguments]
    elif name == "scp":
        command = ["cp", *(each.removesuffix("board:") or "." for each in arguments)]
    else:
        command = [sys.executable, "-m", "emer_edge", *as_on_a_desk(arguments)]
    os.execv(command[0] if "/" in command[0] else shutil.which(command[0]) or command[0], command)


def as_on_a_desk(arguments: list[str]) -> list[str]:
    """Arguments of emer-edge with simulated sensors, and less of what only takes time."""
    name = next(iter(arguments), "")
    words = []
    for before, word in zip(["", *arguments], arguments, strict=False):
        if before == "--camera" and word == "0":
            word = CAMERA
        elif before == "--serve":  # the page's port may be taken here
            word = word.replace("8080", "0")
        words.append(word.replace(TRACKER, str(Path("tracker").absolute())))
    if name == "simulate" and "tracker" in words and "--seconds" not in words:
        words += () if os.environ.get("EMER_EDGE_DOCS_BACKGROUND") else ("--seconds", "2")
    if name == "run" and not {"--camera", "--config", "--help"} & set(words):
        words += ["--camera", CAMERA]
    if name == "run" and "EMER_EDGE_DOCS_CHECK" in os.environ and "--check" not in words:
        words.append("--check")
    for flag, *value in QUICK.get(name, ()):
        if flag not in words and not (flag == "--seconds" and {"--check", "--pace"} & set(words)):
            words += [flag, *value]
    return words


if __name__ == "__main__":
    main()
