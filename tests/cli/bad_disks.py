"""Every command that writes, on disks that refuse: run by test_bad_disks.py in a mount namespace of its own.

usage: bad_disks.py BUNDLE WORK [COMMAND ...]   (root, under `unshare -m`); an answer a line, as JSON
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from emer_edge.cli.app import main
from emer_edge.data.synth import synthesise, write_recording

UNTIMED = "--repeats 1 --warmup 0 --starts 0 --min-seconds 0 --min-queries 0 --stream-seconds 0 --probes none --streams"
Disk = Callable[[Path], contextlib.AbstractContextManager[None]]


def commands(bundle: Path, data: Path, visit: Path, out: Path) -> dict[str, list[str]]:
    sources = ["--camera", f"{visit}/video.avi", "--tracker", f"{visit}/tracker.tsv", "--offset-ms", "0"]
    run = ["run", str(bundle), *sources, "--pace", "fast"]
    return {
        "run --save": [*run, "--save", f"{out}/sessions", "--participant", "p1"],
        "run --record": [*run, "--record", f"{out}/x.mcap", "--record-video", "--consent-id", "c1"],
        "convert": ["convert", f"{visit}/x.mcap", f"{out}/x.xdf"],
        "synth": ["synth", f"{out}/clips", "--participants", "5"],
        "simulate": ["simulate", "recording", f"{out}/visit", "--seconds", "6"],
        "predict": ["predict", str(bundle), str(data), "--output", f"{out}/x.csv"],
        "report": ["report", str(bundle), str(data), "--output", f"{out}/maps"],
        "prepare": ["prepare", f"{visit}/video.avi", f"{out}/face", str(bundle)],
        "train": ["train", "--data", str(data), "--output", f"{out}/x.pt", "--frozen-backbone", "--epochs", "1"],
        "export": ["export", "--precision", "fp32", "--output", f"{out}/x.emer"],
        "bench": ["bench", str(bundle), *UNTIMED.split(), "", "--output", f"{out}/report"],
    }  # fmt: skip


def mounted(out: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(out)], check=True)


@contextlib.contextmanager
def full(out: Path) -> Iterator[None]:
    mounted(out, "size=4k")
    yield
    subprocess.run(["umount", "--lazy", str(out)], check=True)


@contextlib.contextmanager
def full_of_names(out: Path) -> Iterator[None]:
    mounted(out, "size=64m,nr_inodes=2")
    yield
    subprocess.run(["umount", "--lazy", str(out)], check=True)


@contextlib.contextmanager
def read_only(out: Path) -> Iterator[None]:
    mounted(out, "size=64k,ro")
    yield
    subprocess.run(["umount", "--lazy", str(out)], check=True)


@contextlib.contextmanager
def files_too_large(out: Path) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def no_folder(out: Path) -> Iterator[None]:
    out.rmdir()
    out.touch()
    yield
    out.unlink()
    out.mkdir()


@contextlib.contextmanager
def vanishing(out: Path) -> Iterator[None]:
    done = threading.Event()

    def remove() -> None:
        while not done.is_set():
            if list(out.rglob(".*.emer-edge-new")):
                out.rename(out.with_name("away"))
                return
            time.sleep(0.001)

    remover = threading.Thread(target=remove)
    remover.start()
    yield
    done.set()
    remover.join()
    shutil.rmtree(out.with_name("away"), ignore_errors=True)
    out.mkdir(exist_ok=True)


DISKS: dict[str, Disk] = {
    "full": full, "full of names": full_of_names, "read-only": read_only, "limited": files_too_large,
    "a file": no_folder, "vanishing": vanishing,
}  # fmt: skip


def answer(arguments: list[str], out: Path) -> dict[str, object]:
    said, crash, code = io.StringIO(), "", None
    sys.argv = ["emer-edge", *arguments]
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            main()
    except SystemExit as error:
        code = error.code
    except BaseException:  # what a user would see as a traceback
        crash = traceback.format_exc()
    left = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) if out.is_dir() else []
    return {"code": code, "said": said.getvalue(), "crash": crash, "left": left}


def run(bundle: Path, work: Path, only: list[str]) -> None:
    out = work / "out"
    out.mkdir()
    os.chdir(work)
    data = synthesise(work / "data", 5, seed=1, clips_per_participant=3, frames=40, workers=1)
    visit = write_recording(work / "visit", 2.0)
    record = commands(bundle, data, visit, visit)["run --record"]
    assert answer(record, visit)["code"] == 0
    for name, arguments in commands(bundle, data, visit, out).items():
        for disk, refuse in DISKS.items() if name in only or not only else ():
            with refuse(out):
                given = answer(arguments, out)
            print(json.dumps({"command": name, "disk": disk, **given}), flush=True)
            shutil.rmtree(out)
            out.mkdir()


if __name__ == "__main__":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    run(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
