from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
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


def test_a_golden_file_gives_back_what_was_written(tmp_path: Path) -> None:
    file = tmp_path / "golden.npz"
    file.write_bytes(write_golden(golden()))
    read = read_golden(file)
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
def test_a_wrong_golden_file_is_refused(arrays: dict[str, object], message: str, tmp_path: Path) -> None:
    file = tmp_path / "golden.npz"
    file.write_bytes(archive(**arrays))
    with pytest.raises(BundleError, match=message):
        read_golden(file)


def test_a_tensor_that_would_fill_memory_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "golden.npz"
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{"in/fusion/eye": np.zeros(20_000_000, np.float32)})
    file.write_bytes(buffer.getvalue())
    assert file.stat().st_size < 1_000_000
    with pytest.raises(BundleError, match="more than 64 MB"):
        read_golden(file)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_golden_file_is_an_error_of_its_own_kind_or_harmless(data: st.DataObject, tmp_path: Path) -> None:
    whole = bytearray(write_golden(golden()))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path / "golden.npz"
    file.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        read = read_golden(file)
    except BundleError:
        return
    assert set(read.inputs) <= {"face_encoder"}
