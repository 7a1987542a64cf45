"""The demo: the whole job on a machine without data or sensors; and the default bundle.

Everything here is based on synthetic clips of rendered people, and says so.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from emer_edge.core.errors import BundleError, ConfigurationError, DataError, EmerEdgeError, OutputExistsError
from emer_edge.core.ownership import why_not_mine
from emer_edge.core.packages import EXPORT_PACKAGES, SYNTH_PACKAGES, require
from emer_edge.core.progress import Progress, silent
from emer_edge.core.standard_streams import command

if TYPE_CHECKING:
    from emer_edge.bench.records.report_records import BenchReport
    from emer_edge.bundle import Bundle

READY: Final = Path(__file__).with_name("bundle") / "assets" / "demo.emer"
"""The demo bundle that the package brings (INT8, for CPUs), made by `python -m benchmarks.demo_bundle`."""
_MARKER: Final = ".emer-edge-demo"
_FOLD: Final = 1
_STEP_SHARES: Final = (0.12, 0.38, 0.16, 0.04, 0.1, 0.2)
"""Of a demo's time, step by step; for the time that is left alone."""


@dataclass(frozen=True)
class DemoOptions:
    """Options of a demo.

    Attributes:
        folder: made for the demo.
        participants: synthetic people, ten clips each.
        epochs: of training.
        run_seconds: length of the live run; a window takes 12 s to fill.
        force: make a demo's folder again; files of others stay in it, or are refused where they would be removed.
    """

    folder: Path = Path("demo")
    participants: int = 20
    epochs: int = 80
    run_seconds: float = 20.0
    force: bool = False


@dataclass(frozen=True)
class Demo:
    """The results of a demo: its folder, the INT8 bundle, and its speed and accuracy on the held-out fold."""

    folder: Path
    bundle: Path
    bench: BenchReport


def open_bundle(
    path: Path | None, progress: Progress = silent, *, say: Callable[[str], None], key: Path | None = None
) -> Bundle:
    """Load a bundle, or the one to use when none is given.

    That is the only `*.emer` of the current folder, if nobody else can have put it there; else, and where there are
    several, the demo bundle of this package.

    Args:
        path: of the bundle, or None.
        progress: of checking it.
        say: says which bundle is used where none was given, and why none in this folder is.
        key: what it must be signed by (see `load_bundle`).

    Raises:
        BundleError: it can't be used; or a key is given, and there is no bundle but the demo's, which is not signed.
    """
    from emer_edge.bundle import load_bundle

    if path is not None:
        return load_bundle(path, key=key, progress=progress)
    folder, why_demo = Path.cwd(), "no other is named or here"
    here = sorted(bundle for bundle in folder.glob("*.emer") if bundle.is_dir())
    if len(here) > 1:
        names = ", ".join(bundle.name for bundle in here)
        why_demo = f"{folder} holds several: {names}. Name the one you mean, such as {here[0].name}"
        here = []
    elif here and (why := why_not_mine(folder.stat()) or why_not_mine(here[0].stat())):
        say(f"{here[0]} is not used unless it is named: it, or the folder that it lies in, {why}")
        here = []
    if not here and key is not None:
        raise BundleError(
            f"{folder} does not hold one bundle of yours, and the demo bundle is not signed; name a bundle"
        )
    say(f"bundle: {here[0]}" if here else f"bundle: the demo bundle of this package, as {why_demo}")
    return load_bundle(here[0] if here else READY, key=key, progress=progress)


