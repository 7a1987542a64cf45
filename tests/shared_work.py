"""What many tests take and none changes, made once for all processes of a run: by whichever comes first."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

__all__ = ["clips_of", "folder_of_all", "made_once"]


def folder_of_all(factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that all of its processes have."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A file or folder that `make` writes to the path it is given; the other processes wait for it."""
    folder = folder_of_all(factory) / "made-once"
    folder.mkdir(exist_ok=True)
    made, marker = folder / name, folder / f"{name}.made"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not marker.exists():  # a process that died on the way has left a part
            make(made)
            marker.touch()
    return made


def clips_of(factory: pytest.TempPathFactory, participants: int, clips: int, frames: int, seed: int = 0) -> Path:
    """A synthetic data set, not to be changed."""
    from emer_edge.data.synth import synthesise

    def make(folder: Path) -> None:
        synthesise(folder, participants, seed, clips_per_participant=clips, frames=frames, workers=1)

    return made_once(factory, f"clips-{participants}-{clips}-{frames}-{seed}", make)
