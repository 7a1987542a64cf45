"""Shared by all candidates: windows, the network, and its outputs in eager FP32."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle import Bundle, load_bundle
from emer_edge.core.window import EventsRule, WindowSpec
from emer_edge.data.dataset import EmerDataset
from emer_edge.data.images import stack_faces
from emer_edge.data.windows import PreparedClip
from emer_edge.metrics.probabilities import softmax

CHECKED = 200
"""Windows on which outputs are compared."""
CALIBRATED = 64
"""Other windows, on which INT8 peers are calibrated: 512 crops."""
TIMED = 16
"""Of the checked ones; candidates are timed on them in turn."""

Outputs = dict[str, NDArray[np.float32]]
Inputs = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class Windows:
    """Windows of clips: faces (n, 8, 112, 112, 3) uint8, eye (n, 32, 39) and gaze (n, 32, 2) float32."""

    faces: NDArray[np.uint8]
    eye: NDArray[np.float32]
    gaze: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.faces)

    def inputs(self, at: int) -> Inputs:
        """One window as the network takes it: (1, 8, 3, 112, 112), (1, 32, 39), (1, 32, 2) float32."""
        return stack_faces(self.faces[at])[None], self.eye[at : at + 1], self.gaze[at : at + 1]


class Material:
    """The folder that the parent fills and the candidates read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def bundle(self) -> Bundle:
        """The INT8 bundle."""
        return load_bundle(Path((self.folder / "bundle").read_text()))

    def model(self) -> Any:
        """The torch network, in evaluation mode."""
        from emer_edge.model.checkpoint import load_checkpoint

        return load_checkpoint(Path((self.folder / "checkpoint").read_text()))[0]

    def windows(self, name: str) -> Windows:
        """The windows called `checked` or `calibration`."""
        with np.load(self.folder / f"{name}.npz") as file:
            return Windows(file["faces"], file["eye"], file["gaze"])

    def outputs(self, name: str) -> Path:
        """Path of a candidate's outputs for the checked windows."""
        return self.folder / f"outputs-{name}.npz"

    def comparable(self, logits: Outputs) -> Outputs:
        """Logits of class heads as probabilities, by the bundle's temperatures; values of value heads as they are."""
        heads = {head.name: head for head in self.bundle.manifest.heads}
        return {
            name: softmax(logit, heads[name].temperature).astype(np.float32) if heads[name].classes else logit
            for name, logit in logits.items()
        }


def versions() -> dict[str, str]:
    """Package -> version, of those that candidates are made of."""
    known = {}
    for package in ("nncf", "numpy", "onnxruntime", "openvino", "torch"):
        with contextlib.suppress(PackageNotFoundError):
            known[package] = version(package)
    return known


def gather(folder: Path, bundle: Path, checkpoint: Path, data: Path) -> Material:
    """Fill the folder with windows and names, unless it holds them already.

    Windows are the deterministic ones of the data set's clips and, when those are too few, random draws of them
    besides; calibration windows are of other clips than checked ones.
    """
    made = Material(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bundle").write_text(str(bundle.resolve()))
    (folder / "checkpoint").write_text(str(checkpoint.resolve()))
    manifest = made.bundle.manifest
    state = sha256(manifest.to_json() + f"{data.resolve()} {versions()}".encode())
    stamp = folder / "stamp"
    if stamp.exists() and stamp.read_text() == state.hexdigest():
        return made
    for old in folder.glob("*.*"):
        old.unlink()
    clips = list(EmerDataset.open(data).clips)
    rng = np.random.default_rng(0)
    clips = [clips[int(at)] for at in rng.permutation(len(clips))]
    share = max(1, len(clips) * CALIBRATED // (CALIBRATED + CHECKED))
    for name, count, part in (("calibration", CALIBRATED, clips[:share]), ("checked", CHECKED, clips[share:])):
        _write(folder / f"{name}.npz", part, count, manifest.window, manifest.events, rng)
    stamp.write_text(state.hexdigest())
    return made


def _write(
    path: Path, clips: list[Any], count: int, spec: WindowSpec, events: EventsRule, rng: np.random.Generator
) -> None:
    prepared = [PreparedClip(clip, spec, events) for clip in clips[:count]]
    faces, eye, gaze = [], [], []
    for number in range(count):
        clip = prepared[number % len(prepared)]
        window = clip.window() if number < len(prepared) else clip.draw(rng)
        faces.append(np.stack([clip.clip.frame(int(at)) for at in window.frames]))
        eye.append(window.eye)
        gaze.append(window.gaze)
    np.savez(path, faces=np.stack(faces), eye=np.stack(eye), gaze=np.stack(gaze))
