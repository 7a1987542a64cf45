"""What the benchmarks share: their arguments, the bundles they need, and how they report and write results."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
from rich.console import Console

from benchmarks.quiet import OTHERS, refusal
from emer_edge.bench.latency.machine_state import describe
from emer_edge.report.table import Cell, Column, Table
from emer_edge.report.text_tables import to_rich

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
console = Console()


@dataclass(frozen=True)
class Floor:
    """A floor to meet: `value` is at least, or less than, `floor`."""

    what: str
    value: float
    floor: float
    at_least: bool = True
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether it is met."""
        return self.value >= self.floor if self.at_least else self.value < self.floor

    def sentence(self) -> str:
        """The verdict, the figure and the floor."""
        floor = f"{'at least' if self.at_least else 'less than'} {self.floor:g}{self.unit}"
        return f"{'met   ' if self.met else 'MISSED'}  {self.what}: {self.value:.4g}{self.unit} ({floor})"


@dataclass(frozen=True)
class Spent:
    """Cost of a command: wall-clock time, and CPU time with that of the processes it waited for."""

    wall_s: float
    cpu_s: float


def run_measured(command: list[str], **how: Any) -> tuple[int, Spent]:
    """Run a command, `how` as `subprocess.Popen` takes it; return its exit code and its cost."""
    began = monotonic()
    process = subprocess.Popen(command, **how)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    cost = Spent(round(monotonic() - began, 1), round(usage.ru_utime + usage.ru_stime, 1))
    return process.returncode, cost


def of_tree(tree: Path, **environment: str) -> tuple[list[str], dict[str, Any]]:
    """`python -m` of a worktree, by its .venv where it has one, and how `subprocess` starts it: with one thread."""
    own = tree / ".venv" / "bin" / "python"
    # in its own worktree: `python -m` looks for the package in the working directory first
    how = {"env": {**os.environ, **ONE_THREAD, "PYTHONPATH": str(tree), **environment}, "cwd": tree}
    return [str(own) if own.exists() else sys.executable, "-m"], how


def run_in(tree: Path, *arguments: str, cache: Path, fine: tuple[int, ...] = (0,)) -> Spent:
    """Run `emer-edge ARGUMENTS` of a worktree, its cache being in a folder."""
    python, how = of_tree(tree, XDG_CACHE_HOME=str(cache / "cache"))
    code, spent = run_measured([*python, "emer_edge", *arguments], **how)
    if code not in fine:
        sys.exit(f"emer-edge {arguments[0]} of {tree} ended with code {code}; its own message is above")
    return spent


def exported_by(tree: Path, folder: Path) -> Path:
    """The INT8 bundle that a worktree exports of its own weights, in a folder: one that it and later versions read."""
    path = folder.resolve() / "old.emer"
    if not path.exists():
        console.print(f"making {path} by {tree}", soft_wrap=True, highlight=False)
        run_in(tree, "export", "--precision", "int8", "--output", str(path), cache=path.parent, fine=(0, 1))
    return path


class Workshop:
    """Builds what a benchmark needs, once: what is in `folder` already is used again.

    Args:
        folder: for everything that is built.
        participants, clips: size of the synthetic set, clips per participant.
        given: a data set that is there, in the place of a synthetic one.
        training: options of `emer-edge train`; None has it fit what follows a frozen ResNet-18, EMERT's own face
            network, of weights drawn from a seed: what it costs is what a trained one costs.

    Attributes:
        spent: file name -> cost, of everything built by this process.
    """

    def __init__(
        self,
        folder: Path,
        participants: int = 60,
        clips: int = 10,
        *,
        given: Path | None = None,
        training: tuple[str, ...] | None = None,
    ) -> None:
        self.folder, self.participants, self.clips = folder, participants, clips
        self.given, self.training = given, training
        self.spent: dict[str, Spent] = {}

    def data(self) -> Path:
        """The data set: a synthetic one, unless another is given."""
        if self.given is not None:
            return self.given
        path = self.folder / "clips"
        size = ("--participants", str(self.participants), "--clips", str(self.clips))
        return path if path.exists() else self._make(path, "synth", str(path), *size, "--seed", "0")

    def checkpoint_path(self, fold: int = 1) -> Path:
        """Path of the network of a fold, built or not."""
        return self.folder / f"emert{_ending(fold)}.pt"

    def checkpoint(self, fold: int = 1) -> Path:
        """A network trained on all folds but this one, as `training` says."""
        path = self.checkpoint_path(fold)
        if path.exists():
            return path
        training = (
            ("--frozen-backbone", "--backbone-weights", str(self._drawn())) if self.training is None else self.training
        )
        arguments = ("--data", str(self.data()), "--fold", str(fold), *training, "--output", str(path))
        return self._make(path, "train", *arguments)

    def _drawn(self) -> Path:
        path = self.folder / "resnet18.pt"
        if not path.exists():
            drawn_resnet(path)
        return path

    def bundle_path(self, precision: str, fold: int = 1) -> Path:
        """Path of the bundle of a fold, built or not."""
        return self.folder / f"{precision}{_ending(fold)}.emer"

    def bundle(self, precision: str, fold: int = 1) -> Path:
        """The checkpoint of a fold exported, calibrated on the folds that it was trained on."""
        path = self.bundle_path(precision, fold)
        if path.exists():
            return path
        source = ("--checkpoint", str(self.checkpoint(fold)), "--data", str(self.data()), "--fold", str(fold))
        return self._make(path, "export", "--precision", precision, *source, "--output", str(path))

    def built(self, bundle: Path) -> bool:
        """Whether a bundle was built here, from the checkpoint and the data in this folder."""
        return bundle.resolve().parent == self.folder.resolve()

    def recording(self, seconds: int) -> Path:
        """A synthetic recording: video.avi and tracker.tsv."""
        path = self.folder / f"recording-{seconds}"
        if path.exists():
            return path
        return self._make(path, "simulate", "recording", str(path), "--seconds", str(seconds))

    def make(self, path: Path, *arguments: str) -> Path:
        """Run an `emer-edge` command that writes `path`, unless it exists."""
        return path if path.exists() else self._make(path, *arguments)

    def _make(self, path: Path, *arguments: str) -> Path:
        console.print(f"making {path}: emer-edge {' '.join(arguments)}", soft_wrap=True, highlight=False)
        code, self.spent[path.name] = run_measured([sys.executable, "-m", "emer_edge", *arguments])
        if code not in (0, 1) or not path.exists():  # 1 is a failed gate, which is a finding
            sys.exit(f"emer-edge {arguments[0]} ended with code {code}")
        OTHERS.restart()
        return path


