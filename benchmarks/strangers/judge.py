"""The judge: the package `fer`, in an environment of its own, asked for the seven emotions on the product's own crops.

Its network runs in LiteRT, which TensorFlow names as the successor of the interpreter that `fer` calls: 15 MB for 600.
`python -m benchmarks.strangers.judge` is not for people: it is this file that runs in that environment.
"""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

_NEEDS: Final = (
    "ai-edge-litert==2.1.0",
    "numpy<3",
    "opencv-python-headless<5",
    "pandas<3",
    "pillow<13",
    "requests<3",
    "setuptools<81",
    "tqdm<5",
)
_CLASSES: Final = ("happy", "sad", "fear", "surprise", "disgust", "angry", "neutral")
"""Its names of `emer_edge.core.heads.EMOTIONS`, in their order."""


def judged(work: Path, wheel: Path, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Probabilities (n, 7) of `EMOTIONS` on crops (n, 112, 112, 3) B, G, R; ends the program where the judge fails."""
    python = work / "judge" / "bin" / "python"
    if not (made := work / "judge" / wheel.name).exists():
        subprocess.run([sys.executable, "-m", "venv", str(work / "judge")], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, *_NEEDS], check=True)
        subprocess.run([*install, "--no-deps", str(wheel)], check=True)
        made.touch()
    np.save(work / "crops.npy", crops)
    done = subprocess.run([str(python), __file__, str(work / "crops.npy"), str(work / "judged.npy")], check=False)
    if done.returncode:
        sys.exit("the judge failed; its own message is above")
    probabilities: NDArray[np.float64] = np.load(work / "judged.npy")
    return probabilities


def _main(crops: str, output: str) -> None:
    from ai_edge_litert.interpreter import Interpreter

    tensorflow, models = types.ModuleType("tensorflow"), types.ModuleType("tensorflow.keras.models")
    tensorflow.lite = types.SimpleNamespace(Interpreter=Interpreter)
    models.load_model = None
    sys.modules |= {"tensorflow": tensorflow, "tensorflow.keras": tensorflow, "tensorflow.keras.models": models}
    from fer.fer import FER

    judge = FER(offsets=(0, 0))  # a crop is the face already
    rows = []
    for crop in np.load(crops):
        (seen,) = judge.detect_emotions(crop, face_rectangles=[(0, 0, crop.shape[1], crop.shape[0])])
        rows.append([seen["emotions"][name] for name in _CLASSES])
    np.save(output, np.array(rows, np.float64))


if __name__ == "__main__":
    _main(*sys.argv[1:])
