from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bench_bundles import SALT, write_bundle
from shared_work import clips_of

from emer_edge.bundle import Bundle, Manifest
from emer_edge.bundle.manifest import (
    BundledHead,
    DataRecord,
    FaceRecord,
    GateRecord,
    PrecisionRecord,
    VerificationRecord,
)
from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.heads import HEADS, ClassHead
from emer_edge.core.window import EVENT_CONSTANTS, NANOSECONDS, NEW_RULE, WindowSpec
from emer_edge.data.dataset import EmerDataset, clip_hash
from emer_edge.runtime.session import Session

TEMPLATE = ((38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2))
WINDOW = WindowSpec(length_ns=24 * NANOSECONDS // 10, hops_per_slot=1)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five participants with three clips each."""
    return clips_of(tmp_path_factory, 5, 3, 40)


@pytest.fixture(scope="session")
def dataset(data: Path) -> EmerDataset:
    return EmerDataset.open(data)


@pytest.fixture(scope="session")
def parts() -> dict[str, bytes]:
    """The nine-head network with random weights, FP32, and CenterFace."""
    import torch

    from emer_edge.export.parts.face_parts import face_encoder, load_detector
    from emer_edge.export.parts.fusion import fusion
    from emer_edge.model.emert import Emert

    torch.manual_seed(0)
    model = Emert("nine").eval()
    model.eye_scale.fill_(300.0)
    model.gaze_scale.fill_(300.0)
    result = {"face_encoder": face_encoder(model), "fusion": fusion(model), **load_detector().parts}
    return {f"cpu/{name}.onnx": part.SerializeToString() for name, part in result.items()}


@pytest.fixture(scope="session")
def manifest(dataset: EmerDataset) -> Manifest:
    """Trained on folds 2 to 5, as it says; classes in another order than this project's."""
    from emer_edge.export.parts.face_parts import load_detector

    heads = tuple(
        BundledHead(name=head.name, classes=tuple(reversed(head.classes)))
        if isinstance(head, ClassHead)
        else BundledHead(name=head.name)
        for head in HEADS.values()
    )
    return Manifest(
        schema=1,
        name="random",
        created="2026-01-01T00:00:00Z",
        versions={},
        heads=heads,
        window=WINDOW,
        events=NEW_RULE,
        events_constants=EVENT_CONSTANTS[NEW_RULE],
        eye_columns=COLUMN_KEYS,
        face=FaceRecord(template_px=TEMPLATE),
        detector=load_detector().record,
        precision=PrecisionRecord(requested="fp32", parts={"cpu/face_encoder": "fp32", "tensorrt/fusion": "fp16"}),
        gate=GateRecord(verdict="passed", fp32={"er-7/war": 0.25, "er-valence/mae": 0.5}, final={"er-7/war": 0.24}),
        verification=VerificationRecord(inputs="none", largest_error={}),
        files={},
        demo=True,
        data=DataRecord(
            fingerprint=dataset.fingerprint,
            salt=SALT,
            fold=1,
            training_hashes=tuple(clip_hash(SALT, clip) for clip in dataset.training(1)),
            selection_hashes=tuple(clip_hash(SALT, clip) for clip in dataset.selection(1)),
        ),
    )


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory, parts: dict[str, bytes], manifest: Manifest) -> Bundle:
    return write_bundle(tmp_path_factory.mktemp("bundles") / "random.emer", parts, manifest)


@pytest.fixture(scope="session")
def session(bundle: Bundle) -> Iterator[Session]:
    """The bundle, loaded once for all tests that read with it."""
    with Session(bundle) as opened:
        yield opened
