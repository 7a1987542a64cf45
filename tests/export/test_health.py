from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from emer_edge.errors import CheckpointError
from emer_edge.export.judging.health import check_outputs, check_weights


def changed(part: onnx.ModelProto, name: str, value: float) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(part)
    for each in copy.graph.initializer:
        if each.name == name:
            weight = numpy_helper.to_array(each).copy()
            weight.reshape(-1)[5] = value
            each.CopyFrom(numpy_helper.from_array(weight, name))
    return copy


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_broken_weight_is_named(encoder_part: onnx.ModelProto, value: float) -> None:
    check_weights(encoder_part)
    with pytest.raises(CheckpointError, match=r"layer3\.0\.conv2\.weight"):
        check_weights(changed(encoder_part, "layer3.0.conv2.weight", value))


def logits(*rows: list[float]) -> dict[str, np.ndarray]:
    return {"er-3": np.array(rows, np.float32)}


def test_sound_outputs_need_no_words() -> None:
    assert check_outputs(logits([1, 2, 3], [3, 2, 1])) == ()
    # Sure of different classes is what a good network looks like.
    assert check_outputs(logits([99, 0, 0], [0, 99, 0])) == ()
    assert check_outputs(logits([1, 2, 3])) == ()


def test_a_head_that_is_sure_of_one_class_everywhere_is_told() -> None:
    (note,) = check_outputs({**logits([99, 0, 0], [80, 0, 1]), "er-valence": np.array([[0.1], [0.2]], np.float32)})
    assert "head er-3 is saturated" in note
    assert "all 2 selection windows" in note


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(CheckpointError, match=r"head er-3 gives NaN or infinity on 1 of 2 selection windows"):
        check_outputs(logits([1, 2, 3], [1, value, 3]))


@pytest.mark.parametrize("head", ["er-7", "er-valence"])
@pytest.mark.parametrize("size", [0.0, 1.0, 1e4])
def test_a_head_that_never_moves_is_refused(head: str, size: float) -> None:
    still = np.full((5, 7 if head == "er-7" else 1), size, np.float32)
    with pytest.raises(CheckpointError, match=f"head {head} gives the same output on all 5 selection windows"):
        check_outputs({head: still})
