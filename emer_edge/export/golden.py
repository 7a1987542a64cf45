"""The golden inputs and outputs of a bundle, made with its own parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnx

from emer_edge.bundle import CPU, VARIANTS, Variant
from emer_edge.bundle.golden_file import Golden, Tensors
from emer_edge.bundle.manifest import NetworkRecord
from emer_edge.export.judging.seeded import seeded_windows
from emer_edge.runtime.engines import CPU_ENGINE, open_engine
from emer_edge.spec.progress import Progress
from emer_edge.spec.window import FACE_SLOTS

__all__ = ["make_golden"]

_WINDOWS: Final = 2
_SEED: Final = 2026
_BLOCK_PX: Final = 8


def make_golden(
    file: Callable[[str], Path],
    networks: Sequence[NetworkRecord],
    detectors: Mapping[str, onnx.ModelProto],
    progress: Progress,
) -> Golden:
    """Run every part of both variants in ONNX Runtime on seeded inputs.

    Args:
        file: gives the file for a path inside the bundle; the parts are there.
        networks: encoders and fusions; a fusion is given what the cpu variant's encoder made of the faces.
        detectors: part -> model of the face detector.
        progress: told after every part.
    """
    face, eye, gaze = seeded_windows(_WINDOWS, _SEED)
    inputs: dict[str, Tensors] = {}
    outputs: dict[tuple[Variant, str], Tensors] = {}

    def run(part: str, given: Tensors) -> None:
        inputs[part] = given
        for variant in VARIANTS:
            outputs[variant, part] = _run(file(f"{variant}/{part}.onnx"), given)

    names = dict.fromkeys(each.encoder for each in networks)
    total = len(names) + len(networks) + len(detectors)
    for name in names:
        run(name, {"face": face.reshape(-1, *face.shape[2:])})
        progress("keeping golden outputs", len(inputs), total)
    for network in networks:
        embeddings = outputs[CPU, network.encoder]["embedding"].reshape(_WINDOWS, FACE_SLOTS, -1)
        run(network.fusion, {"embeddings": embeddings, "eye": eye, "gaze": gaze})
        progress("keeping golden outputs", len(inputs), total)
    for name, model in detectors.items():
        run(name, _image(model))
        progress("keeping golden outputs", len(inputs), total)
    return Golden(inputs, outputs)


def _run(path: Path, given: Tensors) -> Tensors:
    engine = open_engine(CPU_ENGINE, path, 1)
    try:
        return {name: np.asarray(each, np.float32) for name, each in engine.run(given).items()}
    finally:
        engine.close()


def _image(model: onnx.ModelProto) -> Tensors:
    """Grey levels in blocks, in the shape that a detector takes: its sides are multiples of 32."""
    (taken,) = model.graph.input
    height, width = (each.dim_value for each in taken.type.tensor_type.shape.dim[2:])
    coarse = np.random.default_rng(_SEED).random((1, 3, height // _BLOCK_PX, width // _BLOCK_PX))
    blocks = coarse.repeat(_BLOCK_PX, axis=2).repeat(_BLOCK_PX, axis=3)
    return {taken.name: np.rint(blocks * 255).astype(np.float32)}
