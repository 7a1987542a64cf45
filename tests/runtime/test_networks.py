"""Several networks in one bundle, on the device's side."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from emer_edge.bench.latency.timed_bundle import PARTS, Candidate
from emer_edge.bundle import Bundle, BundleWriter, Manifest, load_bundle
from emer_edge.bundle.guard_file import GUARD_NAME, KnownFaces, write_guard
from emer_edge.bundle.manifest import BundledHead, NetworkRecord
from emer_edge.core.errors import BundleError
from emer_edge.core.heads import HEADS, ClassHead
from emer_edge.export.parts.face_parts import face_encoder
from emer_edge.export.parts.fusion import fusion
from emer_edge.model.emert import Emert
from emer_edge.offline.predict import score_recording
from emer_edge.runtime.cameras import open_camera
from emer_edge.runtime.options import MachineOptions, Source
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.session import Session
from emer_edge.runtime.trackers import open_tracker
from emer_edge.runtime.trackers.base import TrackerOptions


@pytest.fixture(scope="module")
def networks() -> tuple[Emert, Emert]:
    torch.manual_seed(1)
    return Emert("discrete", ("er-7",)).eval(), Emert("intensity").eval()


def bundled(networks: tuple[Emert, ...], like: Bundle, path: Path, shared: bool = False) -> Bundle:
    """A bundle with parts of its own for every network, or one encoder for all; FP32."""
    names = [name for each in networks for name in each.head_names]
    heads = [
        BundledHead(name=each.name, classes=each.classes)
        if isinstance(each, ClassHead)
        else BundledHead(name=each.name)
        for each in (HEADS[name] for name in names)
    ]
    endings = ["" if number == 1 else f"_{number}" for number in range(1, len(networks) + 1)]
    records = tuple(
        NetworkRecord(
            heads=model.head_names, encoder=f"face_encoder{'' if shared else ending}", fusion=f"fusion{ending}"
        )
        for model, ending in zip(networks, endings, strict=True)
    )
    with BundleWriter(path) as writer:
        for model, record in zip(networks, records, strict=True):
            writer.add(f"cpu/{record.encoder}.onnx", face_encoder(networks[0] if shared else model).SerializeToString())
            writer.add(f"cpu/{record.fusion}.onnx", fusion(model).SerializeToString())
        for name in like.manifest.files:
            if name.startswith("cpu/face_detector"):
                writer.add(name, like.path / name)
        known = {f"cpu/{each}": around(at) for at, each in enumerate(dict.fromkeys(each.encoder for each in records))}
        writer.add(GUARD_NAME, write_guard(known))
        guard = msgspec.structs.replace(like.manifest.guard, limits=dict.fromkeys(known, 0.5))
        return writer.commit(msgspec.structs.replace(like.manifest, heads=tuple(heads), networks=records, guard=guard))


def around(number: float) -> KnownFaces:
    """Embeddings around a number."""
    return KnownFaces(np.full(128, number, np.float32), np.eye(32, 128, dtype=np.float32), np.ones(33, np.float32))


@pytest.fixture(scope="module")
def pair(networks: tuple[Emert, Emert], bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundled(networks, bundle, tmp_path_factory.mktemp("pair") / "pair.emer")


@pytest.mark.parametrize("shared", [False, True], ids=["two encoders", "one encoder"])
def test_every_head_comes_from_its_own_network(
    networks: tuple[Emert, Emert], bundle: Bundle, tmp_path: Path, shared: bool
) -> None:
    rng = np.random.default_rng(0)
    shapes = ((3, 8, 3, 112, 112), (3, 32, 39), (3, 32, 2))
    face, eye, gaze = (rng.random(each, np.float32) for each in shapes)
    if shared:
        networks[1].subnet.f_extractor.load_state_dict(networks[0].subnet.f_extractor.state_dict())
        networks[1].proj_v1.load_state_dict(networks[0].proj_v1.state_dict())
    made = load_bundle(bundled(networks, bundle, tmp_path / "pair.emer", shared).path)
    with Session(made) as session:
        assert session.embedding_width == (128 if shared else 256)
        crops = face.reshape(-1, 3, 112, 112)
        embeddings = session.encode(crops)
        assert embeddings.shape == (24, session.embedding_width)
        np.testing.assert_allclose(session.encode(crops[:1])[0], embeddings[0], atol=1e-5)
        windows = embeddings.reshape(3, 8, -1, 128)
        apart = [around(at).distance(windows[:, :, at]) / 0.5 for at in range(windows.shape[2])]
        np.testing.assert_allclose(session.face_distance(embeddings.reshape(3, 8, -1)), np.max(apart, axis=0))
        outputs = session.logits(embeddings.reshape(3, 8, -1), eye, gaze)
        session.warm_up()
    assert list(outputs) == ["er-7", "fer-7", "fer-intensity"]
    for model in networks:
        with torch.inference_mode():
            expected = model(*(torch.from_numpy(each) for each in (face, eye, gaze)))
        for name, value in expected.items():
            assert np.abs(outputs[name] - value.numpy()).max() < 1e-5 * np.abs(value.numpy()).max()


def test_pipeline_and_offline_scores_agree(pair: Bundle, video: Path, tracker: Path) -> None:
    with Pipeline(pair, str(video), str(tracker), machine=MachineOptions(pace="fast"), offset_ms=0.0) as pipeline:
        live = list(pipeline)
    options = TrackerOptions(pace="fast", offset_ms=0.0)
    with (
        Session(pair) as session,
        open_camera(str(video), "fast") as camera,
        open_tracker(str(tracker), options) as eyes,
    ):
        offline = list(score_recording(session, Source(camera, eyes)))
    assert len(live) == len(offline) > 10
    whole = [(one, other) for one, other in zip(live, offline, strict=True) if one.heads]
    assert whole
    for one, other in whole:
        assert set(one.heads) == {"er-7", "fer-7", "fer-intensity"}
        assert one.gap is not None
        for name, value in one.heads["er-7"].items():
            assert value == pytest.approx(other.heads["er-7"][name], abs=1e-5)
        assert one.heads["fer-intensity"] == pytest.approx(other.heads["fer-intensity"], abs=1e-5)


def test_networks_and_heads_must_match(pair: Bundle) -> None:
    manifest = pair.manifest
    assert Manifest.from_json(manifest.to_json()).networks == manifest.networks
    document = msgspec.to_builtins(manifest)
    document["networks"][1]["heads"] = ["fer-7"]
    with pytest.raises(BundleError, match="the networks give er-7, fer-7, the heads are er-7, fer-7, fer-intensity"):
        Manifest.from_json(msgspec.json.encode(document))


def test_a_manifest_without_networks_has_one(bundle: Bundle) -> None:
    document = msgspec.to_builtins(bundle.manifest)
    del document["networks"]
    (only,) = Manifest.from_json(msgspec.json.encode(document)).all_networks
    assert (only.heads, only.encoder, only.fusion) == (tuple(HEADS), "face_encoder", "fusion")


def test_a_missing_part_of_the_second_network_is_named(pair: Bundle) -> None:
    files = {name: each for name, each in pair.manifest.files.items() if name != "cpu/fusion_2.onnx"}
    with pytest.raises(BundleError, match=r"no cpu/fusion_2\.onnx"):
        Session(Bundle(pair.path, msgspec.structs.replace(pair.manifest, files=files)))


def test_bench_times_all_networks_of_a_step(pair: Bundle, bundle: Bundle) -> None:
    for each in (pair, bundle):
        with closing(Candidate(each.path, "onnxruntime", 1)) as candidate:
            assert candidate.opened.loading.rss_mb > 0
            for part in PARTS:
                assert len(candidate.loop(part, queries=3).durations_ns) == 3
