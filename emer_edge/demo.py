"""The demo: the whole job on a machine without data or sensors; and the default bundle.

Everything here is based on synthetic clips of one portrait, and says so.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from emer_edge import __version__
from emer_edge.core.errors import (
    BundleError,
    ConfigurationError,
    DataError,
    EmerEdgeError,
    OutputExistsError,
    install_line,
)
from emer_edge.core.packages import EXPORT_PACKAGES, SYNTH_PACKAGES, missing, require
from emer_edge.core.progress import Progress, silent

if TYPE_CHECKING:
    from emer_edge.bench.records.report_records import BenchReport
    from emer_edge.bundle import Bundle

_MARKER: Final = ".emer-edge-demo"
_FOLD: Final = 1


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


def open_bundle(path: Path | None, progress: Progress = silent, key: Path | None = None) -> Bundle:
    """Load a bundle, or the one to use when none is given.

    That is the newest `*.emer` in the current folder; else the demo bundle from the user's cache, made there once where
    the export extra is installed.

    Args:
        path: of the bundle, or None.
        progress: of checking it, or of making one.
        key: what it must be signed by (see `load_bundle`).

    Raises:
        BundleError: it can't be used, or there is none, and none can be made here.
    """
    from platformdirs import user_cache_path

    from emer_edge.bundle import load_bundle

    here = sorted(Path.cwd().glob("*.emer"), key=lambda bundle: bundle.stat().st_mtime)
    if path is not None or here:
        return load_bundle(path or here[-1], key=key, progress=progress)
    cached = user_cache_path("emer-edge") / f"demo-{__version__}.emer"
    if key is not None:
        raise BundleError(f"there is no bundle in {Path.cwd()}, and the demo bundle is not signed; name a bundle")
    if cached.exists():
        try:
            return load_bundle(cached, progress=progress)
        except BundleError:  # of another version, or damaged: it is replaced
            shutil.rmtree(cached)
    if absent := missing((*EXPORT_PACKAGES, *SYNTH_PACKAGES)):
        raise BundleError(
            f"there is no bundle in {Path.cwd()}, and the demo bundle can't be made without {', '.join(absent)}; "
            f"name a bundle, or {install_line('export,synth')} and run: emer-edge export --output demo.emer"
        )
    from emer_edge.export.export_options import ExportOptions
    from emer_edge.export.exporter import export_bundle

    with suppress(OutputExistsError):  # another process was faster
        export_bundle(ExportOptions(output=cached), progress)
    return load_bundle(cached, progress=progress)


def run_demo(options: DemoOptions, progress: Progress = silent) -> Demo:
    """Synthesise, train, export, run and bench in a folder.

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

    force = options.force
    clips = synthesise(folder / "clips", options.participants, progress=progress, force=force)
    dataset = EmerDataset.open(clips, progress=progress)
    checkpoint = folder / "emert.pt"
    config = TrainingConfig(output=checkpoint, fold=_FOLD, frozen_backbone=True, epochs=options.epochs, force=force)
    train(dataset, config, progress)
    exported = export_bundle(
        ExportOptions(
            output=folder / "emert-int8.emer", checkpoints=(str(checkpoint),), data=dataset, fold=_FOLD, force=force
        ),
        progress,
    )
    visit = write_recording(folder / "visit", run_seconds + 2.0, progress=progress, force=force)
    _live_run(exported.path, visit / "video.avi", run_seconds)
    bench = run_bench(
        BenchOptions(
            bundles=(exported.path,),
            data=dataset,
            output=folder / "bench",
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
