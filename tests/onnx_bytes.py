"""ONNX files written by hand, field by field, so that they can also be wrong; needs no package onnx."""

from __future__ import annotations


def whole(value: int) -> bytes:
    """A varint."""
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number: int, value: int | str | bytes) -> bytes:
    """A field of a message: a whole number, or bytes or a text with their length."""
    if isinstance(value, int):
        return whole(number << 3) + whole(value)
    content = value.encode() if isinstance(value, str) else value
    return whole(number << 3 | 2) + whole(len(content)) + content


def node(op: str, inputs: str = "x", outputs: str = "y", *more: bytes, domain: str = "") -> bytes:
    """A node of a graph; `more` are its other fields, such as attributes (5)."""
    names = b"".join(field(at, name) for at, names in ((1, inputs), (2, outputs)) for name in names.split())
    return field(1, names + field(4, op) + b"".join(more) + (field(7, domain) if domain else b""))


def value(number: int, name: str, *dims: int) -> bytes:
    """An input (11) or output (12) of a graph, float32."""
    shape = field(2, b"".join(field(1, field(1, dim)) for dim in dims))
    return field(number, field(1, name) + field(2, field(1, field(1, 1) + shape)))


def tensor(name: str, dims: tuple[int, ...], *more: bytes, raw: bytes | None = None) -> bytes:
    """A constant of float32 zeros, or of `raw` bytes; what is in `more` comes with it."""
    count = 1
    for dim in dims:
        count *= dim
    content = bytes(4 * count) if raw is None else raw
    return b"".join(field(1, dim) for dim in dims) + field(2, 1) + field(8, name) + field(9, content) + b"".join(more)


def graph(*fields: bytes, size: int = 4) -> bytes:
    """A graph from x to y, of `size` numbers each, and the field 7 of a model around it."""
    return field(7, b"".join(fields) + field(2, "g") + value(11, "x", 1, size) + value(12, "y", 1, size))


def model(*fields: bytes, opset: bytes = field(2, 17), size: int = 4) -> bytes:
    """A model around the fields of its graph."""
    return field(1, 8) + graph(*fields, size=size) + field(8, opset)


PART = model(node("Relu"))
"""A part that ONNX Runtime runs: the larger of x and 0."""
