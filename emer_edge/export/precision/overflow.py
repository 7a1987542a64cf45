"""Where FP16 would overflow: numbers above 65,504 in the layers that it is for.

ONNX Runtime computes FP16 layers in FP32 on a CPU and leaves out the roundings between neighbours, so running an FP16
part here does not show it. The FP32 part does: its numbers between layers are looked at instead.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from emer_edge.calibration.session import model_session

__all__ = ["overflows"]

_LARGEST: Final = 65_504.0
_NAMED: Final = 3
_AT_ONCE: Final = 16


def overflows(
    part: onnx.ModelProto, full_precision: Collection[str], given: Mapping[str, NDArray[np.float32]]
) -> tuple[str, ...]:
    """Find the layers of an FP32 part whose results FP16 can't hold.

    Args:
        part: the part in FP32.
        full_precision: names of nodes that stay in FP32.
        given: input -> (n, ...) values to run it on.

    Returns:
        A sentence for each of the first few such layers, in graph order; empty where all fits.
    """
    layer_of = {name: node.name for node in part.graph.node if node.name not in full_precision for name in node.output}
    wide = onnx.ModelProto()
    wide.CopyFrom(part)
    known = {each.name for each in part.graph.output}
    wide.graph.output.extend(onnx.ValueInfoProto(name=name) for name in layer_of if name and name not in known)
    session = model_session(wide, threads=1)
    names = [each.name for each in session.get_outputs() if each.name in layer_of and each.type == "tensor(float)"]
    largest = dict.fromkeys(names, 0.0)
    count = len(next(iter(given.values())))
    for at in range(0, count, _AT_ONCE):
        batch = {name: each[at : at + _AT_ONCE] for name, each in given.items()}
        for name, value in zip(names, session.run(names, batch), strict=True):
            largest[name] = max(largest[name], float(np.abs(value).max(initial=0.0)))
    beyond = [name for name in layer_of if largest.get(name, 0.0) > _LARGEST]
    return tuple(f"{layer_of[name]} reaches {largest[name]:.3g}, and FP16 holds 65,504" for name in beyond[:_NAMED])
