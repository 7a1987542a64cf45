"""The rule for TensorRT parts: what keeps them buildable by every TensorRT from 8.6 to 11.

Importers of TensorRT 10.1 to 10.6 give a recurrent operator without initial states FLOAT zeros, whatever its own type,
and a strongly typed network refuses to join two types. A device checks it without the package onnx: the few fields that
it takes are read off protobuf's encoding (onnx.proto's numbers).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from emer_edge.bundle.onnx_rule import fields, text
from emer_edge.bundle.variants import TENSORRT, file_of
from emer_edge.core.errors import BundleError

_FLOAT, _INT64, _BOOL = 1, 7, 9
_FLOATING: Final = {_FLOAT: "FLOAT", 10: "HALF", 11: "DOUBLE", 16: "BF16"}
_STATES: Final = {"LSTM": {5: "initial_h", 6: "initial_c"}, "GRU": {5: "initial_h"}, "RNN": {5: "initial_h"}}
_TYPED: Final = {
    **dict.fromkeys(("Shape", "Size", "NonZero", "ArgMax", "ArgMin"), _INT64),
    **dict.fromkeys(("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Not", "IsNaN"), _BOOL),
}
# Other results have the type of this input, or of the first.
_TYPE_OF: Final = {"QuantizeLinear": 2, "DequantizeLinear": 1, "Where": 1}
# From this input on there are sizes, FLOAT in any part.
_SIZES: Final = {"Resize": 1, "Upsample": 1}


class _Node(NamedTuple):
    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    given: int | None  # the type that an attribute names


def tensorrt_faults(content: bytes) -> list[str]:
    """Name every breach of the rule in an ONNX file's bytes, a phrase each; BundleError where it is no ONNX file."""
    try:
        nodes, types, declared = _read(memoryview(content))
    except (ValueError, LookupError, TypeError):
        raise BundleError("it is not an ONNX file") from None
    faults = []
    for node in nodes:
        given = {name: types.get(name) for name in node.inputs[: _SIZES.get(node.op)] if name}
        floating = {name: _FLOATING[kind] for name, kind in given.items() if kind in _FLOATING}
        if len(set(floating.values())) > 1:
            joined = ", ".join(f"{name} is {kind}" for name, kind in floating.items())
            faults.append(f"{node.op} {node.name} joins two types: {joined}")
        states = _STATES.get(node.op, {})
        if missing := [word for at, word in states.items() if at >= len(node.inputs) or not node.inputs[at]]:
            faults.append(f"{node.op} {node.name} has no {' and no '.join(missing)}")
        kind = node.given or _TYPED.get(node.op)
        if kind is None:
            at = _TYPE_OF.get(node.op, 0)
            kind = types.get(node.inputs[at]) if at < len(node.inputs) else None
        types.update({name: kind for name in node.outputs if kind is not None})
    for name, kind in declared.items():
        if kind != types.get(name, kind):
            faults.append(f"the output {name} is declared another type than it has")
    return faults


def ensure_buildable(parts: Mapping[str, bytes]) -> None:
    """Raise BundleError, naming parts and nodes, where a part breaks the rule."""
    faults = []
    for name, content in parts.items():
        try:
            found = tensorrt_faults(content)
        except BundleError as error:
            found = [str(error)]
        if found:
            more = f" (and {len(found) - 1} more like it)" if len(found) > 1 else ""
            faults.append(f"{file_of(TENSORRT, name)}: {found[0]}{more}")
    if faults:
        raise BundleError(
            f"not every TensorRT can build this bundle: {'; '.join(faults)}. Export it again with this version"
        )


def _read(model: memoryview) -> tuple[list[_Node], dict[str, int | None], dict[str, int]]:
    """Nodes, types of constants and inputs, and declared types of outputs of the model's graph."""
    nodes: list[_Node] = []
    types: dict[str, int | None] = {}
    declared: dict[str, int] = {}
    for number, value in _fields(dict(_fields(model))[7]):
        if number == 1:
            nodes.append(_node(list(_fields(value))))
        elif number == 5:
            constant = dict(_fields(value))
            types[text(constant[8])] = constant[2]
        elif number in (11, 12):
            info = dict(_fields(value))
            tensor = dict(_fields(info[2]))[1]
            (types if number == 11 else declared)[text(info[1])] = dict(_fields(tensor))[1]
    return nodes, types, declared


def _node(fields: list[tuple[int, Any]]) -> _Node:
    inputs, outputs, names, ops = ([text(value) for number, value in fields if number == at] for at in (1, 2, 3, 4))
    attributes = [dict(_fields(value)) for number, value in fields if number == 5]
    given = {text(attribute[1]): attribute for attribute in attributes}
    kind: int | None = None
    if ops[0] == "Cast":
        kind = given["to"][3]
    elif "value" in given and ops[0] in ("Constant", "ConstantOfShape"):
        kind = dict(_fields(given["value"][5]))[2]
    elif ops[0] == "ConstantOfShape":
        kind = _FLOAT
    return _Node(ops[0], "".join(names), inputs, outputs, given=kind)


def _fields(message: memoryview) -> Iterator[tuple[int, Any]]:
    return ((number, value) for number, _, value in fields(message))
