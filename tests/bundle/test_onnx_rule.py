"""What an ONNX part may hold, against files made by hand to do more than compute."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_bytes import PART, field, graph, model, node, tensor, whole

from emer_edge.bundle import Bundle
from emer_edge.bundle.onnx_rule import check_part
from emer_edge.core.errors import BundleError

INNER = field(1, node("Relu")) + field(2, "inner")
OUTSIDE = field(13, field(1, "location") + field(2, "/etc/passwd")) + field(14, 1)
FUNCTION = field(25, field(1, "Relu") + field(10, "") + field(7, node("Loop")))
ATTACKS = {
    "data outside": (model(node("Add", "x w"), field(5, tensor("w", (4,), OUTSIDE))), "data outside of the file"),
    "data outside, location 1 as 2^32 + 1": (
        model(node("Add", "x w"), field(5, tensor("w", (4,), field(14, (1 << 32) + 1)))),
        "data outside of the file",
    ),
    "data outside, in an attribute": (
        model(
            node("Constant", "", "y", field(5, field(1, "value") + field(5, tensor("w", (4,), OUTSIDE)) + field(20, 4)))
        ),
        "data outside of the file",
    ),
    "loop": (
        model(node("Loop", "x", "y", field(5, field(1, "body") + field(6, INNER) + field(20, 5)))),
        "a graph inside",
    ),
    "scan without its graph": (model(node("Scan")), "the operator 'Scan'"),
    "if": (model(node("If")), "the operator 'If'"),
    "graph in an operator that is allowed": (
        model(node("Relu", "x", "y", field(5, field(6, INNER)))),
        "a graph inside",
    ),
    "graphs in an operator": (
        model(node("Relu", "x", "y", field(5, field(11, INNER)))),
        "the field 11 in its attribute",
    ),
    "another domain": (model(node("Relu", domain="com.evil")), "the operator 'Relu' of 'com.evil'"),
    "another domain imported": (
        model(node("Relu"), opset=field(1, "com.evil") + field(2, 1)),
        "operators of the domain 'com.evil'",
    ),
    "operator of ONNX Runtime that is not used": (model(node("FusedConv", domain="com.microsoft")), "'FusedConv' of"),
    "two names of one operator": (model(node("Relu", "x", "y", field(4, "Loop"))), r"the operator 'Relu\\nLoop'"),
    "half a name each": (model(node("Re", "x", "y", field(4, "lu"))), r"the operator 'Re\\nlu'"),
    "functions": (PART + FUNCTION, "functions of its own"),
    "settings for ONNX Runtime": (
        PART + field(14, field(1, "ort_config") + field(2, "{}")),
        "the field 14 in its model",
    ),
    "training": (PART + field(20, b""), "the field 20 in its model"),
    "sparse constants": (model(node("Relu"), field(15, b"")), "the field 15 in its graph"),
    "texts": (model(node("Relu"), field(5, tensor("t", (1,), field(6, "x")))), "the field 6 in its tensor"),
    "ONNX Runtime's format": (field(2, "xxORTM") + PART, "ONNX Runtime's own format"),
    "two graphs, which parsers join": (PART + graph(node("Loop")), "the operator 'Loop'"),
}
NO_FILES = {
    "two graphs, both allowed": PART + graph(node("Relu")),
    "a tag beyond 32 bits, which parsers cut to 7": PART + whole(7 << 3 | 2 | 1 << 33) + whole(3) + b"abc",
    "a group": PART + whole(30 << 3 | 3) + whole(30 << 3 | 4),
    "the field 0": PART + field(0, 1),
    "cut short": PART[:-3],
    "no graph": field(1, 8),
    "nothing": b"",
    "a number without end": b"\x08" + b"\xff" * 20,
}


def test_what_is_allowed_runs(bundle: Bundle) -> None:
    check_part(PART, "part")
    assert onnxruntime.InferenceSession(PART).run(None, {"x": [[-1.0, 0.0, 1.0, 2.0]]})[0].tolist() == [[0, 0, 1, 2]]
    for variant in ("cpu", "tensorrt"):
        for name in bundle.parts(variant):
            check_part(bundle.part(variant, name).content, name)


@pytest.mark.parametrize("name", ATTACKS)
def test_what_no_export_writes_is_refused(name: str) -> None:
    content, message = ATTACKS[name]
    with pytest.raises(
        BundleError, match=rf"^part holds .*{message}.*, which no export writes; don't use this bundle$"
    ):
        check_part(content, "part")


@pytest.mark.parametrize("name", NO_FILES)
def test_what_parsers_read_in_different_ways_is_no_onnx_file(name: str) -> None:
    with pytest.raises(BundleError, match=r"^part is not an ONNX file"):
        check_part(NO_FILES[name], "part")


def test_depth_is_bounded() -> None:
    deep = b""
    for _ in range(20_000):
        deep = field(6, field(1, field(5, deep)))
    with pytest.raises(BundleError, match="a graph inside an operator"):
        check_part(model(node("Relu", "x", "y", field(5, deep))), "part")


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damage_is_refused_or_harmless(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from([PART, *(content for content, _ in ATTACKS.values())])))
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        check_part(bytes(content), "part")
    except BundleError:
        return
    for word in (b"Loop", b"Scan", b"com.evil", b"/etc/passwd"):
        assert b"\x22" + bytes([len(word)]) + word not in content  # a name of an operator, or an outside place


def test_it_needs_no_onnx(tmp_path: Path) -> None:
    code = "import sys, emer_edge.bundle.onnx_rule; assert not {'onnx', 'google.protobuf'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