def drawn_resnet(path: Path) -> None:
    """Write a ResNet-18 whose weights are drawn from a seed, and whose batch norms have seen smooth images."""
    import torch

    from emer_edge.model.backbone import ResNet18

    torch.manual_seed(0)
    network = ResNet18()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over all that it sees
    images = torch.nn.functional.interpolate(torch.rand(32, 3, 8, 8), (112, 112), mode="bicubic").clamp(0, 1)
    with torch.inference_mode():
        network.train()(images)
    torch.save(network.state_dict(), path)


def _ending(fold: int) -> str:
    return "" if fold == 1 else f"-fold{fold}"


def parser(about: str) -> argparse.ArgumentParser:
    """Return a parser with the arguments of all scripts."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("bundle", nargs="?", type=Path, help="INT8 bundle; built when left out")
    made.add_argument("--work", type=Path, help="folder for what is built; temporary by default")
    return made


def add_old(made: argparse.ArgumentParser) -> None:
    """Add `--old`, for scripts that compare with another version."""
    about = "worktree of the version to compare with; its .venv runs it if it has one"
    made.add_argument("--old", type=lambda path: Path(path).resolve(), help=about)


def compared_bundle(arguments: argparse.Namespace, shop: Workshop) -> Path:
    """The INT8 bundle for all versions: the one that was given, else the old version's, else one that is built."""
    made_by_old = exported_by(arguments.old, shop.folder) if arguments.old and not arguments.bundle else None
    return Path(arguments.bundle or made_by_old or shop.bundle("int8")).resolve()


@contextlib.contextmanager
def workshop(folder: Path | None) -> Iterator[Workshop]:
    """Open a workshop in a folder that is kept, or in a temporary one."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield Workshop(folder)
        return
    with tempfile.TemporaryDirectory(prefix="emer-edge-") as name:
        yield Workshop(Path(name))


def show(title: str, columns: tuple[Column, ...], rows: list[tuple[Cell, ...]], note: str = "") -> None:
    """Print a table."""
    console.print(to_rich(Table(title, columns, tuple(rows), note)))


def conclude(
    name: str,
    floors: list[Floor],
    figures: dict[str, Any],
    path: Path | None = None,
    *,
    others_share: float | None = None,
    beside: Callable[[], object] | None = None,
) -> int:
    """Write a result, say which floors are met, and return the exit code; refuse it where the machine was busy.

    Args:
        name: of the benchmark.
        floors: what it promises.
        figures: what it measured.
        path: of the result; results/NAME.json by default.
        others_share: share of the machine that other programs used, for what another process measured; by default, what
            they used since this process began or last built something.
        beside: writes what belongs to the result: a plot, a table in a page. Not called for a refused result.

    Returns:
        1 where a floor was missed or the result was refused, else 0.
    """
    share = OTHERS.share() if others_share is None else others_share
    for floor in floors:
        console.print(floor.sentence(), highlight=False)
    if reason := refusal(name, share):
        console.print(reason, highlight=False, soft_wrap=True)
        return 1
    document = {
        "benchmark": name,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "environment": msgspec.to_builtins(describe()),
        "others_share": round(share, 4),
        "floors": [{**asdict(floor), "met": floor.met} for floor in floors],
        "figures": figures,
    }
    path = path or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")
    if beside is not None:
        beside()
    console.print(f"wrote {os.path.relpath(path)}", highlight=False)
    return 0 if all(floor.met for floor in floors) else 1
