"""TensorRT before 10 chooses types itself; here it is held to those that the part names.

Parts name every type: FP16 regions lie between Casts, INT8 between Q and DQ, the rest is FP32 and must stay so (the
LSTMs' input projection sees raw columns that FP16 can't hold). Strong typing says just that; weak typing needs builder
flags for what may be used, and a constraint on each layer.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["hold_types"]

_FREE: Final = (
    "CONSTANT",
    "SHAPE",
    "CAST",
    "IDENTITY",
    "QUANTIZE",
    "DEQUANTIZE",
    "TRIP_LIMIT",
    "ITERATOR",
    "RECURRENCE",
    "LOOP_OUTPUT",
    "CONDITION",
    "CONDITIONAL_INPUT",
    "CONDITIONAL_OUTPUT",
)
"""Layers that convert, repeat or only carry: a constraint on them means nothing or is refused."""


def hold_types(trt: Any, network: Any, config: Any, obey: bool) -> None:
    """Set the builder flags that the network's types need, and hold each layer to its own.

    Without an FP16 tensor no FP16 flag is set, so nothing can be lowered and nothing is held. Layers beside a Q or DQ
    are left free: their precision is what the Q/DQ pair says.

    Args:
        trt: the package.
        network: as parsed.
        config: the builder's configuration; changed.
        obey: fail the build where a type can't be kept; otherwise TensorRT may deviate, with a warning of its own.
    """
    layers = [network.get_layer(number) for number in range(network.num_layers)]
    made_by = {tensor.name: each for each in layers for tensor in _outputs(each)}
    quantised = [each for each in layers if each.type in (trt.LayerType.QUANTIZE, trt.LayerType.DEQUANTIZE)]
    if quantised:
        config.set_flag(trt.BuilderFlag.INT8)
    floats = (trt.DataType.FLOAT, trt.DataType.HALF)
    if not any(tensor.dtype == trt.DataType.HALF for each in layers for tensor in _outputs(each)):
        return
    config.set_flag(trt.BuilderFlag.FP16)
    config.set_flag(
        trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS if obey else trt.BuilderFlag.PREFER_PRECISION_CONSTRAINTS
    )
    beside = _beside(trt, layers, made_by)
    free = {getattr(trt.LayerType, name) for name in _FREE if hasattr(trt.LayerType, name)}
    for each in layers:
        outputs = _outputs(each)
        if each.type in free or each.name in beside or not outputs or any(one.dtype not in floats for one in outputs):
            continue
        each.precision = outputs[0].dtype
        for number, tensor in enumerate(outputs):
            each.set_output_type(number, tensor.dtype)


def _outputs(layer: Any) -> list[Any]:
    return [layer.get_output(at) for at in range(layer.num_outputs) if layer.get_output(at) is not None]


def _inputs(layer: Any) -> list[Any]:
    return [layer.get_input(at) for at in range(layer.num_inputs) if layer.get_input(at) is not None]


def _beside(trt: Any, layers: list[Any], made_by: dict[str, Any]) -> set[str]:
    """Names of the layers that a DQ feeds or a Q reads."""
    found = set()
    for each in layers:
        sources = [made_by[one.name] for one in _inputs(each) if one.name in made_by]
        if any(one.type == trt.LayerType.DEQUANTIZE for one in sources):
            found.add(each.name)
        if each.type == trt.LayerType.QUANTIZE:
            found.update(one.name for one in sources)
    return found
