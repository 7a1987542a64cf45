"""What work without sensors costs, against an older version in turns: predict, export, start, disk, and the whole demo.

Commands run as anybody runs them, in processes of their own; processor time is the kernel's, of a command and all that
it waited for. With `--old WORKTREE` the set and the checkpoint are made by that version, which both read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.common import ROOT, Floor, Spent, add_old, conclude, console, parser, run_in, show
from benchmarks.quiet import OTHERS
from emer_edge.demo import READY
from emer_edge.report.table import Column

FEW: Final = (5, 2)
"""Participants and clips of each in a set that shows what a command costs without its clips."""

SHARES_OF_OLD: Final = {
    "predict, a clip": 24 / 31.5,
    "predict, an uncached sheet more": 45 / 56,
    "export int8": 60 / 90,
    "demo, whole": 240 / 350,
    "disk": 1.0,
    "import, cold": 1.0,
    "first result, cold": 1.0,
}
"""What each figure may be of the old version's, at most."""

UNITS: Final = {"disk": "MB", "predict, a clip": "ms", "predict, an uncached sheet more": "ms"}
SPEED_UP: Final = 1.8
Command = Callable[..., list[str]]


def main() -> int:
    """Run it; return the exit code."""
    made = parser("Predict, export, start, disk and demo of this version and an older one, in turns.")
    add_old(made)
    made.add_argument("--parts", nargs="+", choices=list(PARTS), default=["predict", "export"], help="what to measure")
    made.add_argument("--turns", type=int, default=3, help="how often each version is measured")
    made.add_argument("--participants", type=int, default=60, help="of the synthetic set, ten clips each")
    arguments = made.parse_args()
    trees = {"new": ROOT} | ({"old": arguments.old} if arguments.old else {})
    figures: dict[str, dict[str, list[float]]] = {version: {} for version in trees}
    floors: list[Floor] = []
    with TemporaryDirectory(prefix="emer-edge-") as name:
        work = (arguments.work or Path(name)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        sets = Sets(
            list(trees.values())[-1], work, arguments.participants, bundle=(arguments.bundle or READY).resolve()
        )
        for part in arguments.parts:
            sets.make(part)
        OTHERS.restart()
        for part in arguments.parts:
            for turn in range(arguments.turns):
                for version in sorted(trees, reverse=bool(turn % 2)):
                    console.print(f"{part}, turn {turn + 1}: {version}", highlight=False)
                    with TemporaryDirectory(prefix="emer-edge-turn-") as folder:
                        for what, value in PARTS[part](trees[version], sets, Path(folder), version == "old").items():
                            figures[version].setdefault(what, []).append(value)
    medians = {version: {what: median(each) for what, each in of.items()} for version, of in figures.items()}
    columns = (Column("What"), *(Column(version, "", 1) for version in medians), Column("unit"))
    rows = [(what, *(of[what] for of in medians.values() if what in of)) for what in medians["new"]]
    wide = [(*row, *[None] * (len(medians) + 1 - len(row)), UNITS.get(row[0], "s")) for row in rows]
    show("medians of the turns", columns, wide, "predict and export: processor time; the rest: wall clock and bytes")
    for what, most in SHARES_OF_OLD.items() if "old" in medians else ():
        if what in medians["new"]:
            share = medians["new"][what] / medians["old"][what]
            floors.append(Floor(f"{what} as a share of the old version's", share, most * (1 + 1e-9), False))
    if "predict, one process" in medians["new"]:
        ratio = medians["new"]["predict, one process"] / medians["new"]["predict, two processes"]
        floors.append(Floor("predict --workers 2 over one process", ratio, SPEED_UP, unit=" times"))
    return conclude(f"offline_cost-{'-'.join(arguments.parts)}", floors, {"turns": figures, "medians": medians})


class Sets:
    """What commands work on, made once by the older version, in a folder."""

    def __init__(self, maker: Path, work: Path, participants: int, *, bundle: Path) -> None:
        self.maker, self.participants, self.bundle = maker, participants, bundle
        self.data, self.few, self.checkpoint = work / "clips", work / "few", work / "emert.pt"
        self.visit = work / "recording-20"

    def make(self, part: str) -> None:
        """Make what a part needs and is not there."""
        size = ("--participants", str(self.participants), "--clips", "10", "--seed", "0")
        if part in ("predict", "export"):
            self._made(self.data, "synth", str(self.data), *size)
        if part == "predict":
            self._made(self.few, "synth", str(self.few), "--participants", str(FEW[0]), "--clips", str(FEW[1]))
        if part == "export":
            trained = ("--data", str(self.data), "--fold", "1", "--frozen-backbone", "--output", str(self.checkpoint))
            self._made(self.checkpoint, "train", *trained)
        if part == "start":
            self._made(self.visit, "simulate", "recording", str(self.visit), "--seconds", "20")

    def _made(self, path: Path, *arguments: str) -> None:
        if not path.exists():
            console.print(f"making {path}", highlight=False)
            run_in(self.maker, *arguments, cache=path.parent)


def predict(tree: Path, sets: Sets, folder: Path, old: bool) -> dict[str, float]:
    """Processor time of a clip and of an uncached sheet, without the command's start; and two processes beside one."""

    def scored(data: Path, *more: str, name: str = "one.csv") -> Spent:
        bundle = (str(data), "--bundle", str(sets.bundle)) if old else (str(sets.bundle), str(data))
        return run_in(tree, "predict", *bundle, "--output", str(folder / name), "--force", *more, cache=folder)

    def spent_s(data: Path) -> tuple[Spent, Spent]:
        return scored(data), scored(data)

    few, many = spent_s(sets.few), spent_s(sets.data)
    clips = sets.participants * 10 - FEW[0] * FEW[1]
    cold, cached = (1e3 * (many[at].cpu_s - few[at].cpu_s) / clips for at in (0, 1))
    figures = {"predict, a clip": cached, "predict, an uncached sheet more": cold - cached}
    if old:
        return figures
    two = scored(sets.data, "--workers", "2", name="two.csv")
    if (folder / "one.csv").read_bytes() != (folder / "two.csv").read_bytes():
        sys.exit("predict --workers 2 gives other rows than one process")
    return figures | {"predict, one process": many[1].wall_s, "predict, two processes": two.wall_s}


def export(tree: Path, sets: Sets, folder: Path, old: bool) -> dict[str, float]:
    """Processor time of `export --precision int8`, its caches empty."""
    source = ("--checkpoint", str(sets.checkpoint), "--data", str(sets.data), "--fold", "1")
    arguments = ("--precision", "int8", *source, "--output", str(folder / "int8.emer"))
    spent = run_in(tree, "export", *arguments, cache=folder, fine=(0, 1))  # 1: a failed gate, which is a finding
    return {"export int8": spent.cpu_s}


def start(tree: Path, sets: Sets, folder: Path, old: bool) -> dict[str, float]:
    """Bytes of a fresh installation with `desktop`; seconds to an import and a first result, with no page in memory."""
    clean = {name: each for name, each in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    venv, copy = folder / "venv", folder / "tree"
    copied(tree, copy)
    python = venv / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, env=clean)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", f"{copy}[desktop]"], check=True, env=clean)
    shutil.rmtree(copy)
    size = sum(path.lstat().st_size for path in venv.rglob("*") if not path.is_dir() or path.is_symlink())
    video, tracker = (str(sets.visit / name) for name in ("video.avi", "tracker.tsv"))
    seen = ("--camera", video, "--tracker", tracker, "--offset-ms", "0", "--pace", "fast", "--json")
    commands = {
        "import": [str(python), "-c", "import emer_edge; print(1)"],
        "first result": [str(python), "-m", "emer_edge", "run", str(sets.bundle), *seen],
    }
    figures = {"disk": size * 1e-6}
    for what, command in commands.items():
        for warm in ("cold", "warm"):
            if warm == "cold":
                for path in (*venv.rglob("*"), *sets.bundle.rglob("*")):
                    forget(path)
            began_s = time.monotonic()
            with subprocess.Popen(command, env=clean, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                process.stdout.readline()
                figures[f"{what}, {warm}"] = time.monotonic() - began_s
                process.kill()
    return figures


def demo(tree: Path, sets: Sets, folder: Path, old: bool) -> dict[str, float]:
    """Seconds of `make demo` in a fresh copy, its installation from PyPI included."""
    copied(tree, folder / "tree")
    clean = {name: each for name, each in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "VENV"))}
    clean["XDG_CACHE_HOME"] = str(folder / "cache")
    began_s = time.monotonic()
    if code := subprocess.run(["make", "demo"], cwd=folder / "tree", env=clean, check=False).returncode:
        sys.exit(f"make demo of {tree} ended with code {code}")
    return {"demo, whole": time.monotonic() - began_s}


def copied(tree: Path, place: Path) -> None:
    """A copy of what a worktree has committed."""
    place.mkdir()
    with subprocess.Popen(["git", "-C", str(tree), "archive", "HEAD"], stdout=subprocess.PIPE) as archive:
        subprocess.run(["tar", "--extract", "--directory", str(place)], stdin=archive.stdout, check=True)


def forget(path: Path) -> None:
    """Let the kernel drop a file's pages."""
    if path.is_file():
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fdatasync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


PARTS: Final[dict[str, Callable[[Path, Sets, Path, bool], dict[str, float]]]] = {
    "predict": predict,
    "export": export,
    "start": start,
    "demo": demo,
}


if __name__ == "__main__":
    sys.exit(main())