class _Steps:
    """Says each step as the command that does the same, and about how long the rest takes."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._begun, self._start_s = say, 0, time.monotonic()

    def begin(self, step: str) -> None:
        done = sum(_STEP_SHARES[: self._begun])
        left_s = (time.monotonic() - self._start_s) * (1 - done) / done if done else 0.0
        left = f"   about {max(1, round(left_s / 60))} min left" if left_s else ""
        self._begun += 1
        self._say(f"[{self._begun}/{len(_STEP_SHARES)}] {step}{left}")


def run_demo(options: DemoOptions, progress: Progress = silent, say: Callable[[str], None] = lambda _: None) -> Demo:
    """Synthesise, train, export, run and bench in a folder; `say` gets each step as a command.

    Raises:
        OutputExistsError: the folder exists.
        DataError: it exists, `force` is given, and it is not a demo's.
        MissingExtraError: packages for training or export are missing.
    """
    require("the demo", (*EXPORT_PACKAGES, *SYNTH_PACKAGES), "export,train,synth")
    folder, run_seconds = options.folder, options.run_seconds
    if run_seconds < 1:
        raise ConfigurationError(f"the live run lasts a second at least, not {run_seconds:g} s")
    _make(folder, options.force)
    from emer_edge.bench.bench_options import BenchOptions, LatencyOptions
    from emer_edge.bench.benchmark import run_bench
    from emer_edge.data.dataset import EmerDataset
    from emer_edge.data.synth import synthesise, write_recording
    from emer_edge.export.export_options import ExportOptions
    from emer_edge.export.exporter import export_bundle
    from emer_edge.training.config import TrainingConfig
    from emer_edge.training.train import train

    force, steps = options.force, _Steps(say)
    clips, checkpoint, visit = folder / "clips", folder / "emert.pt", folder / "visit"
    bundle, report = folder / "emert-int8.emer", folder / "bench"
    steps.begin(command("synth", clips, "--participants", options.participants))
    clips = synthesise(folder / "clips", options.participants, progress=progress, force=force)
    dataset = EmerDataset.open(clips, progress=progress)
    fold = ("--data", clips, "--fold", _FOLD)
    training = ("train", *fold, "--frozen-backbone", "--epochs", options.epochs, "--output", checkpoint)
    steps.begin(command(*training))
    config = TrainingConfig(output=checkpoint, fold=_FOLD, frozen_backbone=True, epochs=options.epochs, force=force)
    train(dataset, config, progress)
    exporting = ("export", "--precision", "int8", "--checkpoint", checkpoint, *fold, "--output", bundle)
    steps.begin(command(*exporting))
    exported = export_bundle(
        ExportOptions(output=bundle, checkpoints=(str(checkpoint),), data=dataset, fold=_FOLD, force=force), progress
    )
    seconds = run_seconds + 2.0
    simulating = ("simulate", "recording", visit, "--seconds", f"{seconds:g}")
    steps.begin(command(*simulating))
    visit = write_recording(visit, seconds, progress=progress, force=force)
    video = ("--camera", visit / "video.avi", "--tracker", visit / "tracker.tsv", "--offset-ms", 0)
    steps.begin(command("run", exported.path, *video, "--seconds", f"{run_seconds:g}"))
    _live_run(exported.path, visit / "video.avi", run_seconds)
    benching = ("bench", exported.path, "--data", clips, "--output", report, "--stream-seconds", 0)
    steps.begin(command(*benching))
    bench = run_bench(
        BenchOptions(
            bundles=(exported.path,),
            data=dataset,
            output=report,
            force=force,
            latency=LatencyOptions(rests=3, starts=1, streams=(1, 2), min_seconds=1.0, stream_s=0.0),
        ),
        progress,
    )
    return Demo(folder, exported.path, bench)


def _make(folder: Path, force: bool) -> None:
    if folder.exists():
        if not force:
            raise OutputExistsError(folder)
        if not (folder / _MARKER).is_file():
            raise DataError(f"{folder} exists and was not made by the demo; --force replaces demos only")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _MARKER).touch()
    except OSError as error:
        raise DataError(f"can't make {folder}: {error.strerror}") from None


def _live_run(bundle: Path, video: Path, seconds: float) -> None:
    """`emer-edge run` in a process of its own; its view and its summary go to stderr."""
    from emer_edge.tools.simulate import SimulatedTracker, TrackerSimulator

    stop = threading.Event()
    with TrackerSimulator(SimulatedTracker()) as tracker:
        player = threading.Thread(target=tracker.play, kwargs={"stop": stop}, name="simulated tracker", daemon=True)
        player.start()
        sources = ["--camera", str(video), "--tracker", tracker.path, "--seconds", f"{seconds:g}"]
        try:
            done = subprocess.run([sys.executable, "-m", "emer_edge", "run", str(bundle), *sources], check=False)
        finally:
            stop.set()
            player.join()
    if done.returncode:
        raise EmerEdgeError(f"the live run ended with code {done.returncode}; its own message is above")
