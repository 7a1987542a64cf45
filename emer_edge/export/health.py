"""Networks that can't be judged: numbers that are not finite, and heads that say the same whatever they see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from emer_edge.errors import CheckpointError
from emer_edge.metrics.calibration import softmax
from emer_edge.spec.heads import HEADS

__all__ = ["check_outputs", "check_weights"]

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
        if len(each) < 2:
            continue
        moved = float((each.max(axis=0) - each.min(axis=0)).max())
        if moved <= _STILL * max(float(np.abs(each).max()), _STILL):
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
