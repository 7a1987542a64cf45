from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emer_edge.bundle.golden_file import Golden, read_golden, write_golden
from emer_edge.core.errors import BundleError


def golden() -> Golden:
    rng = np.random.default_rng(0)
    face = rng.random((2, 3, 4, 4)).astype(np.float32)
    embedding = rng.random((2, 128)).astype(np.float32)
    return Golden({"face_encoder": {"face": face}}, {("cpu", "face_encoder"): {"embedding": embedding}})


def archive(**arrays: object) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def test_a_golden_file_gives_back_what_was_written() -> None:
    read = read_golden(write_golden(golden()))
    np.testing.assert_array_equal(read.inputs["face_encoder"]["face"], golden().inputs["face_encoder"]["face"])
    np.testing.assert_array_equal(
        read.outputs["cpu", "face_encoder"]["embedding"], golden().outputs["cpu", "face_encoder"]["embedding"]
    )


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"in/face_encoder/face": np.zeros(3, np.float64)}, "not finite float32"),
        ({"in/face_encoder/face": np.full(3, np.nan, np.float32)}, "not finite float32"),
        ({"in/face_encoder/face": np.array([{}], object)}, "can't read"),
        ({"elsewhere": np.zeros(3, np.float32)}, "unknown to this emer-edge"),
        ({"out/gpu/fusion/er-7": np.zeros(3, np.float32)}, "unknown to this emer-edge"),
    ],
    ids=["another type", "NaN", "pickled", "unknown name", "unknown variant"],
)
def test_a_wrong_golden_file_is_refused(arrays: dict[str, object], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        read_golden(archive(**arrays))


@pytest.mark.parametrize("count", [1, 9], ids=["one tensor", "many, each small enough"])
def test_tensors_that_would_fill_memory_are_refused_before_they_are_unpacked(count: int) -> None:
    buffer = io.BytesIO()
    zeros = np.zeros(72_000_000 // count, np.float32)
    np.savez_compressed(buffer, **{f"in/fusion/{number}": zeros for number in range(count)})
    assert len(buffer.getvalue()) < 1_000_000
    with pytest.raises(BundleError, match=rf"would unpack to {count} tensors of 27\d MB"):
        read_golden(buffer.getvalue())


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_damaged_golden_file_is_an_error_of_its_own_kind_or_harmless(data: st.DataObject) -> None:
    whole = bytearray(write_golden(golden()))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = read_golden(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    except BundleError:
        return
    assert set(read.inputs) <= {"face_encoder"}
