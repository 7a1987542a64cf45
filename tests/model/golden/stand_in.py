"""Stand-in weights and inputs that anyone can regenerate, for checks against the published network's own outputs.

Every tensor of a published state dict is drawn from a generator seeded by its own name. `numpy.random.RandomState` is
used because its stream is frozen across NumPy versions. `golden_<variant>.npz` beside this file holds what the
published code computes from them (seed 0, batch 2; `raw_*` with columns in the ranges of a Tobii export).
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
VARIANTS = ("discrete", "va", "intensity")

# (low, high) of the 39 columns: px, unit vectors, mm, flags, ms, counts
RAW_RANGES = (
    [(-200, 2100), (-150, 1250)] * 3
    + [(-1, 1)] * 6
    + [(1.5, 8)] * 2
    + [(0, 1)] * 2
    + [(-200, 200), (-200, 200), (400, 900)] * 2
    + [(-60, 600), (-40, 350)] * 2
    + [(-0.1, 1.1)] * 6
    + [(0, 3), (0, 12000), (0, 60000)]
    + [(-200, 2100), (-150, 1250), (-0.1, 1.1), (-0.1, 1.1)]
)


def golden(variant: str) -> dict[str, NDArray[np.float32]]:
    """The published network's outputs."""
    with np.load(HERE / f"golden_{variant}.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def published_shapes(variant: str) -> dict[str, tuple[int, ...]]:
    """Published parameter names and shapes."""
    shapes = json.loads((HERE / f"state_dict_{variant}.json").read_text())
    return {name: tuple(shape) for name, shape in shapes.items()}


def published_state_dict(variant: str, seed: int = 0) -> dict[str, NDArray[np.generic]]:
    """Weights under the published parameter names of one variant."""
    return {name: _tensor(name, shape, seed) for name, shape in published_shapes(variant).items()}


def inputs(batch: int = 2, seed: int = 0, raw: bool = False) -> dict[str, NDArray[np.float32]]:
    """One batch: face (N, 8, 3, 112, 112) BGR in [0, 1], eye (N, 32, 39), gaze (N, 32, 2) in display pixels."""
    rng = np.random.RandomState(1000 + seed)
    face = rng.random_sample((batch, 8, 3, 112, 112))
    unit = rng.random_sample((batch, 32, 39))
    low, high = np.array(RAW_RANGES, np.float64).T
    eye = low + unit * (high - low) if raw else rng.standard_normal((batch, 32, 39))
    gaze = rng.random_sample((batch, 32, 2)) * (1920, 1080)
    return {"face": face.astype(np.float32), "eye": eye.astype(np.float32), "gaze": gaze.astype(np.float32)}


def _tensor(name: str, shape: tuple[int, ...], seed: int) -> NDArray[np.generic]:
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    rng = np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**32)
    draw = rng.standard_normal(shape)
    if name.endswith("running_var"):
        draw = 1.0 + 0.1 * np.abs(draw)
    elif len(shape) == 1 and name.endswith("weight"):  # batch norm and layer norm scales
        draw = 1.0 + 0.1 * draw
    elif len(shape) == 1:  # biases, running means
        draw = 0.1 * draw
    elif not name.startswith("transformer.pos_embedding"):
        fan_in = int(np.prod(shape[1:]))
        gain = 2.0 if len(shape) == 4 else 1.0
        draw = draw * np.sqrt(gain / fan_in)
    return draw.astype(np.float32)
