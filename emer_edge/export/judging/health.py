"""Networks that can't be judged: numbers that are not finite, and heads that say the same whatever they see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from emer_edge.errors import CheckpointError
from emer_edge.export.judging.fitting import FEWEST_CLIPS
from emer_edge.metrics.calibration import softmax
from emer_edge.spec.heads import HEADS

__all__ = ["check_outputs", "check_weights", "new_faults", "thin_labels"]

_STILL: Final = 1e-6
"""Outputs that move by less than this share of their size do not move."""
_SURE: Final = 1.0 - 1e-6


def check_weights(part: onnx.ModelProto) -> None:
    """Raise CheckpointError when a floating-point constant of an ONNX part holds NaN or infinity, naming it."""
    broken = []
    for each in part.graph.initializer:
        value = numpy_helper.to_array(each)
        if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
            broken.append(each.name)
    if broken:
        raise CheckpointError(
            f"the {part.graph.name} part holds NaN or infinite numbers in {', '.join(broken[:5])}; a batch norm with a "
            "broken variance does that too; train the checkpoint again"
        )


def check_outputs(outputs: Mapping[str, NDArray[np.float32]]) -> tuple[str, ...]:
    """Look at the FP32 outputs of all heads on selection windows.

    Args:
        outputs: head -> (n, C), raw.

    Returns:
        A sentence for every class head that is saturated: sure of one and the same class on every window.

    Raises:
        CheckpointError: an output is not finite, or a head gives the same output on all of two or more windows.
    """
    notes = []
    for name, each in outputs.items():
        finite = np.isfinite(each).all(axis=1)
        if not finite.all():
            raise CheckpointError(
                f"head {name} gives NaN or infinity on {int((~finite).sum())} of {len(each)} selection windows in "
                "fp32; check the weights and the eye columns of these clips, or train again"
            )
        if _still(each):
            raise CheckpointError(
                f"head {name} gives the same output on all {len(each)} selection windows in fp32: it does not look at "
                "its inputs, so no precision can be judged; train the checkpoint again"
            )
        if HEADS[name].kind == "class":
            sure = softmax(each)
            if sure.max(axis=1).min() >= _SURE and len(set(sure.argmax(axis=1).tolist())) == 1:
                notes.append(
                    f"head {name} is saturated: it is sure of the same class on all {len(each)} selection windows, so "
                    "its share of the accuracy gate says little"
                )
    return tuple(notes)


def new_faults(before: Mapping[str, NDArray[np.float32]], after: Mapping[str, NDArray[np.float32]]) -> tuple[str, ...]:
    """Say what a precision broke: a sentence for every head that FP32 answers soundly and this precision does not.

    Args:
        before: head -> (n, C) raw outputs in FP32, already checked.
        after: the same in the precision.
    """
    faults = []
    for name, each in after.items():
        finite = np.isfinite(each).all(axis=1)
        if not finite.all():
            faults.append(f"{name} gives NaN or infinity on {int((~finite).sum())} of {len(each)} windows")
        elif _still(each) and not _still(before[name]):
            faults.append(f"{name} gives the same output on all {len(each)} windows")
        elif HEADS[name].kind == "class" and _sure(each) and not _sure(before[name]):
            faults.append(f"{name} is saturated: every probability is 0 or 1 on all {len(each)} windows")
    return tuple(faults)


def thin_labels(
    heads: Iterable[str], labels: Mapping[str, NDArray[np.float64]], clips: NDArray[np.int64]
) -> tuple[str, ...]:
    """Say what the labels of the selection windows leave undefined, a sentence each.

    Args:
        heads: names of the network's heads.
        labels: head -> (n,), NaN where unknown.
        clips: (n,) which clip each window is cut from.
    """
    notes = []
    for name in heads:
        known = np.isfinite(labels[name]) if name in labels else np.zeros(len(clips), np.bool_)
        spec, count = HEADS[name], len(np.unique(clips[known]))
        if not count:
            notes.append(f"no selection clip is labelled for {name}, so the gate does not cover that head")
        elif spec.kind == "class" and len(np.unique(labels[name][known])) == 1:
            only = spec.classes[int(labels[name][known][0])]
            notes.append(
                f"every selection clip that is labelled for {name} shows {only}: WAR and UAR then speak of this class "
                "only, and its temperature stays 1"
            )
        elif spec.kind == "class" and count < FEWEST_CLIPS:
            notes.append(f"only {count} selection clips are labelled for {name}: its temperature stays 1")
    return tuple(notes)


def _still(outputs: NDArray[np.float32]) -> bool:
    moved = float((outputs.max(axis=0) - outputs.min(axis=0)).max())
    return len(outputs) > 1 and moved <= _STILL * max(float(np.abs(outputs).max()), _STILL)


def _sure(outputs: NDArray[np.float32]) -> bool:
    return bool(softmax(outputs).max(axis=1).min() >= _SURE)
