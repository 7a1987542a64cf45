"""The rule for every ONNX part: it holds what exports write, and nothing else.

A stranger's file can then compute, and no more: it names no other file, brings no operators or functions of its own,
and has no loops. Fields (numbers of onnx.proto) and operators are allowed one by one, without the package onnx. What
parsers of protobuf's encoding (https://protobuf.dev/programming-guides/encoding) read in different ways is refused. No
message that is allowed holds one of its own kind, so the depth is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from emer_edge.core.errors import BundleError

_STANDARD: Final = (
    "Add BatchNormalization Cast Clip Concat Constant Conv ConvTranspose DequantizeLinear Div Erf Flatten Gather "
    "Gemm GlobalAveragePool LSTM LayerNormalization LeakyRelu MatMul MaxPool Mul QuantizeLinear ReduceMean Relu "
    "Reshape Resize Sigmoid Softmax SpaceToDepth Split Squeeze Sub Tanh Transpose Unsqueeze"
)
OPERATORS: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(("", "ai.onnx"), frozenset(_STANDARD.split(" "))),
    "com.microsoft": frozenset({"DynamicQuantizeLSTM", "DynamicQuantizeMatMul"}),
}
"""Domain -> operators of face encoder, fusion (LSTMs, and what they become for TensorRT), INT8, FP16 and detectors."""

_WIRES: Final = "vdb--f"  # by wire type: a whole number, 8 bytes, bytes with a length, 4 bytes
_KNOWN: Final[Mapping[str, Mapping[int, str]]] = {
    "model": {1: "v", 2: "b", 3: "b", 4: "b", 5: "v", 6: "b", 7: "graph", 8: "opset"},
    "opset": {1: "b", 2: "v"},
    "graph": {1: "node", 2: "b", 5: "tensor", 10: "b", 11: "b", 12: "b", 13: "b"},
    "node": {1: "b", 2: "b", 3: "b", 4: "b", 5: "attribute", 6: "b", 7: "b"},
    "attribute": {1: "b", 2: "f", 3: "v", 4: "b", 5: "tensor", 7: "fb", 8: "vb", 9: "b", 13: "b", 20: "v"},
    "tensor": {1: "vb", 2: "v", 4: "fb", 5: "vb", 7: "vb", 8: "b", 9: "b", 10: "db", 11: "vb", 12: "b"},
}
"""Message -> field -> its wire types, those of packed numbers too, or the message in it."""
_FOREIGN: Final = {
    ("model", 25): "functions of its own",
    ("attribute", 6): "a graph inside an operator",
    **dict.fromkeys((("tensor", 13), ("tensor", 14)), "data outside of the file"),
}


class _ForeignError(Exception):
    """What a part holds that no export writes."""


def check_part(content: bytes, where: str) -> None:
    """Raise BundleError where an ONNX file, `where` in messages, holds what no export writes, or is none."""
    try:
        if content[4:8] == b"ORTM":  # by which ONNX Runtime knows it
            raise _ForeignError("a network in ONNX Runtime's own format")
        if len(_checked(memoryview(content), "model").get(7, ())) != 1:
            raise ValueError("parsers would join several graphs to one")
    except _ForeignError as error:
        raise BundleError(f"{where} holds {error}, which no export writes; don't use this bundle") from None
    except (ValueError, LookupError):
        raise BundleError(f"{where} is not an ONNX file; export the bundle again") from None


def _checked(message: memoryview, kind: str) -> dict[int, list[Any]]:
    """All values of each field of a message, once it and those in it have been found to be allowed."""
    values: dict[int, list[Any]] = {}
    for number, wire, value in fields(message):
        known = _KNOWN[kind].get(number, "")
        if wire == 2 and known in _KNOWN:
            _checked(value, known)
        elif known in _KNOWN or _WIRES[wire] not in known:
            raise _ForeignError(_FOREIGN.get((kind, number), f"the field {number} in its {kind}"))
        values.setdefault(number, []).append(value)
    if kind == "opset" and (domain := "\n".join(map(text, values.get(1, ())))) not in OPERATORS:
        raise _ForeignError(f"operators of the domain {domain[:40]!r}")
    if kind == "node":
        operator, domain = ("\n".join(map(text, values.get(at, ()))) for at in (4, 7))  # several are no known name
        if operator not in OPERATORS.get(domain, ()):
            raise _ForeignError(f"the operator {operator[:40]!r}{f' of {domain[:40]!r}' if domain else ''}")
    return values


def fields(message: memoryview) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and value (a whole number, or bytes) of each field; ValueError, LookupError for no message."""
    at = 0
    while at < len(message):
        tag, at = _whole(message, at)
        if not 8 <= tag < 1 << 32:
            raise ValueError("a field that has no number")
        if tag & 7 == 0:
            value, at = _whole(message, at)
            yield tag >> 3, 0, value
            continue
        size, at = _whole(message, at) if tag & 7 == 2 else ({1: 8, 5: 4}[tag & 7], at)
        if at + size > len(message):
            raise ValueError("it is cut short")
        yield tag >> 3, tag & 7, message[at : at + size]
        at += size


def text(value: memoryview) -> str:
    """A text field; ValueError where it is none."""
    return bytes(value).decode()


def _whole(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        value |= (message[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if message[at - 1] < 128:
            return value, at
    raise ValueError("a number without an end")
