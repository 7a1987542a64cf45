from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from emer_edge.bundle import Manifest
from emer_edge.bundle.guard_file import GUARD_NAME, KnownFaces, read_guard, write_guard
from emer_edge.bundle.reading_records import WithoutEyesRecord
from emer_edge.core.errors import BundleError

WIDTH = 64


def cloud(count: int, seed: int) -> np.ndarray:
    """Embeddings that vary along 40 directions, more along the first."""
    rng = np.random.default_rng(7)
    basis = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0] * np.geomspace(10, 0.1, WIDTH)[:, None]
    return (np.random.default_rng(seed).normal(size=(count, WIDTH)) @ basis + 5).astype(np.float32)


def test_the_distance_is_about_1_on_faces_like_those_of_training_and_grows_with_theirs() -> None:
    known = KnownFaces.of(cloud(4000, 0))
    own = known.distance(cloud(1600, 1).reshape(200, 8, WIDTH))
    assert own.mean() == pytest.approx(1, abs=0.05)
    mean = np.full((1, 8, WIDTH), 5, np.float32)
    assert known.distance(mean)[0] < 0.2
    far = [known.distance(mean + step * known.directions[-1])[0] for step in (0.5, 1, 2)]
    assert np.diff(far).min() > 0
    aside = np.eye(1, WIDTH, dtype=np.float32)
    aside -= aside @ known.directions.T @ known.directions  # off every direction of training
    assert known.distance(mean + 20 * aside / np.linalg.norm(aside))[0] > 2
    blended = known.distance(np.concatenate([mean[:, :4], mean[:, 4:] + 9 * known.directions[-1]], axis=1))
    assert far[0] < blended[0]


@pytest.mark.parametrize("rank", [0, 5])
def test_embeddings_with_dead_directions_have_distances(rank: int) -> None:
    basis = np.random.default_rng(0).normal(size=(rank, WIDTH))
    faces = (np.random.default_rng(1).normal(size=(300, rank)) @ basis).astype(np.float32)
    known = KnownFaces.of(faces)
    assert np.isfinite(known.distance(faces[None])).all()
    strange = known.distance(np.ones((1, 8, WIDTH), np.float32) * 9)[0]
    assert 10 < strange < 1e5


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    known = {
        "cpu/face_encoder": KnownFaces.of(cloud(300, 0)),
        "tensorrt/face_encoder-int8": KnownFaces.of(cloud(300, 2)),
    }
    path = tmp_path / GUARD_NAME
    path.write_bytes(write_guard(known))
    assert write_guard(known) == path.read_bytes()
    read = read_guard(path.read_bytes())
    assert list(read) == list(known)
    faces = cloud(8, 3)[None]
    for key, one in known.items():
        np.testing.assert_array_equal(read[key].distance(faces), one.distance(faces))


@pytest.mark.parametrize(
    "tensors",
    [
        {"mean": np.zeros(WIDTH), "directions": np.zeros((32, WIDTH))},
        {"mean": np.zeros(WIDTH), "directions": np.zeros((32, 9)), "spread": np.ones(33)},
        {"mean": np.zeros(WIDTH), "directions": np.zeros((32, WIDTH)), "spread": np.zeros(33)},
        {"mean": np.zeros(()), "directions": np.zeros(32), "spread": np.ones(33)},
        {"mean": np.full(WIDTH, np.nan), "directions": np.zeros((32, WIDTH)), "spread": np.ones(33)},
    ],
    ids=["lacking", "shape", "spread", "scalar", "nan"],
)
def test_a_file_that_is_no_guard_is_refused(tensors: dict[str, np.ndarray], tmp_path: Path) -> None:
    path = tmp_path / GUARD_NAME
    np.savez(path, **{f"cpu/face_encoder/{name}": array.astype(np.float32) for name, array in tensors.items()})
    with pytest.raises(BundleError, match=f"{GUARD_NAME}.*export the bundle again"):
        read_guard(path.read_bytes())


@pytest.mark.parametrize(
    ("lost_points", "refusal"),
    [(None, "does not say what FER loses without eyes"), (1.0, None), (3.75, "loses 3.8 points of fer-7/war")],
)
def test_what_is_read_without_eyes(bundle, lost_points: float | None, refusal: str | None) -> None:
    manifest: Manifest = bundle.manifest
    record = None
    if lost_points is not None:
        record = WithoutEyesRecord(clips=30, before={}, after={}, lost_points=lost_points, worst="fer-7/war")
    given = msgspec.structs.replace(manifest, without_eyes=record).blind_refusal
    assert (given is None) if refusal is None else (refusal in str(given))
    felt = tuple(head for head in manifest.heads if head.name.startswith("er-"))
    assert "no FER head" in str(msgspec.structs.replace(manifest, heads=felt, without_eyes=record).blind_refusal)
