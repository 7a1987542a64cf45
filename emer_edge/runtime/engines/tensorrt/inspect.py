"""What a plan computes in, layer by layer, as TensorRT's inspector tells it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

__all__ = ["LayerInfo", "layers_of", "precision_counts"]

_TYPES = {"Half": "fp16", "FP16": "fp16", "Float": "fp32", "FP32": "fp32", "Int8": "int8", "INT8": "int8"}


@dataclass(frozen=True)
class LayerInfo:
    """One layer of a plan.

    Attributes:
        name: TensorRT's, which joins the names of the nodes fused into it.
        kind: its type.
        inputs, outputs: types of its tensors, such as `fp16`.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def precision(self) -> str:
        """The narrowest type that it reads, which is what it multiplies in; `other` where it reads no float or int8."""
        for each in ("int8", "fp16", "fp32"):
            if each in self.inputs:
                return each
        return "other"


def layers_of(trt: Any, engine: Any) -> tuple[LayerInfo, ...]:
    """Ask the inspector; empty where it says nothing (a plan without detailed layer information)."""
    text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    try:
        layers = json.loads(text).get("Layers", [])
    except (ValueError, AttributeError):
        return ()
    return tuple(
        LayerInfo(
            str(each.get("Name", "")),
            str(each.get("LayerType", "")),
            tuple(_type(one) for one in each.get("Inputs", [])),
            tuple(_type(one) for one in each.get("Outputs", [])),
        )
        for each in layers
        if isinstance(each, dict)
    )


def precision_counts(layers: tuple[LayerInfo, ...]) -> dict[str, int]:
    """Layers a precision."""
    return dict(Counter(each.precision for each in layers))


def _type(tensor: Any) -> str:
    """`Format/Datatype` such as `Row major linear FP16 format`, or a Datatype of its own."""
    if not isinstance(tensor, dict):
        return "other"
    told = f"{tensor.get('Datatype', '')} {tensor.get('Format/Datatype', '')}"
    return next((name for word, name in _TYPES.items() if word in told), "other")
