"""Which calibration method this network gets on with: each one built, run on selection windows, and compared.

The windows are of the selection slice, whose participants are not those that calibrate, and at most 48, so that all
methods together take less than a minute. A method is judged by its `shift`: how far the heads' answers move from FP32,
0 to 1, averaged over windows and heads, in the variant where they move more. For class heads that is the base-2
Jensen-Shannon distance of the probabilities, for values the difference as a share of the label's range. Labels play no
part: how many windows tip over is a matter of a few windows, how far all of them move is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from emer_edge.calibration.measurement import Measurement
from emer_edge.calibration.methods import METHODS
from emer_edge.calibration.session import model_session
from emer_edge.export.judging.evidence import Evidence
from emer_edge.export.judging.verify import noise_db
from emer_edge.export.precision.quantiser import GRID_OF, EncoderQuantiser
from emer_edge.export.workshop import FullOutputs
from emer_edge.metrics.calibration import softmax
from emer_edge.metrics.gap import js_distance
from emer_edge.spec.heads import HEADS, ValueHead
from emer_edge.spec.progress import Progress, silent

__all__ = ["JUDGED_WINDOWS", "MethodFigures", "best_method", "shift_of", "try_methods"]

JUDGED_WINDOWS: Final = 48
_ENCODE_AT_ONCE: Final = 16


@dataclass(frozen=True)
class MethodFigures:
    """How a method did.

    Attributes:
        shift: variant -> mean movement of the heads, 0 to 1.
        embedding_db: variant -> signal to noise of the embeddings, dB.
    """

    shift: Mapping[str, float]
    embedding_db: Mapping[str, float]

    @property
    def figures(self) -> dict[str, float]:
        """All of it by name, for the manifest."""
        return {
            **{f"{variant}/shift": round(each, 5) for variant, each in self.shift.items()},
            **{f"{variant}/embedding_db": round(each, 2) for variant, each in self.embedding_db.items()},
        }


def shift_of(before: Mapping[str, NDArray[np.float32]], after: Mapping[str, NDArray[np.float32]]) -> float:
    """How far the answers (n, C) of all heads move, 0 to 1: the mean over windows, then over heads."""
    moved = []
    for name in before:
        spec = HEADS[name]
        if isinstance(spec, ValueHead):
            apart = np.abs(after[name] - before[name])[:, 0] / (spec.high - spec.low)
            moved.append(float(np.minimum(apart, 1.0).mean()))
        else:
            moved.append(float(js_distance(softmax(before[name]), softmax(after[name])).mean()))
    return float(np.mean(moved))


def try_methods(
    fusion: onnx.ModelProto,
    evidence: Evidence,
    full: FullOutputs,
    quantiser: EncoderQuantiser,
    measured: Measurement,
    threads: int = 1,
    progress: Progress = silent,
) -> dict[str, MethodFigures]:
    """Build the encoder by every method in both variants, and compare with FP32 on one window of each clip.

    Args:
        fusion: the FP32 part, which all of them share.
        evidence: selection windows.
        full: FP32 results on it.
        quantiser: of the encoder, with any ranges.
        measured: the histograms.
        threads: of the engines.
        progress: told of each method.

    Raises:
        DataError: a selection clip can't be read.
    """
    windows = evidence.first_of_clips(JUDGED_WINDOWS)
    faces = evidence.faces(windows)
    flat = faces.reshape(-1, *faces.shape[2:])
    given = {"eye": evidence.eye[windows], "gaze": evidence.gaze[windows]}
    fuse = model_session(fusion, threads)
    names = [each.name for each in fuse.get_outputs()]
    expected = full.embeddings[evidence.frames[windows]]
    before = {name: each[windows] for name, each in full.outputs.items()}
    found = {}
    for done, method in enumerate(METHODS):
        progress("trying calibration methods", done, len(METHODS))
        tried = quantiser.using(measured.ranges(method))
        shifts: dict[str, float] = {}
        decibels: dict[str, float] = {}
        for style in GRID_OF:
            encode = model_session(tried.build(style), threads)
            parts = [
                encode.run(None, {"face": flat[at : at + _ENCODE_AT_ONCE]})[0]
                for at in range(0, len(flat), _ENCODE_AT_ONCE)
            ]
            embeddings = np.concatenate(parts).reshape(expected.shape)
            after = dict(zip(names, fuse.run(names, {"embeddings": embeddings, **given}), strict=True))
            shifts[style] = shift_of(before, after)
            width = expected.shape[-1]
            decibels[style] = noise_db(embeddings.reshape(-1, width), expected.reshape(-1, width))
        found[method] = MethodFigures(shifts, decibels)
    progress("trying calibration methods", len(METHODS), len(METHODS))
    return found


def best_method(tried: Mapping[str, MethodFigures]) -> str:
    """The method whose worse variant moves the heads least; the first of equals."""
    return min(tried, key=lambda method: max(tried[method].shift.values()))
